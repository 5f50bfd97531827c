//! The way to a sidecar's admin port, for the commands of an operator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use http::uri::Authority;
use millpond_core::cache::MAX_CACHES_LISTED;
use millpond_proto::v1::admin_service_client::AdminServiceClient;
use millpond_proto::v1::{CacheInForce, StatsReply};
use millpond_sidecar::DEFAULT_ADMIN;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status as RpcStatus};

use super::exit::Failure;
use super::terminal::printable;

/// How long a call may take: the sidecar is on this machine, or behind a forwarded
/// port.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an operator's command speaks to.
pub(crate) type Sidecar = AdminServiceClient<Channel>;

/// Where the admin port is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Operator {
    /// The sidecar's admin port, as it was told to listen
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "MILLPOND_ADMIN",
        default_value_t = DEFAULT_ADMIN.to_string()
    )]
    admin: String,
}

impl Operator {
    /// Runs `talk` with a client, on a runtime of its own.
    pub(crate) fn run<T>(
        &self,
        talk: impl AsyncFnOnce(Sidecar) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.run_for(PATIENCE, talk)
    }

    /// The same, within this time.
    pub(crate) fn run_for<T>(
        &self,
        patience: Duration,
        talk: impl AsyncFnOnce(Sidecar) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("threads: {error}"))?;
        runtime.block_on(async {
            let endpoint = self.endpoint()?.connect_timeout(patience).timeout(patience);
            let channel = endpoint.connect().await.map_err(|error| {
                let cause = std::error::Error::source(&error);
                let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
                Failure::unavailable(format_args!(
                    "{}: {cause}; --admin or MILLPOND_ADMIN says where a sidecar's admin port is",
                    printable(&self.admin)
                ))
            })?;
            talk(Sidecar::new(channel)).await
        })
    }

    fn endpoint(&self) -> Result<Endpoint, Failure> {
        let authority = self.authority()?;
        let uri = |authority: &str| format!("http://{authority}");
        let endpoint = Endpoint::from_shared(uri(&authority)).map_err(|_| self.wrong())?;
        let host = uri(&host(&authority)).parse().map_err(|_| self.wrong())?;
        Ok(endpoint.origin(host))
    }

    /// `host:port`, reachable from here: a sidecar that listens on every address
    /// answers on the loopback one.
    pub(crate) fn authority(&self) -> Result<String, Failure> {
        if self.admin.is_empty() {
            // A variable that is empty says nothing.
            return Ok(DEFAULT_ADMIN.to_string());
        }
        let text = self.admin.strip_prefix("http://").unwrap_or(&self.admin);
        let text = text.strip_suffix('/').unwrap_or(text);
        if let Ok(mut address) = text.parse::<SocketAddr>() {
            match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => {
                    address.set_ip(Ipv4Addr::LOCALHOST.into());
                }
                IpAddr::V6(ip) if ip.is_unspecified() => {
                    address.set_ip(Ipv6Addr::LOCALHOST.into());
                }
                _ => {}
            }
            return Ok(address.to_string());
        }
        is_host_and_port(text)
            .then(|| text.to_owned())
            .ok_or_else(|| self.wrong())
    }

    fn wrong(&self) -> Failure {
        let found = printable(&self.admin);
        Failure::usage(format_args!(
            "--admin: {found:?}, expected HOST:PORT, such as {DEFAULT_ADMIN}"
        ))
    }
}

/// Whether it is `host:port`, and both are there.
pub(crate) fn is_host_and_port(text: &str) -> bool {
    let authority: Result<Authority, _> = text.parse();
    authority.is_ok_and(|authority| {
        let host = !authority.host().is_empty() && !text.contains('@');
        host && authority.port_u16().is_some_and(|port| port > 0)
    })
}

/// What `Host` says to a sidecar at `authority`. It takes no name but `localhost`, because
/// a browser can be made to call it under any other; a name given here is no page's.
pub(crate) fn host(authority: &str) -> String {
    match authority.rsplit_once(':') {
        Some(_) if authority.parse::<SocketAddr>().is_ok() => authority.to_owned(),
        Some((_, port)) => format!("localhost:{port}"),
        None => authority.to_owned(),
    }
}

/// Whether a sidecar knows the cache: it is declared, or somebody has used it. A name that
/// is neither is most often one misspelt.
pub(crate) fn knows(stats: &StatsReply, cache: &str) -> bool {
    let known = |of: &CacheInForce| of.declared || of.tenants > 0;
    // A list that is full may lack it.
    stats.caches.len() >= MAX_CACHES_LISTED
        || stats.caches.iter().any(|of| of.name == cache && known(of))
}

/// A reply, or what its status means to an operator.
pub(crate) fn reply<T>(result: Result<Response<T>, RpcStatus>) -> Result<T, Failure> {
    result.map(Response::into_inner).map_err(|status| {
        let said = printable(status.message());
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                Failure::unavailable(said)
            }
            Code::Unimplemented => {
                Failure::refused(format_args!("this sidecar does not know the call: {said}"))
            }
            Code::InvalidArgument => Failure::usage(said),
            _ => Failure::refused(said),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_called_by_its_address_or_as_localhost() {
        for (authority, said) in [
            ("127.0.0.1:7471", "127.0.0.1:7471"),
            ("[::1]:7471", "[::1]:7471"),
            ("localhost:7471", "localhost:7471"),
            ("pod.example:7471", "localhost:7471"),
        ] {
            assert_eq!(host(authority), said);
        }
    }

    #[test]
    fn the_address_that_a_sidecar_listens_on_is_one_to_call() {
        let authority = |admin: &str| {
            let admin = admin.to_owned();
            Operator { admin }.authority()
        };
        for (given, called) in [
            ("127.0.0.1:7471", "127.0.0.1:7471"),
            ("http://127.0.0.1:7471/", "127.0.0.1:7471"),
            ("0.0.0.0:7", "127.0.0.1:7"),
            ("[::]:7", "[::1]:7"),
            ("pod.example:7471", "pod.example:7471"),
            ("", "127.0.0.1:7471"),
        ] {
            assert_eq!(authority(given), Ok(called.to_owned()), "{given}");
        }
        for given in [
            "off",
            "7471",
            "https://h:1",
            "u@h:1",
            "h",
            "h:1/path",
            "h:99999",
            ":7471",
            "h:0",
        ] {
            assert!(authority(given).is_err(), "{given}");
        }
    }
}
