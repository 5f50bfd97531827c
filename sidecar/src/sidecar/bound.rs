//! Binding everything before anything is served, so that a port that is taken is told
//! before the first caller connects.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use super::{Addresses, Listening, StartError};
use crate::config::{Config, Socket};
use crate::listen::accept;
use crate::listen::unix::{self, Refused, SocketFile};

/// Listeners that exist, before anything is served.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) addresses: Addresses,
    pub(super) tcp: Option<TcpListener>,
    pub(super) unix: Option<(std::os::unix::net::UnixListener, SocketFile)>,
    pub(super) probe: Option<TcpListener>,
    pub(super) admin: Option<TcpListener>,
}

impl Bound {
    pub(super) fn new(config: &Config) -> Result<Self, StartError> {
        let (tcp, tcp_at) = bind_tcp("cache", config.listen, "--listen")?;
        let (probe, probe_at) = bind_tcp("probes and metrics", config.probe, "--probe")?;
        let (admin, admin_at) = bind_tcp("console and admin", config.admin, "--admin")?;
        let (unix, socket) = bind_socket(config.socket.as_ref())?;
        if tcp.is_none() && unix.is_none() {
            return Err(StartError::NothingListens);
        }
        Ok(Self {
            addresses: Addresses {
                tcp: tcp_at,
                socket,
                probe: probe_at,
                admin: admin_at,
            },
            tcp,
            unix,
            probe,
            admin,
        })
    }
}

fn bind_tcp(
    what: &'static str,
    address: Option<SocketAddr>,
    flag: &'static str,
) -> Result<(Option<TcpListener>, Listening<SocketAddr>), StartError> {
    let Some(address) = address else {
        return Ok((None, Listening::Off("switched off".to_owned())));
    };
    let bound = TcpListener::bind(address).and_then(|listener| {
        rustix::net::listen(&listener, accept::BACKLOG)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((Some(listener), Listening::On(address)))
    });
    bound.map_err(|error| StartError::Address {
        what,
        address,
        flag,
        error,
    })
}

type BoundSocket = (
    Option<(std::os::unix::net::UnixListener, SocketFile)>,
    Listening<PathBuf>,
);

fn bind_socket(socket: Option<&Socket>) -> Result<BoundSocket, StartError> {
    let Some(Socket { path, optional }) = socket else {
        return Ok((None, Listening::Off("switched off".to_owned())));
    };
    match unix::bind(path) {
        Ok((listener, file)) => {
            let path = file.path().to_owned();
            Ok((Some((listener, file)), Listening::On(path)))
        }
        Err(Refused::InUse) => Err(StartError::SocketInUse(path.clone())),
        Err(Refused::Failed(error)) if *optional => {
            let why = format!("{}: {error}; --socket PATH moves it", path.display());
            Ok((None, Listening::Off(why)))
        }
        Err(Refused::Failed(error)) => Err(StartError::Socket(path.clone(), error)),
    }
}
