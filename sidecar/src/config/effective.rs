//! What is in force, as a file would say it, with where each value comes from.

use std::fmt::Write;

use super::mistake::inside;
use super::reading::Reading;
use super::table::tenancy::{self, LIMIT, LIMITS, SaidLimit, TENANTS, TIERS, UNKNOWN_TENANTS};
use super::table::{API_VERSION, CACHES, Field, GROUPS, POLICY, PROCESS, UNDECLARED, VERSION_KEY};
use millpond_core::cache::Policy;

/// Where comments stand.
const COLUMN: usize = 44;

impl Reading {
    /// The configuration as YAML; each line ends with where its value was said.
    #[must_use]
    pub fn effective(&self) -> String {
        let mut page = format!("{VERSION_KEY}: {API_VERSION}\n");
        let mut config = self.config.clone();
        for field in PROCESS.iter().filter(|field| field.group.is_empty()) {
            self.line(&mut page, "", field, &field.path(), &mut config);
        }
        for (group, _) in GROUPS {
            // Writing to a String does not fail.
            let _ = writeln!(page, "{group}:");
            for field in PROCESS.iter().filter(|field| field.group == group) {
                self.line(&mut page, "  ", field, &field.path(), &mut config);
            }
        }
        let _ = writeln!(page, "{UNDECLARED}:");
        self.policy_lines(&mut page, "  ", UNDECLARED, config.cache.undeclared);
        let mut caches: Vec<_> = config.cache.declared.into_iter().collect();
        caches.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        if !caches.is_empty() {
            let _ = writeln!(page, "{CACHES}:");
        }
        for (name, policy) in caches {
            let _ = writeln!(page, "  {}:", quoted(name.as_str()));
            self.policy_lines(&mut page, "    ", &inside(CACHES, name.as_str()), policy);
        }
        self.tenancy_lines(&mut page);
        page
    }

    /// Tiers and tenants as they were said: what they inherit stands in the tier.
    fn tenancy_lines(&self, page: &mut String) {
        let said = &self.tenancy;
        let unknown = format!("{UNKNOWN_TENANTS}: {}", said.unknown.as_str());
        // Writing to a String does not fail.
        let _ = writeln!(page, "{unknown:COLUMN$} # {}", self.place(UNKNOWN_TENANTS));
        let tiers = said.tiers.iter().map(|(name, said)| (name.as_str(), said));
        let tenants = said
            .tenants
            .iter()
            .map(|(name, said)| (name.as_str(), said));
        self.said_lines(page, TIERS, tiers.collect());
        self.said_lines(page, TENANTS, tenants.collect());
    }

    fn said_lines(
        &self,
        page: &mut String,
        mapping: &'static str,
        all: Vec<(&str, &tenancy::Said)>,
    ) {
        if !all.is_empty() {
            let _ = writeln!(page, "{mapping}:");
        }
        for (name, said) in all {
            let path = inside(mapping, name);
            let _ = writeln!(page, "  {}:", quoted(name));
            let mut said = said.clone();
            for field in tenancy::of(mapping) {
                if !field.slot.show(&mut said).is_empty() {
                    self.line(page, "    ", field, &inside(&path, field.name), &mut said);
                }
            }
            if !said.over.limits.is_empty() {
                let _ = writeln!(page, "    {LIMITS}:");
            }
            for limit in &said.over.limits {
                let path = inside(&inside(&path, LIMITS), limit.name.as_str());
                let _ = writeln!(page, "      {}:", quoted(limit.name.as_str()));
                let mut said = SaidLimit::of(limit);
                for field in LIMIT.iter() {
                    if !field.slot.show(&mut said).is_empty() {
                        self.line(
                            page,
                            "        ",
                            field,
                            &inside(&path, field.name),
                            &mut said,
                        );
                    }
                }
            }
        }
    }

    fn policy_lines(&self, page: &mut String, indent: &str, path: &str, mut policy: Policy) {
        for field in POLICY.iter() {
            self.line(page, indent, field, &inside(path, field.name), &mut policy);
        }
    }

    fn line<T>(&self, page: &mut String, indent: &str, field: &Field<T>, path: &str, of: &mut T) {
        let value = quoted(&field.slot.show(of));
        let line = format!("{indent}{}: {value}", field.name);
        let _ = writeln!(page, "{line:COLUMN$} # {}", self.place(path));
    }
}

/// Quoted where YAML would read a plain word as something else.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:+=,%".contains(letter);
    let risky = text.starts_with(['-', ':', '%', ',', '=']) || text.ends_with(':');
    if !text.is_empty() && !risky && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}
