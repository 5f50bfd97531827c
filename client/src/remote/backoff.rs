//! How long to wait before trying to connect again.
//!
//! Doubling from 10 ms to 1 s, and the upper half of each step at random ("equal
//! jitter"): the processes of a pod do not knock together, and none waits for
//! nothing.

use std::time::Duration;

/// The first step. A sidecar that restarts is back within tens of milliseconds.
const FIRST: Duration = Duration::from_millis(10);
/// The longest step, which bounds how long a sidecar that is back goes unnoticed.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Backoff {
    step: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { step: FIRST }
    }

    /// The next pause; `chance` in `[0, 1)`.
    pub(super) fn pause(&mut self, chance: f64) -> Duration {
        let step = self.step;
        self.step = (step * 2).min(LONGEST);
        step.mul_f64(0.5 + chance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_are_at_least_half_their_step() {
        let (mut low, mut high) = (Backoff::new(), Backoff::new());
        let mut step = FIRST;
        for _ in 0..20 {
            assert_eq!(low.pause(0.0), step / 2);
            assert_eq!(high.pause(1.0), step);
            step = (step * 2).min(Duration::from_secs(1));
        }
    }
}
