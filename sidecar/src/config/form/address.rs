//! Where to listen, and where to send.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value as Json, json};

use super::{Form, Wrong};

/// Whether a text says "nowhere". `false` is what readers of YAML 1.1 make of `off`
/// and `no`.
pub(super) fn is_off(text: &str) -> bool {
    matches!(text, "off" | "no" | "false")
}

/// An address to listen on, or `off`.
pub(crate) struct Address {
    pub(crate) example: &'static str,
}

impl Form for Address {
    type Value = Option<SocketAddr>;

    fn read(&self, text: &str) -> Result<Option<SocketAddr>, Wrong> {
        if is_off(text) {
            return Ok(None);
        }
        if let Ok(address) = text.parse() {
            return Ok(Some(address));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            let port = text.parse::<u16>();
            return Err(port.map_or(Wrong::Form, |_| Wrong::Because("which is only a port")));
        };
        let port = port.parse::<u16>().ok();
        match (host, port) {
            ("localhost", Some(port)) => {
                Ok(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
            }
            ("", Some(_)) => Err(Wrong::Because("which says no address before its port")),
            (_, None) => Err(Wrong::Because("whose port is not a number from 0 to 65535")),
            (host, Some(_)) if host.contains(':') => Err(Wrong::Because(
                "and an IPv6 address stands in brackets, as in [::1]:7470",
            )),
            (_, Some(_)) => Err(Wrong::Because(
                "and names other than localhost are not looked up",
            )),
        }
    }

    fn expected(&self) -> String {
        format!("an IP address and a port such as {}, or off", self.example)
    }

    fn show(&self, address: &Option<SocketAddr>) -> String {
        address.map_or_else(|| "off".to_owned(), |address| address.to_string())
    }

    fn schema(&self) -> Json {
        let port = ":[0-9]{1,5}";
        json!({ "anyOf": [
            { "type": "string", "pattern": format!(
                "^(off|no|false|localhost{port}|[0-9.]+{port}|\\[[0-9A-Fa-f:.%]+\\]{port})$"
            ) },
            { "const": false },
        ] })
    }
}

/// An HTTP address to send to, or `off`.
pub(crate) struct Endpoint;

impl Form for Endpoint {
    type Value = Option<String>;

    fn read(&self, text: &str) -> Result<Option<String>, Wrong> {
        if is_off(text) {
            return Ok(None);
        }
        if text.contains('@') {
            return Err(Wrong::Hidden(
                "which carries a name or a password, and those are not sent",
            ));
        }
        let uri: http::Uri = text.parse().map_err(|_| Wrong::Form)?;
        let authority = uri.authority().ok_or(Wrong::Form)?;
        match uri.scheme_str() {
            Some("http") if matches!(uri.path(), "" | "/") && uri.query().is_none() => {}
            Some("http") => {
                return Err(Wrong::Because("which has a path: OTLP over gRPC has none"));
            }
            Some("https") => {
                return Err(Wrong::Because("and TLS to a collector is not spoken yet"));
            }
            _ => return Err(Wrong::Form),
        }
        Ok(Some(format!("http://{authority}")))
    }

    fn expected(&self) -> String {
        "an address such as http://otel-collector:4317, or off".to_owned()
    }

    fn show(&self, endpoint: &Option<String>) -> String {
        endpoint.clone().unwrap_or_else(|| "off".to_owned())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "string", "pattern": "^(off|no|false|http://[^/@?#]+/?)$" },
            { "const": false },
        ] })
    }
}
