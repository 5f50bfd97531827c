//! What is served beside the cache.

use bytes::Bytes;
use http::Request;
use millpond_proto::v1::HelloRequest;
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::{v1, v1alpha};

use crate::raw::{Peer, framed, head};
use crate::support::{LONG, Pod, eventually, get, read};

#[tokio::test]
async fn hello_tells_the_boot_that_leases_name_and_the_limits() {
    let pod = Pod::start();
    let client = pod.client().await;
    let hello = client.clone().hello(HelloRequest {}).await;
    let hello = hello.expect("it answers").into_inner();
    assert_eq!(hello.revision, 1);
    let limits = hello.limits.expect("always told");
    assert_eq!((limits.max_key_bytes, limits.max_keys), (1_024, 512));
    let reply = read(&client, get("key")).await;
    assert_eq!(reply.lease.expect("nobody leads yet").boot, hello.boot);
    assert_eq!(reply.as_of.expect("always told").boot, hello.boot);
}

#[tokio::test]
async fn health_answers_for_the_process_and_the_cache() {
    let pod = Pod::start();
    let mut health = HealthClient::new(pod.channel().await);
    for service in ["", "millpond.v1.CacheService"] {
        let asked = HealthCheckRequest {
            service: service.to_owned(),
        };
        let HealthCheckResponse { status } =
            health.check(asked).await.expect("it is known").into_inner();
        assert_eq!(status, ServingStatus::Serving as i32, "{service}");
    }
    let asked = HealthCheckRequest {
        service: "nobody".to_owned(),
    };
    let unknown = health.check(asked).await.expect_err("it is unknown");
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let pod = Pod::start();
    let expected = ["grpc.health.v1.Health", "millpond.v1.CacheService"];

    let asked = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
        ..v1::ServerReflectionRequest::default()
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(pod.channel().await);
    let replies = client
        .server_reflection_info(tokio_stream::once(asked))
        .await;
    let reply = replies.expect("it is served").into_inner().message().await;
    let reply = format!("{:?}", reply.expect("it answers"));
    assert!(expected.iter().all(|name| reply.contains(name)), "{reply}");

    let asked = v1alpha::ServerReflectionRequest {
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
        ..v1alpha::ServerReflectionRequest::default()
    };
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(pod.channel().await);
    let replies = client
        .server_reflection_info(tokio_stream::once(asked))
        .await;
    let reply = replies.expect("it is served").into_inner().message().await;
    let reply = format!("{:?}", reply.expect("it answers"));
    assert!(expected.iter().all(|name| reply.contains(name)), "{reply}");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unimplemented() {
    let pod = Pod::start();
    let mut grpc = tonic::client::Grpc::new(pod.channel().await);
    grpc.ready().await.expect("it is connected");
    let path = http::uri::PathAndQuery::from_static("/some.Other/Call");
    let codec = tonic_prost::ProstCodec::<HelloRequest, HelloRequest>::default();
    let refused = grpc
        .unary(tonic::Request::new(HelloRequest {}), path, codec)
        .await;
    assert_eq!(
        refused.expect_err("nobody serves it").code(),
        Code::Unimplemented
    );
}

#[tokio::test]
async fn what_is_no_grpc_call_is_refused_in_the_words_of_http_and_leads_nothing() {
    let pod = Pod::start();
    let mut peer = Peer::connect(&pod).await;
    let get_at = "http://localhost/millpond.v1.CacheService/Get";
    let check_at = "http://localhost/grpc.health.v1.Health/Check";
    for (method, content_type, status) in [
        ("POST", "application/json", 415),
        ("POST", "application/grpc-web+proto", 415),
        ("HEAD", "application/grpc", 405),
        ("GET", "application/grpc", 405),
    ] {
        for (uri, message) in [(get_at, framed(&get("key"))), (check_at, head(0).freeze())] {
            let request = Request::builder()
                .method(method)
                .uri(uri)
                .header("content-type", content_type);
            let mut call = peer.begin_as(request).await;
            call.send(message, true);
            let answer = timeout(LONG, call.response())
                .await
                .expect("it is answered");
            let answer = answer.expect("not by a reset");
            assert_eq!(answer.status(), status, "{method} {content_type} {uri}");
            assert!(answer.into_body().is_end_stream());
        }
    }
    assert_eq!(pod.running.pond().totals().leads, 0);
    let subtype = Request::post(get_at).header("content-type", "application/grpc+proto");
    let mut call = peer.begin_as(subtype).await;
    call.send(framed(&get("key")), true);
    assert_eq!(call.ended().await.code, 0);
}

#[tokio::test]
async fn a_compressed_message_is_told_what_is_taken() {
    let pod = Pod::start();
    let mut peer = Peer::connect(&pod).await;
    let mut call = peer.begin("Get").await;
    call.send(Bytes::from_static(&[1, 0, 0, 0, 0]), true);
    let answer = timeout(LONG, call.response())
        .await
        .expect("it is answered");
    let answer = answer.expect("not by a reset");
    assert_eq!(answer.headers()["grpc-status"], "12");
    assert_eq!(answer.headers()["grpc-accept-encoding"], "identity");
}

#[tokio::test]
async fn a_watch_of_health_holds_its_call_and_not_its_message() {
    const WATCHES: usize = 100;
    let pod = Pod::start();
    let mut peer = Peer::connect(&pod).await;
    let mut watching = Vec::new();
    for _ in 0..WATCHES {
        let at = "http://localhost/grpc.health.v1.Health/Watch";
        let mut call = peer.begin_at(at, &[]).await;
        call.send(head(0).freeze(), true);
        watching.push(call.head().await);
    }
    let held = pod.running.in_flight_bytes() / WATCHES as u64;
    assert!((1..4 << 10).contains(&held), "{held} bytes each");
    drop((watching, peer));
    eventually("it is given back", || pod.running.in_flight_bytes() == 0).await;
}
