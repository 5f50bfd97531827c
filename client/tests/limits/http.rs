//! The layer before a service of HTTP.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use millpond_client::tenants::State;
use millpond_client::tower::{LimitLayer, Limiting};
use millpond_client::{RemoteConfig, WithoutSidecar};
use tower::{Layer, ServiceExt};

use crate::venue::{SECOND, Venue, in_time, named, quota};

crate::everywhere!(
    requests_over_the_limit_are_refused_with_when_to_come_back,
    keys_and_costs_are_found_in_the_request,
    what_is_not_served_or_no_name_is_told_apart,
    a_request_without_a_tenant_goes_on_and_nothing_is_said,
    two_layers_say_both_their_limits,
    a_granted_limit_refuses_alike,
);

type Body = Full<Bytes>;

fn layer(limit: impl Into<Limiting>) -> LimitLayer {
    LimitLayer::new(limit, |request| {
        let tenant = request.headers.get("x-tenant")?.to_str().ok()?;
        Some(tenant.to_owned())
    })
}

async fn asked(layer: &LimitLayer, path: &str, tenant: Option<&str>) -> Response<Body> {
    let hello = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::from("hello")))
    });
    let mut request = Request::builder().uri(path);
    if let Some(tenant) = tenant {
        request = request.header("x-tenant", tenant);
    }
    let request = request.body(Body::default()).expect("it is one");
    let served = layer.layer(hello).oneshot(request).await;
    served.expect("it cannot fail")
}

fn said(response: &Response<Body>, name: &str) -> Vec<String> {
    let values = response.headers().get_all(name).iter();
    values
        .map(|value| value.to_str().expect("it is text").to_owned())
        .collect()
}

async fn requests_over_the_limit_are_refused_with_when_to_come_back(venue: Venue) {
    let slow = millpond_client::Quota::new(1, 30 * SECOND, 2).expect("a quota");
    venue.put("acme", Some(slow), Vec::new());
    let layer = layer(venue.pond.requests());
    for (left, reset) in [(1, 30), (0, 60)] {
        let response = asked(&layer, "/", Some("acme")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = said(&response, "ratelimit-policy");
        assert_eq!(policy, [r#""requests";q=2;w=60"#]);
        let limit = format!(r#""requests";r={left};t={reset}"#);
        assert_eq!(said(&response, "ratelimit"), [limit]);
        assert!(said(&response, "retry-after").is_empty());
    }
    venue.clock.advance(SECOND);
    let response = asked(&layer, "/", Some("acme")).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(said(&response, "retry-after"), ["29"]);
    assert_eq!(said(&response, "ratelimit"), [r#""requests";r=0;t=59"#]);
    let policy = said(&response, "ratelimit-policy");
    assert_eq!(policy, [r#""requests";q=2;w=60"#]);
}

async fn keys_and_costs_are_found_in_the_request(venue: Venue) {
    let paths = named("paths", None, Some(quota(1, 10)));
    venue.put("acme", None, vec![paths]);
    let layer = layer(venue.pond.limit("paths").expect("a name"))
        .key(|request| Some(Bytes::copy_from_slice(request.uri.path().as_bytes())))
        .cost(|request| if request.uri.query().is_some() { 11 } else { 4 });
    for (path, status) in [("/a", 200), ("/a", 200), ("/a", 429), ("/b", 200)] {
        let response = asked(&layer, path, Some("acme")).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
    let never = asked(&layer, "/c?dear", Some("acme")).await;
    assert_eq!(never.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(said(&never, "retry-after").is_empty(), "it is no use");
}

async fn what_is_not_served_or_no_name_is_told_apart(venue: Venue) {
    venue.put("acme", Some(quota(1, 3)), Vec::new());
    let own = layer(venue.pond.requests());
    let unknown = layer(venue.pond.limit("unheard-of").expect("a name"));
    let status = async |layer: &LimitLayer, tenant| asked(layer, "/", Some(tenant)).await;
    assert_eq!(
        status(&own, "no tenant").await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        status(&unknown, "acme").await.status(),
        StatusCode::FORBIDDEN
    );
    venue.set_state("acme", State::Suspended);
    assert_eq!(status(&own, "acme").await.status(), StatusCode::FORBIDDEN);
    venue.set_state("acme", State::Maintenance);
    let response = status(&own, "acme").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(said(&response, "retry-after"), ["1"]);
}

async fn a_request_without_a_tenant_goes_on_and_nothing_is_said(venue: Venue) {
    venue.put("acme", Some(quota(1, 1)), Vec::new());
    venue.put("free", None, Vec::new());
    let layer = layer(venue.pond.requests());
    for tenant in [None, None, Some("free")] {
        let response = asked(&layer, "/", tenant).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().is_empty(), "{response:?}");
    }
    assert_eq!(venue.left("acme").await, 1);
}

async fn two_layers_say_both_their_limits(venue: Venue) {
    let limits = vec![
        named("outer", Some(quota(1, 10)), None),
        named("inner", Some(quota(1, 5)), None),
    ];
    venue.put("acme", None, limits);
    let limit = |name| layer(venue.pond.limit(name).expect("a name"));
    let hello = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::from("hello")))
    });
    let service = limit("outer").layer(limit("inner").layer(hello));
    let request = Request::builder().header("x-tenant", "acme");
    let request = request.body(Body::default()).expect("it is one");
    let response = service.oneshot(request).await.expect("it cannot fail");
    let both = [r#""inner";r=4;t=1"#, r#""outer";r=9;t=1"#];
    assert_eq!(said(&response, "ratelimit"), both);
}

async fn a_granted_limit_refuses_alike(venue: Venue) {
    venue.put("acme", Some(quota(1, 5)), Vec::new());
    let layer = layer(venue.pond.requests().granted());
    for _ in 0..5 {
        let response = asked(&layer, "/", Some("acme")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = said(&response, "ratelimit-policy");
        assert_eq!(policy, [r#""requests";q=5;w=5"#]);
    }
    let response = asked(&layer, "/", Some("acme")).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(said(&response, "retry-after"), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_nobody_decides_is_unavailable_where_that_was_chosen() {
    in_time(async {
        let pond = RemoteConfig::new("unix:/nonexistent/millpond.sock")
            .expect("an address")
            .timeout(Duration::from_millis(50))
            .limits_on_unavailable(WithoutSidecar::Closed)
            .connect_lazily();
        let closed = asked(&layer(pond.requests()), "/", Some("acme")).await;
        assert_eq!(closed.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(said(&closed, "retry-after"), ["1"]);
        let open = pond.requests().on_unavailable(WithoutSidecar::Open);
        let open = asked(&layer(open), "/", Some("acme")).await;
        assert_eq!(open.status(), StatusCode::OK);
    })
    .await;
}
