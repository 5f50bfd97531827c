//! Tokens: what A spends and holds is A's.

use bytes::Bytes;
use millpond_proto::v1::{
    AcquireReply, AcquireRequest, Charge, CommitRequest, LimitReason, PeekRequest, ReleaseRequest,
    Reservation, Settlement,
};

use super::{Canary, Outcome, Told, Untold, Who, leak, skipped};

/// Tokens are held for so long at most, should a round end in the middle.
const HOLD_MS: u32 = 2_000;

fn own(cost: u64) -> Vec<Charge> {
    vec![Charge {
        limit: String::new(),
        key: Bytes::new(),
        cost: Some(cost),
    }]
}

/// A reply, unless its tenant's state decided it.
fn decided(reply: AcquireReply) -> Result<AcquireReply, Untold> {
    match reply.reason() {
        LimitReason::Suspended => Err(Untold::Skipped("tenants are not served".to_owned())),
        LimitReason::Unavailable => Err(Untold::Skipped("limits are not decided now".to_owned())),
        _ => Ok(reply),
    }
}

impl Canary {
    async fn hold(&mut self, who: Who, cost: u64) -> Result<AcquireReply, Untold> {
        let hold = AcquireRequest {
            tenant: self.tenant(who),
            charges: own(cost),
            hold_ms: Some(HOLD_MS),
            ..AcquireRequest::default()
        };
        let hold = self.patiently(hold);
        decided(self.limits.acquire(hold).await?.into_inner())
    }

    async fn release(&mut self, who: Who, held: Reservation) -> Result<Settlement, Untold> {
        let release = ReleaseRequest {
            tenant: self.tenant(who),
            reservation: Some(held),
        };
        let release = self.patiently(release);
        Ok(self
            .limits
            .release(release)
            .await?
            .into_inner()
            .settlement())
    }

    async fn peek(&mut self, who: Who) -> Result<AcquireReply, Untold> {
        let peek = PeekRequest {
            tenant: self.tenant(who),
            charges: own(0),
        };
        let peek = self.patiently(peek);
        decided(self.limits.peek(peek).await?.into_inner())
    }

    pub(super) async fn reservations(&mut self) -> Told {
        let Some(of_a) = self.hold(Who::A, 1).await?.reservation else {
            return skipped("nothing is reserved now");
        };
        let commit = CommitRequest {
            tenant: self.tenant(Who::B),
            reservation: Some(of_a),
            costs: vec![0],
        };
        let commit = self.patiently(commit);
        let committed = self.limits.commit(commit).await?.into_inner().settlement();
        let released = self.release(Who::B, of_a).await?;
        self.release(Who::A, of_a).await?;
        if [committed, released] == [Settlement::Void; 2] {
            Ok(Outcome::Passed)
        } else {
            leak("b settles a reservation of a's")
        }
    }

    pub(super) async fn buckets(&mut self) -> Told {
        let whole = self.peek(Who::A).await?;
        if whole.decided_by.is_none() {
            return skipped("nothing limits the tenants");
        }
        let before = self.peek(Who::B).await?.remaining;
        if whole.remaining == 0 || before == 0 {
            return skipped("a bucket is empty now");
        }
        let Some(of_a) = self.hold(Who::A, whole.remaining).await?.reservation else {
            return skipped("nothing is reserved now");
        };
        let after = self.peek(Who::B).await?.remaining;
        self.release(Who::A, of_a).await?;
        // It refills meanwhile, and nobody else spends of it.
        if after < before {
            leak("b has fewer tokens because a spent its own")
        } else {
            Ok(Outcome::Passed)
        }
    }
}
