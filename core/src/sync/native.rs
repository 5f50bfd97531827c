//! The primitives that ship: std atomics, parking_lot's mutex, papaya's map.

use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, OnceLock};

use papaya::Equivalent;

pub(crate) use crossbeam::queue::SegQueue as Queue;
pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence};

/// Objects a thread may retire before it tries to free them. The default of 32
/// would let every thread hold 32 dead values of up to `max_value` each; the
/// collector needs at least one slot a core.
const RETIRED_BEFORE_RECLAIM: usize = 4;

/// A value that is given once. Reading it is one Acquire load; of several who give
/// it at the same time one does, and the others wait for as long as that takes.
#[derive(Debug)]
pub(crate) struct Once<T>(OnceLock<T>);

impl<T: Clone> Once<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Gives the value, unless there is one already.
    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.0.set(value)
    }

    /// Runs `read` on the value, if there is one yet.
    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.get().map(read)
    }

    /// Runs `read` on the value, which is `make`'s if there was none.
    #[inline]
    pub(crate) fn get_or_init<R>(&self, make: impl FnOnce() -> T, read: impl FnOnce(&T) -> R) -> R {
        read(self.0.get_or_init(make))
    }
}

/// A hash map whose readers take no lock. Every operation is linearizable.
pub(crate) struct Map<K, V, S> {
    inner: papaya::HashMap<K, V, S>,
}

impl<K, V, S> Map<K, V, S>
where
    K: Hash + Eq + Send + 'static,
    V: Clone + Send + 'static,
    S: BuildHasher,
{
    pub(crate) fn with_hasher(hasher: S) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let collector = seize::Collector::new().batch_size(RETIRED_BEFORE_RECLAIM.max(cores));
        Self {
            inner: papaya::HashMap::builder()
                .hasher(hasher)
                .shared_collector(Arc::new(collector))
                .build(),
        }
    }

    /// While this is held, nothing that the map lets go of is dropped.
    pub(crate) fn defer_drops(&self) -> impl Sized + '_ {
        self.inner.guard()
    }

    /// Runs `read` on the value under `key` while it cannot be freed.
    #[inline]
    pub(crate) fn get_with<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        let guard = self.inner.guard();
        self.inner.get(key, &guard).map(read)
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        self.get_with(key, V::clone)
    }

    /// Returns the value this one replaced.
    pub(crate) fn insert(&self, key: K, value: V) -> Option<V> {
        self.inner.pin().insert(key, value).cloned()
    }

    /// The value under `key`, which is `make`'s if there was none.
    pub(crate) fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V {
        self.inner.pin().get_or_insert_with(key, make).clone()
    }

    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        self.inner.pin().remove(key).cloned()
    }

    /// Removes the value under `key` if it is the one `pick` accepts.
    pub(crate) fn remove_if<Q>(&self, key: &Q, pick: impl Fn(&V) -> bool) -> Option<V>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        match self.inner.pin().remove_if(key, |_, value| pick(value)) {
            Ok(removed) => removed.map(|(_, value)| value.clone()),
            Err(_) => None,
        }
    }

    /// Visits every value. Values inserted or removed meanwhile may be missed.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&V)) {
        for value in self.inner.pin().values() {
            visit(value);
        }
    }

    /// Visits every key and value, as [`Self::for_each`] does.
    pub(crate) fn for_each_pair(&self, mut visit: impl FnMut(&K, &V)) {
        for (key, value) in &self.inner.pin() {
            visit(key, value);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.len()
    }
}
