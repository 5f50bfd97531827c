//! Promotion from L2 to L1: the leader takes over what it read.
//!
//! An adopted entry keeps the version at which *its* load began, wherever that
//! was, so every barrier here applies to it as to a load of our own. It enters
//! under the lease whose holder read it: if anything moved since that lease was
//! granted, the record is gone and so is the right to adopt.

use std::sync::Arc;

use crate::cache::answer::{Answer, Reason, Source};
use crate::cache::entry::{Entry, Node};
use crate::cache::expiry::{Deadlines, Phase};
use crate::cache::fill::lease::Lease;
use crate::cache::fill::waiter::Handed;
use crate::cache::pond::Pond;
use crate::cache::recorder::What;
use crate::cache::stats::Count;
use crate::cache::store::Stored;
use crate::cache::write::{Aftermath, ToTell};
use crate::planted::{Bug, planted};

/// What became of an entry from L2.
enum Adopted {
    /// Answer it; the lease is settled.
    Fresh(Arc<Node>),
    /// Answer it, and refresh it under the lease.
    Stale(Arc<Node>),
    /// Load all the same.
    No,
}

impl Pond {
    /// Takes over what the holder of `lease` read from L2, if it is still worth
    /// anything; otherwise answers with the lease.
    pub fn adopt(self: &Arc<Self>, lease: Lease, stored: Stored) -> Answer {
        let (scope, key) = (Arc::clone(&lease.right().scope), lease.right().key.clone());
        let token = lease.right().token;
        // Whatever is invalidated from now on is above what is taken over.
        if !self.versions.observe(stored.began) {
            return Answer::lead(lease);
        }
        let _late = self.l1.defer_drops();
        let tags = scope.tenant.tags.resolve(scope.id, &stored.tags);
        let mut after = Aftermath::default();
        let adopted = {
            let stripe = self.stripes.of(&key.borrow());
            let mut state = stripe.state.lock();
            let now = self.clock.precise();
            let began = if planted(Bug::PromoteUnderBarrier) {
                self.next_version()
            } else {
                stored.began
            };
            let entry = Entry {
                scope: Arc::clone(&scope),
                body: stored.body,
                began,
                version: self.next_version(),
                stored_at: now,
                deadlines: Deadlines::from_left(
                    now,
                    [stored.fresh_for, stored.stale_for, stored.error_for],
                ),
                load_time: stored.load_time.into(),
                tags,
                etag: stored.etag.into(),
            };
            // A load of unknown time is taken to have begun inside whatever
            // settle time is running.
            let end = self.settle_end(&state, &key, &entry, now);
            let entry = Entry {
                deadlines: entry.deadlines.capped(end),
                ..entry
            };
            let covered = Self::covered(&entry);
            let later = self
                .l1
                .with(&key.borrow(), |held| held.entry.began > entry.began)
                == Some(true);
            let leased = state
                .flights
                .get(&key)
                .is_some_and(|flight| flight.load(token).is_some())
                || planted(Bug::PromoteUnleased);
            let phase = entry.phase(now);
            if covered || later || !leased || phase == Phase::Gone {
                Adopted::No
            } else {
                let version = entry.version;
                let (node, residue) = self.l1.insert(&key, entry);
                after.residue = residue;
                state.ring.record(&key, now, What::Adopted, version);
                match state.flights.get_mut(&key) {
                    Some(flight) if phase <= Phase::Stale => {
                        after.waiters = flight.take_waiters();
                        after.outcome = Some(ToTell::Value(Handed {
                            node: Arc::clone(&node),
                            as_of: self.versions.latest(),
                            lives: true,
                            stale: phase == Phase::Stale,
                            source: Source::L2,
                        }));
                        if phase == Phase::Fresh && flight.settle(token).is_some() {
                            self.loads_ended(1);
                        }
                    }
                    Some(_) | None => {}
                }
                Self::tidy(&mut state, &key);
                match phase {
                    Phase::Fresh => Adopted::Fresh(node),
                    Phase::Stale => {
                        node.refreshing_until(lease.right().deadline);
                        Adopted::Stale(node)
                    }
                    // Kept for the case that the load fails.
                    Phase::OnError | Phase::Gone => Adopted::No,
                }
            }
        };
        self.after(&key, after);
        let answer = match adopted {
            Adopted::No => return Answer::lead(lease),
            Adopted::Fresh(node) => {
                // Settled above, by its token.
                let _settled = lease.detach();
                Answer::loaded(node)
            }
            Adopted::Stale(node) => Answer {
                lease: Some(lease),
                ..Answer::stale(node, Reason::Revalidating)
            },
        };
        self.counters.one(Count::Adopted);
        Answer {
            source: Some(Source::L2),
            ..answer
        }
    }
}
