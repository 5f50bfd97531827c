//! What holds for a cache of one name, over all tenants: its policy, which may
//! change while the cache is in use.
//!
//! A load keeps the end of its right to be stored that it was given when it began,
//! so a shorter `max_load` takes nothing from those under way. What must outlive
//! the longest of them (settle times) asks [`Rules::longest_load`]: after a
//! policy with a shorter `max_load` came into force, that is the old one until the
//! last load that began under it has ended.
//!
//! Invariant: at any time `longest_load` is at least the `max_load` of every load
//! under way. It grows before the policy that needs it is published.
//!
//! Cost: a policy is read in a dozen loads of lines that only a reload writes, on
//! a miss and at each write. What a hit needs is copied into each scope.
//! About 400 bytes for each name in use or declared.

use std::time::Duration;

use super::name::CacheName;
use super::policy::{Mode, Policy};
use crate::clock::{Clock, Time};
use crate::planted::{Bug, planted};
use crate::snapshot::Snapshot;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Words of a policy.
const WORDS: usize = 10;

/// The rules of one cache name.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) cache: CacheName,
    policy: Snapshot<WORDS>,
    /// Also the lock by which writers of `policy` take turns.
    former: Mutex<Former>,
    pub(crate) matches: AtomicU64,
    pub(crate) mismatches: AtomicU64,
}

/// A longer `max_load` that was in force before.
#[derive(Clone, Copy, Debug)]
struct Former {
    max_load: Duration,
    /// When the last load that began under it has ended.
    until: Time,
}

impl Rules {
    pub(crate) fn new(cache: CacheName, policy: &Policy) -> Self {
        Self {
            cache,
            policy: Snapshot::new(words(policy)),
            former: Mutex::new(Former {
                max_load: Duration::ZERO,
                until: Time::ZERO,
            }),
            matches: AtomicU64::new(0),
            mismatches: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn policy(&self) -> Policy {
        policy(self.policy.read())
    }

    /// Brings another policy into force.
    pub(crate) fn put(&self, next: &Policy, clock: &Clock) {
        let mut former = self.former.lock();
        let now = clock.precise();
        let held = self.policy().max_load;
        let longest = former.longest(held, now);
        self.policy.write(words(next));
        // Read after publishing: whoever took the former policy took it before,
        // and had read the time before that (`begin`).
        let now = clock.precise();
        if next.max_load < longest {
            *former = Former {
                max_load: longest,
                until: former.until.max(now.after(held)),
            };
        }
    }

    /// At least as long as any load that is under way at `now`, or later, may take.
    /// `now` must have been read before this is asked.
    pub(crate) fn longest_load(&self, now: Time) -> Duration {
        let former = self.former.lock();
        former.longest(self.policy().max_load, now)
    }

    /// In observe mode: how many loaded values were equal to, and how many differed
    /// from, what would have been served.
    pub(crate) fn observed(&self) -> (u64, u64) {
        (
            self.matches.load(Ordering::Relaxed),
            self.mismatches.load(Ordering::Relaxed),
        )
    }
}

impl Former {
    fn longest(&self, held: Duration, now: Time) -> Duration {
        if now < self.until && !planted(Bug::LongerLoadForgotten) {
            self.max_load.max(held)
        } else {
            held
        }
    }
}

fn words(policy: &Policy) -> [u64; WORDS] {
    let Policy {
        fresh,
        stale,
        stale_if_error,
        jitter,
        early_refresh,
        negative,
        max_value,
        lease,
        max_load,
        mode,
    } = policy;
    [
        nanos(*fresh),
        nanos(*stale),
        nanos(*stale_if_error),
        jitter.to_bits(),
        early_refresh.to_bits(),
        nanos(*negative),
        u64::try_from(*max_value).unwrap_or(u64::MAX),
        nanos(*lease),
        nanos(*max_load),
        u64::from(mode.word()),
    ]
}

fn policy(words: [u64; WORDS]) -> Policy {
    let [
        fresh,
        stale,
        stale_if_error,
        jitter,
        early_refresh,
        negative,
        max_value,
        lease,
        max_load,
        mode,
    ] = words;
    Policy {
        fresh: Duration::from_nanos(fresh),
        stale: Duration::from_nanos(stale),
        stale_if_error: Duration::from_nanos(stale_if_error),
        jitter: f64::from_bits(jitter),
        early_refresh: f64::from_bits(early_refresh),
        negative: Duration::from_nanos(negative),
        max_value: usize::try_from(max_value).unwrap_or(usize::MAX),
        lease: Duration::from_nanos(lease),
        max_load: Duration::from_nanos(max_load),
        mode: Mode::of_word(u32::try_from(mode).unwrap_or(u32::MAX)),
    }
}

/// A policy that passed its check has no time beyond 30 days.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn loads_for(seconds: u32) -> Policy {
        Policy {
            max_load: SECOND * seconds,
            ..Policy::declared()
        }
    }

    #[test]
    fn a_policy_is_read_as_it_was_put() {
        let odd = Policy {
            fresh: Duration::from_nanos(1),
            stale: SECOND * 2,
            stale_if_error: Policy::MAX_TIME,
            jitter: 0.125,
            early_refresh: 3.5,
            negative: Duration::ZERO,
            max_value: 77,
            lease: SECOND * 3,
            max_load: SECOND * 4,
            mode: Mode::Bypass,
        };
        let cache = CacheName::parse("users").unwrap();
        let rules = Rules::new(cache, &Policy::declared());
        assert_eq!(rules.policy(), Policy::declared());
        rules.put(&odd, &Clock::Kernel);
        assert_eq!(rules.policy(), odd);
    }

    #[test]
    fn a_longer_load_is_reckoned_with_until_the_last_that_began_has_ended() {
        let hand = ManualClock::starting_at(Time::ZERO.after(SECOND * 1_000));
        let clock = Clock::Manual(hand.clone());
        let cache = CacheName::parse("users").unwrap();
        let rules = Rules::new(cache, &loads_for(600));
        let longest = || rules.longest_load(clock.precise());
        rules.put(&loads_for(60), &clock);
        assert_eq!(longest(), SECOND * 600);
        hand.advance(SECOND * 10);
        rules.put(&loads_for(300), &clock);
        assert_eq!(longest(), SECOND * 600);
        hand.advance(SECOND * 580);
        rules.put(&loads_for(60), &clock);
        assert_eq!(
            longest(),
            SECOND * 600,
            "the first ones may run for 10 s more"
        );
        hand.advance(SECOND * 299);
        assert!(longest() >= SECOND * 300, "the second ones for 1 s more");
        hand.advance(SECOND);
        assert_eq!(longest(), SECOND * 60);
        rules.put(&loads_for(700), &clock);
        assert_eq!(longest(), SECOND * 700);
    }
}
