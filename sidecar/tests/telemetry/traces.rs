//! Spans as a real collector receives them. A sidecar that has ended has sent what it
//! had, so what is not there by then was never sent.

use std::collections::HashMap;

use millpond_client::RemoteConfig;
use millpond_proto::v1;
use millpond_sidecar::Config;
use millpond_sidecar::config::Tracing;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::calls::{fill, sample, settle, under};
use crate::collector::Collector;
use crate::support::{Pod, eventually, get, held, read};

const TRACE: [u8; 16] = *b"\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c";
const PARENT: [u8; 8] = *b"\xb7\xad\x6b\x71\x69\x20\x33\x31";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn traced(endpoint: &str, sample: f64) -> Pod {
    Pod::with(Config {
        tracing: Tracing {
            endpoint: Some(endpoint.to_owned()),
            sample,
        },
        ..Config::on_free_ports()
    })
}

/// Drains it; then everything it had to send was sent.
async fn end(pod: Pod) {
    let ended = tokio::task::spawn_blocking(|| pod.running.shutdown()).await;
    assert_eq!(ended.expect("it ends").cut_off, 0);
}

fn words(attributes: &[KeyValue]) -> HashMap<&str, String> {
    let word = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes
        .iter()
        .map(|attribute| {
            let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
            (&*attribute.key, word(value.expect("a value")))
        })
        .collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[tokio::test]
async fn a_call_is_a_span_under_its_callers_and_says_what_came_of_it() {
    let collector = Collector::start().await;
    let pod = traced(&collector.endpoint, 0.0);
    let client = pod.client().await;
    let mut request = under(get("secret-key"), SAMPLED);
    request
        .metadata_mut()
        .insert("tracestate", "vendor=opaque".parse().expect("it is ASCII"));
    let lease = read(&client, request).await.lease;
    fill(&client, "secret-key", lease).await;
    read(&client, under(get("secret-key"), SAMPLED)).await;
    let mut bad = get("secret-key");
    bad.tenant = "of any length, and not a name".to_owned();
    let refused = client.clone().get(under(bad, SAMPLED)).await;
    assert!(refused.is_err());
    drop(client);
    end(pod).await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 3, "the fill had no caller's span: {spans:?}");
    for span in &spans {
        assert_eq!(span.trace_id, TRACE);
        assert_eq!(span.parent_span_id, PARENT);
        assert_ne!(span.span_id, PARENT);
        assert_eq!(span.name, "millpond.v1.CacheService/Get");
        assert_eq!(span.kind(), SpanKind::Server);
        assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    }
    assert_eq!(spans[0].trace_state, "vendor=opaque");
    assert_eq!(
        words(&spans[0].attributes),
        HashMap::from([
            ("rpc.system", "grpc".to_owned()),
            ("rpc.service", "millpond.v1.CacheService".to_owned()),
            ("rpc.method", "Get".to_owned()),
            ("rpc.grpc.status_code", "0".to_owned()),
            ("millpond.tenant", "acme".to_owned()),
            ("millpond.cache", "users".to_owned()),
            ("millpond.result", "lease".to_owned()),
        ])
    );
    assert_eq!(words(&spans[1].attributes)["millpond.result"], "hit");
    let refused = words(&spans[2].attributes);
    assert_eq!(refused["rpc.grpc.status_code"], "3");
    assert!(!refused.contains_key("millpond.tenant"));
    assert!(!refused.contains_key("millpond.result"));
    assert!(!format!("{spans:?}").contains("secret-key"));
    let resource = &collector.resources()[0];
    assert_eq!(words(&resource.attributes)["service.name"], "millpond");
}

#[tokio::test]
async fn the_clients_calls_carry_their_callers_span() {
    let collector = Collector::start().await;
    let running = traced(&collector.endpoint, 0.0);
    let address = running
        .running
        .tcp()
        .expect("it listens on TCP")
        .to_string();
    let config = RemoteConfig::new(&address).expect("the address is one");
    let config = config.propagate(|| SPAN.try_with(ToString::to_string).ok());
    let pond = config.connect().await.expect("it answers");
    let users = pond.cache("users").expect("a name").tenant("acme");
    let users = users.expect("a name");
    let load = || async { Ok::<_, String>("Ada") };

    let inside = SPAN.scope(SAMPLED, users.get_or_load("42", load));
    inside.await.expect("it loads");
    users.get("42").await.expect("it answers"); // under no span
    let broken = SPAN.scope("00-zz-yy-01", users.invalidate("42"));
    broken.await.expect("it takes effect");
    drop((users, pond));
    end(running).await;

    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    let method = |name| format!("millpond.v1.CacheService/{name}");
    assert_eq!(names, [method("Get"), method("Fill")]);
    for span in &spans {
        assert_eq!(span.trace_id, TRACE);
        assert_eq!(span.parent_span_id, PARENT);
    }
}

tokio::task_local! {
    /// The span of the task, as a tracer keeps it.
    static SPAN: &'static str;
}

#[tokio::test]
async fn a_caller_that_is_not_sampled_is_obeyed() {
    let collector = Collector::start().await;
    let pod = traced(&collector.endpoint, 1.0);
    let client = pod.client().await;
    for _ in 0..20 {
        read(&client, under(held("key"), NOT_SAMPLED)).await;
    }
    read(&client, under(held("other"), SAMPLED)).await;
    drop(client);
    end(pod).await;
    assert_eq!(collector.spans().len(), 1);
}

#[tokio::test]
async fn calls_without_a_callers_span_begin_a_trace_by_the_configured_share() {
    for (share, spans) in [(1.0, 5), (0.0, 0)] {
        let collector = Collector::start().await;
        let pod = traced(&collector.endpoint, share);
        let client = pod.client().await;
        for _ in 0..4 {
            read(&client, held("key")).await;
        }
        // What is not a traceparent is not a caller's.
        read(&client, under(held("key"), "00-zz-yy-01")).await;
        drop(client);
        end(pod).await;
        let received = collector.spans();
        assert_eq!(received.len(), spans, "{share}");
        for span in received {
            assert!(span.parent_span_id.is_empty());
            assert_ne!(span.trace_id, TRACE);
        }
    }
}

#[tokio::test]
async fn waiting_is_a_span_of_its_own_and_the_wait_links_to_whom_it_waited_for() {
    let collector = Collector::start().await;
    let pod = traced(&collector.endpoint, 0.0);
    let client = pod.client().await;
    let lease = read(&client, under(get("key"), SAMPLED)).await.lease;
    let following = tokio::spawn({
        let client = client.clone();
        async move { read(&client, under(get("key"), SAMPLED)).await }
    });
    eventually("it waits", || pod.running.pond().totals().coalesced == 1).await;
    fill(&client, "key", lease).await;
    assert!(following.await.expect("it ends").found.is_some());
    drop(client);
    end(pod).await;

    let spans = collector.spans();
    let calls = named(&spans, "millpond.v1.CacheService/Get");
    let of = |result: &str| {
        let fits = |span: &&&Span| words(&span.attributes)["millpond.result"] == result;
        *calls.iter().find(fits).expect("such a call")
    };
    let (leader, follower) = (of("lease"), of("loaded"));
    let waits = named(&spans, "wait for another's load");
    assert_eq!(waits.len(), 1);
    assert_eq!(waits[0].parent_span_id, follower.span_id);
    assert_eq!(waits[0].trace_id, TRACE);
    assert!(waits[0].start_time_unix_nano >= follower.start_time_unix_nano);
    assert!(waits[0].end_time_unix_nano <= follower.end_time_unix_nano);
    assert_eq!(follower.links.len(), 1);
    assert_eq!(follower.links[0].span_id, leader.span_id);
    assert!(leader.links.is_empty());
}

#[tokio::test]
async fn nobody_is_linked_to_a_leader_before_the_one_that_was_waited_for() {
    let collector = Collector::start().await;
    let pod = traced(&collector.endpoint, 0.0);
    let client = pod.client().await;
    let lease = read(&client, under(get("key"), SAMPLED)).await.lease;
    let given_up = v1::fill::Settlement::GivenUp(true);
    let given_up = settle("key", lease, given_up);
    client.clone().fill(given_up).await.expect("it is noted");
    // The next leader is not traced.
    let lease = read(&client, get("key")).await.lease;
    let following = tokio::spawn({
        let client = client.clone();
        async move { read(&client, under(get("key"), SAMPLED)).await }
    });
    eventually("it waits", || pod.running.pond().totals().coalesced == 1).await;
    fill(&client, "key", lease).await;
    following.await.expect("it ends");
    drop(client);
    end(pod).await;
    let spans = collector.spans();
    assert_eq!(named(&spans, "wait for another's load").len(), 1);
    assert!(spans.iter().all(|span| span.links.is_empty()));
}

const EXPORTED: &str = "millpond_traces_spans_total{result=\"exported\"}";
const DROPPED: &str = "millpond_traces_spans_total{result=\"dropped\"}";

#[tokio::test]
async fn a_collector_that_is_away_costs_its_spans_and_no_call() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint.clone();
    // From here on nobody listens there.
    drop(collector);
    let pod = traced(&endpoint, 1.0);
    let client = pod.client().await;
    for _ in 0..50 {
        read(&client, held("key")).await;
    }
    let mut dropped = None;
    // Each look is a whole scrape: a bound in looks, not in time.
    for _ in 0..10_000 {
        dropped = sample(&pod, DROPPED).await;
        if dropped >= Some(50.0) {
            break;
        }
    }
    assert_eq!(dropped, Some(50.0));
    assert_eq!(sample(&pod, EXPORTED).await, Some(0.0));
    read(&client, held("key")).await;
    drop(client);
    end(pod).await;
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_a_bounded_queue_and_no_call() {
    const CALLS: u32 = 4_000;
    // The queue, a batch being gathered and one being sent.
    const HELD: u32 = 2_048 + 512 + 512;
    let collector = Collector::silent().await;
    let pod = traced(&collector.endpoint, 1.0);
    let client = pod.client().await;
    for _ in 0..CALLS {
        read(&client, held("key")).await;
    }
    let dropped = sample(&pod, DROPPED).await.expect("it is there");
    assert!(dropped >= f64::from(CALLS - HELD), "{dropped}");
    assert_eq!(sample(&pod, EXPORTED).await, Some(0.0));
    drop(client);
    // It ends within its time, collector or not.
    end(pod).await;
}
