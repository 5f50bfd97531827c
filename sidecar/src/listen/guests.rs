//! Who is connected to a port with few places, and who goes when another one comes.
//!
//! Whoever holds all places must not keep the next one out, so at the limit somebody
//! goes: who has been silent longest; else who has been answered and is here longest;
//! else, when all wait for an answer, who is here longest.
//!
//! Cost: a walk over the few at each connection, and two additions a request. All of it
//! on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::AbortHandle;

/// The connections of one port, in the order they came. Those that it drops, or that
/// are left when it is dropped, end.
#[derive(Debug)]
pub(crate) struct Guests {
    most: usize,
    guests: Vec<Guest>,
}

#[derive(Debug)]
struct Guest {
    standing: Arc<Standing>,
    connection: AbortHandle,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Guests {
    /// At most so many.
    pub(crate) fn at_most(most: usize) -> Self {
        Self {
            most,
            guests: Vec::new(),
        }
    }

    /// Sees to it that one more may come.
    pub(crate) fn make_room(&mut self) {
        self.guests.retain(|guest| !guest.connection.is_finished());
        if self.guests.len() >= self.most {
            let least = |(_, guest): &(usize, &Guest)| guest.standing.rank();
            // The first of equals: who is here longest.
            let goes = self.guests.iter().enumerate().min_by_key(least);
            let goes = goes.map_or(0, |(at, _)| at);
            self.guests.remove(goes);
        }
    }

    /// One more has come.
    pub(crate) fn welcome(&mut self, standing: Arc<Standing>, connection: AbortHandle) {
        self.guests.push(Guest {
            standing,
            connection,
        });
    }
}

/// What a connection has asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    asked: AtomicBool,
    waiting: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Silent,
    Answered,
    Waiting,
}

// Relaxed throughout: one thread.
impl Standing {
    /// A request has come, which is answered once what is returned is dropped.
    pub(crate) fn asks(self: &Arc<Self>) -> Asking {
        self.asked.store(true, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Asking(Arc::clone(self))
    }

    fn rank(&self) -> Rank {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            Rank::Waiting
        } else if self.asked.load(Ordering::Relaxed) {
            Rank::Answered
        } else {
            Rank::Silent
        }
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct Asking(Arc<Standing>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that stays until it is sent away.
    fn comes(guests: &mut Guests) -> (Arc<Standing>, AbortHandle) {
        guests.make_room();
        let standing = Arc::new(Standing::default());
        let connection = tokio::spawn(std::future::pending::<()>()).abort_handle();
        guests.welcome(Arc::clone(&standing), connection.clone());
        (standing, connection)
    }

    #[tokio::test]
    async fn the_silent_go_first_then_the_answered_and_last_who_waits_for_an_answer() {
        let mut guests = Guests::at_most(3);
        let (waiting, of_waiting) = comes(&mut guests);
        let mut asking = vec![waiting.asks()];
        let (answered, of_answered) = comes(&mut guests);
        drop(answered.asks());
        let (_silent, of_silent) = comes(&mut guests);
        for goes in [of_silent, of_answered, of_waiting] {
            assert!(guests.guests.len() == 3 && !goes.is_finished());
            let (newest, _) = comes(&mut guests);
            asking.push(newest.asks());
            tokio::task::yield_now().await;
            assert!(goes.is_finished());
        }
    }
}
