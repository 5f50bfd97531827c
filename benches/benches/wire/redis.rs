//! Redis as most applications use it: plain connections over TCP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::VALUE_BYTES;
use crate::callers::KEY;

/// Steps of this length until it accepts, at most so many.
const STEP: Duration = Duration::from_millis(20);
const STEPS: usize = 250;

pub(crate) struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    /// `None` when it is not installed.
    pub(crate) async fn start(value_bytes: usize) -> io::Result<Option<Self>> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let spawned = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let redis = Self { child, address };
        let mut stream = redis.connect().await?;
        let value = "7".repeat(value_bytes);
        stream.write_all(&command(&["SET", KEY, &value])).await?;
        stream.read_exact(&mut [0; "+OK\r\n".len()]).await?;
        Ok(Some(redis))
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        for _ in 0..STEPS {
            if let Ok(stream) = TcpStream::connect(self.address).await {
                return Ok(stream);
            }
            tokio::time::sleep(STEP).await;
        }
        TcpStream::connect(self.address).await
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn title(&self) -> &'static str {
        "Redis, a plain TCP connection a caller"
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn get(key: &str) -> Vec<u8> {
    command(&["GET", key])
}

/// `$128\r\n`, the value, `\r\n`.
pub(crate) fn reply_bytes() -> usize {
    format!("${VALUE_BYTES}\r\n\r\n").len() + VALUE_BYTES
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    text.into_bytes()
}
