//! The truth, and the gate at which a load is held after it has read it.

use std::{
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use tokio::{sync::Semaphore, task::yield_now};

use crate::subject::{Load, OriginDown, Value};

pub(crate) const TAG: &str = "prices";

/// Where values come from. Clones are the same origin.
///
/// Orderings are all `SeqCst`: nothing here is timed, and a weaker one would have to
/// be argued.
#[derive(Debug, Clone, Default)]
pub struct Origin(Arc<State>);

#[derive(Debug, Default)]
struct State {
    generation: AtomicU64,
    loads: AtomicU64,
    down: AtomicBool,
}

/// How a held load ends when its gate opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With what it had read.
    Answer,
    /// With a panic.
    Panic,
}

impl Origin {
    /// The value as it is now.
    #[must_use]
    pub fn current(&self) -> Value {
        Value {
            generation: self.0.generation.load(SeqCst),
            tag: TAG,
        }
    }

    /// The truth moves on; what was read before is old.
    pub fn change(&self) -> Value {
        self.0.generation.fetch_add(1, SeqCst);
        self.current()
    }

    /// From now on loads fail, or no longer do.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, SeqCst);
    }

    /// Loads begun so far.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.0.loads.load(SeqCst)
    }

    /// A load that is not held. It suspends once, as any real one does.
    #[must_use]
    pub fn load(&self) -> Load {
        let origin = self.clone();
        Box::pin(async move {
            let read = origin.read();
            yield_now().await;
            read
        })
    }

    /// A load that reads, tells the gate, and waits for it to open.
    #[must_use]
    pub fn held_load(&self, gate: &Gate, ending: Ending) -> Load {
        let (origin, gate) = (self.clone(), gate.clone());
        Box::pin(async move {
            let read = origin.read();
            gate.hold().await;
            if ending == Ending::Panic {
                // Unwinds like a panic but tells no hook: a thousand backtraces say nothing.
                panic::resume_unwind(Box::new("a loader's panic"));
            }
            read
        })
    }

    fn read(&self) -> Result<Value, OriginDown> {
        self.0.loads.fetch_add(1, SeqCst);
        if self.0.down.load(SeqCst) {
            return Err(OriginDown);
        }
        Ok(self.current())
    }
}

/// Holds loads until it is opened. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Sides>);

#[derive(Debug)]
struct Sides {
    arrived: Semaphore,
    open: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Sides {
            arrived: Semaphore::new(0),
            open: Semaphore::new(0),
        }))
    }
}

impl Gate {
    /// Returns once a load is at the gate.
    pub async fn reached(&self) {
        if let Ok(permit) = self.0.arrived.acquire().await {
            permit.forget();
        }
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.0.open.close();
    }

    async fn hold(&self) {
        self.0.arrived.add_permits(1);
        // There are no permits: this ends, with an error, when the gate opens.
        let _ = self.0.open.acquire().await;
    }
}
