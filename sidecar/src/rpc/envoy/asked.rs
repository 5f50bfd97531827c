//! Descriptors, made into core's asks.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use millpond_core::limit::Quota;
use millpond_core::limit::rules::{Entry, Rules, Terms};
use millpond_core::limit::screen::{Ask, MAX_ASKS, Of};
use millpond_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use millpond_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::RateLimitOverride;
use millpond_proto::envoy::service::ratelimit::v3::RateLimitRequest;
use millpond_proto::envoy::r#type::v3::RateLimitUnit;
use tonic::Status;

use super::super::limits::MAX_ENTRIES;
use super::super::{fields, status};

const DAY: Duration = Duration::from_secs(86_400);

/// What limits one descriptor.
pub(super) struct Matched<'a> {
    /// What callers are told it is called.
    pub(super) name: &'a str,
    tenant: &'a str,
    key: Cow<'a, [u8]>,
    by: By<'a>,
    shadow: bool,
    overdraw: bool,
    cost: u64,
}

enum By<'a> {
    Limit(&'a str),
    Rule(&'a Arc<str>, &'a Quota),
    Own(&'a Arc<str>, Quota),
    Blocked,
}

/// What the descriptors of one request come to, in their order; `None` is not limited.
pub(super) struct Matches<'a>(Vec<Option<Matched<'a>>>);

pub(super) fn too_many(found: usize) -> Status {
    status::bad("descriptors", format_args!("{found}, limit {MAX_ASKS}"))
}

impl<'a> Matches<'a> {
    pub(super) fn of(request: &'a RateLimitRequest, rules: &'a Rules) -> Result<Self, Status> {
        if request.domain.is_empty() {
            return Err(status::bad("domain", "is empty"));
        }
        fields::count("descriptors", request.descriptors.len(), MAX_ASKS)?;
        let addend = u64::from(request.hits_addend).max(1);
        let descriptors = request.descriptors.iter().enumerate();
        let matched = descriptors.map(|(at, descriptor)| {
            let field = format!("descriptors[{at}]");
            let addend = descriptor.hits_addend.unwrap_or(addend);
            // Nothing tells what refill has given back since, so nothing is.
            let cost = if descriptor.is_negative_hits {
                0
            } else {
                addend
            };
            one(&request.domain, descriptor, rules, &field, cost)
        });
        Ok(Self(matched.collect::<Result<_, _>>()?))
    }

    /// In the order of the descriptors that are limited.
    pub(super) fn asks(&self) -> Vec<Ask<'_>> {
        self.0.iter().flatten().map(Matched::ask).collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Option<&Matched<'a>>> {
        self.0.iter().map(Option::as_ref)
    }
}

impl Matched<'_> {
    fn ask(&self) -> Ask<'_> {
        Ask {
            tenant: self.tenant,
            of: match &self.by {
                By::Limit(name) => Of::Limit(name),
                By::Rule(path, quota) => Of::Rule { path, quota },
                By::Own(domain, quota) => Of::Own { domain, quota },
                By::Blocked => Of::Blocked,
            },
            key: &self.key,
            cost: self.cost,
            shadow: self.shadow,
            overdraw: self.overdraw,
        }
    }
}

fn one<'a>(
    domain: &str,
    descriptor: &'a RateLimitDescriptor,
    rules: &'a Rules,
    field: &str,
    cost: u64,
) -> Result<Option<Matched<'a>>, Status> {
    let count = descriptor.entries.len();
    fields::count(&format!("{field}.entries"), count, MAX_ENTRIES)?;
    let entries = descriptor.entries.iter();
    let entries: Vec<_> = entries
        .map(|entry| Entry {
            key: &entry.key,
            value: &entry.value,
        })
        .collect();
    let found = rules.find(domain, &entries);
    let overdraw = found.as_ref().is_some_and(|found| found.leaf.overdraw);
    if let Some(over) = &descriptor.limit {
        let Some(own) = rules.own(domain, &entries) else {
            return Ok(None);
        };
        let Ok((domain, tenant, key)) = own else {
            let what = "has a limit and names no tenant, and neither does its domain";
            return Err(status::bad(field, what));
        };
        return Ok(Some(Matched {
            name: found.map_or(domain, |found| &found.leaf.name),
            tenant,
            key: Cow::Owned(key),
            by: match quota(over).map_err(|what| status::bad(format!("{field}.limit"), what))? {
                Some(quota) => By::Own(domain, quota),
                None => By::Blocked,
            },
            shadow: false,
            overdraw,
            cost,
        }));
    }
    let Some(found) = found else {
        return Ok(None);
    };
    Ok(Some(Matched {
        by: match &found.leaf.terms {
            Terms::Unlimited => return Ok(None),
            Terms::Blocked => By::Blocked,
            Terms::Limit(None) => By::Limit(""),
            Terms::Limit(Some(name)) => By::Limit(name.as_str()),
            Terms::Quota(quota) => By::Rule(&found.leaf.path, quota),
        },
        name: &found.leaf.name,
        tenant: found.tenant,
        key: found.key,
        shadow: found.leaf.shadow,
        overdraw,
        cost,
    }))
}

/// The quota that a descriptor brings; `None` lets nobody through.
fn quota(over: &RateLimitOverride) -> Result<Option<Quota>, String> {
    let unit = match over.unit() {
        RateLimitUnit::Unknown => return Err(format!("unit: {} is none", over.unit)),
        RateLimitUnit::Second => Duration::from_secs(1),
        RateLimitUnit::Minute => Duration::from_secs(60),
        RateLimitUnit::Hour => Duration::from_secs(3_600),
        RateLimitUnit::Day => DAY,
        RateLimitUnit::Month => DAY * 30,
        RateLimitUnit::Year => DAY * 365,
    };
    if over.requests_per_unit == 0 {
        return Ok(None);
    }
    let period = unit.saturating_mul(over.unit_multiplier.unwrap_or(1));
    // What is faster than any bucket limits nobody either.
    let most = period.as_secs().saturating_mul(Quota::MAX_PER_SECOND);
    let amount = u64::from(over.requests_per_unit).min(most);
    Quota::new(amount, period, amount)
        .map(Some)
        .map_err(|wrong| wrong.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(requests_per_unit: u32, unit: RateLimitUnit, by: Option<u32>) -> RateLimitOverride {
        RateLimitOverride {
            requests_per_unit,
            unit: unit.into(),
            unit_multiplier: by,
        }
    }

    #[test]
    fn a_limit_that_comes_along_is_a_quota_of_its_own_burst() {
        let found = quota(&over(30, RateLimitUnit::Minute, Some(2))).expect("valid");
        let expected = Quota::new(30, Duration::from_secs(120), 30).expect("valid");
        assert_eq!(found, Some(expected));
        assert_eq!(quota(&over(0, RateLimitUnit::Hour, None)), Ok(None));
        let fastest = quota(&over(u32::MAX, RateLimitUnit::Second, None)).expect("valid");
        assert_eq!(fastest.expect("a quota").amount(), Quota::MAX_PER_SECOND);
        assert!(quota(&over(1, RateLimitUnit::Year, Some(2))).is_err());
        assert!(quota(&over(1, RateLimitUnit::Day, Some(0))).is_err());
        assert!(quota(&over(1, RateLimitUnit::Unknown, None)).is_err());
    }
}
