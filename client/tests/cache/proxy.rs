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
    /// Ends connections as they come, and those that are there.
    Shut,
}

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    at: SocketAddr,
    mode: watch::Sender<Mode>,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn to(sidecar: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let mode = watch::Sender::new(Mode::Open);
        let accepted = Arc::new(AtomicUsize::new(0));
        tokio::spawn({
            let (mode, accepted) = (mode.subscribe(), Arc::clone(&accepted));
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(carry(near, sidecar, mode.clone()));
                }
            }
        });
        Self { at, mode, accepted }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.at)
    }

    /// How many connections were made to it.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }

    pub(crate) fn stall(&self) {
        self.mode.send_replace(Mode::Stalled);
    }

    pub(crate) fn shut(&self) {
        self.mode.send_replace(Mode::Shut);
    }
}

async fn carry(near: TcpStream, sidecar: SocketAddr, mode: watch::Receiver<Mode>) {
    let mut opened = mode.clone();
    let opened = opened.wait_for(|mode| *mode != Mode::Stalled).await;
    if opened.is_ok_and(|mode| *mode == Mode::Shut) {
        return;
    }
    let Ok(far) = TcpStream::connect(sidecar).await else {
        return;
    };
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::join!(
        one_way(near_read, far_write, mode.clone()),
        one_way(far_read, near_write, mode)
    );
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            shut = mode.wait_for(|mode| *mode == Mode::Shut) => {
                drop(shut);
                return;
            }
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        let going = mode.wait_for(|mode| *mode != Mode::Stalled).await;
        let shut = going.map_or(true, |mode| *mode == Mode::Shut);
        if read == 0 || shut || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
