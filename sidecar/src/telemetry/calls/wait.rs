//! How long a call waits for another's load.
//!
//! The lookup asks for a timer exactly when it begins to wait, and drops it when it
//! has waited enough: so the timer is where waiting is seen, and the lookup need not
//! know that anybody looks. A call that waits several times, or for several keys at
//! once, waited from the first beginning to the last end.

use std::sync::atomic::{AtomicU64, Ordering};

use millpond_core::cache::lookup;
use millpond_core::clock::{Clock, Time};

/// From when to when a call waited, in nanoseconds of the clock; 0 is never.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    from: AtomicU64,
    to: AtomicU64,
}

// Relaxed: a call is polled by one thread at a time, and whatever moves it to
// another orders these too.
impl Wait {
    pub(crate) fn told(&self) -> Option<(Time, Time)> {
        let from = self.from.load(Ordering::Relaxed);
        let to = self.to.load(Ordering::Relaxed).max(from);
        (from > 0).then(|| (Time::from_nanos(from), Time::from_nanos(to)))
    }

    fn began(&self, at: Time) {
        let at = at.as_nanos().max(1);
        // The first beginning counts: later ones find it taken.
        let _ = self
            .from
            .compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn ended(&self, at: Time) {
        self.to.fetch_max(at.as_nanos(), Ordering::Relaxed);
    }
}

/// A timer that tells when it is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting<'a, T> {
    timer: &'a T,
    wait: &'a Wait,
    clock: &'a Clock,
}

impl<'a, T> Waiting<'a, T> {
    pub(super) fn new(timer: &'a T, wait: &'a Wait, clock: &'a Clock) -> Self {
        Self { timer, wait, clock }
    }
}

impl<T: lookup::Timer + Sync> lookup::Timer for Waiting<'_, T> {
    async fn sleep_until(&self, at: Time) {
        struct Ended<'a>(&'a Wait, &'a Clock);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.ended(self.1.precise());
            }
        }
        self.wait.began(self.clock.precise());
        let _ended = Ended(self.wait, self.clock);
        self.timer.sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use millpond_core::cache::lookup::Timer as _;
    use millpond_core::clock::ManualClock;

    use super::*;

    struct Never;

    impl lookup::Timer for Never {
        async fn sleep_until(&self, _: Time) {
            std::future::pending().await
        }
    }

    #[test]
    fn a_call_waited_from_the_first_beginning_to_the_last_end() {
        let start = Time::from_nanos(5);
        let manual = ManualClock::starting_at(start);
        let clock = Clock::Manual(manual.clone());
        let wait = Wait::default();
        let waiting = Waiting::new(&Never, &wait, &clock);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(wait.told(), None);
        {
            let mut first = pin!(waiting.sleep_until(Time::FAR));
            assert_eq!(wait.told(), None, "nobody waits before the first poll");
            assert!(first.as_mut().poll(&mut context).is_pending());
            manual.advance(Duration::from_nanos(10));
            let mut second = pin!(waiting.sleep_until(Time::FAR));
            assert!(second.as_mut().poll(&mut context).is_pending());
            manual.advance(Duration::from_nanos(7));
        }
        manual.advance(Duration::from_nanos(100));
        let end = start.after(Duration::from_nanos(17));
        assert_eq!(wait.told(), Some((start, end)));
    }
}
