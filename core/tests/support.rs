//! A pond on hand-moved time, and short words for what tests do with it.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses its part"
)]

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use millpond_core::Entropy;
use millpond_core::cache::{
    Answer, Body, CacheName, Config, Fill, Filled, Invalidation, Lease, Lookup, Mode, Policy, Pond,
    Scope, Settlement, Target, TenantId, Waiter, Want, Write, Written,
};
use millpond_core::clock::{Clock, ManualClock, Time};
use millpond_core::version::Version;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HARD: Invalidation = Invalidation {
    soft: false,
    settle: Duration::ZERO,
};

pub(crate) struct Bench {
    pub(crate) clock: ManualClock,
    pub(crate) pond: Arc<Pond>,
    pub(crate) scope: Arc<Scope>,
}

pub(crate) fn policy() -> Policy {
    Policy {
        jitter: 0.0,
        ..Policy::declared()
    }
}

pub(crate) fn names(tenant: &str, cache: &str) -> (TenantId, CacheName) {
    (
        TenantId::parse(tenant).expect("a valid tenant"),
        CacheName::parse(cache).expect("a valid cache"),
    )
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(policy())
    }

    pub(crate) fn with(policy: Policy) -> Self {
        Self::configured(Config {
            undeclared: policy,
            ..Config::default()
        })
    }

    pub(crate) fn configured(config: Config) -> Self {
        let clock = ManualClock::starting_at(Time::ZERO.after(SECOND * 1_000));
        let pond = Pond::new(Config {
            clock: Clock::Manual(clock.clone()),
            entropy: Entropy::Fixed(0.0),
            ..config
        });
        let (tenant, cache) = names("acme", "users");
        let scope = pond.scope(&tenant, &cache).expect("room for a cache");
        Self { clock, pond, scope }
    }

    pub(crate) fn scope(&self, tenant: &str, cache: &str) -> Arc<Scope> {
        let (tenant, cache) = names(tenant, cache);
        self.pond.scope(&tenant, &cache).expect("room for a cache")
    }

    pub(crate) fn want(&self) -> Want {
        Want::load_until(self.clock.now().after(SECOND * 3_600))
    }

    pub(crate) fn get(&self, key: &str) -> Lookup {
        self.pond.get(&self.scope, key.as_bytes(), self.want())
    }

    pub(crate) fn answer(&self, key: &str) -> Answer {
        match self.get(key) {
            Lookup::Answer(answer) => answer,
            Lookup::Follow(_) => panic!("{key}: told to wait"),
        }
    }

    pub(crate) fn lead(&self, key: &str) -> Lease {
        self.answer(key).lease.expect("the lease")
    }

    pub(crate) fn follow(&self, key: &str) -> Waiter {
        match self.get(key) {
            Lookup::Follow(waiter) => waiter,
            Lookup::Answer(answer) => panic!("{key}: not told to wait but {answer:?}"),
        }
    }

    /// What a read finds without loading.
    pub(crate) fn held(&self, key: &str) -> Option<String> {
        self.held_in(&self.scope, key)
    }

    pub(crate) fn held_in(&self, scope: &Arc<Scope>, key: &str) -> Option<String> {
        match self.pond.get(scope, key.as_bytes(), Want::held()) {
            Lookup::Answer(answer) => found(&answer),
            Lookup::Follow(_) => panic!("a read that loads nothing never waits"),
        }
    }

    pub(crate) fn load(&self, key: &str, value: &str) -> Filled {
        fill(self.lead(key), value)
    }

    pub(crate) fn load_tagged(&self, key: &str, value: &str, tag: &str) -> Filled {
        done(self.lead(key).settle(tagged(value, tag)))
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Version {
        match self
            .pond
            .set(&self.scope, key.as_bytes(), Write::value(value.to_owned()))
        {
            Ok(Written::Stored(version)) => version,
            other => panic!("not set: {other:?}"),
        }
    }

    pub(crate) fn invalidate(&self, key: &str) -> Version {
        self.invalidate_as(Target::Keys(&[key]), HARD)
    }

    pub(crate) fn invalidate_as(&self, target: Target<'_, &str>, how: Invalidation) -> Version {
        self.pond.invalidate(&self.scope, target, how)
    }

    pub(crate) fn switch(&self, mode: Mode) {
        let switched = self.pond.switch(self.scope.cache(), Some(mode));
        assert_eq!(switched.expect("it is in use").after, mode);
    }

    /// Declares the cache with this policy; others have it too.
    pub(crate) fn reconfigure(&self, policy: Policy) {
        let declared = HashMap::from([(self.scope.cache().clone(), policy)]);
        self.pond.reconfigure(declared, policy);
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

pub(crate) fn found(answer: &Answer) -> Option<String> {
    match answer.found.as_ref()?.body() {
        Body::Value(value) => Some(String::from_utf8_lossy(value).into_owned()),
        Body::Absent => Some("(absent)".to_owned()),
    }
}

pub(crate) fn value(value: &str) -> Fill {
    Fill::value(value.to_owned())
}

pub(crate) fn tagged(value: &str, tag: &str) -> Fill {
    match Fill::value(value.to_owned()) {
        Fill::Found {
            body, times, etag, ..
        } => Fill::Found {
            body,
            times,
            etag,
            tags: vec![tag.to_owned().into()],
        },
        other => other,
    }
}

pub(crate) fn fill(lease: Lease, text: &str) -> Filled {
    done(lease.settle(value(text)))
}

pub(crate) fn done(settlement: Settlement) -> Filled {
    match settlement {
        Settlement::Done(filled) => filled,
        Settlement::NeedValue(_) => panic!("asked for the value"),
    }
}

pub(crate) fn poll(waiter: &mut Waiter) -> Option<Answer> {
    match Pin::new(waiter).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

pub(crate) fn is_stored(filled: Filled) -> bool {
    matches!(filled, Filled::Stored(_))
}
