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
    /// `http://host:port`.
    Http(Uri),
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///path` is how other gRPC libraries write it.
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.starts_with('/') {
                return Ok(Self::Unix(path.into()));
            }
        } else if let Ok(uri) = text.parse::<Uri>()
            && uri.scheme_str() == Some("http")
            && uri.host().is_some()
            && matches!(uri.path(), "" | "/")
        {
            return Ok(Self::Http(uri));
        }
        Err(Error::Rejected {
            message: format!("address: {text:?}, expected unix:/path/to.sock or http://host:port"),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http(uri) => uri.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_or_a_plain_http_origin() {
        for (text, path) in [
            ("unix:/run/m.sock", "/run/m.sock"),
            ("unix:///run/m.sock", "/run/m.sock"),
        ] {
            assert_eq!(Address::parse(text), Ok(Address::Unix(path.into())));
        }
        assert!(matches!(
            Address::parse("http://127.0.0.1:7470"),
            Ok(Address::Http(_))
        ));
        for text in [
            "",
            "unix:",
            "unix:run/m.sock",
            "127.0.0.1:7470",
            "https://127.0.0.1:7470",
            "http://127.0.0.1:7470/cache",
        ] {
            let error = Address::parse(text).expect_err(text).to_string();
            assert!(error.contains("expected unix:/path/to.sock"), "{error}");
        }
    }
}
