//! The buckets of rules that bring quotas of their own: apart from any profile, and a
//! tenant's own all the same.
//!
//! One *book* a tenant, with a table of keys for each rule that has charged it, and
//! for each quota that calls brought along, of which it keeps [`MAX_OWN`] at most. A
//! tenant's incarnation is part of its book's name: one that was purged begins anew.
//! A directory that forgets a stranger leaves its book, for what is spent of it.
//!
//! Strangers who share an entry share a book, and so do those who come when there are
//! [`MAX_BOOKS`]. In its tables they are told apart by name as long as there is room,
//! so whoever invents tenants crowds out nobody but other strangers. A stranger that
//! gets a book of its own begins with as much spent as those who share one.
//!
//! A rule that changes its quota re-rates its tables at their next use, and what was
//! spent stays spent. A table goes when all its buckets are full, and a book when it
//! is empty; both are retired first, so that nobody charges what is no longer there.
//! So no reload, no order of coming and going is a refill.
//!
//! Cost: about 300 bytes a book and 200 a table, 37 a key; two locks a look-up, of the
//! tenant's book and of the table.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use crate::cache::TenantId;
use crate::limit::keys::KeyTable;
use crate::limit::quota::{Quota, Ticks};
use crate::limit::room::Room;
use crate::sync::{Map, Mutex};
use crate::tenant::{Entry, NamedQuota, Source, Strangers};

/// Quotas that calls brought along, of one tenant at once. Those whose buckets are
/// all full make room for others.
const MAX_OWN: usize = 64;

/// Books that there may be before strangers without one share theirs: those of tenants
/// that were named are always their own.
const MAX_BOOKS: usize = Strangers::MOST;

type Kept<K> = HashMap<K, Arc<KeyTable>, ahash::RandomState>;

#[derive(Default)]
struct Book {
    rules: Kept<Arc<str>>,
    own: Kept<(Arc<str>, Quota)>,
    retired: bool,
}

impl Book {
    fn rules(&mut self) -> &mut Kept<Arc<str>> {
        &mut self.rules
    }

    fn own(&mut self) -> &mut Kept<(Arc<str>, Quota)> {
        &mut self.own
    }
}

/// A tenant and its incarnation; strangers that share an entry have the incarnation 0.
type Owner = (TenantId, u64);

/// Every tenant's.
pub(super) struct Tables(Map<Owner, Arc<Mutex<Book>>, ahash::RandomState>);

impl Tables {
    pub(super) fn new() -> Self {
        Self(Map::with_hasher(ahash::RandomState::new()))
    }

    /// A tenant's buckets of the rule at `path`, with its present quota.
    pub(super) fn of_rule(
        &self,
        entry: &Entry,
        path: &Arc<str>,
        quota: &Quota,
        now: Ticks,
        room: &Arc<Room>,
    ) -> Option<Arc<KeyTable>> {
        let most = (quota, usize::MAX);
        let table = self.of(entry, Book::rules, Arc::clone(path), most, now, room)?;
        table.rerate(now, quota, MAX_KEYS);
        Some(table)
    }

    /// A tenant's buckets of a quota that calls brought along, or `None` when it has as
    /// many quotas as it may.
    pub(super) fn of_own(
        &self,
        entry: &Entry,
        domain: &Arc<str>,
        quota: &Quota,
        now: Ticks,
        room: &Arc<Room>,
    ) -> Option<Arc<KeyTable>> {
        let name = (Arc::clone(domain), *quota);
        self.of(entry, Book::own, name, (quota, MAX_OWN), now, room)
    }

    /// The table of a name, made if there are fewer than `most`.
    fn of<K: Hash + Eq>(
        &self,
        entry: &Entry,
        kept: fn(&mut Book) -> &mut Kept<K>,
        name: K,
        (quota, most): (&Quota, usize),
        now: Ticks,
        room: &Arc<Room>,
    ) -> Option<Arc<KeyTable>> {
        let owner = self.owner(entry);
        let held = |book: &mut Book| kept(book).get(&name).cloned();
        if let Some(table) = self.open(&owner, held) {
            return Some(table);
        }
        let begins = entry.source() == Source::Stranger && owner.0 != TenantId::others();
        // Never two books at once.
        let like = begins
            .then(|| self.0.get(&others()))
            .flatten()
            .and_then(|book| held(&mut book.lock()));
        let made = || {
            Arc::new(match &like {
                Some(others) => others.beginning_like(),
                None => KeyTable::new(*quota, MAX_KEYS, Arc::clone(room)),
            })
        };
        self.open(&owner, |book| {
            let kept = kept(book);
            if kept.len() >= most {
                tidy(kept, now);
            }
            if kept.len() >= most && !kept.contains_key(&name) {
                return None;
            }
            Some(Arc::clone(kept.entry(name).or_insert_with(made)))
        })
    }

    /// Whose book a tenant is in.
    fn owner(&self, entry: &Entry) -> Owner {
        let own = (entry.id().clone(), entry.incarnation());
        let shares = match entry.source() {
            Source::Shared => true,
            Source::Stranger => self.0.len() >= MAX_BOOKS && self.0.get(&own).is_none(),
            _ => false,
        };
        if shares { others() } else { own }
    }

    /// Drops what is full. Visits every key.
    pub(super) fn sweep(&self, now: Ticks) {
        let mut all = Vec::new();
        self.0
            .for_each_pair(|owner, book| all.push((owner.clone(), Arc::clone(book))));
        for (owner, shared) in all {
            let mut book = shared.lock();
            tidy(&mut book.rules, now);
            tidy(&mut book.own, now);
            if book.rules.is_empty() && book.own.is_empty() {
                book.retired = true;
                self.0.remove_if(&owner, |held| Arc::ptr_eq(held, &shared));
            }
        }
    }

    /// Runs `work` on a book, which its first use makes.
    fn open<R>(&self, owner: &Owner, work: impl FnOnce(&mut Book) -> R) -> R {
        let mut work = Some(work);
        loop {
            let made = || Arc::new(Mutex::new(Book::default()));
            let found = self.0.get(owner);
            let shared = found.unwrap_or_else(|| self.0.get_or_insert_with(owner.clone(), made));
            let mut book = shared.lock();
            if !book.retired
                && let Some(work) = work.take()
            {
                return work(&mut book);
            }
        }
    }

    #[cfg(all(test, not(millpond_loom)))]
    pub(super) fn len(&self) -> usize {
        let mut tables = 0;
        self.0.for_each(|book| {
            let book = book.lock();
            tables += book.rules.len() + book.own.len();
        });
        tables
    }
}

/// Keys told apart in each table.
const MAX_KEYS: usize = NamedQuota::DEFAULT_KEYS as usize;

/// What strangers share.
fn others() -> Owner {
    (TenantId::others(), 0)
}

fn tidy<K: Hash + Eq>(kept: &mut Kept<K>, now: Ticks) {
    kept.retain(|_, table| {
        table.sweep(now);
        !table.retire(now)
    });
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}
