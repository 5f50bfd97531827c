//! Which limit a descriptor comes to: rules as Envoy's rate limit services know them.
//!
//! A *descriptor* is a list of entries, key and value, from the widest to the narrowest.
//! A domain has a tree of rules. At each step the most specific child matches: one of
//! this key and value, else the longest prefix (`value*`), else one of the key alone.
//! There is no way back from a step: a rule for `path: /login` without children hides
//! what a rule for any `path` has below it, as in Envoy's reference service. A rule is
//! matched by a descriptor of its own depth, neither longer nor shorter.
//!
//! What a rule limits belongs to a tenant: the value of the descriptor's entry of the
//! domain's `tenant_key`, else the domain's own tenant. Which of the two there is
//! follows from the rule's place in the tree, so a domain in which neither would be
//! there is refused when it is made and nobody is limited as nobody.
//!
//! Within a tenant a rule has a bucket for each combination of the values that it
//! leaves open, the tenant's aside and those that it says are to share one.
//!
//! Cost: one look-up an entry, and one comparison for each prefix of its key.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::quota::Quota;
use crate::cache::TenantId;
use crate::tenant::LimitName;

mod bad;

pub use bad::{BadRule, Why};

/// One step of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What the value is, such as `path`.
    pub key: &'a str,
    /// The value.
    pub value: &'a str,
}

/// What a rule limits by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// Nothing.
    Unlimited,
    /// Nobody gets through.
    Blocked,
    /// A limit of the tenant's profile, with the rule's open values as the key. `None`
    /// is the tenant's own.
    Limit(Option<LimitName>),
    /// A quota of the rule's own, apart from the tenant's profile.
    Quota(Quota),
}

/// A rule of a domain, with those below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What the entry is, at least one letter.
    pub key: String,
    /// Its value; one that ends in `*` is a prefix. `None` is any.
    pub value: Option<String>,
    /// A value that it leaves open makes no difference: all that match share a bucket.
    pub shared: bool,
    /// What a descriptor that ends here comes to. `None`: no limit.
    pub limit: Option<Limit>,
    /// For descriptors that go on.
    pub rules: Vec<Self>,
}

/// What a descriptor comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What callers are told it is called; `None`: where the rule stands, such as
    /// `edge.tenant.path_/login`.
    pub name: Option<String>,
    /// What it limits by.
    pub terms: Terms,
    /// It is counted and never refuses.
    pub shadow: bool,
    /// It is charged even while it refuses, into debt: for costs that are known only
    /// afterwards. Of a quota of the rule's own.
    pub overdraw: bool,
}

/// The rules of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// What callers call it.
    pub name: String,
    /// The key of the entry whose value is the tenant.
    pub tenant_key: String,
    /// Whose the limits are that no entry gives to a tenant.
    pub tenant: Option<TenantId>,
    /// The tree.
    pub rules: Vec<Rule>,
}

impl Domain {
    /// The key of the tenant's entry unless said otherwise.
    pub const TENANT_KEY: &'static str = "tenant";

    /// The longest name, and the longest key or value of a rule, in bytes.
    pub const MAX_TEXT: usize = 256;

    /// Rules that all domains may have together: some 200 bytes each.
    pub const MAX_RULES: usize = 10_000;
}

/// What a matched rule limits by, and by what name.
#[derive(Debug)]
pub struct Leaf {
    /// What callers are told it is called.
    pub name: Arc<str>,
    /// Where the rule stands: no other has the same.
    pub path: Arc<str>,
    /// See [`Limit::terms`].
    pub terms: Terms,
    /// See [`Limit::shadow`].
    pub shadow: bool,
    /// See [`Limit::overdraw`].
    pub overdraw: bool,
}

/// A descriptor that a rule matches.
#[derive(Debug)]
pub struct Matched<'a> {
    /// The rule's.
    pub leaf: &'a Leaf,
    /// Whose limit it is.
    pub tenant: &'a str,
    /// Which of the rule's buckets.
    pub key: Cow<'a, [u8]>,
}

/// The rules of all domains, ready to be matched.
#[derive(Debug, Default)]
pub struct Rules(HashMap<Box<str>, Tree>);

#[derive(Debug)]
struct Tree {
    name: Arc<str>,
    tenant_key: Box<str>,
    tenant: Option<TenantId>,
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    leaf: Option<Leaf>,
    shared: bool,
    children: HashMap<Box<str>, Branch>,
}

/// The children of one key.
#[derive(Debug, Default)]
struct Branch {
    exact: HashMap<Box<str>, Node>,
    /// The longest first.
    prefixes: Vec<(Box<str>, Node)>,
    any: Option<Box<Node>>,
}

impl Branch {
    /// The most specific child, and whether the value tells its buckets apart.
    fn child(&self, value: &str) -> Option<(&Node, bool)> {
        if let Some(node) = self.exact.get(value) {
            return Some((node, false));
        }
        let prefixed = self
            .prefixes
            .iter()
            .find(|(prefix, _)| value.starts_with(&**prefix));
        let node = prefixed.map(|(_, node)| node).or(self.any.as_deref());
        node.map(|node| (node, !node.shared))
    }
}

/// Between the open values of a descriptor, and its keys and values where it has a
/// limit of its own: no header has it.
const BETWEEN: u8 = 0x1f;

impl Rules {
    /// Rules that are ready to be matched.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(domains: &[Domain]) -> Result<Self, Vec<BadRule>> {
        let mut wrong = Vec::new();
        let mut rules = Self::default();
        let mut count = 0;
        for domain in domains {
            let mut growing = Growing {
                domain,
                count: &mut count,
                wrong: &mut wrong,
            };
            let root = growing.whole();
            let tree = Tree {
                name: Arc::from(&*domain.name),
                tenant_key: Box::from(&*domain.tenant_key),
                tenant: domain.tenant.clone(),
                root,
            };
            if rules.0.insert(Box::from(&*domain.name), tree).is_some() {
                let domain = domain.name.clone();
                wrong.push(BadRule {
                    path: domain,
                    why: Why::Twice,
                });
            }
        }
        if count > Domain::MAX_RULES {
            wrong.push(BadRule {
                path: String::new(),
                why: Why::TooMany(count),
            });
        }
        if wrong.is_empty() {
            Ok(rules)
        } else {
            Err(wrong)
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule that a descriptor comes to.
    #[must_use]
    pub fn find<'a>(&'a self, domain: &str, entries: &[Entry<'a>]) -> Option<Matched<'a>> {
        let tree = self.0.get(domain)?;
        let mut node = &tree.root;
        let mut tenant = None;
        let mut key = Cow::Borrowed(&[][..]);
        let mut opened = false;
        for entry in entries {
            let (child, open) = node.children.get(entry.key)?.child(entry.value)?;
            node = child;
            if tenant.is_none() && entry.key == &*tree.tenant_key {
                tenant = Some(entry.value);
            } else if open {
                let value = entry.value.as_bytes();
                if opened {
                    let key = key.to_mut();
                    key.push(BETWEEN);
                    key.extend_from_slice(value);
                } else {
                    key = Cow::Borrowed(value);
                }
                opened = true;
            }
        }
        let leaf = node.leaf.as_ref()?;
        let tenant = tenant.or_else(|| Some(tree.tenant.as_ref()?.as_str()))?;
        Some(Matched { leaf, tenant, key })
    }

    /// Whose limit a descriptor is that brings its own: the domain as its rules know
    /// it, the tenant, and which bucket.
    ///
    /// # Errors
    /// The tenant is missing: no entry names one, and neither does the domain.
    pub fn own<'a>(
        &'a self,
        domain: &str,
        entries: &[Entry<'a>],
    ) -> Option<Result<Own<'a>, NoTenant>> {
        let tree = self.0.get(domain)?;
        let named = entries.iter().find(|entry| entry.key == &*tree.tenant_key);
        let tenant = named.map(|entry| entry.value);
        let Some(tenant) = tenant.or_else(|| Some(tree.tenant.as_ref()?.as_str())) else {
            return Some(Err(NoTenant));
        };
        let mut key = Vec::new();
        for entry in entries {
            for part in [entry.key, entry.value] {
                key.extend_from_slice(part.as_bytes());
                key.push(BETWEEN);
            }
        }
        Some(Ok((&tree.name, tenant, key)))
    }
}

/// The domain as its rules know it, the tenant, and which bucket.
pub type Own<'a> = (&'a Arc<str>, &'a str, Vec<u8>);

/// Neither the descriptor nor its domain names a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTenant;

struct Growing<'a> {
    domain: &'a Domain,
    count: &'a mut usize,
    wrong: &'a mut Vec<BadRule>,
}

impl Growing<'_> {
    fn whole(&mut self) -> Node {
        let Domain {
            name,
            tenant_key,
            tenant,
            rules,
        } = self.domain;
        for (what, text) in [("domain", name), ("tenant_key", tenant_key)] {
            self.text(name, what, text);
        }
        let mut root = Node::default();
        let named = tenant.is_some();
        for rule in rules {
            self.grow(&mut root, rule, name, named);
        }
        root
    }

    /// `named` says whether a tenant is known by here.
    fn grow(&mut self, parent: &mut Node, rule: &Rule, above: &str, named: bool) {
        *self.count += 1;
        let step = match &rule.value {
            Some(value) => format!("{}_{value}", rule.key),
            None => rule.key.clone(),
        };
        let path = format!("{above}.{step}");
        self.text(&path, "key", &rule.key);
        if let Some(value) = &rule.value {
            self.text(&path, "value", value);
        }
        let named = named || rule.key == self.domain.tenant_key;
        let mut node = Node {
            leaf: rule
                .limit
                .as_ref()
                .map(|limit| self.leaf(limit, &path, named)),
            shared: rule.shared,
            children: HashMap::new(),
        };
        if rule.limit.is_none() && rule.rules.is_empty() {
            self.bad(&path, Why::Idle);
        }
        for below in &rule.rules {
            self.grow(&mut node, below, &path, named);
        }
        let branch = parent.children.entry(Box::from(&*rule.key)).or_default();
        if !branch.add(rule.value.as_deref(), node) {
            self.bad(&path, Why::Twice);
        }
    }

    fn leaf(&mut self, limit: &Limit, path: &str, named: bool) -> Leaf {
        if !named && limit.terms != Terms::Unlimited {
            self.bad(path, Why::NoTenant(self.domain.tenant_key.clone()));
        }
        if limit.overdraw && !matches!(limit.terms, Terms::Quota(_)) {
            self.bad(path, Why::Overdraw);
        }
        if let Some(name) = &limit.name {
            self.text(path, "name", name);
        }
        let path: Arc<str> = Arc::from(path);
        Leaf {
            name: limit
                .name
                .as_ref()
                .map_or_else(|| Arc::clone(&path), |name| Arc::from(&**name)),
            path,
            terms: limit.terms.clone(),
            shadow: limit.shadow,
            overdraw: limit.overdraw,
        }
    }

    fn text(&mut self, path: &str, what: &'static str, text: &str) {
        if text.is_empty() || text.len() > Domain::MAX_TEXT {
            self.bad(
                path,
                Why::Text {
                    what,
                    bytes: text.len(),
                },
            );
        }
    }

    fn bad(&mut self, path: &str, why: Why) {
        self.wrong.push(BadRule {
            path: path.to_owned(),
            why,
        });
    }
}

impl Branch {
    /// False when there is one of this value already.
    fn add(&mut self, value: Option<&str>, node: Node) -> bool {
        match (value, value.and_then(|value| value.strip_suffix('*'))) {
            (None, _) => self.any.replace(Box::new(node)).is_none(),
            (_, Some(prefix)) => {
                let shorter = |(held, _): &(Box<str>, Node)| held.len() >= prefix.len();
                let twice = self.prefixes.iter().any(|(held, _)| **held == *prefix);
                let at = self.prefixes.partition_point(shorter);
                self.prefixes.insert(at, (Box::from(prefix), node));
                !twice
            }
            (Some(value), None) => self.exact.insert(Box::from(value), node).is_none(),
        }
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests;
