//! The reference: a map, a list of loads, and the rules in plain words.
//!
//! Order is a counter of what happened. Nothing is ever thrown away to save
//! memory, nothing is clever, nothing is concurrent.

use std::collections::HashMap;
use std::time::Duration;

use millpond_core::cache::Policy;
use millpond_core::clock::Time;

use crate::operation::Covers;

/// What a reader sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Found {
        body: Option<u8>,
        stale: bool,
        led: bool,
    },
    Lead,
    Wait,
    Nothing,
}

#[derive(Clone, Debug)]
struct Entry {
    body: Option<u8>,
    began: u64,
    stored: u64,
    tag: Option<u8>,
    fresh: Time,
    stale: Time,
    error: Time,
    /// A refresh is under way or backing off until then.
    quiet_until: Time,
    failures: u32,
}

#[derive(Clone, Debug)]
struct Load {
    number: u64,
    key: u8,
    began: u64,
    began_at: Time,
    deadline: Time,
    softened: bool,
    base: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    order: u64,
    at: Time,
    target: Covers,
    soft: bool,
    settle: Duration,
}

#[derive(Debug)]
pub(crate) struct Reference {
    policy: Policy,
    now: Time,
    order: u64,
    leases: u64,
    entries: HashMap<u8, Entry>,
    loads: Vec<Load>,
    events: Vec<Event>,
}

fn covers(target: Covers, key: u8, tag: Option<u8>) -> bool {
    match target {
        Covers::Key(covered) => covered == key,
        Covers::Tag(covered) => Some(covered) == tag,
        Covers::Cache | Covers::Tenant => true,
    }
}

impl Reference {
    pub(crate) fn new(policy: Policy, now: Time) -> Self {
        Self {
            policy,
            now,
            order: 0,
            leases: 0,
            entries: HashMap::new(),
            loads: Vec::new(),
            events: Vec::new(),
        }
    }

    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// Loads past `max_load` are worth nothing; only `not_modified` and `renew` can
    /// tell whether they were swept.
    pub(crate) fn sweep(&mut self) {
        let (now, max_load) = (self.now, self.policy.max_load);
        self.loads
            .retain(|load| now.since(load.began_at) < max_load);
    }

    /// 0 fresh, 1 stale, 2 on error, 3 gone.
    fn phase(&self, key: u8) -> u8 {
        let Some(entry) = self.entries.get(&key) else {
            return 3;
        };
        let after = |soft| {
            self.events.iter().any(|event| {
                event.soft == soft
                    && event.order > entry.began
                    && covers(event.target, key, entry.tag)
                    // A key that was softened keeps its mark in its times.
                    && !(soft && matches!(event.target, Covers::Key(_)))
            })
        };
        if after(false) {
            return 3;
        }
        if self.now < entry.fresh && !after(true) {
            0
        } else if self.now < entry.stale {
            1
        } else if self.now < entry.error {
            2
        } else {
            3
        }
    }

    /// The load whose lease excludes others.
    fn leader(&self, key: u8) -> Option<&Load> {
        let last = self.loads.iter().rfind(|load| load.key == key)?;
        let void = self.events.iter().any(|event| {
            !event.soft
                && event.order > last.began
                && matches!(event.target, Covers::Cache | Covers::Tenant)
        });
        (self.now < last.deadline && !void).then_some(last)
    }

    fn begin(&mut self, key: u8) {
        let began = self.next();
        self.leases += 1;
        let deadline = self.now.after(self.policy.lease);
        let base = (self.phase(key) < 3).then(|| self.entries[&key].stored);
        if base.is_some()
            && let Some(entry) = self.entries.get_mut(&key)
        {
            entry.quiet_until = deadline;
        }
        self.loads.push(Load {
            number: self.leases,
            key,
            began,
            began_at: self.now,
            deadline,
            softened: false,
            base,
        });
    }

    pub(crate) fn read(&mut self, key: u8, fresh_only: bool) -> Seen {
        let phase = self.phase(key);
        let entry = self.entries.get(&key).cloned();
        let quiet = entry
            .as_ref()
            .is_some_and(|entry| self.now < entry.quiet_until);
        match (phase, entry) {
            (0, Some(entry)) => Seen::Found {
                body: entry.body,
                stale: false,
                led: false,
            },
            (1, Some(entry)) if !fresh_only => {
                let led = !quiet && self.leader(key).is_none();
                if led {
                    self.begin(key);
                }
                Seen::Found {
                    body: entry.body,
                    stale: true,
                    led,
                }
            }
            (2, Some(entry)) if !fresh_only && entry.failures > 0 && quiet => Seen::Found {
                body: entry.body,
                stale: true,
                led: false,
            },
            _ if self.leader(key).is_some() => Seen::Wait,
            _ => {
                self.begin(key);
                Seen::Lead
            }
        }
    }

    pub(crate) fn held(&self, key: u8) -> Seen {
        let Some(entry) = self.entries.get(&key) else {
            return Seen::Nothing;
        };
        let quiet = entry.failures > 0 && self.now < entry.quiet_until;
        let stale = match self.phase(key) {
            0 => false,
            1 => true,
            2 if quiet => true,
            _ => return Seen::Nothing,
        };
        Seen::Found {
            body: entry.body,
            stale,
            led: false,
        }
    }

    fn take(&mut self, key: u8, number: u64) -> Option<(Load, bool)> {
        let at = self.loads.iter().position(|load| load.number == number)?;
        let latest = self
            .loads
            .iter()
            .rfind(|load| load.key == key)
            .map(|load| load.number);
        Some((self.loads.remove(at), latest == Some(number)))
    }

    pub(crate) fn fill(&mut self, key: u8, number: u64, body: Option<u8>, tag: Option<u8>) -> bool {
        let Some((load, _)) = self.take(key, number) else {
            return false;
        };
        if self.now.since(load.began_at) >= self.policy.max_load {
            return false;
        }
        let hard = self
            .events
            .iter()
            .any(|event| !event.soft && event.order > load.began && covers(event.target, key, tag));
        let later = self.phase(key) < 3 && self.entries[&key].began > load.began;
        if hard || later {
            return false;
        }
        // Invalidations of one target extend its settle time; of the targets that
        // cover the value, the first to end counts.
        let mut ends: HashMap<Covers, Time> = HashMap::new();
        for event in &self.events {
            if !event.settle.is_zero() && covers(event.target, key, tag) {
                let end = ends.entry(event.target).or_insert(Time::ZERO);
                *end = (*end).max(event.at.after(event.settle));
            }
        }
        let settle = ends.into_values().filter(|end| load.began_at < *end).min();
        if settle.is_some_and(|end| end <= self.now) {
            return false;
        }
        let cap = settle.unwrap_or(Time::FAR);
        self.store(key, body, tag, load.began, load.softened, cap);
        true
    }

    fn store(
        &mut self,
        key: u8,
        body: Option<u8>,
        tag: Option<u8>,
        began: u64,
        softened: bool,
        cap: Time,
    ) {
        let stored = self.next();
        let policy = &self.policy;
        let (fresh, stale, error) = if body.is_some() {
            let fresh = self.now.after(policy.fresh);
            let stale = fresh.after(policy.stale);
            (fresh, stale, stale.after(policy.stale_if_error))
        } else {
            let until = self.now.after(policy.negative);
            (until, until, until)
        };
        let fresh = if softened { self.now } else { fresh };
        let entry = Entry {
            body,
            began,
            stored,
            tag,
            fresh: fresh.min(cap),
            stale: stale.min(cap),
            error: error.min(cap),
            quiet_until: Time::ZERO,
            failures: 0,
        };
        self.loads
            .retain(|load| load.key != key || load.began > began);
        self.entries.insert(key, entry);
    }

    /// `None`: the value is needed.
    pub(crate) fn not_modified(&mut self, key: u8, number: u64) -> Option<bool> {
        let Some(load) = self.loads.iter().find(|load| load.number == number) else {
            return Some(false);
        };
        let entry = self.entries.get(&key).filter(|_| self.phase(key) < 3)?;
        if load.base != Some(entry.stored) {
            return None;
        }
        let (body, tag) = (entry.body, entry.tag);
        Some(self.fill(key, number, body, tag))
    }

    pub(crate) fn fail(&mut self, key: u8, number: u64) {
        let Some((_, was_latest)) = self.take(key, number) else {
            return;
        };
        let now = self.now;
        if was_latest && let Some(entry) = self.entries.get_mut(&key) {
            entry.failures += 1;
            let wait =
                Duration::from_secs(1 << (entry.failures - 1).min(6)).min(Duration::from_secs(60));
            entry.quiet_until = now.after(wait);
        }
    }

    pub(crate) fn give_up(&mut self, key: u8, number: u64) {
        let Some((_, was_latest)) = self.take(key, number) else {
            return;
        };
        if was_latest && let Some(entry) = self.entries.get_mut(&key) {
            entry.quiet_until = Time::ZERO;
        }
    }

    pub(crate) fn renew(&mut self, key: u8, number: u64) -> bool {
        let latest = self
            .loads
            .iter()
            .rfind(|load| load.key == key)
            .map(|load| load.number);
        if latest != Some(number) {
            return false;
        }
        let void = |load: &Load| {
            self.events.iter().any(|event| {
                !event.soft
                    && event.order > load.began
                    && matches!(event.target, Covers::Cache | Covers::Tenant)
            })
        };
        let (now, lease, max_load) = (self.now, self.policy.lease, self.policy.max_load);
        let Some(at) = self.loads.iter().position(|load| load.number == number) else {
            return false;
        };
        let end = self.loads[at].began_at.after(max_load);
        if void(&self.loads[at]) || now >= end {
            return false;
        }
        let deadline = now.after(lease).min(end).max(self.loads[at].deadline);
        self.loads[at].deadline = deadline;
        if let Some(entry) = self.entries.get_mut(&key)
            && now < entry.quiet_until
            && entry.failures == 0
        {
            entry.quiet_until = deadline;
        }
        true
    }

    pub(crate) fn set(&mut self, key: u8, byte: u8, tag: Option<u8>) {
        let began = self.next();
        self.loads.retain(|load| load.key != key);
        self.store(key, Some(byte), tag, began, false, Time::FAR);
    }

    pub(crate) fn invalidate(&mut self, target: Covers, soft: bool, settle: Duration) {
        let order = self.next();
        self.events.push(Event {
            order,
            at: self.now,
            target,
            soft,
            settle,
        });
        if let Covers::Key(key) = target {
            if soft {
                let now = self.now;
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.fresh = entry.fresh.min(now);
                }
                self.loads
                    .iter_mut()
                    .filter(|load| load.key == key)
                    .for_each(|load| {
                        load.softened = true;
                    });
            } else {
                self.loads.retain(|load| load.key != key);
                self.entries.remove(&key);
            }
        }
    }
}
