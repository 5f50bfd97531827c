//! The real binary.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use millpond_proto::v1::cache_service_client::CacheServiceClient;
use tonic::transport::Endpoint;

use crate::support::{Client, eventually};

/// The real binary; killed if the test fails.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// What it said where it listens; empty where it does not.
    pub(crate) cache: String,
    pub(crate) probe: String,
    pub(crate) admin: String,
}

impl Process {
    /// `serve` on free ports, without what whoever runs the tests has in the environment.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::writing_to(Stdio::piped(), arguments)
    }

    /// The same with this as its stderr.
    pub(crate) fn writing_to(stderr: impl Into<Stdio>, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MILLPOND_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--probe", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0", "--no-socket"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the binary was built");
        // From here on it is killed whatever fails, reading its addresses included.
        let mut process = Self {
            child,
            cache: String::new(),
            probe: String::new(),
            admin: String::new(),
        };
        let said = process.child.stdout.take().expect("it is piped");
        let mut greeted = false;
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["cache", address, ..] if address.starts_with("http:") => {
                    process.cache = address.to_owned();
                }
                ["probe", address, ..] => process.probe = address.to_owned(),
                ["admin", address, ..] => process.admin = address.to_owned(),
                ["Ctrl-C", ..] => {
                    greeted = true;
                    break;
                }
                _ => {}
            }
        }
        assert!(greeted, "it ended before it served");
        process
    }

    pub(crate) async fn client(&self) -> Client {
        let endpoint = Endpoint::from_shared(self.cache.clone()).expect("a URI");
        CacheServiceClient::new(endpoint.connect().await.expect("it accepts"))
    }

    /// The cache's TCP address.
    pub(crate) fn cache_at(&self) -> &str {
        self.cache.strip_prefix("http://").expect("it is a URI")
    }

    /// Bytes of memory it occupies.
    pub(crate) fn resident(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib
            .and_then(|kib| kib.parse().ok())
            .expect("a number of KiB");
        kib << 10
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("there is a kill").success());
    }

    /// Waits for its end; its exit status, unless a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("the process ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
