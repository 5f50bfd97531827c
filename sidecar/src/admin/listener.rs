//! Connections of the admin port.
//!
//! Bounded in number, age, and what one may make us keep. At the limit one of those
//! that are there goes, and not the newest ([`Guests`]): whoever holds all of them must
//! not keep an operator out, nor end what another one waits for.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use super::Admin;
use super::routes::Routes;
use crate::listen::authority::Rewriter;
use crate::listen::greeting::Greeting;
use crate::listen::guests::{Guests, Standing};

const MAX_CONNECTIONS: usize = 64;
/// How long a peer has to begin to speak.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);
/// How long a peer may read nothing of what it is told.
const READ_PATIENCE: Duration = Duration::from_secs(20);
/// HTTP/1: from connecting, or from the last answer, to the end of a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// HTTP/2: a silent peer is asked whether it lives, and has so long to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// After so long a connection is told to go, and after so much more it is cut.
const MAX_AGE: Duration = Duration::from_secs(3_600);
const LAST_CALL: Duration = Duration::from_secs(60);
/// Bytes of a request's head. Browsers send the cookies of everything else on
/// localhost along.
const MAX_HEAD_BYTES: usize = 32 << 10;
const MAX_HEADER_LIST: u32 = 32 << 10;
/// HTTP/2: calls at once, and bytes on their way to us.
const MAX_CALLS: u32 = 32;
const WINDOW: u32 = 64 << 10;
/// How long nothing is accepted after the kernel refused.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers until the sidecar has ended and whoever waited for that has been told.
pub(crate) async fn answer(listener: TcpListener, admin: Admin) {
    let http = Arc::new(http());
    let mut open = JoinSet::new();
    let mut guests = Guests::at_most(MAX_CONNECTIONS);
    let mut ended = pin!(admin.until_ended());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
            _ = &mut ended => break,
        };
        let Ok((stream, peer)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        guests.make_room();
        let standing = Arc::new(Standing::default());
        let routes = Routes::new(admin.clone(), peer, Arc::clone(&standing));
        let connection = open.spawn(serve(stream, routes, admin.clone(), Arc::clone(&http)));
        guests.welcome(standing, connection);
        // Whoever asks as it connects is heard before the next one may want its place.
        yield_now().await;
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
        .max_concurrent_streams(MAX_CALLS)
        .max_header_list_size(MAX_HEADER_LIST)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE);
    http
}

async fn serve(
    stream: TcpStream,
    routes: Routes,
    admin: Admin,
    http: Arc<auto::Builder<TokioExecutor>>,
) {
    // Answers are small and each is wanted now; without it they are only later.
    drop(stream.set_nodelay(true));
    let (stream, heard) = Greeting::new(stream, Rewriter::off(), READ_PATIENCE);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), routes));
    let mut ended = pin!(admin.until_ended());
    let mut greeting = pin!(sleep(GREETING_PATIENCE));
    let mut old = pin!(sleep(MAX_AGE));
    let mut cut = pin!(sleep(MAX_AGE + LAST_CALL));
    let (mut told, mut greeted) = (false, false);
    loop {
        // How a connection ended is its peer's business.
        tokio::select! {
            _ = &mut connection => return,
            _ = &mut ended, if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut old, if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut cut => return,
            () = &mut greeting, if !greeted => {
                if !heard.greeting() {
                    return;
                }
                greeted = true;
            }
        }
    }
}
