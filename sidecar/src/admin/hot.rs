//! The keys read most, by a sample of the reads.
//!
//! One read in about 64 is looked at, and a table of 128 keys keeps the frequent ones:
//! a key that is not in it takes the place and the count of the rarest, so a count is
//! never too small and at most as much too large as it took over (Metwally, Agrawal, El
//! Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data Streams",
//! ICDT 2005). Counts are halved from time to time, so that yesterday's keys fade.
//!
//! The gap between two looks is drawn anew each time: a caller that reads the same 64
//! keys in turn would otherwise be seen reading one of them.
//!
//! Keys are known by the pond's pseudonym and never by their bytes. Cost: a
//! load and a store of the worker's own a read; about 200 ns a look, under a lock that
//! nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use millpond_core::cache::{CacheName, Pond, Scope, TenantId};
use millpond_proto::v1::hot_keys_reply::HotKey;
use parking_lot::Mutex;

/// Keys in the table.
const KEYS: usize = 128;
/// One read in so many is looked at, in the mean.
const EVERY: u64 = 64;
/// Looks after which counts are halved: half a million reads.
const HALVE_EVERY: u32 = 8_192;

/// The table, for all workers.
#[derive(Debug, Default)]
pub(crate) struct HotKeys(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    rows: Vec<Row>,
    looks: u32,
}

#[derive(Debug)]
struct Row {
    hash: u64,
    tenant: TenantId,
    cache: CacheName,
    count: u64,
    /// What it took over from the row before it.
    over: u64,
}

impl HotKeys {
    /// The keys read most, most first.
    pub(super) fn top(&self, limit: usize) -> Vec<HotKey> {
        let table = self.0.lock();
        let mut rows: Vec<&Row> = table.rows.iter().collect();
        rows.sort_unstable_by_key(|row| (std::cmp::Reverse(row.count), row.over, row.hash));
        rows.truncate(limit);
        rows.into_iter()
            .map(|row| HotKey {
                tenant: row.tenant.to_string(),
                cache: row.cache.to_string(),
                key_hash: row.hash,
                reads: row.count.saturating_mul(EVERY),
                reads_over: row.over.saturating_mul(EVERY),
            })
            .collect()
    }
}

impl Table {
    fn look(&mut self, scope: &Scope, hash: u64) {
        self.looks += 1;
        if self.looks >= HALVE_EVERY {
            self.looks = 0;
            for row in &mut self.rows {
                row.count /= 2;
                row.over /= 2;
            }
            self.rows.retain(|row| row.count > 0);
        }
        if let Some(row) = self.rows.iter_mut().find(|row| row.hash == hash) {
            row.count += 1;
            return;
        }
        let row = |taken| Row {
            hash,
            tenant: scope.tenant().clone(),
            cache: scope.cache().clone(),
            count: taken + 1,
            over: taken,
        };
        if self.rows.len() < KEYS {
            self.rows.push(row(0));
        } else if let Some(rarest) = self.rows.iter_mut().min_by_key(|row| row.count) {
            *rarest = row(rarest.count);
        }
    }
}

/// What one worker looks at.
#[derive(Debug)]
pub(crate) struct Sampler {
    hot: Arc<HotKeys>,
    pond: Arc<Pond>,
    /// Reads until the next look.
    left: AtomicU32,
    draws: AtomicU64,
}

impl Sampler {
    pub(crate) fn new(hot: Arc<HotKeys>, pond: Arc<Pond>) -> Self {
        Self {
            hot,
            pond,
            left: AtomicU32::new(0),
            draws: AtomicU64::new(0),
        }
    }

    /// A key was read. Relaxed, and not one step: the worker's thread is the only one
    /// that comes here, and another would only change when the next look is.
    #[inline]
    pub(crate) fn read(&self, scope: &Scope, key: &[u8]) {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
        } else {
            self.look(scope, key);
        }
    }

    #[cold]
    fn look(&self, scope: &Scope, key: &[u8]) {
        self.left.store(self.gap(), Ordering::Relaxed);
        let hash = self.pond.pseudonym(scope, key);
        // Somebody else is looking: one look less.
        if let Some(mut table) = self.hot.0.try_lock() {
            table.look(scope, hash);
        }
    }

    /// Reads to let pass: 0 to 126, each alike (splitmix64's mixing of a count).
    fn gap(&self) -> u32 {
        let draw = self.draws.load(Ordering::Relaxed);
        self.draws.store(draw.wrapping_add(1), Ordering::Relaxed);
        let mut mixed = draw.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        u32::try_from(mixed % (2 * EVERY - 1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::cache::Config;

    #[test]
    fn the_keys_read_most_are_found_among_many_and_are_not_told_by_name() {
        let pond = Pond::new(Config::default());
        let scope = pond.scope_named("acme", "users").unwrap();
        let hot = Arc::new(HotKeys::default());
        let sampler = Sampler::new(Arc::clone(&hot), Arc::clone(&pond));
        for round in 0..200_000_u32 {
            // Every other read is of one key, every fourth of another.
            let key = match round % 4 {
                0 | 2 => u32::MAX,
                1 => u32::MAX - 1,
                _ => round,
            };
            sampler.read(&scope, &key.to_be_bytes());
        }
        let top = hot.top(2);
        let name = |key: u32| pond.pseudonym(&scope, &key.to_be_bytes());
        let named: Vec<u64> = top.iter().map(|key| key.key_hash).collect();
        assert_eq!(named, [name(u32::MAX), name(u32::MAX - 1)]);
        assert_eq!((&*top[0].tenant, &*top[0].cache), ("acme", "users"));
        // Within a tenth of the truth: about 1 560 looks.
        assert!(
            (90_000..110_000).contains(&top[0].reads),
            "{}",
            top[0].reads
        );
        assert!(top[0].reads_over <= top[0].reads / 10);
        assert_eq!(hot.top(1_000).len(), KEYS);
    }

    #[test]
    fn keys_read_in_turn_are_all_seen() {
        let pond = Pond::new(Config::default());
        let scope = pond.scope_named("acme", "users").unwrap();
        let hot = Arc::new(HotKeys::default());
        let sampler = Sampler::new(Arc::clone(&hot), Arc::clone(&pond));
        for round in 0..100_000_u32 {
            sampler.read(&scope, &(round % 64).to_be_bytes());
        }
        assert_eq!(hot.top(100).len(), 64);
    }

    #[test]
    fn old_reads_fade() {
        let pond = Pond::new(Config::default());
        let scope = pond.scope_named("acme", "users").unwrap();
        let mut table = Table::default();
        for _ in 0..HALVE_EVERY - 1 {
            table.look(&scope, 1);
        }
        table.look(&scope, 2);
        let row = |table: &Table, hash| {
            table
                .rows
                .iter()
                .find(|row| row.hash == hash)
                .unwrap()
                .count
        };
        assert_eq!((row(&table, 1), row(&table, 2)), (4_095, 1));
        for _ in 0..HALVE_EVERY {
            table.look(&scope, 3);
        }
        assert!(table.rows.iter().all(|row| row.hash != 2));
    }
}
