//! From a document to what it says of tiers, tenants and strangers.

use std::collections::BTreeMap;
use std::rc::Rc;

use millpond_core::cache::TenantId;
use millpond_core::limit::Quota;
use millpond_core::tenant::{BadPace, LimitName, NamedQuota, Pace, TierName};

use super::{Reading, found};
use crate::config::form::{Form, Tier, Wrong};
use crate::config::mistake::{cut, inside};
use crate::config::table::tenancy::{
    LIMIT, LIMITS, Said, SaidLimit, TENANTS, TIERS, UNKNOWN_TENANTS, of,
};
use crate::config::yaml::{Entry, Node, Value};

/// What a document says, each form checked and nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw {
    pub(crate) tiers: BTreeMap<TierName, Said>,
    pub(crate) tenants: BTreeMap<TenantId, Said>,
    pub(crate) unknown: Unknown,
}

/// What becomes of tenants that nobody named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unknown {
    Refuse,
    #[default]
    Unlimited,
    Tier(TierName),
}

pub(crate) const REFUSE: &str = "refuse";
pub(crate) const UNLIMITED: &str = "unlimited";

impl Unknown {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Refuse => REFUSE,
            Self::Unlimited => UNLIMITED,
            Self::Tier(tier) => tier.as_str(),
        }
    }
}

const NAME: &str = "1 to 64 of the letters a-z, digits, ., _ and -";
const TENANT_NAME: &str = "1 to 128 of the letters a-z and A-Z, digits, ., _ and -";

impl Reading {
    pub(super) fn tiers(&mut self, node: &Rc<Node>) {
        let Some(entries) = self.mapping(TIERS, node, "tiers by name") else {
            return;
        };
        for entry in entries {
            let (path, said) = self.said_of(TIERS, entry);
            match TierName::parse(&entry.key) {
                Ok(name) if matches!(name.as_str(), REFUSE | UNLIMITED) => {
                    let problem = format!("found the name \"{name}\"");
                    let expected = format!("another: {UNKNOWN_TENANTS} would not know them apart");
                    self.wrong(entry.place.clone(), &path, problem, &expected);
                }
                Ok(name) => {
                    self.tenancy.tiers.insert(name, said);
                }
                Err(_) => self.bad_name(&path, entry, NAME),
            }
        }
    }

    pub(super) fn tenants(&mut self, node: &Rc<Node>) {
        let Some(entries) = self.mapping(TENANTS, node, "tenants by name") else {
            return;
        };
        self.places.insert(TENANTS.to_owned(), node.place.clone());
        for entry in entries {
            let (path, said) = self.said_of(TENANTS, entry);
            match TenantId::parse(&entry.key) {
                Ok(name) => {
                    self.tenancy.tenants.insert(name, said);
                }
                Err(_) => self.bad_name(&path, entry, TENANT_NAME),
            }
        }
    }

    pub(super) fn unknown_tenants(&mut self, node: &Node) {
        let read = match &node.value {
            Value::Text(text) => match text.trim() {
                REFUSE => Ok(Unknown::Refuse),
                UNLIMITED => Ok(Unknown::Unlimited),
                tier => Tier.read(tier).map(Unknown::Tier),
            },
            _ => Err(Wrong::Form),
        };
        match read {
            Ok(unknown) => {
                let place = node.place.clone();
                self.places.insert(UNKNOWN_TENANTS.to_owned(), place);
                self.tenancy.unknown = unknown;
            }
            Err(wrong) => {
                let problem = found(&node.value, wrong);
                let expected = format!("{REFUSE}, {UNLIMITED} or a tier's name");
                self.wrong(node.place.clone(), UNKNOWN_TENANTS, problem, &expected);
            }
        }
    }

    fn bad_name(&mut self, path: &str, entry: &Entry, expected: &str) {
        let problem = format!("found the name \"{}\"", cut(&entry.key));
        self.wrong(entry.place.clone(), path, problem, expected);
    }

    fn said_of(&mut self, mapping: &'static str, entry: &Entry) -> (String, Said) {
        let path = inside(mapping, &entry.key);
        self.places.insert(path.clone(), entry.place.clone());
        let mut said = Said::default();
        let expected = match mapping {
            TENANTS => "fields such as tier:",
            _ => "fields such as rate:",
        };
        let Some(entries) = self.mapping(&path, &entry.node, expected) else {
            return (path, said);
        };
        for entry in entries {
            if entry.key == LIMITS {
                let at = inside(&path, LIMITS);
                self.places.insert(at.clone(), entry.place.clone());
                said.over.limits = self.limits(&at, &entry.node);
                continue;
            }
            match of(mapping).find(|field| field.name == entry.key) {
                Some(field) => {
                    let at = inside(&path, field.name);
                    self.field(&at, field, &entry.node, &mut said);
                }
                None => {
                    let names = of(mapping).map(|field| field.name).chain([LIMITS]);
                    self.unknown(&path, entry, names.collect());
                }
            }
        }
        (path, said)
    }

    fn limits(&mut self, path: &str, node: &Rc<Node>) -> Vec<NamedQuota> {
        let Some(entries) = self.mapping(path, node, "limits by name") else {
            return Vec::new();
        };
        let mut limits = Vec::new();
        for entry in entries {
            let path = inside(path, &entry.key);
            let mut said = SaidLimit::default();
            self.fields(&path, &entry.node, LIMIT.iter(), &mut said);
            match LimitName::parse(&entry.key) {
                Ok(name) => limits.extend(self.limit(&path, entry, name, said)),
                Err(_) => self.bad_name(&path, entry, NAME),
            }
        }
        limits
    }

    fn limit(
        &mut self,
        path: &str,
        entry: &Entry,
        name: LimitName,
        said: SaidLimit,
    ) -> Option<NamedQuota> {
        let wrong_before = self.mistakes.len();
        let total = self.quota(path, ["rate", "burst"], said.total, entry);
        let per_key = self.quota(path, ["rate_per_key", "burst_per_key"], said.per_key, entry);
        if self.mistakes.len() > wrong_before {
            return None;
        }
        let is_wrong = |mistake: &crate::config::Mistake| {
            let rest = mistake.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(".rate"))
        };
        let says_no_rate = said.total.rate.is_none() && said.per_key.rate.is_none();
        if says_no_rate && !self.mistakes.iter().any(is_wrong) {
            let problem = "says no rate, and limits nothing".to_owned();
            let expected = "rate, rate_per_key or both";
            self.wrong(entry.place.clone(), path, problem, expected);
        }
        Some(said.with(name, total, per_key))
    }

    /// The quota of a rate and a burst that stand side by side.
    fn quota(
        &mut self,
        path: &str,
        [rate, burst]: [&'static str; 2],
        pace: Pace,
        entry: &Entry,
    ) -> Option<Quota> {
        pace.quota().unwrap_or_else(|wrong| {
            let at_rate = inside(path, rate);
            let rate_is_wrong = self.mistakes.iter().any(|mistake| mistake.path == at_rate);
            if !rate_is_wrong {
                let (field, expected) = bad_pace([rate, burst], wrong);
                let path = inside(path, field);
                let place = self.places.get(&path).unwrap_or(&entry.place).clone();
                self.wrong(place, &path, format!("makes {wrong}"), &expected);
            }
            None
        })
    }
}

/// Which of a rate and a burst is to be mended, and what they must be together.
pub(crate) fn bad_pace([rate, burst]: [&'static str; 2], wrong: BadPace) -> (&'static str, String) {
    match wrong {
        BadPace::BurstWithoutRate => (burst, format!("{rate} beside it")),
        _ => {
            let field = if wrong.is_burst() { burst } else { rate };
            (
                field,
                "a burst that the rate gives back within 366d".to_owned(),
            )
        }
    }
}
