//! `Stats` as JSON, for the console, `curl` and `jq`.
//!
//! Fields are named as in the contract. What is unset is null. A number that a reader
//! with doubles would round (2^53 and more) is a string.

use millpond_proto::v1;
use serde_json::{Map, Value, json};

use super::switches;
use millpond_core::cache::Mode;

/// The first integer whose successor a double does not hold.
const EXACT: u64 = 1 << 53;

fn number(value: u64) -> Value {
    if value < EXACT {
        value.into()
    } else {
        value.to_string().into()
    }
}

fn by_name(counts: &std::collections::HashMap<String, u64>) -> Value {
    let sorted: std::collections::BTreeMap<_, _> = counts.iter().collect();
    let members = sorted
        .into_iter()
        .map(|(name, count)| (name.clone(), number(*count)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn mode(mode: i32) -> &'static str {
    match v1::Mode::try_from(mode) {
        Ok(v1::Mode::On) => switches::name(Mode::On),
        Ok(v1::Mode::Observe) => switches::name(Mode::Observe),
        Ok(v1::Mode::Bypass) => switches::name(Mode::Bypass),
        Ok(v1::Mode::Unspecified) | Err(_) => "unspecified",
    }
}

fn scope(scope: i32) -> &'static str {
    match v1::Scope::try_from(scope) {
        Ok(v1::Scope::Pod) => "pod",
        Ok(v1::Scope::Fleet) => "fleet",
        Ok(v1::Scope::Unspecified) | Err(_) => "unspecified",
    }
}

pub(super) fn stats(stats: &v1::StatsReply) -> String {
    let value = json!({
        "scope": scope(stats.scope),
        "program": stats.program,
        "boot": format!("{:016x}", stats.boot),
        "uptime_ms": number(stats.uptime_ms),
        "stage": stats.stage,
        "cache": stats.cache.as_ref().map(cache_stats),
        "caches": stats.caches.iter().map(cache).collect::<Vec<_>>(),
        "methods": stats.methods.iter().map(method).collect::<Vec<_>>(),
        "memory": stats.memory.as_ref().map(memory),
        "connections": number(stats.connections),
        "max_connections": number(stats.max_connections),
        "changes": stats.changes.iter().map(change).collect::<Vec<_>>(),
        "config": stats.config.as_ref().map(config),
        "calls_in_flight": number(stats.calls_in_flight),
        "loads_unsettled": number(stats.loads_unsettled),
        "tenant_caches": number(stats.tenant_caches),
        "other_counts": stats.other_counts.as_ref().map(counts),
    });
    value.to_string()
}

fn cache_stats(stats: &v1::CacheStats) -> Value {
    json!({
        "hits": number(stats.hits),
        "stale": number(stats.stale),
        "misses": number(stats.misses),
        "leads": number(stats.leads),
        "refreshes": number(stats.refreshes),
        "coalesced": number(stats.coalesced),
        "promoted": number(stats.promoted),
        "shed": number(stats.shed),
        "stored": number(stats.stored),
        "superseded": number(stats.superseded),
        "failed": number(stats.failed),
        "given_up": number(stats.given_up),
        "too_large": number(stats.too_large),
        "evictions": number(stats.evictions),
        "invalidations": number(stats.invalidations),
        "mismatches": number(stats.mismatches),
        "stale_by_reason": by_name(&stats.stale_by_reason),
        "sets": number(stats.sets),
        "expired": number(stats.expired),
        "adopted": number(stats.adopted),
        "matches": number(stats.matches),
    })
}

fn cache(cache: &v1::CacheInForce) -> Value {
    json!({
        "name": cache.name,
        "declared": cache.declared,
        "mode": mode(cache.mode),
        "mode_ends_in_ms": cache.mode_ends_in_ms.map(number),
        "fresh_ms": number(cache.fresh_ms),
        "stale_ms": number(cache.stale_ms),
        "stale_if_error_ms": number(cache.stale_if_error_ms),
        "negative_ms": number(cache.negative_ms),
        "tenants": number(cache.tenants),
        "switched": cache.switched,
        "matches": number(cache.matches),
        "mismatches": number(cache.mismatches),
        "counts": cache.counts.as_ref().map(counts),
    })
}

fn counts(counts: &v1::CacheCounts) -> Value {
    json!({
        "hits": number(counts.hits),
        "stale": number(counts.stale),
        "misses": number(counts.misses),
        "loads": number(counts.loads),
    })
}

fn method(method: &v1::MethodStats) -> Value {
    json!({
        "method": method.method,
        "calls": number(method.calls),
        "by_code": by_name(&method.by_code),
        "p50_us": method.p50_us.map(number),
        "p99_us": method.p99_us.map(number),
    })
}

fn memory(memory: &v1::Memory) -> Value {
    json!({
        "entries": number(memory.entries),
        "entry_bytes": number(memory.entry_bytes),
        "budget_bytes": number(memory.budget_bytes),
        "in_flight_bytes": memory.in_flight_bytes.map(number),
        "in_flight_budget_bytes": memory.in_flight_budget_bytes.map(number),
        "resident_bytes": number(memory.resident_bytes),
    })
}

fn change(change: &v1::StateChange) -> Value {
    json!({
        "age_ms": number(change.age_ms),
        "kind": change.kind,
        "what": change.what,
    })
}

fn config(config: &v1::ConfigInForce) -> Value {
    json!({
        "file": config.file,
        "hash": config.hash,
        "loaded_ms_ago": number(config.loaded_ms_ago),
        "reloads": number(config.reloads),
        "reloads_refused": number(config.reloads_refused),
        "refused": config.refused,
        "after_restart": config.after_restart,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::field_descriptor_proto::Type;
    use prost_types::{DescriptorProto, FileDescriptorSet};

    #[test]
    fn a_number_that_a_double_would_round_is_a_string() {
        assert_eq!(number(EXACT - 1), json!(9_007_199_254_740_991_u64));
        assert_eq!(number(EXACT), json!("9007199254740992"));
        let stats = v1::StatsReply {
            boot: 10,
            uptime_ms: u64::MAX,
            ..v1::StatsReply::default()
        };
        let value: Value = serde_json::from_str(&super::stats(&stats)).unwrap();
        assert_eq!(value["boot"], "000000000000000a");
        assert_eq!(value["uptime_ms"], "18446744073709551615");
        assert_eq!(value["memory"], Value::Null);
    }

    #[test]
    fn every_field_of_the_contract_is_in_the_json_under_its_name() {
        let set = FileDescriptorSet::decode(millpond_proto::FILE_DESCRIPTOR_SET).unwrap();
        let messages: Vec<&DescriptorProto> = set
            .file
            .iter()
            .filter(|file| file.name() == "millpond/v1/admin.proto")
            .flat_map(|file| &file.message_type)
            .collect();
        let full = v1::StatsReply {
            cache: Some(v1::CacheStats::default()),
            caches: vec![v1::CacheInForce {
                counts: Some(v1::CacheCounts::default()),
                ..v1::CacheInForce::default()
            }],
            other_counts: Some(v1::CacheCounts::default()),
            methods: vec![v1::MethodStats::default()],
            memory: Some(v1::Memory::default()),
            changes: vec![v1::StateChange::default()],
            config: Some(v1::ConfigInForce::default()),
            ..v1::StatsReply::default()
        };
        let value: Value = serde_json::from_str(&stats(&full)).unwrap();
        let compared = compare(&messages, "StatsReply", &value);
        assert_eq!(compared, 9, "messages within each other");
    }

    /// Compares a message's fields with an object's, and theirs; how many messages.
    fn compare(messages: &[&DescriptorProto], name: &str, value: &Value) -> usize {
        let message = messages
            .iter()
            .find(|message| message.name() == name)
            .unwrap();
        let mut contract: Vec<&str> = message.field.iter().map(|field| field.name()).collect();
        let mut json: Vec<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        contract.sort_unstable();
        json.sort_unstable();
        assert_eq!(contract, json, "{name}");
        let within = message
            .field
            .iter()
            .filter(|field| field.r#type() == Type::Message)
            .filter(|field| !field.type_name().ends_with("Entry"));
        1 + within
            .map(|field| {
                let value = &value[field.name()];
                let value = value.get(0).unwrap_or(value);
                let name = field.type_name().rsplit('.').next().unwrap();
                compare(messages, name, value)
            })
            .sum::<usize>()
    }
}
