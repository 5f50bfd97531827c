//! Buckets of this process while the sidecar is away.
//!
//! The generic cell rate algorithm in whole nanoseconds. A bucket is the time it is
//! full again; it starts empty, which makes forgetting one safe: that never gives
//! tokens out. So the table is two halves, of which the older is dropped when the
//! younger is full, and what was not touched for longest goes.
//!
//! Cost: one lock for all buckets, and 40 bytes for each: this runs only where the
//! round trip is saved.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use millpond_core::limit::Quota;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::charges::Charge;

/// Buckets in each half of the table.
const HALF: usize = 32_768;

/// Why nothing was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Later(Duration),
    Never,
}

#[derive(Debug)]
pub(crate) struct LocalShares {
    origin: Instant,
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

impl Table {
    /// When a bucket is full again; one that is not known is empty now.
    fn full_at(&mut self, bucket: u64, empty: u64) -> u64 {
        if let Some(at) = self.young.get(&bucket) {
            return *at;
        }
        let at = self.old.remove(&bucket).unwrap_or(empty);
        self.set(bucket, at);
        at
    }

    fn set(&mut self, bucket: u64, at: u64) {
        if self.young.len() >= HALF && !self.young.contains_key(&bucket) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(bucket, at);
    }
}

/// A quota in whole nanoseconds, rounded to the slower.
#[derive(Clone, Copy)]
struct Rate {
    interval: u64,
    burst: u64,
}

impl Rate {
    fn of(quota: &Quota) -> Self {
        let interval = quota.period().as_nanos().div_ceil(quota.amount().into());
        Self {
            interval: u64::try_from(interval).unwrap_or(u64::MAX),
            burst: quota.burst(),
        }
    }

    fn time(self, tokens: u64) -> u64 {
        self.interval.saturating_mul(tokens)
    }

    /// What a bucket becomes that spends, and how long until that may be acted on.
    fn spend(self, full_at: u64, now: u64, cost: u64) -> (u64, u64) {
        let after = full_at.max(now).saturating_add(self.time(cost));
        let allowed_at = after.saturating_sub(self.time(self.burst));
        (after, allowed_at.saturating_sub(now))
    }
}

impl Default for LocalShares {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            hasher: RandomState::new(),
            table: Mutex::default(),
        }
    }
}

impl LocalShares {
    /// Spends on every bucket or on none; how long until the caller's turn.
    pub(crate) fn spend(
        &self,
        tenant: &str,
        charges: &[Charge],
        quota: &Quota,
        patience: Duration,
    ) -> Result<Duration, Denied> {
        self.decide(tenant, charges, quota, patience, self.now(), true)
    }

    /// Whether they could be spent now.
    pub(crate) fn peek(
        &self,
        tenant: &str,
        charges: &[Charge],
        quota: &Quota,
    ) -> Result<(), Denied> {
        let now = self.now();
        self.decide(tenant, charges, quota, Duration::ZERO, now, false)
            .map(drop)
    }

    fn decide(
        &self,
        tenant: &str,
        charges: &[Charge],
        quota: &Quota,
        patience: Duration,
        now: u64,
        spend: bool,
    ) -> Result<Duration, Denied> {
        let rate = Rate::of(quota);
        let empty = now.saturating_add(rate.time(rate.burst));
        let mut table = self.table.lock();
        let mut spent = Vec::with_capacity(charges.len());
        let mut longest = 0;
        for (bucket, cost) in self.buckets(tenant, charges) {
            if cost > rate.burst {
                return Err(Denied::Never);
            }
            let full_at = table.full_at(bucket, empty);
            let (after, wait) = rate.spend(full_at, now, cost);
            if cost > 0 {
                longest = longest.max(wait);
                spent.push((bucket, after));
            }
        }
        let wait = Duration::from_nanos(longest);
        if wait > patience {
            return Err(Denied::Later(wait));
        }
        if spend {
            for (bucket, after) in spent {
                table.set(bucket, after);
            }
        }
        Ok(wait)
    }

    /// Takes back or adds the difference between what was spent and the real costs.
    pub(crate) fn settle(&self, tenant: &str, charges: &[Charge], quota: &Quota, real: &[u64]) {
        let rate = Rate::of(quota);
        let now = self.now();
        let mut table = self.table.lock();
        for (charge, real) in charges.iter().zip(real) {
            let bucket = self.bucket(tenant, charge);
            let Some(full_at) = table.young.get(&bucket).or(table.old.get(&bucket)) else {
                continue;
            };
            let more = rate.time(real.saturating_sub(charge.cost));
            let less = rate.time(charge.cost.saturating_sub(*real));
            // What refill has given back already does not come back twice.
            let settled = full_at.saturating_sub(less).max(now.min(*full_at));
            table.set(bucket, settled.max(now).saturating_add(more));
        }
    }

    /// Every bucket is empty when it is asked next.
    pub(crate) fn forget(&self) {
        *self.table.lock() = Table::default();
    }

    fn now(&self) -> u64 {
        let elapsed = Instant::now().saturating_duration_since(self.origin);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    fn bucket(&self, tenant: &str, charge: &Charge) -> u64 {
        self.hasher.hash_one((tenant, charge.limit(), &charge.key))
    }

    /// What each bucket is charged.
    fn buckets(&self, tenant: &str, charges: &[Charge]) -> Vec<(u64, u64)> {
        let mut buckets: Vec<(u64, u64)> = Vec::with_capacity(charges.len());
        for charge in charges {
            let bucket = self.bucket(tenant, charge);
            match buckets.iter_mut().find(|(known, _)| *known == bucket) {
                Some((_, cost)) => *cost = cost.saturating_add(charge.cost),
                None => buckets.push((bucket, charge.cost)),
            }
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::charges::named;

    const SECOND: u64 = 1_000_000_000;

    fn charge(limit: &str, cost: u64) -> Charge {
        Charge::of(named(limit).expect("a name"), cost)
    }

    fn quota(amount: u64, burst: u64) -> Quota {
        Quota::per_second(amount, burst).expect("it is one")
    }

    fn at(
        shares: &LocalShares,
        now: u64,
        charges: &[Charge],
        patience: u64,
    ) -> Result<u128, Denied> {
        let patience = Duration::from_nanos(patience);
        let quota = quota(10, 5);
        let wait = shares.decide("acme", charges, &quota, patience, now, true);
        wait.map(|wait| wait.as_millis())
    }

    #[test]
    fn a_share_starts_empty_fills_at_its_rate_and_holds_no_more_than_its_burst() {
        let shares = LocalShares::default();
        let one = [charge("api", 1)];
        let later = |ms| Err(Denied::Later(Duration::from_millis(ms)));
        assert_eq!(at(&shares, 0, &one, 0), later(100));
        assert_eq!(at(&shares, SECOND / 10, &one, 0), Ok(0));
        assert_eq!(at(&shares, SECOND / 10, &one, 0), later(100));
        let after_long = 3_600 * SECOND;
        let allowed = (0..100).filter(|_| at(&shares, after_long, &one, 0).is_ok());
        assert_eq!(allowed.count(), 5);
        assert_eq!(
            at(&shares, after_long, &[charge("api", 6)], 0),
            Err(Denied::Never)
        );
    }

    #[test]
    fn charges_are_spent_all_or_none_and_those_of_one_bucket_add_up() {
        let shares = LocalShares::default();
        let (a, b) = (charge("a", 2), charge("b", 1));
        assert!(at(&shares, 0, &[a.clone(), b.clone()], 0).is_err());
        // One of `a` by now.
        assert!(at(&shares, SECOND / 10, &[a.clone(), b.clone()], 0).is_err());
        assert_eq!(
            at(&shares, SECOND / 10, std::slice::from_ref(&b), 0),
            Ok(0),
            "unspent"
        );
        let twice = [charge("a", 1), charge("a", 1)];
        assert!(at(&shares, SECOND / 10, &twice, 0).is_err());
        assert_eq!(at(&shares, SECOND / 5, &twice, 0), Ok(0));
    }

    #[test]
    fn who_waits_waits_in_order() {
        let shares = LocalShares::default();
        let one = [charge("api", 1)];
        for turn in 1..=5 {
            assert_eq!(at(&shares, 0, &one, SECOND), Ok(turn * 100));
        }
    }

    #[test]
    fn the_table_is_bounded_and_what_it_forgets_starts_empty() {
        let shares = LocalShares::default();
        let one = [charge("api", 1)];
        let now = 3_600 * SECOND;
        assert!(at(&shares, 0, &one, 0).is_err());
        for number in 0..3 * HALF as u64 {
            let mut stranger = charge("api", 1);
            stranger.key = number.to_le_bytes().to_vec().into();
            assert!(at(&shares, now, &[stranger], 0).is_err());
        }
        let table = shares.table.lock();
        assert!(table.young.len() <= HALF && table.old.len() <= HALF);
        drop(table);
        assert!(at(&shares, now, &one, 0).is_err(), "it starts anew, empty");
    }

    #[test]
    fn a_settlement_gives_back_no_more_than_was_spent() {
        let shares = LocalShares::default();
        let five = [charge("api", 5)];
        let quota = quota(1_000, 5);
        let spent = shares.spend("acme", &five, &quota, Duration::from_secs(1));
        assert!(spent.is_ok());
        shares.settle("acme", &five, &quota, &[0]);
        let now = shares.now();
        let full_at = *shares.table.lock().young.values().next().expect("known");
        assert!(full_at <= now + 5_000_000, "at most the burst is missing");
        shares.settle("acme", &five, &quota, &[1_005]);
        let full_at = *shares.table.lock().young.values().next().expect("known");
        assert!(full_at >= now + SECOND, "a debt of a thousand");
    }
}
