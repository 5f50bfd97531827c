//! What there is to see: written by the acts, read by the view.

use std::time::Duration;

use tokio::time::Instant;

use super::act::Act;
use super::figure::Row;
use super::stage::Outcome;

/// The whole demonstration at one moment.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) scenes: Vec<Scene>,
    /// The act under way, or the last one.
    pub(super) current: usize,
    began: Instant,
    /// How long it is to take.
    pub(super) time: Duration,
    pub(super) seed: u64,
    /// Where our sidecar is.
    pub(super) address: String,
}

#[derive(Debug)]
pub(super) struct Scene {
    pub(super) act: Act,
    pub(super) rows: Vec<Row>,
    pub(super) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    ToCome,
    Running,
    Held,
    Broken(String),
}

impl Board {
    pub(super) fn new(time: Duration, seed: u64, address: String) -> Self {
        let scene = |act| Scene {
            act,
            rows: Vec::new(),
            state: State::ToCome,
        };
        Self {
            scenes: Act::ALL.map(scene).into(),
            current: 0,
            began: Instant::now(),
            time,
            seed,
            address,
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn begin(&mut self, act: Act) {
        self.current = act.index();
        self.scenes[self.current].state = State::Running;
    }

    pub(super) fn show(&mut self, rows: Vec<Row>) {
        self.scenes[self.current].rows = rows;
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        let scene = &mut self.scenes[self.current];
        scene.rows = outcome.rows;
        scene.state = outcome.broken.map_or(State::Held, State::Broken);
    }

    pub(super) fn scene(&self) -> &Scene {
        &self.scenes[self.current]
    }

    pub(super) fn held(&self) -> usize {
        let held = |scene: &&Scene| scene.state == State::Held;
        self.scenes.iter().filter(held).count()
    }
}

impl Scene {
    /// The row that the act is about, once there is one.
    pub(super) fn headline(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.headline)
    }
}
