//! The calls of the contract, as types: which reply answers which request, and
//! whether asking twice is as good as asking once.

use std::future::Future;

use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_proto::v1::limit_service_client::LimitServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// The services of one connection.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) cache: CacheServiceClient<Channel>,
    pub(super) limit: LimitServiceClient<Channel>,
}

impl Clients {
    /// Larger than any message a sidecar accepts, so that what it holds can be read.
    const MAX_MESSAGE: usize = 64 << 20;

    pub(super) fn new(channel: Channel) -> Self {
        let cache = CacheServiceClient::new(channel.clone());
        Self {
            cache: cache.max_decoding_message_size(Self::MAX_MESSAGE),
            limit: LimitServiceClient::new(channel),
        }
    }
}

/// A request.
pub(super) trait Rpc: Sized + Send {
    type Reply: Send;

    /// Whether a call whose fate is unknown may be made again. A lease that a lost
    /// reply granted ends by its deadline, a fill is settled by identity, and what
    /// is invalidated twice is invalidated. Not so a `Set`: an invalidation may
    /// have come in between, and the second would put the value back; and over a
    /// version the second fails because of the first. Tokens are spent by a call that
    /// names itself, and settled by identity.
    const TWICE: bool;

    fn send(
        clients: &Clients,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Response<Self::Reply>, Status>> + Send;
}

macro_rules! rpcs {
    ($service:ident: $($request:ident => $method:ident, $reply:ident, $twice:literal;)+) => {$(
        impl Rpc for v1::$request {
            type Reply = v1::$reply;

            const TWICE: bool = $twice;

            async fn send(
                clients: &Clients,
                request: Request<Self>,
            ) -> Result<Response<Self::Reply>, Status> {
                clients.$service.clone().$method(request).await
            }
        }
    )+};
}

rpcs! {
    cache:
    HelloRequest => hello, HelloReply, true;
    GetRequest => get, GetReply, true;
    GetManyRequest => get_many, GetManyReply, true;
    FillRequest => fill, FillReply, true;
    RenewRequest => renew, RenewReply, true;
    SetRequest => set, SetReply, false;
    InvalidateRequest => invalidate, InvalidateReply, true;
}

rpcs! {
    limit:
    AcquireRequest => acquire, AcquireReply, true;
    PeekRequest => peek, AcquireReply, true;
    CommitRequest => commit, CommitReply, true;
    ReleaseRequest => release, ReleaseReply, true;
}
