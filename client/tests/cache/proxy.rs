//! A network between client and sidecar that does what a test tells it to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Carries bytes.
    Open,
    /// Accepts connections and carries nothing, as a process that is stopped.
    Stalled,
    /// Carries what is asked and keeps what is answered.
    Mute,
    /// Ends connections as they come.
    Shut,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// How often all connections were cut. Each ends at the first cut after it was
    /// made, however soon the proxy is open again.
    cuts: usize,
}

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    at: SocketAddr,
    state: watch::Sender<State>,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn to(sidecar: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let state = watch::Sender::new(State {
            mode: Mode::Open,
            cuts: 0,
        });
        let accepted = Arc::new(AtomicUsize::new(0));
        tokio::spawn({
            let (state, accepted) = (state.subscribe(), Arc::clone(&accepted));
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(carry(near, sidecar, state.clone()));
                }
            }
        });
        Self {
            at,
            state,
            accepted,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.at)
    }

    /// How many connections were made to it.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) {
        self.state.send_modify(|state| state.mode = Mode::Open);
    }

    pub(crate) fn stall(&self) {
        self.state.send_modify(|state| state.mode = Mode::Stalled);
    }

    /// Keeps all answers from now on.
    pub(crate) fn mute(&self) {
        self.state.send_modify(|state| state.mode = Mode::Mute);
    }

    /// Ends all connections, what was kept on them is lost, and carries again.
    pub(crate) fn lose(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Open;
            state.cuts += 1;
        });
    }

    /// Ends all connections. Others may be made at once.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Ends all connections, and others as they come.
    pub(crate) fn shut(&self) {
        self.state.send_modify(|state| {
            state.mode = Mode::Shut;
            state.cuts += 1;
        });
    }
}

async fn carry(near: TcpStream, sidecar: SocketAddr, mut state: watch::Receiver<State>) {
    let born = state.borrow().cuts;
    let opened = state.wait_for(|state| state.mode != Mode::Stalled).await;
    if opened.is_ok_and(|state| state.mode == Mode::Shut) {
        return;
    }
    let Ok(far) = TcpStream::connect(sidecar).await else {
        return;
    };
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::join!(
        one_way(near_read, far_write, state.clone(), born, &[Mode::Stalled]),
        one_way(
            far_read,
            near_write,
            state,
            born,
            &[Mode::Stalled, Mode::Mute]
        )
    );
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    born: usize,
    stops: &[Mode],
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            cut = state.wait_for(|state| state.cuts != born) => {
                drop(cut);
                return;
            }
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        let going = state.wait_for(|state| !stops.contains(&state.mode)).await;
        let cut = going.map_or(true, |state| state.cuts != born);
        if read == 0 || cut || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
