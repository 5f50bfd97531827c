//! Where an act is played: on the naive cache and on ours at once, with the same
//! callers, in the same time.
//!
//! Each side has an origin of its own, so that what it asks of it is counted by
//! itself. Every act plays at least one round, however short its time.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use millpond_client::Millpond;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::act::Act;
use super::beside::{self, Beside};
use super::board::Board;
use super::figure::Row;
use super::naive::{SingleFlight, Ttl};
use super::origin::Origin;
use super::subject::{Kind, Lives, Subject};

/// How often the figures of an act under way are shown.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// How an act came out.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) rows: Vec<Row>,
    /// Why the promise was not held.
    pub(super) broken: Option<String>,
}

/// The naive cache that an act is played against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Naive {
    Ttl,
    SingleFlight,
}

impl Naive {
    fn kind(self) -> Kind {
        match self {
            Self::Ttl => Kind::Ttl(Arc::new(Ttl::default())),
            Self::SingleFlight => Kind::SingleFlight(Arc::new(SingleFlight::default())),
        }
    }
}

/// What one act is set up with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) against: Naive,
    /// How long a load takes.
    pub(super) latency: Duration,
    pub(super) lives: Lives,
    /// Played for no shorter.
    pub(super) at_least: Duration,
}

#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) act: Act,
    pub(super) time: Duration,
    pub(super) seed: u64,
    /// Put a naive cache in our place.
    pub(super) sabotaged: bool,
    pub(super) beside: &'a Beside,
    pub(super) pond: &'a Millpond,
    pub(super) board: &'a watch::Sender<Board>,
}

/// One side of an act.
#[derive(Debug)]
pub(super) struct Side<'a, T> {
    pub(super) subject: Subject,
    /// Where a further connection leads.
    pub(super) address: &'a str,
    pub(super) name: &'static str,
    pub(super) ends: Instant,
    /// The side that must keep the promise: it is waited for as long as a client
    /// would wait.
    pub(super) is_ours: bool,
    pub(super) random: Rng,
    tally: &'a RefCell<T>,
}

impl<T> Side<'_, T> {
    pub(super) fn note(&self, note: impl FnOnce(&mut T)) {
        note(&mut self.tally.borrow_mut());
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// A key that no act has used.
    pub(super) fn new_key(&mut self) -> String {
        format!("{}:{:016x}", self.name, self.random.u64(..))
    }
}

impl Stage<'_> {
    /// Plays on both caches and judges ours. `rows` tells the figures, at any time;
    /// `judge` what is wrong with those of the end.
    pub(super) async fn play<T: Default>(
        &self,
        setting: Setting,
        play: impl AsyncFn(Side<'_, T>) -> Result<(), String>,
        rows: impl Fn(&T, &T) -> Vec<Row>,
        judge: impl Fn(&T) -> Option<String>,
    ) -> Result<Outcome, String> {
        let naive = setting.against.kind();
        let ours = if self.sabotaged {
            setting.against.kind()
        } else {
            let cache = beside::cache(self.pond, self.act.name())?;
            Kind::Millpond(cache, self.beside.pond())
        };
        let ends = Instant::now() + self.time.max(setting.at_least);
        let tallies = (RefCell::new(T::default()), RefCell::new(T::default()));
        let side = |kind, is_ours, tally| Side {
            subject: Subject::new(kind, Arc::new(Origin::new(setting.latency)), setting.lives),
            address: self.beside.address(),
            name: self.act.name(),
            ends,
            is_ours,
            random: Rng::with_seed(self.seed),
            tally,
        };
        let told = || rows(&tallies.0.borrow(), &tallies.1.borrow());
        let showing = async {
            let mut ticks = interval(SHOWN_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let rows = told();
                self.board.send_modify(|board| board.show(rows));
            }
        };
        let both = async {
            tokio::try_join!(
                play(side(naive, false, &tallies.0)),
                play(side(ours, true, &tallies.1)),
            )
        };
        tokio::select! {
            played = both => drop(played?),
            () = showing => {}
        }
        let broken = judge(&tallies.1.borrow());
        Ok(Outcome {
            rows: told(),
            broken,
        })
    }
}
