//! A caller's place among those who wait for a bucket.

use std::fmt;
use std::sync::Arc;

use super::Limiter;
use crate::cache::TenantId;
use crate::clock::Time;
use crate::fence::{GiveBack, Held, Token};
use crate::limit::call::Decision;
use crate::limit::ledger::Spent;
use crate::limit::quota::Ticks;
use crate::limit::replay::RequestId;

/// Tokens that were spent for a caller whose turn has not come. Kept until then it is
/// a permission; dropped before, the tokens go back as far as refill has not given
/// them back, and those who wait behind keep the turns they have.
#[must_use = "dropping a turn gives its tokens back"]
pub struct Turn {
    held: Held<Waiting>,
    turn: Ticks,
    comes: Time,
}

struct Waiting {
    limiter: Arc<Limiter>,
    spent: Arc<Spent>,
    /// A call that named itself may have more than one caller.
    named: Option<(TenantId, RequestId)>,
    reservation: Option<(TenantId, Token)>,
}

impl Turn {
    pub(super) fn of(
        limiter: &Arc<Limiter>,
        decision: &Decision,
        spent: Arc<Spent>,
        named: Option<(TenantId, RequestId)>,
        reservation: Option<(TenantId, Token)>,
        now: Ticks,
    ) -> Self {
        let turn = now.plus(Ticks::of(decision.wait));
        Self {
            turn,
            comes: limiter.directory.origin().after(turn.to_duration()),
            held: Held::new(Waiting {
                limiter: Arc::clone(limiter),
                spent,
                named,
                reservation,
            }),
        }
    }

    /// When it comes, by the directory's clock.
    #[must_use]
    pub fn comes(&self) -> Time {
        self.comes
    }

    /// It has come: the tokens stay spent.
    pub fn take(self) {
        let waited = self.held.release();
        waited.limiter.turn_came(&waited.spent, self.turn);
    }
}

impl GiveBack for Waiting {
    fn give_back(&mut self) {
        self.limiter
            .leave(&self.spent, self.named.as_ref(), self.reservation.as_ref());
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("comes", &self.comes)
            .finish_non_exhaustive()
    }
}
