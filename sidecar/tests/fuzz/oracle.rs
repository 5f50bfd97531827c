//! A caller beside it all, whose answers are known.

use millpond_proto::v1;
use millpond_proto::v1::cache_service_client::CacheServiceClient;
use millpond_sidecar::Running;
use tonic::transport::{Channel, Endpoint};

pub(crate) struct Oracle {
    client: CacheServiceClient<Channel>,
}

impl Oracle {
    pub(crate) async fn connect(running: &Running) -> Self {
        let address = running.tcp().expect("it listens on TCP");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
        Self {
            client: CacheServiceClient::new(endpoint.connect().await.expect("it accepts")),
        }
    }

    /// Reads what it wrote, and not what it invalidated.
    pub(crate) async fn check(&mut self, round: usize) {
        let value = format!("value {round}");
        let (tenant, cache, key) = ("oracle", "oracle", "key");
        let set = v1::SetRequest {
            tenant: tenant.to_owned(),
            cache: cache.to_owned(),
            key: key.into(),
            value: value.clone().into(),
            ..v1::SetRequest::default()
        };
        let stored = self.client.set(set).await.expect("it is served");
        assert!(stored.into_inner().stored);
        let found = Some(v1::get_reply::Found::Value(value.into()));
        assert_eq!(self.read(tenant, cache, key).await, found);
        if round.is_multiple_of(2) {
            let gone = v1::InvalidateRequest {
                tenant: tenant.to_owned(),
                cache: cache.to_owned(),
                target: Some(v1::invalidate_request::Target::WholeCache(true)),
                ..v1::InvalidateRequest::default()
            };
            self.client.invalidate(gone).await.expect("it is served");
            assert_eq!(self.read(tenant, cache, key).await, None);
        }
    }

    async fn read(&mut self, tenant: &str, cache: &str, key: &str) -> Option<v1::get_reply::Found> {
        let get = v1::GetRequest {
            tenant: tenant.to_owned(),
            cache: cache.to_owned(),
            key: key.to_owned().into(),
            ..v1::GetRequest::default()
        };
        let reply = self.client.get(get).await.expect("it is served");
        reply.into_inner().found
    }
}
