//! `millpond mode`.

use std::fmt::Write;
use std::time::Duration;

use clap::{Args, ValueEnum};
use millpond_proto::v1::{self, CacheInForce, SetModeRequest, StatsRequest};
use serde_json::json;

use super::bytes;
use super::exit::{Failure, STATUSES, Status, warn};
use super::operator::{Operator, knows, reply};
use super::span::{self, Span};
use super::terminal::printable;

const EXAMPLES: &str = "Examples:
  millpond mode                                   every cache and its mode
  millpond mode users                             one
  millpond mode users bypass --for 1h --why 'stale rows after the migration'
  millpond mode users configured";

/// Show or switch what caches do with reads.
///
/// `observe` lets every caller load and counts how often what was held differed from
/// what they loaded: how a team tries a cache without trusting it. `bypass` is the
/// kill switch: callers load privately and nothing is held; invalidations still take
/// effect, so that switching it on again is safe. `configured` goes back to what the
/// configuration says.
///
/// A switch covers one cache over all tenants, in this sidecar only. It outlives a
/// reload of the configuration, not the process; --for ends it by itself.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Mode {
    /// The cache
    cache: Option<String>,

    /// What it is to do
    #[arg(requires = "cache")]
    mode: Option<To>,

    /// For how long, as 30m or 1h [default: until said otherwise]
    #[arg(long = "for", value_name = "TIME", requires = "mode")]
    ends_in: Option<Span>,

    /// Who or what for; goes to the sidecar's log
    #[arg(long, value_name = "TEXT", requires = "mode")]
    #[arg(default_value = "", hide_default_value = true)]
    why: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum To {
    On,
    Observe,
    Bypass,
    Configured,
}

impl From<To> for v1::Mode {
    fn from(to: To) -> Self {
        match to {
            To::On => Self::On,
            To::Observe => Self::Observe,
            To::Bypass => Self::Bypass,
            To::Configured => Self::Unspecified,
        }
    }
}

pub(crate) fn run(mode: Mode) -> Result<Status, Failure> {
    let told = match (&mode.cache, mode.mode) {
        (Some(cache), Some(to)) => switch(&mode, cache, to)?,
        _ => show(&mode)?,
    };
    bytes::print(told.as_bytes())?;
    Ok(Status::Done)
}

fn switch(mode: &Mode, cache: &str, to: To) -> Result<String, Failure> {
    if mode.ends_in.is_some_and(|span| span.millis() == 0) {
        // The wire has it for "until said otherwise".
        return Err(Failure::usage("--for: 0 is no time to switch a cache for"));
    }
    let request = SetModeRequest {
        cache: cache.to_owned(),
        mode: v1::Mode::from(to).into(),
        for_ms: mode.ends_in.map_or(0, Span::millis),
        why: mode.why.clone(),
    };
    let (done, known) = mode.operator.run(async |mut sidecar| {
        let done = reply(sidecar.set_mode(request).await)?;
        // It is switched, whether the rest can be told or not.
        let stats = reply(sidecar.stats(StatsRequest {}).await).ok();
        Ok((done, stats.map(|stats| knows(&stats, cache))))
    })?;
    if known == Some(false) {
        warn(format_args!(
            "{cache}: neither declared nor in use in this sidecar; switched all the same"
        ));
    }
    let (before, after) = (word(done.before()), word(done.after()));
    Ok(if mode.json {
        format!(
            "{}\n",
            json!({
                "cache": cache,
                "before": before,
                "after": after,
                "ends_in_ms": mode.ends_in.map(Span::millis),
                "known": known,
                "scope": "pod",
            })
        )
    } else {
        let ends = mode
            .ends_in
            .map_or_else(String::new, |span| format!(", for {span}"));
        format!("{cache}: {before}, now {after}{ends}, in this sidecar\n")
    })
}

fn show(mode: &Mode) -> Result<String, Failure> {
    let stats = mode
        .operator
        .run(async |mut sidecar| reply(sidecar.stats(StatsRequest {}).await))?;
    let wanted = |name: &str| mode.cache.as_deref().is_none_or(|cache| cache == name);
    let caches = stats.caches.iter().filter(|cache| wanted(&cache.name));
    let caches: Vec<_> = caches.collect();
    if let (Some(cache), true) = (&mode.cache, caches.is_empty()) {
        return Err(Failure::from(format!(
            "{cache}: neither declared nor in use in this sidecar"
        )));
    }
    if mode.json {
        let caches: Vec<_> = caches.iter().map(|cache| in_json(cache)).collect();
        return Ok(format!("{}\n", json!({ "caches": caches })));
    }
    if caches.is_empty() {
        return Ok("no cache is declared or in use\n".to_owned());
    }
    let mut text = String::new();
    for cache in caches {
        let why = match (cache.switched, cache.mode_ends_in_ms) {
            (true, Some(left)) => {
                let left = span::shown(Duration::from_millis(left));
                format!("  switched, for another {left}")
            }
            (true, None) => "  switched".to_owned(),
            (false, _) => String::new(),
        };
        let (name, mode) = (printable(&cache.name), word(cache.mode()));
        // Writing to a String does not fail.
        let _ = write!(text, "{name:<32} {mode}{why}");
        if cache.matches + cache.mismatches > 0 {
            let _ = write!(
                text,
                "  observed: {} as loaded, {} not",
                cache.matches, cache.mismatches
            );
        }
        text.push('\n');
    }
    Ok(text)
}

fn in_json(cache: &CacheInForce) -> serde_json::Value {
    json!({
        "cache": cache.name,
        "mode": word(cache.mode()),
        "switched": cache.switched,
        "ends_in_ms": cache.mode_ends_in_ms,
        "declared": cache.declared,
        "matches": cache.matches,
        "mismatches": cache.mismatches,
    })
}

/// As the configuration writes it.
pub(crate) fn word(mode: v1::Mode) -> &'static str {
    match mode {
        v1::Mode::On => "on",
        v1::Mode::Observe => "observe",
        v1::Mode::Bypass => "bypass",
        v1::Mode::Unspecified => "unknown",
    }
}
