//! From a document, flags and environment to a checked configuration, with all that
//! is wrong with them at once.
//!
//! A mistake leaves the value that was there before, and reading goes on: whoever
//! asked sees every mistake in one run. A configuration with mistakes never comes
//! into force. Unknown keys are kept apart: `check` refuses them, and a process that
//! starts does not, because a rollback to a version that does not know a field yet
//! must not end in a crash loop.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use millpond_core::cache::{CacheName, Policy};

use super::form::Wrong;
use super::mistake::{DOCUMENT, Mistake, Place, cut, inside, nearest};
use super::source::Said;
use super::table::tenancy::{TENANCY, TENANTS, TIERS, UNKNOWN_TENANTS};
use super::table::{
    API_VERSION, CACHES, Field, GROUPS, LEAST_IN_FLIGHT, POLICY, PROCESS, UNDECLARED, VERSION_KEY,
};
use super::yaml::{self, Entry, Node, Value};
use super::{CONNECTION, Config, LEAST_CONNECTIONS, MOST_CONNECTIONS, across};
use crate::memory::default_budget;

mod descriptors;
pub(crate) mod tenancy;

pub(crate) use descriptors::{DESCRIPTORS, UNITS};

/// What a configuration comes to.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The configuration. To be used only when there are no mistakes.
    pub config: Config,
    /// What is wrong.
    pub mistakes: Vec<Mistake>,
    /// Keys that mean nothing here.
    pub unknown: Vec<Mistake>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Mistake>,
    /// Where each field was said that was said.
    pub(crate) places: HashMap<String, Place>,
    /// Tiers and tenants as they were said.
    pub(crate) tenancy: tenancy::Raw,
}

impl Reading {
    pub(crate) fn of(file: Option<(&Arc<str>, &[u8])>, said: &[Said]) -> Self {
        let mut reading = Self {
            config: Config {
                cache: millpond_core::cache::Config {
                    budget: default_budget().0,
                    ..millpond_core::cache::Config::default()
                },
                ..Config::default()
            },
            mistakes: Vec::new(),
            unknown: Vec::new(),
            warnings: Vec::new(),
            places: HashMap::new(),
            tenancy: tenancy::Raw::default(),
        };
        if let Some((name, bytes)) = file {
            let (root, mistakes) = yaml::read(name, bytes);
            let whole = mistakes.is_empty();
            reading.mistakes = mistakes;
            reading.document(name, root.as_deref(), whole);
        }
        reading.said(said);
        reading.shares();
        across::check(&mut reading);
        reading
    }

    /// What is held beside entries follows their budget unless it is said. Where that is
    /// half of a container's limit, an eighth of the limit is left for the process itself.
    fn shares(&mut self) {
        let budget = self.config.cache.budget;
        if !self.places.contains_key("in_flight") {
            let share = (budget / 2).max(LEAST_IN_FLIGHT);
            self.config.in_flight = self.config.in_flight.min(share);
        }
        if !self.places.contains_key("limits.connections") {
            let share = usize::try_from(budget / 4 / CONNECTION).unwrap_or(usize::MAX);
            self.config.max_connections = share.clamp(LEAST_CONNECTIONS, MOST_CONNECTIONS);
        }
    }

    /// Where a field was said; [`Place::Default`] when it was not.
    #[must_use]
    pub fn place(&self, path: &str) -> Place {
        self.places.get(path).cloned().unwrap_or(Place::Default)
    }

    fn document(&mut self, file: &Arc<str>, root: Option<&Node>, whole: bool) {
        let start = Place::File {
            file: Arc::clone(file),
            line: 1,
            column: 1,
        };
        let entries: &[Entry] = match root {
            Some(Node {
                value: Value::Map(entries),
                ..
            }) => entries,
            None
            | Some(Node {
                value: Value::Nothing,
                ..
            }) => &[],
            Some(node) => {
                self.wrong(
                    node.place.clone(),
                    DOCUMENT,
                    found(&node.value, Wrong::Form),
                    "fields such as caches:",
                );
                return;
            }
        };
        self.version(entries, start, whole);
        for entry in entries {
            self.top(entry);
        }
    }

    fn version(&mut self, entries: &[Entry], start: Place, whole: bool) {
        let said = entries.iter().find(|entry| entry.key == VERSION_KEY);
        match said.map(|entry| &entry.node) {
            Some(node) if matches!(&node.value, Value::Text(text) if text == API_VERSION) => {}
            Some(node) => {
                let problem = found(&node.value, Wrong::Form);
                self.wrong(node.place.clone(), VERSION_KEY, problem, API_VERSION);
            }
            // Half of a file says nothing about what its other half says.
            None if whole => {
                let problem = "is missing".to_owned();
                self.wrong(
                    start,
                    VERSION_KEY,
                    problem,
                    &format!("{VERSION_KEY}: {API_VERSION}"),
                );
            }
            None => {}
        }
    }

    fn top(&mut self, entry: &Entry) {
        let name = entry.key.as_str();
        if name == VERSION_KEY {
            return;
        }
        if name == UNDECLARED {
            let mut policy = self.config.cache.undeclared;
            self.policy(UNDECLARED, &entry.node, &mut policy);
            self.config.cache.undeclared = policy;
        } else if name == CACHES {
            self.caches(&entry.node);
        } else if name == TIERS {
            self.tiers(&entry.node);
        } else if name == TENANTS {
            self.tenants(&entry.node);
        } else if name == UNKNOWN_TENANTS {
            self.unknown_tenants(&entry.node);
        } else if name == DESCRIPTORS {
            self.config.descriptors = self.descriptors(&entry.node);
        } else if GROUPS.iter().any(|(group, _)| *group == name) {
            let mut config = self.config.clone();
            let fields = PROCESS.iter().filter(|field| field.group == name);
            self.fields(name, &entry.node, fields, &mut config);
            self.config = config;
        } else if let Some(field) = PROCESS.iter().find(|field| field.path() == name) {
            let mut config = self.config.clone();
            self.field(name, field, &entry.node, &mut config);
            self.config = config;
        } else {
            let names = PROCESS
                .iter()
                .filter(|field| field.group.is_empty())
                .map(|field| field.name)
                .chain(GROUPS.iter().map(|(group, _)| *group))
                .chain([
                    UNDECLARED,
                    CACHES,
                    TIERS,
                    TENANTS,
                    UNKNOWN_TENANTS,
                    DESCRIPTORS,
                    VERSION_KEY,
                ]);
            self.unknown(DOCUMENT, entry, names.collect());
        }
    }

    fn caches(&mut self, node: &Rc<Node>) {
        let Some(entries) = self.mapping(CACHES, node, "caches by name") else {
            return;
        };
        for entry in entries {
            let path = inside(CACHES, &entry.key);
            match CacheName::parse(&entry.key) {
                Ok(name) => {
                    let mut policy = Policy::declared();
                    self.policy(&path, &entry.node, &mut policy);
                    self.places.insert(path, entry.place.clone());
                    self.config.cache.declared.insert(name, policy);
                }
                Err(_) => {
                    let problem = format!("found the name \"{}\"", cut(&entry.key));
                    let expected = "1 to 64 of the letters a-z, digits, ., _ and -";
                    self.wrong(entry.place.clone(), &path, problem, expected);
                    self.policy(&path, &entry.node, &mut Policy::declared());
                }
            }
        }
    }

    fn policy(&mut self, path: &str, node: &Rc<Node>, policy: &mut Policy) {
        self.fields(path, node, POLICY.iter(), policy);
    }

    fn fields<'a, T: 'static>(
        &mut self,
        path: &str,
        node: &Rc<Node>,
        fields: impl Iterator<Item = &'a Field<T>> + Clone,
        into: &mut T,
    ) {
        let names = || fields.clone().map(|field| field.name);
        let expected = format!("fields such as {}:", names().next().unwrap_or(""));
        let Some(entries) = self.mapping(path, node, &expected) else {
            return;
        };
        for entry in entries {
            match fields.clone().find(|field| field.name == entry.key) {
                Some(field) => self.field(&inside(path, field.name), field, &entry.node, into),
                None => self.unknown(path, entry, names().collect()),
            }
        }
    }

    /// The entries of what should be a mapping. One whose entries are all commented
    /// out is nothing to YAML.
    fn mapping<'a>(&mut self, path: &str, node: &'a Node, expected: &str) -> Option<&'a [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Nothing => None,
            other => {
                self.wrong(
                    node.place.clone(),
                    path,
                    found(other, Wrong::Form),
                    expected,
                );
                None
            }
        }
    }

    fn field<T>(&mut self, path: &str, field: &Field<T>, node: &Node, into: &mut T) {
        let wrong = match &node.value {
            Value::Text(text) => match field.slot.put(text, into) {
                Ok(()) => {
                    self.places.insert(path.to_owned(), node.place.clone());
                    return;
                }
                Err(wrong) => wrong,
            },
            _ => Wrong::Form,
        };
        let problem = found(&node.value, wrong);
        self.wrong(node.place.clone(), path, problem, &field.slot.expected());
    }

    fn unknown(&mut self, path: &str, entry: &Entry, names: Vec<&str>) {
        let near = nearest(&entry.key, names.iter().copied()).map(str::to_owned);
        let meant = || meant(&entry.key).filter(|meant| names.contains(meant));
        let near = near.or_else(|| meant().map(str::to_owned));
        let problem = match near.or_else(|| elsewhere(path, &entry.key)) {
            Some(near) => format!("unknown key, much like {near}"),
            None if entry.key == "<<" => "unknown key: YAML 1.2 merges nothing".to_owned(),
            None => "unknown key".to_owned(),
        };
        self.unknown.push(Mistake {
            place: entry.place.clone(),
            path: inside(path, &entry.key),
            problem,
            expected: format!("one of {}", names.join(", ")),
        });
    }

    fn said(&mut self, said: &[Said]) {
        // The last word on a field counts, and earlier ones are not looked at.
        let mut over = HashSet::new();
        let mut last: Vec<_> = said
            .iter()
            .rev()
            .filter(|said| over.insert(said.path.as_str()))
            .collect();
        last.reverse();
        for said in last {
            if let Some(mistake) = said.not_text() {
                self.mistakes.push(mistake);
            }
            let field = PROCESS.iter().find(|field| field.path() == said.path);
            let (Some(field), Some(text)) = (field, &said.text) else {
                continue;
            };
            match field.slot.put(text, &mut self.config) {
                Ok(()) => {
                    self.places.insert(said.path.clone(), said.place.clone());
                }
                Err(wrong) => {
                    let problem = found_text(text, wrong);
                    self.wrong(
                        said.place.clone(),
                        &said.path,
                        problem,
                        &field.slot.expected(),
                    );
                }
            }
        }
    }

    pub(super) fn wrong(&mut self, place: Place, path: &str, problem: String, expected: &str) {
        self.mistakes.push(Mistake {
            place,
            path: path.to_owned(),
            problem,
            expected: expected.to_owned(),
        });
    }
}

fn found(value: &Value, wrong: Wrong) -> String {
    match value {
        Value::Nothing => "found nothing".to_owned(),
        Value::Text(text) => found_text(text, wrong),
        Value::List(_) => "found a list".to_owned(),
        Value::Map(_) => "found a mapping".to_owned(),
    }
}

fn found_text(text: &str, wrong: Wrong) -> String {
    let text = cut(text);
    match wrong {
        Wrong::Form => format!("found \"{text}\""),
        Wrong::Because(why) => format!("found \"{text}\", {why}"),
        Wrong::Hidden(why) => format!("found a value {why}"),
    }
}

/// What other caches call it, as it is called here.
fn meant(key: &str) -> Option<&'static str> {
    match key {
        "ttl" | "max_age" | "expiry" | "expires" => Some("fresh"),
        "swr" | "stale_while_revalidate" | "grace" => Some("stale"),
        "sie" | "keep" => Some("stale_if_error"),
        "timeout" | "lock" => Some("lease"),
        "level" => Some("filter"),
        "size" | "budget" | "capacity" => Some("memory"),
        _ => None,
    }
}

/// Where a key is known that stands in the wrong mapping.
fn elsewhere(path: &str, key: &str) -> Option<String> {
    let of_the_process = PROCESS.iter().map(|field| (field.name, field.path()));
    let of_caches = POLICY
        .iter()
        .map(|field| (field.name, format!("{CACHES}.(name).{}", field.name)));
    let of_tenants = TENANCY.iter().map(|field| {
        let group = if field.group.is_empty() {
            TENANTS
        } else {
            field.group
        };
        (field.name, format!("{group}.(name).{}", field.name))
    });
    let top =
        [UNDECLARED, CACHES, TIERS, TENANTS, UNKNOWN_TENANTS].map(|name| (name, name.to_owned()));
    of_the_process
        .chain(of_caches)
        .chain(of_tenants)
        .chain(top)
        .find(|(name, at)| *name == key && *at != inside(path, key))
        .map(|(_, at)| at)
}
