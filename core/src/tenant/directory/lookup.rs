//! From a name to its tenant.
//!
//! Reading is a look-up in a lock-free map and one load more, which asks whether the
//! entry has a successor that the map does not lead to yet. So a reader that has
//! seen a change, in whatever way, never sees what was before it.
//!
//! Cost: memory. A look-up goes to five places, one after another (a byte, a pointer,
//! the pair, the name, the entry): with a decision on top 80 ns of 10 000 tenants asked
//! for at random, 200 and more by itself of 100 000, on a core with 1 MiB of cache.
//! A table of entries for each thread before the map was tried and gained nothing: what
//! takes long is the entry, its name and its words, which it cannot save.
//! [`Directory::resolve`] counts a reference beside. Who asks for one tenant again and
//! again keeps a [`Handle`](crate::limit::Handle): 8 ns.

use std::fmt;
use std::sync::Arc;

use super::Directory;
use crate::cache::{BadField, TenantId};
use crate::planted::{Bug, planted};
use crate::tenant::entry::{Entry, Next, Source};

/// Successors that are followed before the map is asked.
const HOPS: usize = 4;

impl Directory {
    /// The tenant of a name as it came from outside.
    ///
    /// # Errors
    /// When it is no name, or strangers are refused and it is one.
    pub fn resolve(&self, name: &str) -> Result<Arc<Entry>, Unresolved> {
        self.with(name, Arc::clone)
    }

    /// Runs `read` on the tenant of a name, without counting a reference. `read` must
    /// be short: memory is not reclaimed while it runs.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    #[inline]
    pub fn with<R>(
        &self,
        name: &str,
        read: impl FnOnce(&Arc<Entry>) -> R,
    ) -> Result<R, Unresolved> {
        let mut read = Some(read);
        let found = self.entries.get_with(name, |entry| {
            let is_current = entry.is_current() || planted(Bug::SuccessorUnread);
            let as_it_is = is_current && entry.source() != Source::Shared;
            let read = if as_it_is { read.take() } else { None };
            read.map(|read| read(entry))
        });
        match (found.flatten(), read) {
            (Some(seen), _) => Ok(seen),
            (None, Some(read)) => self.find(name).map(|entry| read(&entry)),
            (None, None) => unreachable!("what was read was returned"),
        }
    }

    /// What has taken over from an entry; itself when nothing has.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn current(&self, entry: &Arc<Entry>) -> Result<Arc<Entry>, Unresolved> {
        match self.follow(entry) {
            Some(current) => Ok(current),
            None if entry.source() == Source::Shared => self
                .shared()
                .ok_or_else(|| Unresolved::Unknown(entry.id().clone())),
            None => self.find(entry.id().as_str()),
        }
    }

    pub(super) fn follow(&self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        let mut at = Arc::clone(entry);
        for _ in 0..HOPS {
            match at.next(|| self.now()) {
                Next::Here => return Some(at),
                Next::Entry(next) => at = next,
                Next::ByName => return None,
            }
        }
        None
    }

    /// The slow way: a successor, or a stranger.
    #[cold]
    fn find(&self, name: &str) -> Result<Arc<Entry>, Unresolved> {
        // An entry whose successors are gone was overtaken while it was looked at: the map
        // has the last of them. Only a name that the map has not is a stranger's.
        for _ in 0..HOPS {
            let found = self.entries.get(name);
            let Some(entry) = found.filter(|entry| entry.source() != Source::Shared) else {
                return self.stranger(name);
            };
            if let Some(current) = self.follow(&entry) {
                return Ok(current);
            }
        }
        // Under it no entry of the map has a successor.
        let changing = self.changing.lock();
        let known = self.entries.get(name);
        if let Some(known) = known.filter(|entry| entry.source() != Source::Shared) {
            return Ok(known);
        }
        drop(changing);
        self.stranger(name)
    }
}

/// Why a name leads to no tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unresolved {
    /// It is no name.
    Name(BadField),
    /// Nobody named it, and strangers are refused.
    Unknown(TenantId),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Unknown(tenant) => write!(f, "tenant: {tenant} is not known here"),
        }
    }
}

impl std::error::Error for Unresolved {}
