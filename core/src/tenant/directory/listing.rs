//! All tenants: in pages, and how many there are.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::Directory;
use crate::tenant::entry::{Entry, Source};
use crate::tenant::lifecycle::State;

impl Directory {
    /// The tenant of a name, if it is known; makes no stranger known.
    #[must_use]
    pub fn known(&self, name: &str) -> Option<Arc<Entry>> {
        let entry = self.entries.get(name)?;
        if entry.source() == Source::Shared {
            return None;
        }
        self.follow(&entry)
    }

    /// Up to `most` tenants, in the order of their names, from after `after` on.
    #[must_use]
    pub fn list(&self, after: Option<&str>, most: usize) -> Vec<Arc<Entry>> {
        struct Named(Arc<Entry>);
        impl PartialEq for Named {
            fn eq(&self, other: &Self) -> bool {
                self.0.id() == other.0.id()
            }
        }
        impl Eq for Named {}
        impl PartialOrd for Named {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Named {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.0.id().cmp(other.0.id())
            }
        }
        let mut first: BinaryHeap<Named> = BinaryHeap::new();
        self.entries.for_each(|entry| {
            let beyond = after.is_none_or(|after| entry.id().as_str() > after);
            if !beyond || entry.source() == Source::Shared {
                return;
            }
            if first.len() < most {
                first.push(Named(Arc::clone(entry)));
            } else if let Some(mut last) = first.peek_mut()
                && entry.id() < last.0.id()
            {
                *last = Named(Arc::clone(entry));
            }
        });
        first
            .into_sorted_vec()
            .into_iter()
            .map(|named| named.0)
            .collect()
    }

    /// Visits every tenant, and what strangers share. Those that come or go meanwhile
    /// may be missed.
    pub fn for_each(&self, visit: impl FnMut(&Arc<Entry>)) {
        self.entries.for_each(visit);
    }

    /// Tenants that are known: named, or strangers with buckets of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - usize::from(self.shared().is_some())
    }

    /// Whether no tenant is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tenants in each state.
    #[must_use]
    pub fn states(&self) -> HashMap<State, usize> {
        let mut states = HashMap::new();
        self.entries.for_each(|entry| {
            if entry.source() != Source::Shared {
                *states.entry(entry.state()).or_default() += 1;
            }
        });
        states
    }
}
