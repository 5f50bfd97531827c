//! What was counted of each tenant's limits, as samples.

use millpond_core::limit::{Metered, MeteredOf};

use super::page::Page;
use super::table;

/// What those are told as that are not told apart. No tenant of this name is.
const OTHER: &str = "other";

fn names(metered: &Metered) -> [&str; 2] {
    let tenant = metered.tenant.as_ref();
    let limit = match &metered.limit {
        MeteredOf::Own => "",
        MeteredOf::Limit(name) => name.as_str(),
        MeteredOf::Named => OTHER,
    };
    [tenant.map_or(OTHER, |tenant| tenant.as_str()), limit]
}

pub(super) fn metered(all: &[Metered], page: &mut Page) {
    page.family(table::TENANT_CALLS);
    for one in all {
        let [tenant, limit] = names(one);
        let counts = &one.total;
        let by_verdict = [
            counts.allowed,
            counts.over_limit,
            counts.never,
            counts.elsewhere,
        ];
        for (verdict, count) in table::TENANT_VERDICTS.iter().zip(by_verdict) {
            page.sample(&[tenant, limit, verdict], count);
        }
    }
    page.family(table::TENANT_WOULD_DENY);
    for one in all {
        page.sample(&names(one), one.total.would_deny);
    }
    page.family(table::TENANT_TOKENS);
    for one in all {
        page.sample(&names(one), one.total.tokens);
    }
}
