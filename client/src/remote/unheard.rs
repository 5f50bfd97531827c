//! A call that may bring a right, and what becomes of it when nobody waits for it
//! any more.
//!
//! The sidecar forgets a lease once it has replied. If the caller's future is
//! dropped while that reply is on its way, everybody else would wait for a load
//! that nobody does, until the lease's deadline. So an abandoned call is listened
//! to until it ends by itself, at the latest at its own deadline: what it brings is
//! dropped, and thereby given back. It is never cancelled: a cancellation could
//! cross the very reply that carries a lease.
//!
//! Cost: an abandoned call keeps its place in the sidecar and a task here for as
//! long as its caller had been willing to wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) struct Unheard<T: Send + 'static> {
    /// `None` when it has completed.
    answer: Option<Answer<T>>,
    runtime: Handle,
}

impl<T: Send + 'static> Unheard<T> {
    pub(super) fn new(answer: impl Future<Output = T> + Send + 'static, runtime: &Handle) -> Self {
        Self {
            answer: Some(Box::pin(answer)),
            runtime: runtime.clone(),
        }
    }
}

impl<T: Send + 'static> Future for Unheard<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let answer = self
            .answer
            .as_mut()
            .expect("a call is polled to its end once");
        let polled = answer.as_mut().poll(context);
        if polled.is_ready() {
            self.answer = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Unheard<T> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.runtime.spawn(async move { drop(answer.await) });
        }
    }
}
