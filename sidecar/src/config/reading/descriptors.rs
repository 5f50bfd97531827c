//! The rules for descriptors: a tree as Envoy's reference service has it, with what
//! Millpond adds.
//!
//! ```yaml
//! descriptors:
//!   edge:                            # the domain
//!     tenant_key: tenant
//!     descriptors:
//!     - key: tenant
//!       descriptors:
//!       - key: path
//!         value: /api/*
//!         rate_limit: {unit: minute, requests_per_unit: 60, burst: 20}
//! ```
//!
//! Keys that the reference service knows and that mean nothing here, such as
//! `detailed_metric`, are unknown keys: a process starts with them and warns.

use std::rc::Rc;
use std::time::Duration;

use millpond_core::limit::Quota;
use millpond_core::limit::rules::{Domain, Limit, Rule, Rules, Terms};
use millpond_core::tenant::{LimitName, TenantId};

use super::Reading;
use super::found;
use crate::config::form::Wrong;
use crate::config::mistake::{cut, inside};
use crate::config::yaml::{Entry, Node, Value};

/// Where they stand.
pub(crate) const DESCRIPTORS: &str = "descriptors";

const DAY: Duration = Duration::from_secs(86_400);

/// Units of time, by what the reference service calls them.
pub(crate) const UNITS: [(&str, Duration); 7] = [
    ("second", Duration::from_secs(1)),
    ("minute", Duration::from_secs(60)),
    ("hour", Duration::from_secs(3_600)),
    ("day", DAY),
    ("week", DAY.saturating_mul(7)),
    ("month", DAY.saturating_mul(30)),
    ("year", DAY.saturating_mul(365)),
];

const OF_DOMAIN: [&str; 3] = ["tenant_key", "tenant", DESCRIPTORS];
const OF_RULE: [&str; 8] = [
    "key",
    "value",
    "rate_limit",
    "limit",
    "share_threshold",
    "shadow_mode",
    "overdraw",
    DESCRIPTORS,
];
const OF_RATE: [&str; 6] = [
    "requests_per_unit",
    "unit",
    "unit_multiplier",
    "burst",
    "unlimited",
    "name",
];

/// What a `rate_limit` says.
#[derive(Default)]
struct Rate {
    amount: Option<u64>,
    unit: Option<Duration>,
    multiplier: Option<u64>,
    burst: Option<u64>,
    unlimited: bool,
    name: Option<String>,
}

impl Reading {
    /// The domains; all that is wrong with them is noted.
    pub(super) fn descriptors(&mut self, node: &Rc<Node>) -> Vec<Domain> {
        let Some(entries) = self.mapping(DESCRIPTORS, node, "domains by name") else {
            return Vec::new();
        };
        let before = self.mistakes.len();
        let domains: Vec<_> = entries
            .iter()
            .map(|entry| self.domain(&inside(DESCRIPTORS, &entry.key), entry))
            .collect();
        // What is wrong with a part says nothing about the whole.
        if self.mistakes.len() == before
            && let Err(wrong) = Rules::new(&domains)
        {
            for rule in wrong {
                let at = entries
                    .iter()
                    .find(|entry| rule.path.split('.').next() == Some(&entry.key));
                let place = at.map_or(&node.place, |entry| &entry.place).clone();
                let (path, problem) = (inside(DESCRIPTORS, &rule.path), rule.why.to_string());
                self.wrong(place, &path, problem, "a rule that can be matched");
            }
        }
        domains
    }

    fn domain(&mut self, path: &str, entry: &Entry) -> Domain {
        let mut domain = Domain {
            name: entry.key.clone(),
            tenant_key: Domain::TENANT_KEY.to_owned(),
            tenant: None,
            rules: Vec::new(),
        };
        let fields = self.mapping(path, &entry.node, "descriptors:");
        for field in fields.unwrap_or_default() {
            let at = inside(path, &field.key);
            match field.key.as_str() {
                "tenant_key" => {
                    if let Some(key) = self.text(&at, &field.node, "the key of an entry") {
                        domain.tenant_key = key;
                    }
                }
                "tenant" => {
                    let parse = |text: &str| TenantId::parse(text).ok();
                    let expected = "1 to 128 of [A-Za-z0-9._-]";
                    domain.tenant = self.parsed(&at, &field.node, parse, expected);
                }
                DESCRIPTORS => domain.rules = self.rules(&at, &field.node),
                _ => self.unknown(path, field, OF_DOMAIN.to_vec()),
            }
        }
        domain
    }

    fn rules(&mut self, path: &str, node: &Node) -> Vec<Rule> {
        match &node.value {
            Value::List(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(at, item)| self.rule(&format!("{path}[{at}]"), item))
                    .collect()
            }
            Value::Nothing => Vec::new(),
            other => {
                let problem = found(other, Wrong::Form);
                self.wrong(node.place.clone(), path, problem, "a list of rules");
                Vec::new()
            }
        }
    }

    fn rule(&mut self, path: &str, node: &Node) -> Rule {
        let mut rule = Rule {
            key: String::new(),
            value: None,
            shared: false,
            limit: None,
            rules: Vec::new(),
        };
        let (mut rate, mut limit) = (None, None);
        let (mut shadow, mut overdraw) = (false, false);
        let fields = self.mapping(path, node, "key:");
        for field in fields.unwrap_or_default() {
            let at = inside(path, &field.key);
            let node = &field.node;
            match field.key.as_str() {
                "key" => rule.key = self.text(&at, node, "a word").unwrap_or_default(),
                "value" => rule.value = self.text(&at, node, "a word"),
                "rate_limit" => rate = Some(self.rate(&at, node)),
                "limit" => limit = self.limit_name(&at, node),
                "share_threshold" => rule.shared = self.truth(&at, node),
                "shadow_mode" => shadow = self.truth(&at, node),
                "overdraw" => overdraw = self.truth(&at, node),
                DESCRIPTORS => rule.rules = self.rules(&at, node),
                _ => self.unknown(path, field, OF_RULE.to_vec()),
            }
        }
        if rule.key.is_empty() {
            let problem = "has no key".to_owned();
            self.wrong(node.place.clone(), path, problem, "key: such as path");
        }
        if rate.is_some() && limit.is_some() {
            let problem = "has both a rate_limit and a limit".to_owned();
            self.wrong(node.place.clone(), path, problem, "one of them");
        }
        let (terms, name) = match (rate, limit) {
            (Some(rate), _) => (self.terms(path, node, &rate), rate.name),
            (None, Some(limit)) => (Some(Terms::Limit(limit)), None),
            (None, None) => (None, None),
        };
        rule.limit = terms.map(|terms| Limit {
            name,
            terms,
            shadow,
            overdraw,
        });
        rule
    }

    fn rate(&mut self, path: &str, node: &Node) -> Rate {
        let mut rate = Rate::default();
        let fields = self.mapping(path, node, "requests_per_unit:");
        for field in fields.unwrap_or_default() {
            let at = inside(path, &field.key);
            let node = &field.node;
            match field.key.as_str() {
                "requests_per_unit" => rate.amount = self.number(&at, node),
                "unit" => {
                    let unit = |text: &str| {
                        let known = UNITS.iter();
                        let mut unit = known
                            .filter(|(name, _)| name.eq_ignore_ascii_case(text))
                            .map(|(_, unit)| *unit);
                        unit.next()
                    };
                    let names = UNITS.map(|(name, _)| name).join(", ");
                    rate.unit = self.parsed(&at, node, unit, &format!("one of {names}"));
                }
                "unit_multiplier" => rate.multiplier = self.number(&at, node),
                "burst" => rate.burst = self.number(&at, node),
                "unlimited" => rate.unlimited = self.truth(&at, node),
                "name" => rate.name = self.text(&at, node, "a word"),
                _ => self.unknown(path, field, OF_RATE.to_vec()),
            }
        }
        rate
    }

    fn terms(&mut self, path: &str, node: &Node, rate: &Rate) -> Option<Terms> {
        let path = inside(path, "rate_limit");
        if rate.unlimited {
            if rate.amount.is_some() || rate.unit.is_some() {
                let problem = "is unlimited and has a rate".to_owned();
                self.wrong(node.place.clone(), &path, problem, "one of them");
            }
            return Some(Terms::Unlimited);
        }
        let (Some(amount), Some(unit)) = (rate.amount, rate.unit) else {
            let of = [inside(&path, "requests_per_unit"), inside(&path, "unit")];
            if self.mistakes.iter().any(|wrong| of.contains(&wrong.path)) {
                return None;
            }
            let problem = "has no requests_per_unit or no unit".to_owned();
            let expected = "both, or unlimited: true";
            self.wrong(node.place.clone(), &path, problem, expected);
            return None;
        };
        if amount == 0 {
            return Some(Terms::Blocked);
        }
        let times = u32::try_from(rate.multiplier.unwrap_or(1)).unwrap_or(u32::MAX);
        match Quota::new(
            amount,
            unit.saturating_mul(times),
            rate.burst.unwrap_or(amount),
        ) {
            Ok(quota) => Some(Terms::Quota(quota)),
            Err(wrong) => {
                self.wrong(node.place.clone(), &path, wrong.to_string(), "another rate");
                None
            }
        }
    }

    fn limit_name(&mut self, path: &str, node: &Node) -> Option<Option<LimitName>> {
        let name = |text: &str| match text {
            "" => Some(None),
            text => LimitName::parse(text).ok().map(Some),
        };
        let expected = "the name of a limit of the tenants', or \"\" for their own";
        self.parsed(path, node, name, expected)
    }

    fn number(&mut self, path: &str, node: &Node) -> Option<u64> {
        self.parsed(path, node, |text| text.parse().ok(), "a whole number")
    }

    fn truth(&mut self, path: &str, node: &Node) -> bool {
        let truth = |text: &str| match text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        };
        self.parsed(path, node, truth, "true or false")
            .unwrap_or(false)
    }

    fn text(&mut self, path: &str, node: &Node, expected: &str) -> Option<String> {
        self.parsed(path, node, |text| Some(text.to_owned()), expected)
    }

    fn parsed<T>(
        &mut self,
        path: &str,
        node: &Node,
        parse: impl FnOnce(&str) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        let problem = match &node.value {
            Value::Text(text) => match parse(text) {
                Some(value) => return Some(value),
                None => format!("found \"{}\"", cut(text)),
            },
            other => found(other, Wrong::Form),
        };
        self.wrong(node.place.clone(), path, problem, expected);
        None
    }
}
