//! What tenants are allowed of L1, and whether all of it can be kept at once.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::cache::name::TenantId;

/// What one tenant may hold of L1, in bytes as counted against the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The most it may hold, beside its policies' backlog (a sixteenth, at least
    /// 64 KiB, of each). `None`: as much as it gets.
    pub cap: Option<u64>,
    /// What it may always hold, whatever the others do: taken off what they share.
    /// What it holds beyond this competes with them.
    pub reserve: u64,
}

impl Allowance {
    /// Whether it allows what everybody is allowed.
    fn is_common(self) -> bool {
        self == Self::default()
    }
}

/// One allowance, or all of them together, that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShareFault {
    /// A cap below the reserve.
    CapBelowReserve {
        /// Whose.
        tenant: TenantId,
        /// The cap, in bytes.
        cap: u64,
        /// The reserve, in bytes.
        reserve: u64,
    },
    /// The reserves are more than there is.
    Overdrawn {
        /// All reserves, in bytes.
        reserved: u64,
        /// L1's budget, in bytes.
        budget: u64,
    },
    /// More tenants have a reserve than may have a share of their own.
    TooManyReserves {
        /// How many.
        reserves: usize,
        /// [`Config::max_shares`](crate::cache::Config::max_shares).
        limit: usize,
    },
}

impl fmt::Display for ShareFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CapBelowReserve {
                tenant,
                cap,
                reserve,
            } => write!(
                f,
                "tenant {tenant}: cap {cap} bytes, must be at least its reserve of {reserve} bytes"
            ),
            Self::Overdrawn { reserved, budget } => write!(
                f,
                "reserves: {reserved} bytes together, limit {budget} (the cache's budget)"
            ),
            Self::TooManyReserves { reserves, limit } => {
                write!(f, "reserves: {reserves} tenants have one, limit {limit}")
            }
        }
    }
}

/// Why allowances were refused: everything that is wrong with them. Nothing has
/// changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareError {
    /// At least one. Tenants in the order of their names, then what they are
    /// together.
    pub faults: Vec<ShareFault>,
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            let and = if at == 0 { "" } else { "; " };
            write!(f, "{and}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ShareError {}

/// The allowances of one L1, and which tenants in use have a share by them.
#[derive(Clone, Debug)]
pub(in crate::cache) struct Table {
    allowances: HashMap<TenantId, Allowance>,
    budget: u64,
    limit: usize,
    reserved: u64,
    reserves: usize,
    /// The places of tenants in use that have a share without a reserve.
    capped: HashSet<u64>,
    next: u64,
}

impl Table {
    /// What tenants are allowed of a budget, where at most `limit` have a share of
    /// their own.
    ///
    /// # Errors
    /// When it cannot all be kept.
    pub(in crate::cache) fn new(
        allowances: &HashMap<TenantId, Allowance>,
        budget: u64,
        limit: usize,
    ) -> Result<Self, ShareError> {
        let mut table = Self {
            allowances: HashMap::new(),
            budget,
            limit,
            reserved: 0,
            reserves: 0,
            capped: HashSet::new(),
            next: 1,
        };
        let changes = allowances.iter();
        table.change(changes.map(|(tenant, allowance)| (tenant, Some(*allowance))))?;
        Ok(table)
    }

    /// Allows some tenants something else.
    ///
    /// # Errors
    /// When it cannot all be kept; then nothing has changed.
    pub(super) fn change<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (&'a TenantId, Option<Allowance>)>,
    ) -> Result<(), ShareError> {
        let mut allowances = self.allowances.clone();
        for (tenant, allowance) in changes {
            match allowance.filter(|allowance| !allowance.is_common()) {
                Some(allowance) => allowances.insert(tenant.clone(), allowance),
                None => allowances.remove(tenant),
            };
        }
        let reserves = || {
            let all = allowances.values().map(|allowance| allowance.reserve);
            all.filter(|reserve| *reserve > 0)
        };
        let (reserved, count) = (reserves().fold(0, u64::saturating_add), reserves().count());
        let mut faults = below(&allowances);
        if reserved > self.budget {
            faults.push(ShareFault::Overdrawn {
                reserved,
                budget: self.budget,
            });
        }
        if count > self.limit {
            faults.push(ShareFault::TooManyReserves {
                reserves: count,
                limit: self.limit,
            });
        }
        if !faults.is_empty() {
            return Err(ShareError { faults });
        }
        (self.allowances, self.reserved, self.reserves) = (allowances, reserved, count);
        Ok(())
    }

    pub(in crate::cache) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// What is left for those without a reserve.
    pub(super) fn common_budget(&self) -> u64 {
        self.budget - self.reserved
    }

    /// The number of the next place.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(in crate::cache) fn allowance(&self, tenant: &TenantId) -> Option<Allowance> {
        self.allowances.get(tenant).copied()
    }

    /// A place for a tenant in use, instead of the one it had. `None` when there is
    /// room for no more shares: those with a reserve always have one.
    pub(super) fn enter(&mut self, allowance: Allowance, instead: u64) -> Option<u64> {
        self.left(instead);
        let capped = allowance.reserve == 0;
        if capped && self.reserves + self.capped.len() >= self.limit {
            return None;
        }
        let number = self.next;
        self.next += 1;
        if capped {
            self.capped.insert(number);
        }
        Some(number)
    }

    /// A place is no longer a tenant's.
    pub(super) fn left(&mut self, place: u64) {
        self.capped.remove(&place);
    }
}

/// Caps below their reserves, in the order of the tenants' names.
fn below(allowances: &HashMap<TenantId, Allowance>) -> Vec<ShareFault> {
    let mut below: Vec<_> = allowances
        .iter()
        .filter_map(|(tenant, Allowance { cap, reserve })| {
            let cap = cap.filter(|cap| cap < reserve)?;
            Some((tenant.clone(), cap, *reserve))
        })
        .collect();
    below.sort_unstable();
    below
        .into_iter()
        .map(|(tenant, cap, reserve)| ShareFault::CapBelowReserve {
            tenant,
            cap,
            reserve,
        })
        .collect()
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("valid")
    }

    fn allow(cap: Option<u64>, reserve: u64) -> Allowance {
        Allowance { cap, reserve }
    }

    fn table<const N: usize>(
        allowances: [(&str, Allowance); N],
        limit: usize,
    ) -> Result<Table, ShareError> {
        let allowances = allowances.map(|(name, allowance)| (tenant(name), allowance));
        Table::new(&allowances.into(), 100, limit)
    }

    #[test]
    fn everything_that_is_wrong_is_listed_at_once() {
        let allowances = [
            ("b", allow(Some(1), 2)),
            ("a", allow(Some(5), 90)),
            ("c", allow(None, 9)),
        ];
        assert_eq!(
            table(allowances, 2).expect_err("too much").to_string(),
            "tenant a: cap 5 bytes, must be at least its reserve of 90 bytes; \
             tenant b: cap 1 bytes, must be at least its reserve of 2 bytes; \
             reserves: 101 bytes together, limit 100 (the cache's budget); \
             reserves: 3 tenants have one, limit 2"
        );
    }

    #[test]
    fn reserves_may_be_all_there_is_and_caps_more() {
        let allowances = [
            ("a", allow(None, 60)),
            ("b", allow(Some(400), 40)),
            ("c", allow(Some(u64::MAX), 0)),
            ("d", Allowance::default()),
        ];
        let mut table = table(allowances, 8).expect("it can be kept");
        assert_eq!((table.reserved(), table.common_budget()), (100, 0));
        assert_eq!(table.allowance(&tenant("d")), None);
        let more = [(&tenant("c"), Some(allow(None, 1)))];
        assert!(table.change(more).is_err());
        assert_eq!((table.reserved(), table.common_budget()), (100, 0));
        table.change([(&tenant("a"), None)]).expect("less");
        assert_eq!(table.common_budget(), 60);
    }

    #[test]
    fn capped_tenants_have_the_shares_that_reserves_leave() {
        let capped = allow(Some(1), 0);
        let mut table = table([("a", allow(None, 1))], 3).expect("it can be kept");
        let first = table.enter(capped, 0).expect("room");
        let second = table.enter(capped, 0).expect("room");
        assert_eq!(table.enter(capped, 0), None);
        let again = table.enter(capped, first).expect("instead of its own");
        assert!(again > second);
        table.left(second);
        assert!(table.enter(capped, 0).is_some());
        assert!(table.enter(allow(None, 1), 0).is_some(), "reserves always");
    }
}
