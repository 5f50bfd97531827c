//! The same names over loom, for the models only.
//!
//! The map is a mutex around a list: papaya's own orderings are papaya's to
//! check; what the models need of it is that each operation is one step.

use std::hash::Hash;
use std::marker::PhantomData;

use loom::sync::atomic::Ordering;
use papaya::Equivalent;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence};

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

/// Readers go by the flag alone, so that a model sees no more order between them
/// than `OnceLock` gives; what they read is cloned before they use it, so that they
/// hold nothing meanwhile.
#[derive(Debug)]
pub(crate) struct Once<T> {
    given: AtomicBool,
    value: Mutex<Option<T>>,
}

impl<T: Clone> Once<T> {
    pub(crate) fn new() -> Self {
        Self {
            given: AtomicBool::new(false),
            value: Mutex::new(None),
        }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let mut held = self.value.lock();
        if held.is_some() {
            return Err(value);
        }
        *held = Some(value);
        self.given.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn with<R>(&self, read: impl FnOnce(&T) -> R) -> Option<R> {
        if !self.given.load(Ordering::Acquire) {
            return None;
        }
        let value = self.value.lock().clone();
        value.as_ref().map(read)
    }

    pub(crate) fn get_or_init<R>(&self, make: impl FnOnce() -> T, read: impl FnOnce(&T) -> R) -> R {
        let value = {
            let mut held = self.value.lock();
            let value = held.get_or_insert_with(make).clone();
            self.given.store(true, Ordering::Release);
            value
        };
        read(&value)
    }
}

pub(crate) struct Map<K, V, S> {
    rows: Mutex<Vec<(K, V)>>,
    hasher: PhantomData<fn() -> S>,
}

impl<K: Hash + Eq, V: Clone, S> Map<K, V, S> {
    pub(crate) fn with_hasher(_: S) -> Self {
        Self {
            rows: Mutex::new(Vec::new()),
            hasher: PhantomData,
        }
    }

    pub(crate) fn defer_drops(&self) -> impl Sized + '_ {
        PhantomData::<&'_ ()>
    }

    pub(crate) fn get_with<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.get(key).as_ref().map(read)
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let rows = self.rows.lock();
        rows.iter()
            .find(|(held, _)| key.equivalent(held))
            .map(|(_, value)| value.clone())
    }

    pub(crate) fn insert(&self, key: K, value: V) -> Option<V> {
        let mut rows = self.rows.lock();
        match rows.iter_mut().find(|(held, _)| *held == key) {
            Some((_, held)) => Some(std::mem::replace(held, value)),
            None => {
                rows.push((key, value));
                None
            }
        }
    }

    pub(crate) fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V {
        let mut rows = self.rows.lock();
        if let Some((_, held)) = rows.iter().find(|(held, _)| *held == key) {
            return held.clone();
        }
        let value = make();
        rows.push((key, value.clone()));
        value
    }

    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.remove_if(key, |_| true)
    }

    pub(crate) fn remove_if<Q>(&self, key: &Q, pick: impl Fn(&V) -> bool) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let mut rows = self.rows.lock();
        let at = rows
            .iter()
            .position(|(held, value)| key.equivalent(held) && pick(value))?;
        Some(rows.swap_remove(at).1)
    }

    pub(crate) fn for_each(&self, mut visit: impl FnMut(&V)) {
        let values: Vec<V> = self
            .rows
            .lock()
            .iter()
            .map(|(_, value)| value.clone())
            .collect();
        values.iter().for_each(&mut visit);
    }

    pub(crate) fn for_each_pair(&self, mut visit: impl FnMut(&K, &V))
    where
        K: Clone,
    {
        let rows: Vec<(K, V)> = {
            let rows = self.rows.lock();
            rows.iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        for (key, value) in &rows {
            visit(key, value);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.lock().len()
    }
}

/// A queue of which each operation is one step: crossbeam's own orderings are
/// crossbeam's to check.
#[derive(Debug)]
pub(crate) struct Queue<T>(Mutex<std::collections::VecDeque<T>>);

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(std::collections::VecDeque::new()))
    }

    pub(crate) fn push(&self, value: T) {
        self.0.lock().push_back(value);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.0.lock().pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}
