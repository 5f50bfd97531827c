//! Bulk reads of one tenant's cache in the sidecar.

use bytes::Bytes;
use millpond_core::cache::LoadBy;
use millpond_proto::v1;
use std::time::Duration;

use super::distant::left;
use super::unheard::Unheard;
use super::{Distant, wire};
use crate::error::Error;
use crate::options::Options;
use crate::reply::Reply;

impl Distant {
    /// The most keys of one call.
    pub(crate) fn most_keys(&self) -> usize {
        self.remote.pool.takes().keys
    }

    /// One reply for each of the keys, of which there are not too many.
    pub(crate) async fn read_many(
        &self,
        keys: &[Bytes],
        options: &Options,
        load: LoadBy,
        wait: Duration,
    ) -> Result<Vec<Reply>, Error> {
        let (load, wait) = wire::load(load, wait);
        let (place, options, keys) = (self.clone(), *options, keys.to_vec());
        let answer = async move {
            let message = || v1::GetManyRequest {
                tenant: place.tenant(),
                cache: place.cache(),
                keys: keys
                    .iter()
                    .map(|key| v1::KeyRequest {
                        key: key.clone(),
                        min_version: wire::min_version(&options),
                    })
                    .collect(),
                load: load.into(),
                wait_ms: Some(wire::millis(wait)),
                fresh_only: options.fresh_only,
                lease_ms: options.lease.map(wire::millis),
            };
            let time = place.reading_time(&options, wait);
            let (reply, live) = place.remote.ask(time, message).await?;
            // Every lease is taken hold of, also of a reply that makes no sense.
            let entries = reply.entries.into_iter();
            let replies: Vec<_> = entries
                .zip(&keys)
                .map(|(entry, key)| place.reply(key.clone(), &options, entry))
                .collect();
            let expired = |reply: &Reply| matches!(reply, Reply::Refused(Error::WaitExpired));
            if live.has_ended() && replies.iter().any(expired) {
                return Err(left());
            }
            if replies.len() == keys.len() {
                return Ok(replies);
            }
            let (told, asked) = (replies.len(), keys.len());
            Err(Error::Rejected {
                message: format!("the sidecar answered {told} of {asked} keys"),
            })
        };
        if load == v1::Load::Never {
            return answer.await;
        }
        Unheard::new(answer, &self.remote.runtime).await
    }
}
