//! The real binary.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use millpond_proto::v1::admin_service_client::AdminServiceClient;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use tonic::transport::Endpoint;

use crate::support::Client;
use crate::{Answer, Operator, ask};

/// The real binary; killed if the test fails.
pub(crate) struct Process {
    pub(crate) child: Child,
    cache: String,
    admin: SocketAddr,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(["serve", "--no-socket", "--no-probe"])
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let said = child.stdout.take().expect("it is piped");
        let mut process = Self {
            child,
            cache: String::new(),
            admin: SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["cache", address, ..] if address.starts_with("http:") => {
                    process.cache = address.to_owned();
                }
                ["admin", address, ..] => {
                    let address = address.trim_start_matches("http://");
                    process.admin = address.parse().expect("an address");
                }
                ["Ctrl-C", ..] => break,
                _ => {}
            }
        }
        assert!(!process.cache.is_empty() && process.admin.port() != 0);
        process
    }

    pub(crate) async fn client(&self) -> Client {
        let endpoint = Endpoint::from_shared(self.cache.clone()).expect("a URI");
        CacheServiceClient::new(endpoint.connect().await.expect("it accepts"))
    }

    pub(crate) async fn operator(&self) -> Operator {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.admin)).expect("a URI");
        AdminServiceClient::new(endpoint.connect().await.expect("it accepts"))
    }

    pub(crate) async fn drain(&self, meant: &str) -> Answer {
        let host = format!("Host: {}", self.admin);
        ask(self.admin, "POST /drain?wait", &[&host, meant]).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
