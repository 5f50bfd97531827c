//! gRPC as bytes on HTTP/2: what no generated code has made anything of.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

/// A message's length prefix: a flag and four bytes.
const PREFIX: usize = 5;
const SERVICE: &str = "/millpond.v1.CacheService/";

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a small message"));
    framed.put_slice(message);
    framed.freeze()
}

/// One call, as the bytes of its message.
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) headers: HeaderMap,
    pub(crate) message: Bytes,
}

/// A sidecar that answers with bytes, until the runtime ends.
pub(crate) async fn serve(answer: impl Fn(Call) -> Bytes + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("it is bound");
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| answered(Arc::clone(&answer), request));
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    at
}

async fn answered(
    answer: Arc<impl Fn(Call) -> Bytes>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("it is sent whole").to_bytes();
    let method = head.uri.path().strip_prefix(SERVICE).expect("a method");
    let call = Call {
        method: method.to_owned(),
        headers: head.headers,
        message: body.slice(PREFIX..),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(framed(&answer(call)))
        .with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) })
        .boxed();
    let reply = Response::builder().header("content-type", "application/grpc");
    Ok(reply.body(body).expect("it is well-formed"))
}

/// A client that sends bytes.
pub(crate) struct Client {
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).await.expect("it accepts");
        let stream = TokioIo::new(stream);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = handshake.await.expect("it speaks HTTP/2");
        tokio::spawn(async move { drop(connection.await) });
        Self { sender }
    }

    /// The bytes that a call is answered with.
    pub(crate) async fn call(&mut self, method: &str, message: &[u8]) -> Bytes {
        let request = Request::post(format!("http://localhost{SERVICE}{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(framed(message)))
            .expect("it is well-formed");
        let reply = self.sender.send_request(request).await;
        let body = reply.expect("it is answered").into_body();
        let body = body.collect().await.expect("it is whole");
        let status = body.trailers().and_then(|all| all.get("grpc-status"));
        assert_eq!(
            status.map(HeaderValue::as_bytes),
            Some(&b"0"[..]),
            "{method}"
        );
        body.to_bytes().slice(PREFIX..)
    }
}
