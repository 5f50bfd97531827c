//! A peer that speaks HTTP/2 as it likes.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{LONG, Pod};

/// One connection.
pub(crate) struct Peer {
    send: SendRequest<Bytes>,
    /// Ends with the connection.
    pub(crate) connection: JoinHandle<()>,
}

/// A call that was begun.
pub(crate) struct Call {
    pub(crate) body: SendStream<Bytes>,
    response: ResponseFuture,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) body: Vec<u8>,
}

impl Peer {
    pub(crate) async fn connect(pod: &Pod) -> Self {
        Self::with(pod, &Builder::new()).await
    }

    /// One that takes no reply.
    pub(crate) async fn that_takes_nothing(pod: &Pod) -> Self {
        Self::with(pod, Builder::new().initial_window_size(0)).await
    }

    async fn with(pod: &Pod, builder: &Builder) -> Self {
        Self::at(pod.running.tcp().expect("it listens on TCP"), builder).await
    }

    pub(crate) async fn at(address: SocketAddr, builder: &Builder) -> Self {
        let stream = TcpStream::connect(address).await.expect("it accepts");
        let (send, connection) = builder.handshake(stream).await.expect("it greets");
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self {
            send: send.ready().await.expect("it is open"),
            connection,
        }
    }

    /// The head of a call of the cache, and nothing of its body.
    pub(crate) async fn begin(&mut self, method: &str) -> Call {
        let path = format!("http://localhost/millpond.v1.CacheService/{method}");
        self.begin_at(&path, &[]).await
    }

    pub(crate) async fn begin_at(&mut self, uri: &str, headers: &[(&str, &str)]) -> Call {
        let mut request = Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.begin_as(request).await
    }

    /// A call whose head is as it likes.
    pub(crate) async fn begin_as(&mut self, request: http::request::Builder) -> Call {
        let request = request.body(()).expect("it is well formed");
        self.send = self.send.clone().ready().await.expect("it is open");
        let (response, body) = self.send.send_request(request, false).expect("it is open");
        Call { body, response }
    }

    /// How many calls it may have open, as it was told.
    pub(crate) fn may_open(&self) -> usize {
        self.send.current_max_send_streams()
    }

    pub(crate) async fn call(&mut self, method: &str, message: &impl Message) -> Call {
        let mut call = self.begin(method).await;
        call.send(framed(message), true);
        call
    }
}

impl Call {
    pub(crate) fn send(&mut self, bytes: Bytes, last: bool) {
        self.body.send_data(bytes, last).expect("it is open");
    }

    /// How it ends, with its reply.
    pub(crate) async fn ended(self) -> Ended {
        let response = timeout(LONG, self.response).await.expect("it is answered");
        let (head, mut stream) = response.expect("not by a reset").into_parts();
        let mut body = Vec::new();
        let mut headers = head.headers;
        while let Some(data) = timeout(LONG, stream.data()).await.expect("it goes on") {
            // A reset after the status is how HTTP/2 says that the rest is not wanted.
            let Ok(data) = data else { break };
            drop(stream.flow_control().release_capacity(data.len()));
            body.extend_from_slice(&data);
        }
        if let Ok(Some(trailers)) = stream.trailers().await {
            headers.extend(trailers);
        }
        let text = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ended {
            code: text("grpc-status").parse().expect("a gRPC status"),
            message: text("grpc-message").replace("%20", " "),
            body,
        }
    }

    pub(crate) fn response(self) -> ResponseFuture {
        self.response
    }

    /// The head of its answer; the reply is not taken.
    pub(crate) async fn head(self) -> RecvStream {
        let response = timeout(LONG, self.response).await.expect("it is answered");
        response.expect("not by a reset").into_body()
    }
}

/// A message as gRPC frames it.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let mut bytes = head(message.encoded_len());
    message.encode(&mut bytes).expect("there is room");
    bytes.freeze()
}

/// The head of a message of so many bytes.
pub(crate) fn head(length: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("it is short"));
    bytes
}
