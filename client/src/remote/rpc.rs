//! The calls of the contract, as types: which reply answers which request, and
//! whether asking twice is as good as asking once.

use std::future::Future;

use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub(super) type Client = CacheServiceClient<Channel>;

/// A request.
pub(super) trait Rpc: Sized + Send {
    type Reply: Send;

    /// Whether a call whose fate is unknown may be made again. A lease that a lost
    /// reply granted ends by its deadline, a fill is settled by identity, and what
    /// is invalidated twice is invalidated. Not so a `Set`: an invalidation may
    /// have come in between, and the second would put the value back; and over a
    /// version the second fails because of the first.
    const TWICE: bool;

    fn send(
        client: Client,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Response<Self::Reply>, Status>> + Send;
}

macro_rules! rpcs {
    ($($request:ident => $method:ident, $reply:ident, $twice:literal;)+) => {$(
        impl Rpc for v1::$request {
            type Reply = v1::$reply;

            const TWICE: bool = $twice;

            async fn send(
                mut client: Client,
                request: Request<Self>,
            ) -> Result<Response<Self::Reply>, Status> {
                client.$method(request).await
            }
        }
    )+};
}

rpcs! {
    HelloRequest => hello, HelloReply, true;
    GetRequest => get, GetReply, true;
    GetManyRequest => get_many, GetManyReply, true;
    FillRequest => fill, FillReply, true;
    RenewRequest => renew, RenewReply, true;
    SetRequest => set, SetReply, false;
    InvalidateRequest => invalidate, InvalidateReply, true;
}
