//! A traced call's span.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond_core::clock::{Clock, Time};
use opentelemetry::trace::{Span as _, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, ContextGuard, KeyValue};
use tonic::Code;

use super::{Traces, words};
use crate::telemetry::calls::Method;

#[derive(Debug)]
pub(crate) struct CallSpan {
    traces: Arc<Traces>,
    context: Context,
}

impl CallSpan {
    pub(super) fn new(traces: Arc<Traces>, context: Context) -> Self {
        Self { traces, context }
    }

    /// Makes it the thread's current one.
    pub(crate) fn enter(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    pub(super) fn identity(&self) -> SpanContext {
        self.context.span().span_context().clone()
    }

    pub(super) fn link(&self, to: SpanContext) {
        self.context.span().add_link(to, Vec::new());
    }

    /// Ends it at `now`; what it waited becomes a span under it.
    pub(crate) fn end(
        &self,
        method: Method,
        clock: &Clock,
        now: Time,
        waited: Option<(Time, Time)>,
        (code, result): (Code, Option<&'static str>),
    ) {
        let wall = UNIX_EPOCH + Duration::from_micros(clock.wall_micros());
        if let Some((from, to)) = waited {
            let at = |time: Time| -> SystemTime { wall - now.since(time) };
            let tracer = &self.traces.tracer;
            tracer
                .span_builder(words::waited_for(method))
                .with_start_time(at(from))
                .start_with_context(tracer, &self.context)
                .end_with_timestamp(at(to));
        }
        let span = self.context.span();
        if let Some(result) = result {
            span.set_attribute(KeyValue::new("millpond.result", result));
        }
        span.set_attribute(KeyValue::new(
            "rpc.grpc.status_code",
            i64::from(code as i32),
        ));
        if words::is_servers_fault(code) {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(wall);
    }
}
