//! What a browser on the same machine may do, and what it may not.

use crate::support::Pod;
use crate::{admin, ask, curl};

#[tokio::test]
async fn the_console_is_served_with_everything_it_needs() {
    let pod = Pod::start();
    let page = curl(&pod, "GET /", &[]).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let mut named = 0;
    for quoted in page.body.split('"').filter(|text| text.starts_with('/')) {
        let file = curl(&pod, &format!("GET {quoted}"), &[]).await;
        assert_eq!(file.status, 200, "{quoted}");
        named += 1;
    }
    assert_eq!(named, 4, "icon, style, script, and the link to the figures");
    for (path, kind) in [
        ("/style.css", "text/css; charset=utf-8"),
        ("/console.js", "text/javascript; charset=utf-8"),
        ("/chart.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/stats.json", "application/json"),
    ] {
        let file = curl(&pod, &format!("GET {path}"), &[]).await;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, Some(kind))
        );
    }
}

#[tokio::test]
async fn every_answer_keeps_browsers_from_doing_more_with_it() {
    let pod = Pod::start();
    for (request, status) in [
        ("GET /", 200),
        ("GET /stats.json", 200),
        ("GET /nothing", 404),
        ("POST /stats.json", 405),
        ("GET /drain", 405),
        ("POST /drain", 403),
    ] {
        let answer = curl(&pod, request, &[]).await;
        assert_eq!(answer.status, status, "{request}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for part in ["default-src 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{request}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"));
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn a_name_that_was_made_to_resolve_to_us_is_turned_away() {
    let pod = Pod::start();
    let address = admin(&pod);
    let port = address.port();
    for host in ["evil.example", "127.0.0.1.evil.example"] {
        let host = format!("Host: {host}:{port}");
        let answer = ask(address, "GET /stats.json", &[&host]).await;
        assert_eq!(answer.status, 421, "{host}");
        let drain = [&*host, "X-Millpond: drain"];
        assert_eq!(ask(address, "POST /drain", &drain).await.status, 421);
    }
    assert_eq!(ask(address, "GET /", &[]).await.status, 400);
    let two = ["Host: localhost", "Host: evil.example"];
    assert_eq!(ask(address, "GET /", &two).await.status, 400);
    let whole = format!("GET http://evil.example:{port}/");
    assert_eq!(ask(address, &whole, &["Host: localhost"]).await.status, 400);
    for host in ["localhost", "LOCALHOST", "[::1]", "127.0.0.1"] {
        let host = format!("Host: {host}:{port}");
        assert_eq!(ask(address, "GET /", &[&host]).await.status, 200, "{host}");
    }
    assert_eq!(curl(&pod, "GET /stats.json", &[]).await.status, 200);
}

#[tokio::test]
async fn a_strangers_page_can_neither_read_nor_drain() {
    let pod = Pod::start();
    let origin = format!("Origin: http://{}", admin(&pod));
    let foreign: [&[&str]; 5] = [
        &["Sec-Fetch-Site: cross-site", "X-Millpond: drain"],
        &["Sec-Fetch-Site: same-site", "X-Millpond: drain"],
        &["Origin: http://evil.example", "X-Millpond: drain"],
        &["Origin: null", "X-Millpond: drain"],
        // A form of our own origin cannot send the header either.
        &["Sec-Fetch-Site: same-origin", &origin],
    ];
    for headers in foreign {
        let answer = curl(&pod, "POST /drain", headers).await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    let read = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"];
    assert_eq!(curl(&pod, "GET /stats.json", &read).await.status, 403);
    let preflight = [
        "Origin: http://evil.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: x-millpond",
    ];
    let answer = curl(&pod, "OPTIONS /drain", &preflight).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("access-control-allow-headers"), None);
    // Nothing of that drained it.
    let stats = curl(&pod, "GET /stats.json", &[]).await;
    assert!(
        stats.body.contains("\"stage\":\"serving\""),
        "{}",
        stats.body
    );
    let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"];
    assert_eq!(curl(&pod, "GET /", &link).await.status, 200);
}

#[tokio::test]
async fn a_browser_cannot_call_the_services() {
    let pod = Pod::start();
    for path in [
        "/millpond.v1.AdminService/SetMode",
        "/millpond.v1.AdminService/Stats",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        let answer = curl(
            &pod,
            &format!("POST {path}"),
            &["Content-Type: application/grpc", "Content-Length: 0"],
        )
        .await;
        assert_eq!(answer.status, 505, "{path}");
    }
    // The cache is on its own port.
    let answer = curl(&pod, "POST /millpond.v1.CacheService/Get", &[]).await;
    assert_eq!(answer.status, 404);
}
