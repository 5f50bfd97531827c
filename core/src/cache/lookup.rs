//! The lookup over both levels, written once: L1, then whoever leads asks L2,
//! then the loader.
//!
//! [`Levels`] is the asynchronous shell around a [`Pond`] and, when there is one,
//! a [`Store`]. It needs no runtime: a [`Timer`] is all it asks of one.
//!
//! Orders that keep the rules:
//! - a write reaches L2 before L1, and an invalidation reaches L1 again after L2:
//!   a reader between the two takes the old value from L2 and puts it back;
//! - what is read from L2 enters L1 under the lease that read it, with the version
//!   at which it began, and barriers are checked at the insertion;
//! - when L2 fails to forget, what it held until then is not trusted any more:
//!   entries that began before are not adopted.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use super::answer::{Answer, Hit, Lookup, Want};
use super::barrier::{Barrier, Invalidation};
use super::fill::lease::{Fill, Filled, Grant, Lease, Settlement};
use super::fill::waiter::Waiter;
use super::invalidate::Target;
use super::name::TenantId;
use super::pond::Pond;
use super::scope::Scope;
use super::store::{Store, StoreKey, StoreTarget, Stored};
use super::write::{Write, WriteError, Written};
use crate::clock::Time;
use crate::version::Version;

mod adopt;

/// How the lookup waits for a point in time.
pub trait Timer {
    /// Completes at `at`, by [`Clock::precise`](crate::clock::Clock::precise), or
    /// a little later.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + Send;
}

/// Where a write has arrived when its call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In this process.
    Local,
    /// In the store.
    Stored,
}

/// A pond, and the store behind it.
#[derive(Clone, Debug)]
pub struct Levels {
    pond: Arc<Pond>,
    store: Option<Arc<dyn Store>>,
    /// What the store held up to here is not trusted.
    distrusted: Arc<Barrier>,
}

impl Levels {
    /// L1 alone, or in front of a store.
    #[must_use]
    pub fn new(pond: Arc<Pond>, store: Option<Arc<dyn Store>>) -> Self {
        Self {
            pond,
            store,
            distrusted: Arc::new(Barrier::at(Version::NONE)),
        }
    }

    /// L1.
    #[must_use]
    pub fn pond(&self) -> &Arc<Pond> {
        &self.pond
    }

    /// Reads a key: from L1, or by waiting for its load, or as the one who leads,
    /// from L2. What then is neither found nor refused carries the lease.
    ///
    /// Dropping the future gives up a lease it was granted.
    pub async fn get(
        &self,
        timer: &impl Timer,
        scope: &Arc<Scope>,
        key: &[u8],
        want: Want,
    ) -> Answer {
        let answer = match self.pond.get(scope, key, want) {
            Lookup::Answer(answer) => answer,
            Lookup::Follow(waiter) => wait(timer, waiter).await,
        };
        match (&self.store, answer) {
            // An observer loads whatever is held anywhere.
            (
                Some(store),
                Answer {
                    found: None,
                    lease: Some(lease),
                    ..
                },
            ) if lease.right().exclusive => self.ask_store(&**store, scope, key, lease).await,
            (_, answer) => answer,
        }
    }

    async fn ask_store(
        &self,
        store: &dyn Store,
        scope: &Arc<Scope>,
        key: &[u8],
        lease: Lease,
    ) -> Answer {
        let stored = store.read(store_key(scope, key)).await;
        match stored {
            Ok(Some(stored)) if stored.began > self.distrusted.hard() => {
                self.pond.adopt(lease, stored)
            }
            // A store that does not answer is a miss: the origin still does.
            Ok(_) | Err(_) => Answer::lead(lease),
        }
    }

    /// Settles a lease by its identity.
    pub async fn fill(&self, scope: &Arc<Scope>, key: &[u8], grant: Grant, fill: Fill) -> Filled {
        let filled = self.pond.fill(scope, key, grant, fill);
        self.pass_on(scope, key, filled).await;
        filled
    }

    /// Settles a lease that is held in this process.
    pub async fn settle(&self, lease: Lease, fill: Fill) -> Settlement {
        if self.store.is_none() {
            return lease.settle(fill);
        }
        let (scope, key) = (Arc::clone(&lease.right().scope), lease.right().key.clone());
        let settlement = lease.settle(fill);
        if let Settlement::Done(filled) = &settlement {
            self.pass_on(&scope, key.user_bytes(), *filled).await;
        }
        settlement
    }

    /// Hands a stored entry to L2; whether it is there now. After a load a failure
    /// costs a later load and nothing else.
    async fn pass_on(&self, scope: &Arc<Scope>, key: &[u8], filled: Filled) -> bool {
        let (Some(store), Filled::Stored(version)) = (&self.store, filled) else {
            return false;
        };
        let held = self
            .pond
            .held(scope, key)
            .filter(|hit| hit.version() == version);
        let Some(hit) = held else { return false };
        let now = self.pond.clock().precise();
        let written = store.write(store_key(scope, key), stored(&hit, now)).await;
        written == Ok(true)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// When the value is larger than the policy allows.
    pub async fn set(
        &self,
        scope: &Arc<Scope>,
        key: &[u8],
        write: Write,
    ) -> Result<(Written, Durability), WriteError> {
        if self.store.is_none() {
            return Ok((self.pond.set(scope, key, write)?, Durability::Local));
        }
        // L2 forgets before L1 learns, also when `if_version` may come to nothing:
        // forgetting costs a load at most.
        let keys = [Bytes::copy_from_slice(key)];
        let target = StoreTarget::Keys(scope.tenant(), scope.cache(), &keys);
        let durability = self.forget(target.clone()).await;
        let written = self.pond.set(scope, key, write)?;
        if let Written::Stored(version) = written
            && !self.pass_on(scope, key, Filled::Stored(version)).await
        {
            // A load that began in between may have reached L2 and must not be
            // found there once L1 has let go of this value.
            return Ok((written, self.forget(target).await));
        }
        Ok((written, durability))
    }

    /// Invalidates part of a cache in both levels.
    pub async fn invalidate(
        &self,
        scope: &Arc<Scope>,
        target: Target<'_, Bytes>,
        how: Invalidation,
    ) -> (Version, Durability) {
        let (tenant, cache) = (scope.tenant(), scope.cache());
        let in_store = || match target {
            Target::Keys(keys) => StoreTarget::Keys(tenant, cache, keys),
            Target::Tags(tags) => StoreTarget::Tags(tenant, cache, tags),
            Target::Cache => StoreTarget::Cache(tenant, cache),
        };
        self.both(how, in_store, || self.pond.invalidate(scope, target, how))
            .await
    }

    /// Invalidates every cache of a tenant in both levels.
    pub async fn invalidate_tenant(
        &self,
        tenant: &TenantId,
        how: Invalidation,
    ) -> (Version, Durability) {
        let in_store = || StoreTarget::Tenant(tenant);
        self.both(how, in_store, || self.pond.invalidate_tenant(tenant, how))
            .await
    }

    /// L1 at once, so that it holds here even if the caller leaves; then L2; then
    /// L1 again, for what a reader took over from L2 in between; and if replicas may
    /// lag L2 again, for what was loaded in between.
    async fn both<'a>(
        &self,
        how: Invalidation,
        in_store: impl Fn() -> StoreTarget<'a>,
        in_l1: impl Fn() -> Version,
    ) -> (Version, Durability) {
        let version = in_l1();
        if self.store.is_none() {
            return (version, Durability::Local);
        }
        let durability = self.forget(in_store()).await;
        let version = in_l1();
        if how.settle.is_zero() {
            return (version, durability);
        }
        match self.forget(in_store()).await {
            Durability::Local => (version, Durability::Local),
            Durability::Stored => (version, durability),
        }
    }

    /// Makes L2 forget, or no longer trusts it with what it held.
    async fn forget(&self, target: StoreTarget<'_>) -> Durability {
        let Some(store) = &self.store else {
            return Durability::Local;
        };
        let version = self.pond.next_version();
        match store.invalidate(target, version).await {
            Ok(()) => Durability::Stored,
            Err(_) => {
                self.distrusted.raise_to(version, false);
                Durability::Local
            }
        }
    }
}

fn store_key<'a>(scope: &'a Scope, key: &'a [u8]) -> StoreKey<'a> {
    StoreKey {
        tenant: scope.tenant(),
        cache: scope.cache(),
        key,
    }
}

fn stored(hit: &Hit, now: Time) -> Stored {
    let [fresh_for, stale_for, error_for] = hit.deadlines.left(now);
    Stored {
        body: hit.body().clone(),
        began: hit.began,
        fresh_for,
        stale_for,
        error_for,
        load_time: hit.load_time(),
        tags: hit.tags().map(Bytes::copy_from_slice).collect(),
        etag: hit.etag().clone(),
    }
}

/// Waits with a timer for a waiter's two deadlines.
pub async fn wait(timer: &impl Timer, mut waiter: Waiter) -> Answer {
    loop {
        let mut alarm = pin!(timer.sleep_until(waiter.wake_at()));
        let woken = poll_fn(|context| match Pin::new(&mut waiter).poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => alarm.as_mut().poll(context).map(|()| None),
        });
        if let Some(answer) = woken.await {
            return answer;
        }
    }
}
