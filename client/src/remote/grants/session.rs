//! One `Grant` stream, from its opening to its end.
//!
//! What is asked is put in line at once, also while the stream is opened, so nobody
//! waits for that here.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream;
use millpond_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::Streaming;

use crate::error::Error;
use crate::remote::fate::Fate;
use crate::remote::live::Live;
use crate::remote::{Remote, wire};

/// Buckets that a stream may name, by the contract.
const MOST: usize = 4_096;

type Opening = Pin<Box<dyn Future<Output = Result<Open, Error>> + Send>>;

pub(super) struct Session {
    asks: mpsc::UnboundedSender<v1::GrantRequest>,
    state: State,
    named: HashSet<u64>,
    remote: Weak<Remote>,
    /// Whether the sidecar has answered anything on it.
    pub(super) answered: bool,
}

enum State {
    Opening(Opening),
    Open(Box<Open>),
}

struct Open {
    replies: Streaming<v1::GrantReply>,
    live: Arc<Live>,
}

impl Session {
    /// A stream on a connection that stands, or will.
    pub(super) fn open(remote: &Arc<Remote>) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let requests = stream::unfold(asked, async |mut asked: mpsc::UnboundedReceiver<_>| {
            asked.recv().await.map(|request| (request, asked))
        });
        let weak = Arc::downgrade(remote);
        let remote = Arc::clone(remote);
        let opening = async move {
            let until = Instant::now() + remote.timeout;
            let live = remote.pool.live(until).await?;
            let mut client = live.clients().limit.clone();
            let opened = tokio::time::timeout_at(until, client.grant(requests)).await;
            match opened {
                Ok(Ok(replies)) => Ok(Open {
                    replies: replies.into_inner(),
                    live,
                }),
                Ok(Err(status)) => {
                    note(&remote, &live, &status);
                    Err(wire::error(status))
                }
                Err(_) => Err(Error::Unavailable {
                    message: "the sidecar did not open a stream of grants in time".to_owned(),
                }),
            }
        };
        Self {
            asks,
            state: State::Opening(Box::pin(opening)),
            named: HashSet::new(),
            remote: weak,
            answered: false,
        }
    }

    /// Whether another bucket may be named on it.
    pub(super) fn takes(&self, id: u64) -> bool {
        self.named.len() < MOST || self.named.contains(&id)
    }

    pub(super) fn ask(&mut self, request: v1::GrantRequest) {
        self.named.insert(request.grant_id);
        // A stream that has ended is found out by reading.
        drop(self.asks.send(request));
    }

    /// The next reply, or why there are no more. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<v1::GrantReply, Error> {
        loop {
            match &mut self.state {
                State::Opening(opening) => self.state = State::Open(Box::new(opening.await?)),
                State::Open(open) => {
                    return match open.replies.message().await {
                        Ok(Some(reply)) => {
                            self.answered = true;
                            Ok(reply)
                        }
                        Ok(None) => Err(Error::Unavailable {
                            message: "the sidecar ended the stream of grants".to_owned(),
                        }),
                        Err(status) => {
                            if let Some(remote) = self.remote.upgrade() {
                                note(&remote, &open.live, &status);
                            }
                            Err(wire::error(status))
                        }
                    };
                }
            }
        }
    }

    /// Asks nothing more, and waits until the sidecar has taken what was said.
    pub(super) async fn close(self, within: Duration) {
        let Self { asks, state, .. } = self;
        drop(asks);
        let ended = async {
            let mut open = match state {
                State::Opening(opening) => Box::new(opening.await.ok()?),
                State::Open(open) => open,
            };
            while let Ok(Some(_)) = open.replies.message().await {}
            Some(())
        };
        drop(timeout(within, ended).await);
    }
}

/// Takes a connection out of use that ended or broke.
fn note(remote: &Remote, live: &Arc<Live>, status: &tonic::Status) {
    match Fate::of(status) {
        Fate::Answered => {}
        Fate::Unsent => remote.pool.ended(live),
        Fate::Lost => remote.pool.lost(live),
    }
}
