//! A handler that answers what Millpond would, and does nothing for it.

use bytes::Bytes;
use millpond_proto::v1;
use millpond_proto::v1::cache_service_server::CacheService;
use tonic::{Request, Response, Status, async_trait};

use crate::VALUE_BYTES;

#[derive(Clone)]
pub(crate) struct Constant {
    reply: v1::GetReply,
}

impl Constant {
    /// Answers as many bytes as Millpond does for a value held in L1.
    pub(crate) fn like_a_hit() -> Self {
        Self {
            reply: v1::GetReply {
                found: Some(v1::get_reply::Found::Value(Bytes::from_static(
                    &[7; VALUE_BYTES],
                ))),
                version: Bytes::from_static(&[1; 16]),
                age_ms: 1_000,
                fresh_for_ms: 3_600_000,
                source: v1::Source::L1.into(),
                as_of: Some(v1::Position {
                    boot: u64::MAX,
                    sequence: 0,
                }),
                ..v1::GetReply::default()
            },
        }
    }

    /// Answers nothing.
    pub(crate) fn empty() -> Self {
        Self {
            reply: v1::GetReply::default(),
        }
    }
}

fn unasked<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("only Get is measured"))
}

#[async_trait]
impl CacheService for Constant {
    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<v1::GetReply>, Status> {
        Ok(Response::new(self.reply.clone()))
    }

    async fn hello(
        &self,
        _: Request<v1::HelloRequest>,
    ) -> Result<Response<v1::HelloReply>, Status> {
        unasked()
    }

    async fn get_many(
        &self,
        _: Request<v1::GetManyRequest>,
    ) -> Result<Response<v1::GetManyReply>, Status> {
        unasked()
    }

    async fn fill(&self, _: Request<v1::FillRequest>) -> Result<Response<v1::FillReply>, Status> {
        unasked()
    }

    async fn renew(
        &self,
        _: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewReply>, Status> {
        unasked()
    }

    async fn set(&self, _: Request<v1::SetRequest>) -> Result<Response<v1::SetReply>, Status> {
        unasked()
    }

    async fn invalidate(
        &self,
        _: Request<v1::InvalidateRequest>,
    ) -> Result<Response<v1::InvalidateReply>, Status> {
        unasked()
    }
}
