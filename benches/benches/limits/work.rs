//! Whoever decides, and the loop that times it.

use std::hint::black_box;
use std::sync::Arc;

use millpond_benches::race::{Run, race};

/// Names or keys that are asked for, at random.
pub(crate) const KEYS: usize = 10_000;
/// Accesses drawn beforehand for each thread; a longer run repeats them.
const DRAWN: usize = 1 << 16;
/// As many threads as are ever raced.
pub(crate) const MOST_THREADS: usize = 2;

type Timed = Box<dyn Fn(usize, u64) -> Run>;

/// One that decides.
pub(crate) struct Contender {
    name: &'static str,
    run: Timed,
}

impl Contender {
    /// `prepare` makes for each thread what decides once a call, and says whether it
    /// admitted.
    pub(crate) fn new<D: FnMut() -> bool>(
        name: &'static str,
        prepare: impl Fn(usize) -> D + Sync + 'static,
    ) -> Self {
        let run = move |threads, operations| {
            race(threads, operations, |thread| {
                let mut decide = prepare(thread);
                move || {
                    let mut admitted = 0;
                    for _ in 0..operations {
                        admitted += u64::from(black_box(decide()));
                    }
                    admitted
                }
            })
        };
        Self {
            name,
            run: Box::new(run),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn run(&self, threads: usize, operations: u64) -> Run {
        (self.run)(threads, operations)
    }
}

/// Names that share most of their bytes, as tenants' do.
pub(crate) fn names() -> Vec<String> {
    (0..KEYS).map(|at| format!("tenant-{at:08}")).collect()
}

/// Which to ask for, again and again: another order for each thread.
pub(crate) struct Draws(Vec<Arc<[u32]>>);

impl Draws {
    pub(crate) fn new() -> Self {
        let most = u32::try_from(KEYS).expect("keys are few");
        let one = |thread: usize| {
            let mut rng = fastrand::Rng::with_seed(thread as u64);
            (0..DRAWN).map(|_| rng.u32(..most)).collect()
        };
        Self((0..MOST_THREADS).map(one).collect())
    }

    pub(crate) fn of(&self, thread: usize) -> impl FnMut() -> usize + use<> {
        let drawn = Arc::clone(&self.0[thread]);
        let mut at = 0;
        move || {
            at = (at + 1) % DRAWN;
            drawn[at] as usize
        }
    }
}
