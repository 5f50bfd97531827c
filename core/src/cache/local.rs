//! What each thread keeps for itself: its line of the counters, and its front.

use std::cell::Cell;

use super::front::Front;
use super::stats::Line;

#[derive(Debug)]
pub(crate) struct Local {
    line: Cell<Option<Line>>,
    pub(crate) front: Front,
}

thread_local! {
    static LOCAL: Local = const { Local { line: Cell::new(None), front: Front::new() } };
}

impl Local {
    /// Runs `act` with this thread's; with `None` when the thread is ending.
    #[inline]
    pub(crate) fn with<R>(act: impl FnOnce(Option<&Self>) -> R) -> R {
        let mut act = Some(act);
        let done = LOCAL.try_with(|local| act.take().map(|act| act(Some(local))));
        match (done, act) {
            (Ok(Some(done)), _) => done,
            (_, Some(act)) => act(None),
            (_, None) => unreachable!("it was run, and its result returned"),
        }
    }

    #[inline]
    pub(crate) fn line(&self) -> Line {
        match self.line.get() {
            Some(line) => line,
            None => {
                let line = Line::take();
                self.line.set(Some(line));
                line
            }
        }
    }
}

/// A number that no other living thread has, but for the largest, which all have that
/// came too late for one of their own.
#[inline]
pub(crate) fn thread_number() -> usize {
    Local::with(|local| local.map(Local::line))
        .unwrap_or_default()
        .number()
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(line) = self.line.get() {
            line.give_back();
        }
    }
}
