//! The face that every cache shows to the races; one file a cache.

use std::{fmt, future::Future, pin::Pin};

pub mod foyer;
pub mod millpond;
pub mod moka;
pub mod quick_cache;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose it is.
    pub tenant: &'static str,
    /// Which of theirs.
    pub number: u64,
}

/// What the origin answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// How often the origin had changed when this was read.
    pub generation: u64,
    /// The one tag it carries.
    pub tag: &'static str,
}

/// One caller's way to the origin. It runs only if the cache polls it.
pub type Load = Pin<Box<dyn Future<Output = Result<Value, OriginDown>> + Send>>;

/// The origin's own error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginDown;

impl fmt::Display for OriginDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin is down")
    }
}

impl std::error::Error for OriginDown {}

/// What a caller gets instead of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// The origin's error, handed over.
    Origin,
    /// An error of the cache: another caller's cancellation or panic, for example.
    Cache(String),
}

/// How the truth moves on while a load is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The key is invalidated.
    Key,
    /// The new value is stored over it.
    Set,
    /// Everything with the value's tag is invalidated.
    Tag,
    /// Everything in the cache is.
    Cache,
    /// Everything of the key's tenant is.
    Tenant,
}

/// A cache in the gauntlet. A fresh one is built for every round.
pub trait Subject: Send + Sync + 'static {
    /// How the table calls it.
    const NAME: &'static str;
    /// The package that `Cargo.lock` has the version of.
    const PACKAGE: &'static str;
    /// Whether its column decides the exit status.
    const OURS: bool = false;

    /// An empty cache with room for `entries`.
    fn with_room(entries: usize) -> Self;

    /// The library's own call for a change, or for the closest it has: `None` when it
    /// has no such thing. The table's legend names it.
    fn call_for(change: Change) -> Option<&'static str>;

    /// Makes that call; finished when the library says the change is done. Only
    /// called where [`call_for`](Self::call_for) gives a name. `value` is what
    /// [`Change::Set`] stores; its tag is what [`Change::Tag`] invalidates.
    fn apply(&self, change: Change, key: Key, value: Value) -> impl Future<Output = ()> + Send;

    /// The library's read-through with coalescing: the cached value, or what `load`
    /// or another caller's load of the key gives.
    fn read(&self, key: Key, load: Load) -> impl Future<Output = Result<Value, Failed>> + Send;
}
