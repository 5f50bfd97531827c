//! Models of the cache's synchronisation, explored by loom.
//!
//! Each model runs the code that ships, over loom's primitives: two or three
//! threads, one invariant. Each fails on the planted bug that its row in the
//! task's table names. A model lives in `tests/`, one file a structure.
#![cfg(millpond_loom)]

use std::sync::Arc;
use std::time::Duration;

use loom::future::block_on;
use millpond_core::Entropy;
use millpond_core::cache::{
    Allowance, Answer, Body, CacheName, Config, Fill, Invalidation, Lease, Lookup, Policy, Pond,
    Scope, Settlement, Target, TenantId, Want, Write,
};
use millpond_core::clock::{Clock, ManualClock, Time};

/// An invalidation that removes.
pub const HARD: Invalidation = Invalidation {
    soft: false,
    settle: Duration::ZERO,
};

/// One key of one cache, on a clock that stands still.
#[derive(Clone, Debug)]
pub struct Model {
    /// The cache.
    pub pond: Arc<Pond>,
    /// Its one scope.
    pub scope: Arc<Scope>,
    /// Its clock.
    pub clock: ManualClock,
}

/// The key of the models.
pub const KEY: &[u8] = b"k";

impl Model {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        let clock = ManualClock::starting_at(Time::ZERO.after(Duration::from_secs(1_000)));
        let pond = Pond::new(Config {
            clock: Clock::Manual(clock.clone()),
            entropy: Entropy::Fixed(0.0),
            undeclared: Policy {
                jitter: 0.0,
                ..Policy::declared()
            },
            ..Config::default()
        });
        let (tenant, cache) = (TenantId::parse("t"), CacheName::parse("c"));
        let (tenant, cache) = (tenant.expect("valid"), cache.expect("valid"));
        let scope = pond.scope(&tenant, &cache).expect("room");
        Self { pond, scope, clock }
    }

    /// Reads the key, waiting as long as it takes.
    pub fn get(&self) -> Answer {
        match self.lookup() {
            Lookup::Answer(answer) => answer,
            Lookup::Follow(waiter) => block_on(waiter),
        }
    }

    /// Reads the key without waiting.
    pub fn lookup(&self) -> Lookup {
        self.pond.get(&self.scope, KEY, Want::load_until(Time::FAR))
    }

    /// The lease of a key that nobody loads.
    pub fn lead(&self) -> Lease {
        self.get().lease.expect("nobody else leads")
    }

    /// What a reader finds that loads nothing.
    #[must_use]
    pub fn held(&self) -> Option<Vec<u8>> {
        match self.pond.get(&self.scope, KEY, Want::held()) {
            Lookup::Answer(answer) => text(&answer),
            Lookup::Follow(_) => None,
        }
    }

    /// Sets the key.
    pub fn set(&self, value: &'static str) {
        self.pond
            .set(&self.scope, KEY, Write::value(value))
            .expect("small");
    }

    /// Invalidates the key.
    pub fn invalidate(&self) {
        self.pond
            .invalidate(&self.scope, Target::Keys(&[KEY]), HARD);
    }

    /// Invalidates the cache.
    pub fn invalidate_cache(&self, how: Invalidation) {
        self.pond
            .invalidate::<&[u8]>(&self.scope, Target::Cache, how);
    }

    /// Allows the model's tenant something else.
    pub fn allow(&self, cap: Option<u64>, reserve: u64) {
        let allowance = Allowance { cap, reserve };
        let set = self.pond.set_share(self.scope.tenant(), Some(allowance));
        assert_eq!(set, Ok(()));
    }

    /// Panics when something is out of order at rest.
    pub fn assert_at_rest(&self) {
        let wrong = self.pond.disorder();
        assert!(wrong.is_empty(), "at rest: {wrong:?}");
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

/// Settles a lease with a value.
pub fn fill(lease: Lease, value: &'static str) {
    settle(lease, Fill::value(value));
}

/// Settles a lease.
pub fn settle(lease: Lease, fill: Fill) {
    assert!(matches!(lease.settle(fill), Settlement::Done(_)), "settled");
}

/// The value of an answer.
#[must_use]
pub fn text(answer: &Answer) -> Option<Vec<u8>> {
    match answer.found.as_ref()?.body() {
        Body::Value(value) => Some(value.to_vec()),
        Body::Absent => None,
    }
}

/// Explores a model, with room for as many branches as whole calls take.
pub fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 50_000;
    if builder.preemption_bound.is_none() {
        builder.preemption_bound = Some(2);
    }
    builder.check(model);
}
