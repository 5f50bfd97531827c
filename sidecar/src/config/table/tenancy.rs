//! The fields of tiers, of tenants, and of the limits that both may name.

use std::sync::LazyLock;

use millpond_core::limit::Quota;
use millpond_core::tenant::{
    Class, LimitScope, NamedQuota, OnLimit, Overrides, Pace, Profile, State, TierName, WithoutStore,
};

use super::Field;
use crate::config::form::{
    Amount, Count, Form, Maybe, Moment, OrNone, Rate, StateName, Switch, Tier, Word,
};

/// The tiers, by name.
pub(crate) const TIERS: &str = "tiers";
/// The tenants, by name.
pub(crate) const TENANTS: &str = "tenants";
/// What becomes of the others.
pub(crate) const UNKNOWN_TENANTS: &str = "unknown_tenants";
/// Named limits inside a tier or a tenant.
pub(crate) const LIMITS: &str = "limits";

/// What is said of a tier or a tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) extends: Option<TierName>,
    pub(crate) tier: Option<TierName>,
    pub(crate) state: Option<(State, bool)>,
    pub(crate) over: Overrides,
}

/// What is said of a limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct SaidLimit {
    pub(crate) total: Pace,
    pub(crate) per_key: Pace,
    pub(crate) max_keys: Option<u32>,
    pub(crate) apart: Option<bool>,
    pub(crate) on_limit: Option<OnLimit>,
    pub(crate) enforce_from: Option<Option<std::time::SystemTime>>,
    pub(crate) shadow: Option<bool>,
    pub(crate) scope: Option<LimitScope>,
}

impl SaidLimit {
    /// As one would say it, where it is not what holds unless it is said.
    pub(crate) fn of(limit: &NamedQuota) -> Self {
        let unsaid = NamedQuota::new(limit.name.clone());
        let pace = |quota: Option<Quota>| quota.map_or_else(Pace::default, Pace::from);
        Self {
            total: pace(limit.total),
            per_key: pace(limit.per_key),
            max_keys: Some(limit.max_keys).filter(|most| *most != unsaid.max_keys),
            apart: Some(limit.apart).filter(|apart| *apart),
            on_limit: Some(limit.on_limit).filter(|on_limit| *on_limit != unsaid.on_limit),
            enforce_from: limit.enforce_from.map(Some),
            shadow: Some(limit.shadow).filter(|shadow| *shadow),
            scope: Some(limit.scope).filter(|scope| *scope != unsaid.scope),
        }
    }
}

/// The fields of tiers and tenants: those without a group are of both. They take effect
/// as soon as a changed file is read.
pub(crate) static TENANCY: LazyLock<Vec<Field<Said>>> = LazyLock::new(tenancy);

/// The fields of a named limit.
pub(crate) static LIMIT: LazyLock<Vec<Field<SaidLimit>>> = LazyLock::new(limit);

/// The fields of a tier, or of a tenant.
pub(crate) fn of(mapping: &'static str) -> impl Iterator<Item = &'static Field<Said>> + Clone {
    TENANCY
        .iter()
        .filter(move |field| field.group.is_empty() || field.group == mapping)
}

/// Tokens at once.
const MOST_AT_ONCE: u64 = 1_000_000_000_000;

fn both<F: Form + Send + Sync + 'static>(
    name: &'static str,
    form: F,
    of: fn(&mut Said) -> &mut Option<F::Value>,
    doc: &'static str,
) -> Field<Said>
where
    F::Value: 'static,
{
    Field::new(("", name), Maybe(form), of, doc)
}

fn tokens() -> Count<u64> {
    Count {
        most: MOST_AT_ONCE,
        auto: None,
    }
}

fn on_limit() -> Word<OnLimit> {
    Word {
        words: &[("deny", OnLimit::Deny), ("admit", OnLimit::Admit)],
        not: &[],
    }
}

fn scope() -> Word<LimitScope> {
    Word {
        words: &[
            ("pod", LimitScope::Pod),
            ("divided", LimitScope::Divided),
            ("fleet", LimitScope::Fleet),
        ],
        not: &[],
    }
}

fn tenancy() -> Vec<Field<Said>> {
    let mut fields = vec![
        Field::new(
            (TIERS, "extends"),
            Maybe(Tier),
            |said: &mut Said| &mut said.extends,
            "The tier whose settings these are over",
        ),
        Field::new(
            (TENANTS, "tier"),
            Maybe(Tier),
            |said: &mut Said| &mut said.tier,
            "The tier whose settings these are over. It must be said",
        ),
        Field::new(
            (TENANTS, "state"),
            Maybe(StateName),
            |said: &mut Said| &mut said.state,
            "Where the tenant is in its life. A name that is not known here reads as `suspended`",
        ),
    ];
    fields.extend(paces());
    fields.extend(standing());
    fields
}

fn paces() -> [Field<Said>; 4] {
    [
        both(
            "rate",
            Rate,
            |said| &mut said.over.request.rate,
            "How fast requests come back, over all keys and limits of the tenant",
        ),
        both(
            "burst",
            tokens(),
            |said| &mut said.over.request.burst,
            "Requests at once. Unless it is said anywhere, the amount of `rate`",
        ),
        both(
            "origin_rate",
            Rate,
            |said| &mut said.over.origin.rate,
            "How fast loads come back: one a lease granted, however many wait for it. Hits cost none",
        ),
        both(
            "origin_burst",
            tokens(),
            |said| &mut said.over.origin.burst,
            "Loads at once",
        ),
    ]
}

fn standing() -> [Field<Said>; 9] {
    [
        both(
            "cache_cap",
            OrNone(Amount { least: 1 }),
            |said| &mut said.over.cache_cap,
            "The most of `memory` that a named tenant's entries take",
        ),
        both(
            "cache_reserve",
            Amount { least: 0 },
            |said| &mut said.over.cache_reserve,
            "What nobody else can take from a tenant; all of them together at most `memory`",
        ),
        both(
            "class",
            Word {
                words: &[
                    ("best_effort", Class::BestEffort),
                    ("standard", Class::Standard),
                    ("critical", Class::Critical),
                ],
                not: &[],
            },
            |said| &mut said.over.class,
            "Who is shed first when there is too much: `best_effort`, then `standard`, `critical` last",
        ),
        both(
            "weight",
            Count {
                most: Profile::MAX_WEIGHT,
                auto: None,
            },
            |said| &mut said.over.weight,
            "A tenant's share within its class, relative to others",
        ),
        both(
            "on_limit",
            on_limit(),
            |said| &mut said.over.on_limit,
            "What becomes of a request over the limit. `admit` counts it and lets it through",
        ),
        both(
            "enforce_from",
            OrNone(Moment),
            |said| &mut said.over.enforce_from,
            "Before this, a request over the limit is counted and let through",
        ),
        both(
            "shadow",
            Switch,
            |said| &mut said.over.shadow,
            "The limit is decided and counted, and refuses nothing",
        ),
        both(
            "scope",
            scope(),
            |said| &mut said.over.scope,
            "Over whom the limit counts: `pod`, each has all of it; `divided`, each an equal part; `fleet`, all share it. Until there is a store all count as `pod`, and `check` says so",
        ),
        both(
            "without_store",
            Word {
                words: &[
                    ("local_share", WithoutStore::LocalShare),
                    ("open", WithoutStore::Open),
                    ("closed", WithoutStore::Closed),
                ],
                not: &[],
            },
            |said| &mut said.over.without_store,
            "What becomes of limits over the fleet while the store is away: a share of each pod, all open, or all closed",
        ),
    ]
}

fn limit() -> Vec<Field<SaidLimit>> {
    fn field<F: Form + Send + Sync + 'static>(
        name: &'static str,
        form: F,
        of: fn(&mut SaidLimit) -> &mut Option<F::Value>,
        doc: &'static str,
    ) -> Field<SaidLimit>
    where
        F::Value: 'static,
    {
        Field::new(("", name), Maybe(form), of, doc)
    }
    vec![
        field(
            "rate",
            Rate,
            |said| &mut said.total.rate,
            "How fast tokens come back, over all keys",
        ),
        field(
            "burst",
            tokens(),
            |said| &mut said.total.burst,
            "Tokens at once; unless said, the amount of `rate`",
        ),
        field(
            "rate_per_key",
            Rate,
            |said| &mut said.per_key.rate,
            "The same for each key by itself",
        ),
        field(
            "burst_per_key",
            tokens(),
            |said| &mut said.per_key.burst,
            "The same for each key by itself",
        ),
        field(
            "max_keys",
            Count {
                most: NamedQuota::MOST_KEYS,
                auto: None,
            },
            |said| &mut said.max_keys,
            "Keys told apart, 65536 unless said, about 100 bytes each; beyond it new ones share one bucket",
        ),
        field(
            "apart",
            Switch,
            |said| &mut said.apart,
            "Charges do not spend the tenant's own requests as well, as what is in another unit should not, such as bytes",
        ),
        field(
            "on_limit",
            on_limit(),
            |said| &mut said.on_limit,
            "As of the tenant's own limit",
        ),
        field(
            "enforce_from",
            OrNone(Moment),
            |said| &mut said.enforce_from,
            "As of the tenant's own limit",
        ),
        field(
            "shadow",
            Switch,
            |said| &mut said.shadow,
            "As of the tenant's own limit",
        ),
        field(
            "scope",
            scope(),
            |said| &mut said.scope,
            "As of the tenant's own limit",
        ),
    ]
}
