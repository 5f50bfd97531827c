//! A peer that speaks HTTP/2 as a test tells it to.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use millpond_proto::v1;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a call.
pub(crate) enum Fate {
    Answered(Bytes),
    /// Its stream is reset.
    Reset(Reason),
    /// Its answer begins and never ends, on a connection that stands.
    Begun,
}

/// A sidecar that greets, and otherwise does with each call what it is told, until the
/// runtime ends.
pub(crate) async fn serve(fate: impl Fn(&str) -> Fate + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("it is bound");
    let fate = Arc::new(fate);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&fate)));
        }
    });
    at
}

async fn connection(stream: TcpStream, fate: Arc<impl Fn(&str) -> Fate>) {
    let mut connection = h2::server::handshake(stream).await.expect("it greets");
    // Nothing of a call is let go of while the connection stands: that would end it.
    let mut held = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        let fate = match method {
            "Hello" => Fate::Answered(hello().encode_to_vec().into()),
            method => fate(method),
        };
        let answer = settle(fate, &mut respond);
        held.push((request, respond, answer));
    }
}

type Answer = Option<h2::SendStream<Bytes>>;

fn settle(fate: Fate, respond: &mut SendResponse<Bytes>) -> Answer {
    let head = || {
        let head = Response::builder().header("content-type", "application/grpc");
        head.body(()).expect("it is well-formed")
    };
    match fate {
        Fate::Reset(reason) => {
            respond.send_reset(reason);
            None
        }
        Fate::Answered(message) => {
            let mut body = respond.send_response(head(), false).expect("it is open");
            body.send_data(framed(&message), false).expect("it is open");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            body.send_trailers(trailers).expect("it is open");
            Some(body)
        }
        Fate::Begun => {
            let mut body = respond.send_response(head(), false).expect("it is open");
            body.send_data(Bytes::from_static(&[0]), false)
                .expect("it is open");
            Some(body)
        }
    }
}

fn hello() -> v1::HelloReply {
    v1::HelloReply {
        revision: 1,
        boot: 7,
        ..v1::HelloReply::default()
    }
}

/// A message as gRPC frames it.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a small message"));
    framed.put_slice(message);
    framed.freeze()
}
