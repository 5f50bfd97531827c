//! From ended spans to the collector: a bounded queue, and the thread behind it.
//!
//! The SDK's own batch processor counts nothing that it drops and waits on its own
//! terms when it is shut down; this one is small enough to have both right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use crate::drain::{Stage, Stages};

/// Spans that may wait, at about 1 KiB each.
pub(super) const MAX_QUEUED: usize = 2_048;
/// Spans sent in one message.
const MAX_BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const BATCH_PATIENCE: Duration = Duration::from_secs(1);
/// How long the collector has to take a batch.
pub(super) const EXPORT_PATIENCE: Duration = Duration::from_secs(5);
/// How long the last batches may take once the last call has ended, within the
/// drain's time.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    exported: AtomicU64,
    dropped: AtomicU64,
}

// Relaxed throughout: these are counts, and order nothing.
impl Spans {
    pub(crate) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_some(&self, spans: usize) {
        self.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

/// Takes spans as they end; never waits.
#[derive(Debug)]
pub(super) struct Queue {
    ended: mpsc::Sender<SpanData>,
    spans: Arc<Spans>,
}

impl Queue {
    pub(super) fn new(spans: Arc<Spans>) -> (Self, mpsc::Receiver<SpanData>) {
        let (ended, queued) = mpsc::channel(MAX_QUEUED);
        (Self { ended, spans }, queued)
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.ended.try_send(span).is_err() {
            self.spans.drop_some(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(()) // the thread behind the queue flushes when the sidecar ends
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends what is queued, until the sidecar has ended.
#[derive(Debug)]
pub(super) struct Export<E> {
    exporter: E,
    queued: mpsc::Receiver<SpanData>,
    spans: Arc<Spans>,
    stages: Stages,
    drain: Duration,
    /// Taken from the queue and not sent yet.
    batch: Vec<SpanData>,
    /// Being sent.
    in_hand: usize,
    /// Whether the collector took the last batch.
    taken: bool,
}

impl<E: SpanExporter> Export<E> {
    pub(super) fn new(
        exporter: E,
        queued: mpsc::Receiver<SpanData>,
        spans: Arc<Spans>,
        stages: Stages,
        drain: Duration,
    ) -> Self {
        Self {
            exporter,
            queued,
            spans,
            stages,
            drain,
            batch: Vec::new(),
            in_hand: 0,
            taken: true,
        }
    }

    /// Sends until `ended` says that no span will come, and then what is left, as
    /// far as the drain's time allows.
    pub(super) async fn run(mut self, ended: oneshot::Receiver<()>) {
        let (stages, drain) = (self.stages.clone(), self.drain);
        let time_is_up = async {
            stages.reached(Stage::Draining).await;
            let end = Instant::now() + drain;
            stages.reached(Stage::Stopped).await;
            sleep_until(end.min(Instant::now() + FLUSH_PATIENCE)).await;
        };
        tokio::select! {
            () = self.serve(ended) => {}
            () = time_is_up => {}
        }
        self.queued.close();
        let mut lost = self.in_hand + self.batch.len();
        while self.queued.try_recv().is_ok() {
            lost += 1;
        }
        self.spans.drop_some(lost);
        if lost > 0 {
            warn!(spans = lost, "spans were not sent in the drain's time");
        }
    }

    async fn serve(&mut self, ended: oneshot::Receiver<()>) {
        let mut ended = Some(ended);
        loop {
            let more = match ended.as_mut() {
                None => self.gather().await,
                Some(last) => tokio::select! {
                    more = self.gather() => more,
                    _ = last => {
                        ended = None;
                        self.queued.close();
                        continue;
                    }
                },
            };
            if !more {
                return;
            }
            self.send().await;
        }
    }

    /// Waits for a batch; false when none will come. What was taken stays in
    /// `batch` if this is dropped.
    async fn gather(&mut self) -> bool {
        let Self { queued, batch, .. } = self;
        if batch.is_empty() {
            match queued.recv().await {
                Some(span) => batch.push(span),
                None => return false,
            }
        }
        let fill = async {
            while batch.len() < MAX_BATCH
                && let Some(span) = queued.recv().await
            {
                batch.push(span);
            }
        };
        tokio::select! {
            () = fill => {}
            () = sleep(BATCH_PATIENCE) => {}
            // Whoever drains does not wait for company.
            () = self.stages.reached(Stage::Draining) => {}
        }
        while batch.len() < MAX_BATCH
            && let Ok(span) = queued.try_recv()
        {
            batch.push(span);
        }
        true
    }

    async fn send(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.in_hand = batch.len();
        let sent = timeout(EXPORT_PATIENCE, self.exporter.export(batch)).await;
        let spans = std::mem::take(&mut self.in_hand);
        match sent {
            Ok(Ok(())) => {
                self.spans
                    .exported
                    .fetch_add(spans as u64, Ordering::Relaxed);
                if !std::mem::replace(&mut self.taken, true) {
                    info!("the collector takes spans again");
                }
            }
            refused => {
                self.spans.drop_some(spans);
                if std::mem::replace(&mut self.taken, false) {
                    let why = match refused {
                        Ok(Err(error)) => error.to_string(),
                        _ => format!("no answer within {} s", EXPORT_PATIENCE.as_secs()),
                    };
                    warn!(%why, "the collector does not take spans; they are dropped");
                }
            }
        }
    }
}
