//! Core's explanation of a key as the wire says it, and in one sentence.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::expiry::Phase;
use millpond_core::cache::{
    Body, Covering, Event, Explanation, Floor, Held, Loading, Mode, Pond, Scope, What, Why,
};
use millpond_core::version::Version;
use millpond_proto::v1;
use millpond_proto::v1::explain_reply;

use super::stats::milliseconds;

pub(super) mod limit;

/// What nobody uses has no story.
pub(super) fn unused() -> v1::ExplainReply {
    v1::ExplainReply {
        scope: v1::Scope::Pod.into(),
        verdict: "not held: nobody has used this cache of this tenant here of late; check both \
                  names"
            .to_owned(),
        ..v1::ExplainReply::default()
    }
}

pub(super) fn explain(pond: &Pond, scope: &Arc<Scope>, key: &[u8]) -> v1::ExplainReply {
    let explained = pond.explain(scope, key);
    let mut events: Vec<(Duration, explain_reply::Event)> = explained
        .events
        .iter()
        .map(|(ago, told)| (*ago, event(pond, *ago, told)))
        .chain(
            explained
                .floors
                .iter()
                .map(|(ago, told)| (*ago, floor(pond, *ago, told))),
        )
        .collect();
    // Stable: what happened at one moment stays in its order.
    events.sort_by_key(|(ago, _)| *ago);
    v1::ExplainReply {
        scope: v1::Scope::Pod.into(),
        verdict: verdict(&explained),
        entry: explained.held.as_ref().map(|held| entry(pond, held)),
        flight: explained.loading.as_ref().map(flight),
        cache: None,
        events: events.into_iter().map(|(_, event)| event).collect(),
        key_hash: pond.pseudonym(scope, key),
        limit: None,
    }
}

fn version(pond: &Pond, version: Version) -> Bytes {
    if version == Version::NONE {
        return Bytes::new();
    }
    Bytes::copy_from_slice(&pond.position(version).encode())
}

fn entry(pond: &Pond, held: &Held) -> explain_reply::Entry {
    let [fresh, stale, error] = held.left.map(milliseconds);
    let body = held.hit.body();
    explain_reply::Entry {
        absent: *body == Body::Absent,
        value_bytes: body
            .value()
            .map_or(0, |value| u64::try_from(value.len()).unwrap_or(u64::MAX)),
        counted_bytes: held.counted.into(),
        version: version(pond, held.hit.version()),
        age_ms: milliseconds(held.age),
        load_ms: milliseconds(held.hit.load_time()),
        fresh_for_ms: if held.phase == Phase::Fresh { fresh } else { 0 },
        stale_for_ms: if held.phase <= Phase::Stale { stale } else { 0 },
        stale_if_error_for_ms: if held.phase <= Phase::OnError {
            error
        } else {
            0
        },
        tags: held
            .hit
            .tags()
            .map(|tag| String::from_utf8_lossy(tag).into_owned())
            .collect(),
        etag: String::from_utf8_lossy(held.hit.etag()).into_owned(),
        state: state(held).to_owned(),
        failures: held.failures.into(),
        backing_off_ms: held.backing_off.map_or(0, milliseconds),
    }
}

fn state(held: &Held) -> &'static str {
    match held.phase {
        Phase::Fresh => "fresh",
        Phase::Stale => "stale",
        Phase::OnError => "stale_if_error",
        Phase::Gone if held.gone_by.is_some() => "invalidated",
        Phase::Gone => "expired",
    }
}

fn flight(loading: &Loading) -> explain_reply::Flight {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    explain_reply::Flight {
        began_ms_ago: milliseconds(loading.began),
        exclusive_for_ms: milliseconds(loading.exclusive),
        waiters: number(loading.waiters),
        refresh: loading.refresh,
        loads: number(loading.loads),
        void: !loading.counts,
    }
}

fn event(pond: &Pond, ago: Duration, event: &Event) -> explain_reply::Event {
    let (what, detail) = words(event.what);
    explain_reply::Event {
        age_ms: milliseconds(ago),
        what: what.to_owned(),
        version: version(pond, event.version),
        detail: detail.to_owned(),
    }
}

fn floor(pond: &Pond, ago: Duration, floor: &Floor) -> explain_reply::Event {
    let what = match floor.of {
        Covering::Cache => "cache_invalidated",
        Covering::Tenant => "tenant_invalidated",
        Covering::Tag(_) | Covering::ForgottenTag(_) => "tag_invalidated",
    };
    let detail = if floor.soft {
        "what had begun to load before is stale"
    } else {
        "what had begun to load before is gone"
    };
    explain_reply::Event {
        age_ms: milliseconds(ago),
        what: what.to_owned(),
        version: version(pond, floor.version),
        detail: detail.to_owned(),
    }
}

/// An event's name, and what there is to say about it.
fn words(what: What) -> (&'static str, &'static str) {
    match what {
        What::Leased => ("leased", "nothing usable was held"),
        What::Refreshing => ("refreshing", "what is held is answered meanwhile"),
        What::Observing => ("observing", "the cache observes: every read loads"),
        What::Promoted => (
            "promoted",
            "a caller that waited leads: the leader gave up, was invalidated, or its lease ran out",
        ),
        What::Stored => ("stored", ""),
        What::Confirmed => ("confirmed", "the origin says that it is not modified"),
        What::Adopted => ("adopted", "taken over from the second level"),
        What::Set => ("set", ""),
        What::Superseded(why) => ("superseded", because(why)),
        What::TooLarge => (
            "too_large",
            "larger than the policy's max_value: handed to those who waited, and not kept",
        ),
        What::Failed => ("failed", ""),
        What::GivenUp => ("given_up", ""),
        What::Invalidated => ("invalidated", ""),
        What::Softened => ("made_stale", "by a soft invalidation"),
        What::Expired => ("expired", "its time was over"),
        What::Buried => ("buried", "removed after an invalidation that covered it"),
        What::Evicted => (
            "evicted",
            "for room; a thread that had just read it may answer it a little longer",
        ),
        _ => ("other", ""),
    }
}

fn because(why: Why) -> &'static str {
    match why {
        Why::Unrecorded => {
            "no such load any more: since it began the key was invalidated, set or stored, \
             max_load passed, or it was settled before"
        }
        Why::TooSlow => "it took longer than max_load",
        Why::Covered => "a tag, the cache or the tenant was invalidated since it began",
        Why::Later => "a later value is held",
        Why::Settling => "it began inside an invalidation's settle time, which is over",
        Why::OtherBoot => "its lease was granted by another process, or before a restart",
        _ => "",
    }
}

fn verdict(explained: &Explanation) -> String {
    match explained.mode {
        Mode::On => {}
        Mode::Observe => {
            return "the cache observes: every read loads, and nothing held is answered; switch \
                    its mode to on to have it answer"
                .to_owned();
        }
        Mode::Bypass => {
            return "the cache is switched off: reads load privately; switch its mode to on to \
                    have it answer"
                .to_owned();
        }
    }
    match &explained.held {
        Some(held) => held_verdict(held, explained.loading.as_ref()),
        None => format!(
            "not held: {}",
            missing(explained.events.first(), explained.loading.as_ref())
        ),
    }
}

fn held_verdict(held: &Held, loading: Option<&Loading>) -> String {
    let [fresh, stale, error] = held.left.map(|left| left.as_secs_f64());
    let what = match held.hit.body() {
        Body::Value(_) => "answered",
        Body::Absent => "answered as absent",
    };
    let behind = match (held.backing_off, loading) {
        (_, Some(_)) => "a refresh is under way".to_owned(),
        (Some(wait), None) => format!(
            "refreshing failed {} times, the next try is in {:.1} s",
            held.failures,
            wait.as_secs_f64()
        ),
        (None, None) => "the next read that may load refreshes it".to_owned(),
    };
    match held.phase {
        Phase::Fresh => format!("{what}: fresh for another {fresh:.1} s"),
        Phase::Stale => match &held.stale_by {
            Some(by) => format!("{what} stale: {}; {behind}", blame(by)),
            None => format!("{what} stale, for another {stale:.1} s; {behind}"),
        },
        Phase::OnError => format!(
            "not answered unless loading fails, is refused or times out, for another {error:.1} s; \
             the next read that may load waits for the load"
        ),
        Phase::Gone => match &held.gone_by {
            Some(by) => format!("not answered: {}; the next read loads", blame(by)),
            None => "not answered: its time is over; the next read loads".to_owned(),
        },
    }
}

fn blame(floor: &Floor) -> String {
    let what = match &floor.of {
        Covering::Cache => "its cache was invalidated".to_owned(),
        Covering::Tenant => "its tenant was invalidated".to_owned(),
        Covering::Tag(tag) => format!("its tag {:?} was invalidated", String::from_utf8_lossy(tag)),
        Covering::ForgottenTag(tag) => format!(
            "its tag {:?} was forgotten, because the tenant has too many, and its entries with it",
            String::from_utf8_lossy(tag)
        ),
    };
    if floor.soft {
        format!("{what} softly")
    } else {
        what
    }
}

fn missing(last: Option<&(Duration, Event)>, loading: Option<&Loading>) -> String {
    if let Some(loading) = loading {
        let since = loading.began.as_secs_f64();
        let waiters = loading.waiters;
        if !loading.counts {
            return format!(
                "the load that began {since:.1} s ago was overtaken by an invalidation or took \
                 too long; the next read loads"
            );
        }
        if loading.exclusive.is_zero() {
            return format!(
                "the load that began {since:.1} s ago has outlived its lease; the next read loads \
                 beside it, {waiters} wait"
            );
        }
        return format!(
            "loading since {since:.1} s, {waiters} wait; the lease ends in {:.1} s",
            loading.exclusive.as_secs_f64()
        );
    }
    let Some((ago, event)) = last else {
        return "nothing is known of it: never asked for here, or too long ago; the next read \
                loads"
            .to_owned();
    };
    let (what, detail) = words(event.what);
    let detail = if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    };
    format!(
        "last it was {} {:.1} s ago{detail}; the next read loads",
        what.replace('_', " "),
        ago.as_secs_f64()
    )
}
