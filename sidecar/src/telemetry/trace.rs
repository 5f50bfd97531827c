//! Traces over OTLP: a span for each call, under the caller's own.
//!
//! Off unless configured, and then nothing of this exists: no thread, no channel, no
//! allocation. On, a call reads its caller's context (W3C `traceparent` and
//! `tracestate`), which decides whether it is sampled; calls without one are
//! sampled by the configured ratio. What is not sampled is not built.
//!
//! ```text
//!  worker ── span ends ──► queue, bounded ──► thread millpond-traces ── gRPC ──► collector
//!               never waits; full: dropped and counted
//! ```
//!
//! A collector that is away costs its spans and nothing else. What is still queued
//! when the sidecar ends is sent within the drain's time.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use millpond_core::cache::{Answer, Scope};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanExporter as _};
use tokio::sync::oneshot;
use tonic::metadata::MetadataMap;

use self::headers::Headers;
use self::leads::Leads;
use self::queue::{Export, Queue};
use self::span::CallSpan;
use self::words::Named;
use super::calls::{Method, Wait};
use crate::drain::Stages;

mod headers;
mod leads;
mod queue;
pub(crate) mod span;
pub(crate) mod words;

pub(crate) use queue::Spans;

/// Makes spans.
#[derive(Debug)]
pub(crate) struct Traces {
    tracer: SdkTracer,
    callers: TraceContextPropagator,
    leads: Leads,
}

/// The thread that exports.
#[derive(Debug)]
pub(crate) struct Exporting {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporting {
    /// Waits until the last spans were sent or their time was up. No call may be
    /// under way any more, and the stage be the last.
    pub(crate) fn join(self) {
        drop(self.end);
        // A thread that panicked has been told of already.
        drop(self.thread.join());
    }
}

/// Starts making spans and sending them to `endpoint`: of the calls whose caller sends
/// no `traceparent` the share `sample`, of the others what their caller decided. The
/// sidecar goes through the stages, and its end takes at most the time beside them.
///
/// # Errors
/// When the address is none, or the system gives no thread.
pub(crate) fn start(
    endpoint: &str,
    sample: f64,
    (stages, drain): (Stages, Duration),
    spans: Arc<Spans>,
) -> Result<(Arc<Traces>, Exporting), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("threads: {error}"))?;
    let resource = resource();
    let exporter = {
        // The channel belongs to the runtime in which it is made.
        let _inside = runtime.enter();
        let once = RetryPolicy::default().with_max_retries(0);
        let mut exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(queue::EXPORT_PATIENCE)
            .with_retry_policy(once)
            .build()
            .map_err(|error| format!("tracing.endpoint: {error}"))?;
        exporter.set_resource(&resource);
        exporter
    };
    let (queue, queued) = Queue::new(Arc::clone(&spans));
    let export = Export::new(exporter, queued, spans, stages, drain);
    let (end, ended) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("millpond-traces".to_owned())
        .spawn(move || runtime.block_on(export.run(ended)))
        .map_err(|error| format!("threads: {error}"))?;
    let roots = Sampler::TraceIdRatioBased(sample);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(queue)
        .with_sampler(Sampler::ParentBased(Box::new(roots)))
        .with_resource(resource)
        .build();
    let traces = Traces {
        tracer: provider.tracer("millpond"),
        callers: TraceContextPropagator::new(),
        leads: Leads::new(),
    };
    Ok((Arc::new(traces), Exporting { end, thread }))
}

/// Who we are: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say it better.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let unnamed = detected
        .get(&"service.name".into())
        .is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if unnamed {
        builder.with_service_name("millpond").build()
    } else {
        builder.build()
    }
}

impl Traces {
    /// The span of a call, if it is sampled.
    pub(crate) fn begin(
        self: &Arc<Self>,
        method: Method,
        metadata: &MetadataMap,
        request: &impl Named,
    ) -> Option<Box<CallSpan>> {
        let caller = self
            .callers
            .extract_with_context(&Context::new(), &Headers(metadata));
        let span = self
            .tracer
            .span_builder(method.path())
            .with_kind(SpanKind::Server)
            .start_with_context(&self.tracer, &caller);
        let context = caller.with_span(span);
        if !context.span().is_recording() {
            return None;
        }
        context
            .span()
            .set_attributes(words::of_request(method, request));
        Some(Box::new(CallSpan::new(Arc::clone(self), context)))
    }

    /// Remembers who leads a key, and links who waited to it.
    pub(crate) fn answered(
        &self,
        span: Option<&CallSpan>,
        scope: &Scope,
        key: &[u8],
        answer: &Answer,
        wait: &Wait,
    ) {
        if answer.lease.is_some() {
            self.leads.put(scope, key, span.map(CallSpan::identity));
        } else if let Some(span) = span
            && wait.told().is_some()
            && let Some(leader) = self.leads.of(scope, key)
        {
            span.link(leader);
        }
    }
}
