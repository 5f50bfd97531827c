//! Who the tenants are, as a file says it.

use std::collections::{BTreeMap, HashMap};

use millpond_core::cache::TenantId;
use millpond_core::limit::Quota;
use millpond_core::tenant::{
    Declaration, LimitName, NamedQuota, Overrides, Pace, Revision, State, Strangers, Tiers,
};

use super::form::Wrong;
use super::mistake::cut;
use super::table::Field;
use super::table::tenancy::{LIMIT, LIMITS, Said, SaidLimit, TENANCY};

/// Tiers, tenants, and the rule for those that nobody named. What a file says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// All tiers. By default those that ship.
    pub tiers: Tiers,
    /// What becomes of tenants that nobody named. By default they are unlimited.
    pub strangers: Strangers,
    /// The tenants that are named.
    pub tenants: BTreeMap<TenantId, Declaration>,
}

impl Default for Tenancy {
    fn default() -> Self {
        Self {
            tiers: Tiers::shipped(),
            strangers: Strangers::Unlimited,
            tenants: BTreeMap::new(),
        }
    }
}

impl Tenancy {
    /// What is different from what a file said `before`. A tenant of which it says the
    /// same is left as it is: also as an operator has made it since.
    pub(crate) fn since(self, before: &Self) -> Revision {
        let gone = before.tenants.keys();
        let remove = gone.filter(|id| !self.tenants.contains_key(*id)).cloned();
        let remove = remove.collect();
        let put = self.tenants.into_iter().filter_map(|(id, mut said)| {
            let was = before.tenants.get(&id);
            if was == Some(&said) {
                return None;
            }
            // What suspended it is gone from the file.
            if was.is_some_and(|was| was.state.is_some()) {
                said.state = said.state.or(Some(State::Active));
            }
            Some((id, said))
        });
        Revision {
            tiers: self.tiers,
            strangers: self.strangers,
            put: put.collect(),
            remove,
        }
    }
}

/// Settings by name as the configuration writes them, such as `rate` and `100/min`, or
/// `limits.exports.rate`; or all that is wrong with them.
pub(crate) fn settings_of(written: &HashMap<String, String>) -> Result<Overrides, String> {
    let mut said = Said::default();
    let mut limits: BTreeMap<&str, SaidLimit> = BTreeMap::new();
    let mut wrong = Vec::new();
    let written: BTreeMap<_, _> = written.iter().collect();
    for (name, text) in written {
        let put = match limit_of(name) {
            Some((limit, field)) => {
                put(LIMIT.iter(), field, text, limits.entry(limit).or_default())
            }
            None => put(both(), name, text, &mut said),
        };
        wrong.extend(
            put.err()
                .map(|why| format!("settings.{}: {why}", cut(name))),
        );
    }
    for (name, limit) in limits {
        match limit.named(name) {
            Ok(limit) => said.over.limits.push(limit),
            Err(why) => wrong.push(format!("settings.limits.{}: {why}", cut(name))),
        }
    }
    if wrong.is_empty() {
        Ok(said.over)
    } else {
        Err(wrong.join("; "))
    }
}

/// What [`settings_of`] reads as the same.
pub(crate) fn settings_as_written(settings: &Overrides) -> HashMap<String, String> {
    let mut said = Said {
        over: settings.clone(),
        ..Said::default()
    };
    let shown = both().map(|field| (field.name.to_owned(), field.slot.show(&mut said)));
    let mut written: HashMap<_, _> = shown.filter(|(_, text)| !text.is_empty()).collect();
    for limit in &settings.limits {
        let mut said = SaidLimit::of(limit);
        for field in LIMIT.iter() {
            let text = field.slot.show(&mut said);
            if !text.is_empty() {
                written.insert(format!("{LIMITS}.{}.{}", limit.name, field.name), text);
            }
        }
    }
    written
}

fn both() -> impl Iterator<Item = &'static Field<Said>> + Clone {
    TENANCY.iter().filter(|field| field.group.is_empty())
}

/// The limit and the field in `limits.exports.rate`. A limit's name may have dots.
fn limit_of(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(LIMITS)?
        .strip_prefix('.')?
        .rsplit_once('.')
}

fn put<T: 'static>(
    mut fields: impl Iterator<Item = &'static Field<T>> + Clone,
    name: &str,
    text: &str,
    into: &mut T,
) -> Result<(), String> {
    let names = fields.clone().map(|field| field.name);
    let Some(field) = fields.find(|field| field.name == name) else {
        let names: Vec<_> = names.collect();
        return Err(format!("unknown; expected one of {}", names.join(", ")));
    };
    field.slot.put(text, into).map_err(|wrong| {
        let why = match wrong {
            Wrong::Form => format!("found \"{}\"", cut(text)),
            Wrong::Because(why) => format!("found \"{}\", {why}", cut(text)),
            Wrong::Hidden(why) => format!("found a value {why}"),
        };
        format!("{why}; expected {}", field.slot.expected())
    })
}

impl SaidLimit {
    fn named(self, name: &str) -> Result<NamedQuota, String> {
        let name = LimitName::parse(name).map_err(|error| error.to_string())?;
        if self.total.rate.is_none() && self.per_key.rate.is_none() {
            return Err("says no rate; expected rate, rate_per_key or both".to_owned());
        }
        let quota = |pace: Pace| pace.quota().map_err(|wrong| format!("makes {wrong}"));
        let (total, per_key) = (quota(self.total)?, quota(self.per_key)?);
        Ok(self.with(name, total, per_key))
    }

    /// With quotas that its paces make.
    pub(crate) fn with(
        self,
        name: LimitName,
        total: Option<Quota>,
        per_key: Option<Quota>,
    ) -> NamedQuota {
        NamedQuota {
            total,
            per_key,
            max_keys: self.max_keys.unwrap_or(NamedQuota::DEFAULT_KEYS),
            apart: self.apart.unwrap_or_default(),
            on_limit: self.on_limit.unwrap_or_default(),
            enforce_from: self.enforce_from.flatten(),
            shadow: self.shadow.unwrap_or_default(),
            scope: self.scope.unwrap_or_default(),
            ..NamedQuota::new(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written() {
        let written = [
            ("rate", "100/min"),
            ("burst", "7"),
            ("origin_rate", "unlimited"),
            ("cache_cap", "none"),
            ("cache_reserve", "1MiB"),
            ("class", "critical"),
            ("enforce_from", "2026-12-01T00:00:00Z"),
            ("shadow", "on"),
            ("limits.a.b.rate", "10/h"),
            ("limits.a.b.burst", "2"),
            ("limits.a.b.apart", "on"),
        ];
        let written = written.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let written = HashMap::from(written);
        let settings = settings_of(&written).expect("valid");
        assert_eq!(settings.limits[0].name.as_str(), "a.b");
        assert_eq!(settings_as_written(&settings), written);
        assert_eq!(settings_of(&HashMap::new()), Ok(Overrides::none()));
    }

    #[test]
    fn all_that_is_wrong_with_settings_is_told() {
        let wrong = [
            ("rate", "fast"),
            ("tier", "free"),
            ("limits.x.apart", "on"),
            ("limits.X.rate", "1/s"),
        ];
        let wrong = wrong.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let told = settings_of(&HashMap::from(wrong)).expect_err("wrong");
        for part in [
            "settings.rate: found \"fast\"; expected a rate such as",
            "settings.tier: unknown; expected one of rate, burst",
            "settings.limits.x: says no rate",
            "settings.limits.X: limit: byte 0 is outside",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
