//! The client: so many calls, so many of them in flight.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::redis;

pub(crate) const TENANT: &str = "acme";
pub(crate) const CACHE: &str = "users";
pub(crate) const KEY: &str = "0000000000000042";

/// As the Rust client has them.
const CONNECTION_WINDOW: u32 = 16 << 20;
const STREAM_WINDOW: u32 = 2 << 20;

type Failure = Box<dyn Error + Send + Sync>;

pub(crate) enum Callers {
    /// One connection.
    Grpc(CacheServiceClient<Channel>),
    /// A connection a caller, made anew each time.
    Redis(SocketAddr),
}

impl Callers {
    pub(crate) async fn grpc(socket: &Path) -> Result<Self, Failure> {
        let path = socket.to_owned();
        let channel = Endpoint::from_static("http://localhost")
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .connect_with_connector(service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            }))
            .await?;
        Ok(Self::Grpc(CacheServiceClient::new(channel)))
    }

    pub(crate) fn redis(address: SocketAddr) -> Self {
        Self::Redis(address)
    }

    /// Makes `calls` calls, `in_flight` at once.
    pub(crate) async fn call(&self, calls: usize, in_flight: usize) -> Result<(), Failure> {
        // Relaxed: only deals out calls.
        let left = Arc::new(AtomicUsize::new(calls));
        let mut tasks = Vec::new();
        for _ in 0..in_flight {
            let left = Arc::clone(&left);
            tasks.push(match self {
                Self::Grpc(client) => tokio::spawn(grpc(client.clone(), left)),
                Self::Redis(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(plain(stream, left))
                }
            });
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    }
}

fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
        .is_ok()
}

async fn grpc(
    mut client: CacheServiceClient<Channel>,
    left: Arc<AtomicUsize>,
) -> Result<(), Failure> {
    while take(&left) {
        let request = v1::GetRequest {
            tenant: TENANT.to_owned(),
            cache: CACHE.to_owned(),
            key: Bytes::from_static(KEY.as_bytes()),
            load: v1::Load::Never.into(),
            ..v1::GetRequest::default()
        };
        client.get(request).await?;
    }
    Ok(())
}

async fn plain(mut stream: TcpStream, left: Arc<AtomicUsize>) -> Result<(), Failure> {
    let (request, mut reply) = (redis::get(KEY), vec![0; redis::reply_bytes()]);
    while take(&left) {
        stream.write_all(&request).await?;
        stream.read_exact(&mut reply).await?;
        if reply[0] != b'$' {
            return Err("redis answered something else".into());
        }
    }
    Ok(())
}
