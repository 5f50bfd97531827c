//! The HTTP port that kubelet and Prometheus call: `/livez`, `/readyz`,
//! `/startupz`, `/metrics`, and nothing else.
//!
//! Readiness gates the application's traffic, so it is false only while the
//! sidecar ends, never because it sheds load or lost its second level.
//!
//! It is open to the pod's network, so everything a peer can hold is bounded: how
//! many are connected, for how long, and the bytes and the time of a head. When all
//! places are taken, whoever comes gets the place of the one that has been silent
//! longest: those that connect and say nothing cannot shut the kubelet out, which
//! asks as it connects.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, VARY};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::drain::Stage;
use crate::listen::guests::{Guests, Standing};
use crate::telemetry::metrics::{Format, Observed};

const MAX_CONNECTIONS: usize = 64;
/// From connecting, or from the last answer, to the end of a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Of a connection, however busy; scrapers connect again.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a request's head; 8 KiB is the least hyper takes.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// How long nothing is accepted after the kernel refused.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers until it is dropped.
pub(crate) async fn answer(listener: TcpListener, observed: Arc<Observed>) {
    let mut guests = Guests::at_most(MAX_CONNECTIONS);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        guests.make_room();
        let observed = Arc::clone(&observed);
        let standing = Arc::new(Standing::default());
        let serving = serve(stream, observed, Arc::clone(&standing));
        let task = tokio::spawn(async move {
            // However it ends, there is nobody to tell.
            drop(timeout(CONNECTION_PATIENCE, serving).await);
        });
        guests.welcome(standing, task.abort_handle());
        // Whoever asks as it connects is heard before the next one may want its place:
        // what is waiting to be accepted would otherwise be taken in one go.
        yield_now().await;
    }
}

async fn serve(
    stream: TcpStream,
    observed: Arc<Observed>,
    standing: Arc<Standing>,
) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let _asking = standing.asks();
        let response = respond(&request, &observed);
        async { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn respond(request: &Request<Incoming>, observed: &Observed) -> Response<Full<Bytes>> {
    let state = match request.uri().path() {
        "/livez" => observed.live(),
        "/readyz" => observed.ready(),
        // Nothing listens before everything is up.
        "/startupz" => Ok(()),
        "/metrics" => {
            return only_read(request).unwrap_or_else(|| {
                let format = Format::accepted(request.headers());
                let page = observed.exposition(format);
                let mut page = response(StatusCode::OK, format.content_type(), page);
                let by = HeaderValue::from_static("accept");
                page.headers_mut().insert(VARY, by);
                page
            });
        }
        _ => return text(StatusCode::NOT_FOUND, "not found\n"),
    };
    only_read(request).unwrap_or_else(|| match state {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
    })
}

/// The refusal of whatever is not a read.
fn only_read(request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    let read = HeaderValue::from_static("GET, HEAD");
    refusal.headers_mut().insert(ALLOW, read);
    Some(refusal)
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

impl Observed {
    fn live(&self) -> Result<(), &'static str> {
        let gone = self.stages.now() < Stage::Stopped && self.workers_gone();
        if gone {
            return Err("a worker thread is gone\n");
        }
        Ok(())
    }

    fn ready(&self) -> Result<(), &'static str> {
        match self.stages.now() {
            Stage::Serving => Ok(()),
            Stage::Draining | Stage::Leaving | Stage::Stopped => Err("draining\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream as Peer;

    use millpond_core::cache;

    use super::*;

    #[tokio::test]
    async fn whoever_asks_as_it_connects_is_heard_among_a_burst_of_those_that_do_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        // All of them have connected before the first is accepted.
        let mut kubelet = Peer::connect(address).unwrap();
        let request = b"GET /startupz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        kubelet.write_all(request).unwrap();
        let silent: Vec<Peer> = (0..MAX_CONNECTIONS + 16)
            .map(|_| Peer::connect(address).unwrap())
            .collect();
        let observed = Observed::alone(cache::Pond::new(cache::Config::default()));
        let listener = TcpListener::from_std(listener).unwrap();
        let answering = tokio::spawn(answer(listener, Arc::new(observed)));
        let answered = tokio::task::spawn_blocking(move || {
            let mut answer = String::new();
            kubelet.read_to_string(&mut answer).map(|_| answer)
        });
        let answer = answered.await.unwrap().unwrap_or_default();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer:?}");
        answering.abort();
        drop(silent);
    }

    #[test]
    fn a_worker_that_is_gone_is_not_live_unless_the_sidecar_ends() {
        let observed = Observed::alone(cache::Pond::new(cache::Config::default()));
        let of_workers: Vec<_> = observed.calls.clone();
        assert_eq!(observed.live(), Ok(()));
        let mut of_workers = of_workers.into_iter();
        drop(of_workers.next());
        assert_eq!(observed.live(), Err("a worker thread is gone\n"));
        observed.stages.advance(Stage::Stopped);
        assert_eq!(observed.live(), Ok(()));
    }
}
