//! Which requests a browser may make.
//!
//! The port is on the loopback interface, and a browser on the same machine runs pages
//! of strangers. What such a page can do, and what stops it:
//!
//! - Call us under a name of its own that it made resolve to 127.0.0.1 (DNS rebinding),
//!   and read the answer as its own: `Host` must be `localhost` or an address in
//!   numbers. A name that an outsider controls is neither, and a browser does not look
//!   up an address.
//! - Call us across origins and not read the answer: `Sec-Fetch-Site`, which current
//!   browsers send to loopback addresses and no page can set, must say that the request
//!   is the page's own, or the user's. A plain link to the console is let through. To
//!   another address without TLS browsers send no such header (Fetch Metadata, section
//!   2): there a stranger's `GET` is answered, changes nothing, and cannot be read, as no
//!   answer of ours allows another origin to.
//! - Change something by a form or `fetch`: what changes state is `POST`, from no other
//!   `Origin`, with the header `X-Millpond`, which no form can send and no other origin
//!   may without asking first; and we grant no such wish.
//! - Call the gRPC services: those answer HTTP/2 only, which browsers speak over TLS
//!   only.
//! - Show us in a frame and guide the user's clicks: forbidden by every answer.

use http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use http::{Method, StatusCode, Uri};
use std::net::{IpAddr, Ipv6Addr};

/// The header that says what a `POST` is meant to do.
pub(super) const INTENT: &str = "x-millpond";

const SITE: &str = "sec-fetch-site";
const MODE: &str = "sec-fetch-mode";

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) &'static str);

const NO_HOST: Refusal = Refusal(StatusCode::BAD_REQUEST, "the Host header is missing\n");
const OTHER_HOST: Refusal = Refusal(
    StatusCode::MISDIRECTED_REQUEST,
    "the Host header must be localhost or an IP address: names could be anybody's\n",
);
const OTHER_SITE: Refusal = Refusal(
    StatusCode::FORBIDDEN,
    "this request comes from another site's page\n",
);

/// Lets a request through that is made by a person or a program, or by our own page.
pub(super) fn admit(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = host(uri, headers).ok_or(NO_HOST)?;
    if !is_ours(host) {
        return Err(OTHER_HOST);
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let site = headers.get(SITE).map(HeaderValue::as_bytes);
    let followed_link = reads
        && uri.path() == "/"
        && headers.get(MODE).map(HeaderValue::as_bytes) == Some(b"navigate");
    match site {
        None | Some(b"same-origin" | b"none") => {}
        Some(_) if followed_link => {}
        Some(_) => return Err(OTHER_SITE),
    }
    if !reads
        && let Some(origin) = headers.get(ORIGIN)
        && origin.as_bytes().strip_prefix(b"http://") != Some(host.as_bytes())
    {
        return Err(OTHER_SITE);
    }
    Ok(())
}

/// Requires that a `POST` says what it is meant to do.
pub(super) fn intends(headers: &HeaderMap, what: &str) -> bool {
    headers.get(INTENT).map(HeaderValue::as_bytes) == Some(what.as_bytes())
}

/// HTTP/2 has it in the URI, HTTP/1.1 in a header. Two that differ are nobody's.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut given = headers.get_all(HOST).iter();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return None;
    }
    let header = match first {
        Some(header) => Some(header.to_str().ok()?),
        None => None,
    };
    match (uri.authority(), header) {
        (Some(authority), Some(header)) if authority.as_str() != header => None,
        (Some(authority), _) => Some(authority.as_str()),
        (None, header) => header,
    }
}

fn is_ours(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((name, port)) if !port.contains(']') => {
            if !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return false;
            }
            name
        }
        _ => host,
    };
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    if let Some(address) = bracketed {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    name.eq_ignore_ascii_case("localhost") || matches!(name.parse::<IpAddr>(), Ok(IpAddr::V4(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn asked(
        method: Method,
        path: &'static str,
        given: &[(&'static str, &'static str)],
    ) -> Result<(), Refusal> {
        admit(&method, &Uri::from_static(path), &headers(given))
    }

    #[test]
    fn only_localhost_and_addresses_in_numbers_are_ours() {
        for ours in [
            "localhost",
            "LocalHost:7471",
            "127.0.0.1",
            "127.0.0.1:7471",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:7471",
        ] {
            let given = headers(&[]);
            let uri = Uri::from_static("/");
            assert_eq!(admit(&Method::GET, &uri, &given), Err(NO_HOST));
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in [
            "",
            ":7471",
            "evil.example",
            "evil.example:7471",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0x7f000001",
            "127.1",
            "2130706433",
            "localhost:7471@evil.example",
            "::1",
            "[::1",
            "[::1]evil.example",
            "[127.0.0.1]",
            "localhost:7471:7471",
            "localhost:evil",
        ] {
            assert!(!is_ours(theirs), "{theirs}");
        }
    }

    #[test]
    fn two_hosts_are_nobodys() {
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(asked(Method::GET, "/", &two), Err(NO_HOST));
        let uri = Uri::from_static("http://localhost:7471/");
        let other = headers(&[("host", "127.0.0.1:7471")]);
        assert_eq!(admit(&Method::GET, &uri, &other), Err(NO_HOST));
        assert_eq!(admit(&Method::GET, &uri, &headers(&[])), Ok(()));
    }

    #[test]
    fn a_strangers_page_may_link_to_the_console_and_nothing_else() {
        let from = |site, mode| {
            [
                ("host", "localhost:7471"),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
            ]
        };
        for site in ["cross-site", "same-site"] {
            let link = from(site, "navigate");
            assert_eq!(asked(Method::GET, "/", &link), Ok(()));
            assert_eq!(asked(Method::GET, "/stats.json", &link), Err(OTHER_SITE));
            assert_eq!(asked(Method::POST, "/", &link), Err(OTHER_SITE));
            let fetch = from(site, "no-cors");
            assert_eq!(asked(Method::GET, "/", &fetch), Err(OTHER_SITE));
        }
        for site in ["same-origin", "none"] {
            let own = from(site, "cors");
            assert_eq!(asked(Method::GET, "/stats.json", &own), Ok(()));
            assert_eq!(asked(Method::POST, "/drain", &own), Ok(()));
        }
    }

    #[test]
    fn a_change_comes_from_our_own_origin_or_from_no_page() {
        let from = |origin| [("host", "localhost:7471"), ("origin", origin)];
        for (origin, answer) in [
            ("http://localhost:7471", Ok(())),
            ("http://localhost:3000", Err(OTHER_SITE)),
            ("https://localhost:7471", Err(OTHER_SITE)),
            ("http://evil.example", Err(OTHER_SITE)),
            ("null", Err(OTHER_SITE)),
        ] {
            assert_eq!(
                asked(Method::POST, "/drain", &from(origin)),
                answer,
                "{origin}"
            );
        }
        assert_eq!(
            asked(Method::POST, "/drain", &[("host", "localhost:7471")]),
            Ok(())
        );
    }
}
