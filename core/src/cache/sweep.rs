//! What time leaves behind: expired entries, unsettled loads, idle caches.
//!
//! Reads never serve what is gone, so the sweep only gives memory back. It visits
//! everything, on a thread of its own: about 50 ns an entry every
//! [`SWEEP_EVERY`], no lock held for longer than one key's removal.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::entry::Node;
use super::expiry::Phase;
use super::pond::Pond;
use super::recorder::What;
use super::stats::Count;
use crate::planted::{Bug, planted};

/// How often the sweeper's thread visits everything.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// How many gone entries are removed before the visit goes on.
const BATCH: usize = 4_096;

impl Pond {
    /// Removes what is gone; returns how many entries. Safe at any time.
    pub fn sweep(self: &Arc<Self>) -> usize {
        let mut removed = 0;
        loop {
            let gone = self.gone();
            removed += gone.len();
            let more = gone.len() == BATCH;
            for node in gone {
                self.sweep_node(&node);
            }
            if !more {
                break;
            }
        }
        self.sweep_flights();
        self.l1.settle_all();
        self.work_off_all();
        self.scopes.forget_idle(self.clock.precise());
        self.counters.add(Count::Expired, removed as u64);
        removed
    }

    fn gone(&self) -> Vec<Arc<Node>> {
        let now = self.clock.now();
        let mut gone = Vec::new();
        self.l1.for_each(|node| {
            if gone.len() < BATCH && node.entry.phase(now) == Phase::Gone {
                gone.push(Arc::clone(node));
            }
        });
        gone
    }

    fn sweep_node(&self, node: &Arc<Node>) {
        let _late = self.l1.defer_drops();
        let residue = {
            let key = &node.ticket.key;
            let mut state = self.stripes.of(&key.borrow()).state.lock();
            let residue = self.l1.remove_node(node);
            // Nothing: it was replaced or evicted meanwhile.
            if !residue.is_nothing() {
                let what = if Self::covered(&node.entry) {
                    What::Buried
                } else {
                    What::Expired
                };
                let now = self.clock.precise();
                state.ring.record(key, now, what, node.entry.version);
            }
            residue
        };
        self.settle(residue);
    }

    fn sweep_flights(&self) {
        let now = self.clock.precise();
        for stripe in self.stripes.iter() {
            let mut state = stripe.state.lock();
            state.settling.retain(|_, settling| {
                let forgotten = planted(Bug::SettleForgotten) && now >= settling.end;
                settling.matters(now) && !forgotten
            });
            let mut ended = 0;
            state.flights.retain(|_, flight| {
                ended += flight.drop_ended(now);
                !flight.is_idle()
            });
            if state.flights.is_empty() && state.flights.capacity() > 64 {
                state.flights.shrink_to_fit();
            }
            drop(state);
            self.loads_ended(ended);
        }
    }
}

/// A thread that sweeps a pond until it is dropped.
#[derive(Debug)]
pub struct Sweeper {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Starts sweeping.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(pond: &Arc<Pond>) -> std::io::Result<Self> {
        let pond = Arc::downgrade(pond);
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("millpond-sweep".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(SWEEP_EVERY) {
                    let Some(pond) = pond.upgrade() else { break };
                    pond.sweep();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked with anything of ours half done; there is
            // nobody to tell.
            drop(thread.join());
        }
    }
}
