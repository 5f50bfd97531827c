//! A call that may bring a right, and what becomes of it when nobody waits for it
//! any more.
//!
//! The sidecar forgets a lease once it has replied. If the caller's future is
//! dropped while that reply is on its way, everybody else would wait for a load
//! that nobody does, until the lease's deadline. So an abandoned call is listened
//! to for a moment longer: what it brings is dropped, and thereby given back. A
//! call that brings nothing in that moment is waiting for another's load, and is
//! cancelled.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;

/// Many round trips to a process on the same machine.
const GRACE: Duration = Duration::from_millis(100);

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) struct Call<T: Send + 'static> {
    /// `None` when it has completed.
    answer: Option<Answer<T>>,
    runtime: Handle,
}

impl<T: Send + 'static> Call<T> {
    pub(super) fn new(answer: impl Future<Output = T> + Send + 'static, runtime: &Handle) -> Self {
        Self {
            answer: Some(Box::pin(answer)),
            runtime: runtime.clone(),
        }
    }
}

impl<T: Send + 'static> Future for Call<T> {
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

impl<T: Send + 'static> Drop for Call<T> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.runtime
                .spawn(async move { drop(tokio::time::timeout(GRACE, answer).await) });
        }
    }
}
