//! What asking a breaker and telling it the outcome costs, in alternating rounds of one
//! process; ratios are taken within a round, and the table gives their medians.
//!
//! One breaker for all threads, which is what hurts. Millpond's is shown with the time
//! handed in, as its core is called, and with the coarse clock read twice a call, as its
//! callers read it. failsafe reads the clock itself, for a failure and while it is not
//! closed. The ring is what one writes by hand: outcomes and state behind one mutex.
//!
//! `--quick` runs fewer and shorter rounds: to see that it works, not to quote.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Duration;

use failsafe::{CircuitBreaker as _, Config, backoff, failure_policy};
use millpond_benches::lockfile::locked_version;
use millpond_benches::race::race;
use millpond_benches::table::{Table, median};
use millpond_core::Entropy;
use millpond_core::breaker::{Breaker, Outcome, Policy, Window};
use millpond_core::clock::{Clock, Time};

const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));
const THREADS: [usize; 2] = [1, 2];
/// Rounds, and calls a thread in each.
const FULL: (usize, u64) = (15, 2_000_000);
const QUICK: (usize, u64) = (3, 100_000);
/// One call in so many fails.
const FAILS: [(&str, u64); 2] = [("none", u64::MAX), ("1 %", 100)];
const LATENCY: Duration = Duration::from_millis(1);

/// One call: asked, and told whether it failed.
type Call<'a> = Box<dyn Fn(u64, u64) + Sync + 'a>;

/// So many calls on this thread, of which one in `fails` fails.
fn calls(calls: u64, fails: u64, mut call: impl FnMut(bool)) {
    let mut left = fails;
    for _ in 0..calls {
        left -= 1;
        let failed = left == 0;
        if failed {
            left = fails;
        }
        call(failed);
    }
}

fn outcome(failed: bool) -> Outcome {
    if failed {
        Outcome::Failure
    } else {
        Outcome::Success
    }
}

fn breaker(window: Window) -> Breaker {
    let policy = Policy {
        window,
        ..Policy::default()
    };
    Breaker::new(policy, Time::ZERO, Entropy::Thread).expect("valid")
}

fn handed_in(window: Window) -> Call<'static> {
    let breaker = breaker(window);
    Box::new(move |count, fails| {
        let now = Clock::Kernel.now();
        calls(count, fails, |failed| {
            let permit = breaker.admit(black_box(now)).expect("closed");
            black_box(permit.record(outcome(failed), LATENCY, black_box(now)));
        });
    })
}

fn coarse() -> Call<'static> {
    let breaker = breaker(Policy::default().window);
    Box::new(move |count, fails| {
        let clock = Clock::Kernel;
        calls(count, fails, |failed| {
            let began = clock.now();
            let permit = breaker.admit(began).expect("closed");
            let now = clock.now();
            black_box(permit.record(outcome(failed), now.since(began), now));
        });
    })
}

/// Its default but for the rate, so that it stays closed as ours does.
fn failsafe() -> Call<'static> {
    let backoff = backoff::constant(Duration::from_secs(5));
    let window = Duration::from_secs(10);
    let policy = failure_policy::success_rate_over_time_window(0.5, 20, window, backoff);
    let breaker = Config::new().failure_policy(policy).build();
    Box::new(move |count, fails| {
        calls(count, fails, |failed| {
            let called: Result<(), failsafe::Error<()>> =
                breaker.call(|| if black_box(failed) { Err(()) } else { Ok(()) });
            black_box(called.is_ok());
        });
    })
}

/// The last hundred outcomes.
struct Ring {
    failed: [bool; 100],
    next: usize,
    calls: usize,
    failures: usize,
    open: bool,
}

#[expect(
    clippy::disallowed_types,
    reason = "it stands for what is written by hand"
)]
fn ring() -> Call<'static> {
    let ring = std::sync::Mutex::new(Ring {
        failed: [false; 100],
        next: 0,
        calls: 0,
        failures: 0,
        open: false,
    });
    Box::new(move |count, fails| {
        calls(count, fails, |failed| {
            assert!(!ring.lock().expect("no panic").open);
            let ring = &mut *ring.lock().expect("no panic");
            let was = std::mem::replace(&mut ring.failed[ring.next], black_box(failed));
            ring.next = (ring.next + 1) % ring.failed.len();
            ring.calls = (ring.calls + 1).min(ring.failed.len());
            ring.failures = ring.failures + usize::from(failed) - usize::from(was);
            ring.open = ring.calls >= 20 && ring.failures * 2 >= ring.calls;
        });
    })
}

/// Nanoseconds a call, of one thread.
fn run(call: &Call<'_>, threads: usize, count: u64, fails: u64) -> f64 {
    let prepare = |_| {
        move || {
            call(count, fails);
            0
        }
    };
    race(threads, count, prepare).nanos_per_operation()
}

fn main() -> io::Result<()> {
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    // Without `--bench` cargo is only checking that the target runs.
    let quick = asked("--quick") || !asked("--bench");
    let (rounds, count) = if quick { QUICK } else { FULL };
    let version = locked_version(LOCK, "failsafe").unwrap_or("?");
    let subjects = [
        (
            "millpond, time handed in".to_owned(),
            handed_in(Policy::default().window),
        ),
        ("millpond, coarse clock".to_owned(), coarse()),
        (
            "millpond, last 100 calls".to_owned(),
            handed_in(Window::Count(100)),
        ),
        (format!("failsafe {version}"), failsafe()),
        ("mutex and ring".to_owned(), ring()),
    ];
    let failsafe = 3;
    let mut table = Table::new([
        "fail",
        "threads",
        "breaker",
        "ns/call, median",
        "min",
        "max",
        "failsafe takes",
        "the ring takes",
    ]);
    for (fail, fails) in FAILS {
        for threads in THREADS {
            let rounds: Vec<Vec<f64>> = (0..rounds)
                .map(|round| {
                    let mut took = vec![0.0; subjects.len()];
                    for step in 0..subjects.len() {
                        let place = (round + step) % subjects.len();
                        took[place] = run(&subjects[place].1, threads, count, fails);
                    }
                    took
                })
                .collect();
            for (place, (name, _)) in subjects.iter().enumerate() {
                let own = || rounds.iter().map(|round| round[place]);
                let times = |peer: usize| {
                    let ratios = rounds.iter().map(|round| round[peer] / round[place]);
                    format!("{:.1} ×", median(ratios))
                };
                table.push([
                    fail.to_owned(),
                    threads.to_string(),
                    name.clone(),
                    format!("{:.1}", median(own())),
                    format!("{:.1}", own().fold(f64::INFINITY, f64::min)),
                    format!("{:.1}", own().fold(0.0, f64::max)),
                    times(failsafe),
                    times(failsafe + 1),
                ]);
            }
        }
    }
    writeln!(
        io::stdout().lock(),
        "{rounds} rounds of {count} calls a thread; one breaker for all threads\n\n{table}"
    )
}
