//! Loads under way: each tenant leads its own, and its lease is worth nothing to the other.

use bytes::Bytes;
use millpond_proto::v1::fill::Settlement;
use millpond_proto::v1::fill_outcome::Outcome as Settled;
use millpond_proto::v1::get_reply::Found;
use millpond_proto::v1::{Fill, FillRequest, GetReply, GetRequest, Lease, Load, RenewRequest};

use super::{Canary, Outcome, Told, Untold, Who, leak, skipped};

const NO_LEASE: &str = "no load is granted now";

impl Canary {
    /// A key of this round's own: another's would be led by another.
    fn loaded() -> Bytes {
        [&b"load:"[..], &fastrand::u64(..).to_be_bytes()]
            .concat()
            .into()
    }

    async fn ask(&mut self, who: Who, key: &Bytes) -> Result<GetReply, Untold> {
        let get = GetRequest {
            tenant: self.tenant(who),
            cache: self.names.cache.clone(),
            key: key.clone(),
            load: Load::Caller.into(),
            wait_ms: Some(0),
            // Should this round end here, nobody waits for long.
            lease_ms: Some(1_000),
            ..GetRequest::default()
        };
        let get = self.patiently(get);
        Ok(self.cache.get(get).await?.into_inner())
    }

    async fn settle(
        &mut self,
        who: Who,
        key: &Bytes,
        lease: Lease,
        settlement: Settlement,
    ) -> Result<Settled, Untold> {
        let fill = FillRequest {
            tenant: self.tenant(who),
            cache: self.names.cache.clone(),
            fills: vec![Fill {
                key: key.clone(),
                lease: Some(lease),
                settlement: Some(settlement),
                ..Fill::default()
            }],
        };
        let fill = self.patiently(fill);
        let outcomes = self.cache.fill(fill).await?.into_inner().outcomes;
        let outcome = outcomes.first().map(|outcome| outcome.outcome());
        Ok(outcome.unwrap_or(Settled::Unspecified))
    }

    async fn give_up(&mut self, who: Who, key: &Bytes, lease: Lease) -> Result<(), Untold> {
        let gives_up = Settlement::GivenUp(true);
        self.settle(who, key, lease, gives_up).await.map(drop)
    }

    pub(super) async fn loads(&mut self) -> Told {
        let key = Self::loaded();
        let Some(of_a) = self.ask(Who::A, &key).await?.lease else {
            return skipped(NO_LEASE);
        };
        let reply = self.ask(Who::B, &key).await?;
        self.give_up(Who::A, &key, of_a).await?;
        let waits = reply.reason() == millpond_proto::v1::Reason::WaitExpired;
        match reply.lease {
            Some(of_b) => {
                self.give_up(Who::B, &key, of_b).await?;
                Ok(Outcome::Passed)
            }
            None if waits => leak("b waits for a load that a leads"),
            None if reply.found.is_some() => leak("b reads a value of a key that a loads"),
            None => skipped(NO_LEASE),
        }
    }

    pub(super) async fn fills(&mut self) -> Told {
        let key = Self::loaded();
        let Some(of_a) = self.ask(Who::A, &key).await?.lease else {
            return skipped(NO_LEASE);
        };
        let renew = RenewRequest {
            tenant: self.tenant(Who::B),
            cache: self.names.cache.clone(),
            key: key.clone(),
            lease: Some(of_a),
            lease_ms: Some(1_000),
        };
        let renew = self.patiently(renew);
        let renewed = self.cache.renew(renew).await?.into_inner().lease.is_some();
        let value = Settlement::Value(Who::B.secret());
        let settled = self.settle(Who::B, &key, of_a, value).await?;
        let reply = self.ask(Who::A, &key).await?;
        // Both of a's leases, if there should be a second one.
        for lease in [Some(of_a), reply.lease].into_iter().flatten() {
            self.give_up(Who::A, &key, lease).await?;
        }
        let read =
            matches!(&reply.found, Some(Found::Value(value)) if value.starts_with(Who::B.mark()));
        if renewed {
            leak("b renews a lease of a's")
        } else if settled == Settled::Stored {
            leak("b stores a value with a lease of a's")
        } else if read {
            leak("a reads what b handed in with a lease of a's")
        } else {
            Ok(Outcome::Passed)
        }
    }
}
