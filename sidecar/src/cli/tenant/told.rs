//! A tenant and the receipt of its purge, for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use millpond_proto::v1::{self, PurgeReceipt, Quota, Tenant as Told};
use millpond_sidecar::config::rate_as_written;
use serde_json::{Value, json};

use crate::cli::span;
use crate::cli::terminal::printable;

pub(super) fn received(receipt: &PurgeReceipt) -> String {
    let tenant = printable(&receipt.tenant);
    let list = |names: &[String]| {
        let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
        names.join(", ")
    };
    let mut text = format!(
        "{tenant}: purged, its life {}: {} entries, {} bytes, in {}\n",
        receipt.incarnation,
        receipt.entries,
        receipt.bytes,
        span::shown(Duration::from_millis(receipt.took_ms)),
    );
    for (what, names) in [
        ("found empty afterwards", &receipt.verified_empty),
        ("NOT found empty", &receipt.not_verified),
        ("confirmed by", &receipt.confirmed_by),
    ] {
        if !names.is_empty() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {what}: {}", list(names));
        }
    }
    text
}

pub(super) fn receipt_in_json(receipt: &PurgeReceipt) -> Value {
    json!({
        "tenant": receipt.tenant,
        "incarnation": receipt.incarnation,
        "began_unix_ms": receipt.began_unix_ms,
        "took_ms": receipt.took_ms,
        "entries": receipt.entries,
        "bytes": receipt.bytes,
        "verified_empty": receipt.verified_empty,
        "not_verified": receipt.not_verified,
        "confirmed_by": receipt.confirmed_by,
        "scope": "pod",
    })
}

pub(super) fn described(tenant: &Told) -> String {
    let mut text = String::new();
    let mut line = |what: &str, said: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{what:<14} {said}");
    };
    line("tenant", printable(&tenant.name));
    line("tier", printable(&tenant.tier));
    line("state", word(tenant.state()).to_owned());
    line("named by", printable(&tenant.source));
    line("incarnation", tenant.incarnation.to_string());
    line("requests", rate(tenant.request.as_ref()));
    line("loads", rate(tenant.origin.as_ref()));
    let cap = tenant.cache_cap.map(|cap| format!("{cap} bytes"));
    line("cache cap", cap.unwrap_or_else(|| "none".to_owned()));
    line("cache reserve", format!("{} bytes", tenant.cache_reserve));
    line(
        "class",
        format!("{}, weight {}", printable(&tenant.class), tenant.weight),
    );
    for limit in &tenant.limits {
        line("limit", printable(limit));
    }
    for setting in settings(tenant) {
        line("over its tier", setting);
    }
    text
}

/// Its tier, its state and what it has over its tier.
pub(super) fn in_a_line(tenant: &Told) -> String {
    let mut text = format!("{}, {}", printable(&tenant.tier), word(tenant.state()));
    for setting in settings(tenant) {
        text.push_str(", ");
        text.push_str(&setting);
    }
    text
}

/// What it has over its tier, by name.
fn settings(tenant: &Told) -> Vec<String> {
    let mut settings: Vec<_> = tenant.settings.iter().collect();
    settings.sort();
    let written = settings.into_iter();
    written
        .map(|(name, value)| format!("{}={}", printable(name), printable(value)))
        .collect()
}

pub(super) fn rate(quota: Option<&Quota>) -> String {
    quota.map_or_else(
        || "unlimited".to_owned(),
        |quota| {
            let rate = rate_as_written(quota.amount, Duration::from_millis(quota.period_ms));
            format!("{rate}, burst {}", quota.burst)
        },
    )
}

pub(super) fn in_json(tenant: &Told) -> Value {
    let quota = |quota: Option<&Quota>| {
        quota.map(|quota| {
            json!({
                "amount": quota.amount,
                "period_ms": quota.period_ms,
                "burst": quota.burst,
            })
        })
    };
    json!({
        "tenant": tenant.name,
        "tier": tenant.tier,
        "state": word(tenant.state()),
        "source": tenant.source,
        "incarnation": tenant.incarnation,
        "request": quota(tenant.request.as_ref()),
        "origin": quota(tenant.origin.as_ref()),
        "cache_cap": tenant.cache_cap,
        "cache_reserve": tenant.cache_reserve,
        "class": tenant.class,
        "weight": tenant.weight,
        "limits": tenant.limits,
        "settings": tenant.settings,
    })
}

/// As the configuration writes it.
pub(super) fn word(state: v1::TenantState) -> &'static str {
    match state {
        v1::TenantState::Active => "active",
        v1::TenantState::Trial => "trial",
        v1::TenantState::Suspended => "suspended",
        v1::TenantState::Maintenance => "maintenance",
        v1::TenantState::PendingOffboard => "pending_offboard",
        v1::TenantState::Offboarded => "offboarded",
        v1::TenantState::Purged => "purged",
        v1::TenantState::Unspecified => "unknown",
    }
}
