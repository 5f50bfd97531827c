//! What is served beside the cache.

use millpond_proto::v1::HelloRequest;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{Pod, get, read};

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
