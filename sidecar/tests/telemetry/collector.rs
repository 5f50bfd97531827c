//! A collector: the receiving end of OTLP over gRPC, on a port of its own.

use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status};

#[derive(Debug, Default)]
struct Received {
    spans: Mutex<Vec<Span>>,
    resources: Mutex<Vec<Resource>>,
}

/// What one collector does with a batch.
#[derive(Clone, Debug)]
struct Taking {
    received: Arc<Received>,
    /// Whether it ever answers.
    answers: bool,
}

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if !self.answers {
            std::future::pending::<()>().await;
        }
        for of_resource in request.into_inner().resource_spans {
            self.received.resources.lock().extend(of_resource.resource);
            for of_scope in of_resource.scope_spans {
                self.received.spans.lock().extend(of_scope.spans);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

pub(crate) struct Collector {
    pub(crate) endpoint: String,
    received: Arc<Received>,
    serving: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::listen(true).await
    }

    /// One that accepts everything and answers nothing.
    pub(crate) async fn silent() -> Self {
        Self::listen(false).await
    }

    async fn listen(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received = Arc::new(Received::default());
        let service = TraceServiceServer::new(Taking {
            received: Arc::clone(&received),
            answers,
        });
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("it accepts");
                let service = service.clone();
                let answer = service_fn(move |request| service.clone().call(request));
                tokio::spawn(
                    http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        Self {
            endpoint: format!("http://{address}"),
            received,
            serving,
        }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received.spans.lock().clone()
    }

    pub(crate) fn resources(&self) -> Vec<Resource> {
        self.received.resources.lock().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
