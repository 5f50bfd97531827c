//! Where a sidecar is, checked once.

use std::fmt;
use std::path::PathBuf;

use tonic::transport::Uri;

use crate::error::Error;

/// Where a sidecar is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host and a port.
    Http {
        uri: Uri,
        /// `host:port`.
        at: String,
    },
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |what: &str| Error::Rejected {
            message: format!(
                "address {text:?}: {what}; expected unix:/path/to.sock or http://host:port"
            ),
        };
        if text.is_empty() {
            return Err(refuse("is empty"));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///path` is how other gRPC libraries write it.
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(refuse("the socket's path does not begin with /"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let authority = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(refuse("TLS is not spoken")),
            Some(_) => return Err(refuse("has another scheme")),
            None => text,
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(refuse("has more than host and port"));
        }
        if authority.contains('@') {
            return Err(refuse("has a user"));
        }
        let uri: Uri = format!("http://{authority}")
            .parse()
            .map_err(|_| refuse("is no host and port"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(refuse("has no host"));
        }
        if uri.port_u16().is_none_or(|port| port == 0) {
            return Err(refuse("has no port"));
        }
        Ok(Self::Http {
            uri,
            at: authority.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http { at, .. } => write!(f, "http://{at}"),
        }
    }
}

impl Error {
    /// The same error, saying of which sidecar.
    pub(super) fn at(self, address: &Address) -> Self {
        match self {
            Self::Unavailable { message } => Self::Unavailable {
                message: format!("{address}: {message}"),
            },
            Self::Rejected { message } => Self::Rejected {
                message: format!("{address}: {message}"),
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_or_a_host_and_a_port() {
        for (text, same) in [
            ("unix:/run/m.sock", "unix:/run/m.sock"),
            ("unix:///run/m.sock", "unix:/run/m.sock"),
            ("http://127.0.0.1:7470", "http://127.0.0.1:7470"),
            ("http://127.0.0.1:7470/", "http://127.0.0.1:7470"),
            ("127.0.0.1:7470", "http://127.0.0.1:7470"),
            ("http://[::1]:7470", "http://[::1]:7470"),
            ("localhost:7470", "http://localhost:7470"),
        ] {
            let parsed = Address::parse(text).expect(text);
            assert_eq!(parsed.to_string(), same);
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (text, what) in [
            ("", "is empty"),
            ("unix:", "does not begin with /"),
            ("unix:run/m.sock", "does not begin with /"),
            ("unix://run/m.sock", "does not begin with /"),
            ("https://127.0.0.1:7470", "TLS is not spoken"),
            ("ftp://127.0.0.1:7470", "another scheme"),
            ("http://127.0.0.1:7470/cache", "more than host and port"),
            ("http://127.0.0.1:7470?x", "more than host and port"),
            ("http://me@127.0.0.1:7470", "has a user"),
            ("http://127.0.0.1", "has no port"),
            ("http://127.0.0.1:0", "has no port"),
            ("http://127.0.0.1:70000", "has no port"),
            ("http://:7470", "no host"),
            ("a b:7470", "is no host and port"),
        ] {
            let error = Address::parse(text).expect_err(text).to_string();
            assert!(error.contains(what), "{text}: {error}");
            assert!(error.contains("expected unix:/path/to.sock"), "{error}");
        }
    }
}
