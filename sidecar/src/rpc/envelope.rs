//! Whether a request is a gRPC call at all: `POST`, of a content type that begins with
//! `application/grpc` (the gRPC protocol over HTTP/2, "Requests").
//!
//! What is not is answered in HTTP's own words, as its sender does not read gRPC's: a
//! `HEAD` could not be answered by a message, and one that was decoded all the same
//! would be granted a lease that nobody takes up.
//!
//! Cost: two comparisons a call.

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};

const GRPC: &[u8] = b"application/grpc";

/// The refusal of a request that is no gRPC call.
pub(super) fn refusal<B, A: Default>(request: &Request<B>) -> Option<Response<A>> {
    if request.method() != Method::POST {
        let mut refusal = refused(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("POST");
        refusal.headers_mut().insert(ALLOW, allowed);
        return Some(refusal);
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_some_and(|found| is_grpc(found.as_bytes())) {
        return None;
    }
    Some(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

/// By itself, with a subtype (`+proto`) or with parameters; gRPC-Web is another
/// protocol.
fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type
        .split_at_checked(GRPC.len())
        .filter(|(grpc, _)| grpc.eq_ignore_ascii_case(GRPC));
    matches!(rest, Some((_, [] | [b'+' | b';', ..])))
}

fn refused<A: Default>(status: StatusCode) -> Response<A> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, content_type: Option<&str>) -> Option<StatusCode> {
        let mut request = Request::builder().method(method);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(()).unwrap();
        refusal::<_, ()>(&request).map(|refusal| refusal.status())
    }

    #[test]
    fn what_says_that_it_is_grpc_is_a_call_and_nothing_else() {
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "Application/GRPC",
        ] {
            assert_eq!(status(Method::POST, Some(grpc)), None, "{grpc}");
        }
        let other = Some(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        for content_type in [
            "",
            "application/grp",
            "application/grpc-web",
            "application/json",
            "text/plain",
        ] {
            let found = status(Method::POST, Some(content_type));
            assert_eq!(found, other, "{content_type}");
        }
        assert_eq!(status(Method::POST, None), other);
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
            let found = status(method, Some("application/grpc"));
            assert_eq!(found, Some(StatusCode::METHOD_NOT_ALLOWED));
        }
    }
}
