//! The reference of every field, from the table: `docs/configuration.md`.

use std::fmt::Write;

use millpond_core::cache::Policy;
use millpond_core::tenant::Tiers;

use super::Config;
use super::source::{DEFAULT_FILE, FILE_VARIABLE};
use super::table::tenancy::{LIMIT, TENANCY, TENANTS, TIERS, UNKNOWN_TENANTS};
use super::table::{CACHES, Field, GROUPS, POLICY, PROCESS, UNDECLARED};

const HEAD: &str = "\
# Configuration

<!-- Written from the table in sidecar/src/config/table.rs; the test `the_reference_says_what_the_table_says` says how. -->

Millpond runs without any. What there is to say is said in a YAML file, in the environment or by flags, and each lies
over the one before: **defaults, file, environment, flags**. Policies of caches, tiers and tenants are said in the file
alone.

```yaml
apiVersion: millpond/v1
memory: 50%                 # of the container's limit
log:
  format: json
caches:
  users:
    fresh: 30s
    stale: 5m
  prices:
    fresh: 1s
    mode: observe
tiers:
  gold:
    extends: pro
    rate: 500/s
    burst: 2000
    limits:
      exports: {rate: 10/h, burst: 2}
tenants:
  acme: {tier: gold, cache_reserve: 16MiB}
unknown_tenants: free
```

";

const CHECKING: &str = "\
## Checking

`millpond check [FILE]` names all that is wrong, each with its place, what was found and what is expected; `--json` for
pipelines. It ends with 0 when nothing is wrong, with 1 when something is, with 2 when the file cannot be read.
`millpond check --effective` prints what would be in force, and where each value comes from. `millpond check --schema`
prints the JSON Schema, which is also [millpond.schema.json](millpond.schema.json).

`check` refuses unknown keys. `serve` warns of them and starts, so that a rollback to a version that does not know a
field yet does not end in a crash loop. Any other mistake refuses the start, with all of them listed.

## How values are written

- **Times** are `250ms`, `30s`, `5m`, `1h30m`, `2d`, or `0`. A number without a unit is refused.
- **Bytes** are `512MiB`, `512Mi` as Kubernetes writes it, or a plain number; `memory` and `in_flight` also `50%` of the
  container's limit (of the machine's memory where there is none).
- **Rates** are `100/min`, `5000/s`, `10/h`, `1/30s`, or `unlimited`; what may be spent at once is said beside them, as
  `burst`.
- **Addresses** are an IP address and a port; `localhost` is 127.0.0.1; port 0 picks a free one; `off` listens nowhere.
- What readers of YAML 1.1 make of unquoted words means the same: `true` is `on`, `false` is `off`. Quotes never matter.
- One document, UTF-8, at most 1 MiB. Anchors and aliases work; keys given twice are refused, merge keys (`<<`) are
  unknown.
- An environment variable that is empty says nothing.

## Changing it while it serves

The file is looked at once a second and read again when it was replaced or written, as kubelet does some time after a
ConfigMap changed, and at once on SIGHUP or `ReloadConfig`. **All of it comes into force, or none:** a file with a
mistake changes nothing, the last good one stays in force, and what is wrong is logged once.

Policies come into force at once, for caches in use and those to come, without touching what is stored:

- Deadlines were written when a value was stored. Changed times hold for what is stored from then on; invalidate the
  cache to be rid of what is held under the old ones.
- `mode` and `early_refresh` hold for the next read. `max_value` is asked when a value is stored.
- A lease ends when it was granted to end, and a load may be stored for the `max_load` under which it began.
- A mode that an operator switched (`millpond mode`) stays switched.

Tiers, tenants and `unknown_tenants` come into force at once too:

- What a tenant has spent stays spent, whatever its rate becomes: a tier there and back gives nothing back.
- A tenant of which the file says what it said before is left as it is. What an operator put or switched stands until
  the file says something else of that very tenant; then the file holds. A state that the file no longer says is
  `active` again.
- A tenant that the file no longer names is one that nobody named. One that was purged stays purged.
- A tenant that an operator put in a tier that is no longer there keeps what it had.

`log.filter` comes into force at once too. Everything else takes effect when the process starts; a change is logged as waiting for a restart.

";

const DESCRIPTORS: &str = "
## Descriptors

`descriptors` says by domain which limits the descriptors of Envoy's rate limit filter come to; [envoy.md](envoy.md) says
what becomes of them. A change comes into force at once, and what is spent of a rule that stays where it is stays spent.

```yaml
apiVersion: millpond/v1
descriptors:
  edge:                       # the domain
    tenant_key: tenant        # the entry whose value is the tenant
    tenant: everybody         # whose the limits are that no entry gives to a tenant
    descriptors:
    - key: tenant
      descriptors:
      - key: path
        value: /api/*
        rate_limit: {unit: minute, requests_per_unit: 600, burst: 100}
    - key: remote_address
      rate_limit: {unit: second, requests_per_unit: 50, name: per-address}
```

| field | of | | takes |
|---|---|---|---|
| `tenant_key` | a domain | The key of the entry whose value is the tenant | a word; `tenant` unless said |
| `tenant` | a domain | Whose the limits are that no entry gives to a tenant | the name of a tenant |
| `descriptors` | both | The rules, and those below a rule | a list of rules, up to 6 inside each other |
| `key` | a rule | The entry's key | a word |
| `value` | a rule | The entry's value; one that ends in `*` is a prefix. Without one: any | a word |
| `rate_limit` | a rule | A quota of the rule's own: `requests_per_unit`, `unit` (`second`, `minute`, `hour`, `day`, `week`, `month`, `year`), `unit_multiplier`, `burst` (as many as come back in a unit unless said), `name`; or `unlimited: true` | |
| `limit` | a rule | A limit of the tenant's, by name | a name, `\"\"` for the tenant's own |
| `share_threshold` | a rule | Values that it leaves open share a bucket | `true`, `false` |
| `shadow_mode` | a rule | It is counted and never refuses | `true`, `false` |
| `overdraw` | a rule | It is charged even while it refuses, for costs that are known only afterwards | `true`, `false` |
";

/// The page.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    // Writing to a String does not fail.
    let _ = writeln!(
        page,
        "The file is the one that `--config` or `{FILE_VARIABLE}` names, else `{DEFAULT_FILE}` if it is there.\n"
    );
    page.push_str("## The process\n\nTaken when the process starts.\n\n");
    page.push_str("| field | | takes | unless said | flag, variable |\n|---|---|---|---|---|\n");
    let mut defaults = Config::default();
    for field in PROCESS.iter().filter(|field| field.group.is_empty()) {
        of_process(&mut page, field, &mut defaults);
    }
    for (group, doc) in GROUPS {
        let _ = writeln!(page, "\n### `{group}`\n\n{doc}.\n");
        page.push_str(
            "| field | | takes | unless said | flag, variable |\n|---|---|---|---|---|\n",
        );
        for field in PROCESS.iter().filter(|field| field.group == group) {
            of_process(&mut page, field, &mut defaults);
        }
    }
    let _ = writeln!(
        page,
        "\n## Caches\n\n`{CACHES}` has a policy by name, for every tenant; a name is 1 to 64 of `a-z`, digits, `.`, `_` and `-`.\n\
         `{UNDECLARED}` is the policy of every other name. Calls may ask for other times for their own value.\n"
    );
    page.push_str("| field | | takes | declared | undeclared |\n|---|---|---|---|---|\n");
    let (mut declared, mut undeclared) = (Policy::declared(), Policy::undeclared());
    for field in POLICY.iter() {
        let Field {
            name, doc, slot, ..
        } = field;
        let (here, there) = (slot.show(&mut declared), slot.show(&mut undeclared));
        let expected = slot.expected();
        let _ = writeln!(page, "| `{name}` | {doc} | {expected} | {here} | {there} |");
    }
    tenants(&mut page);
    page.push_str(DESCRIPTORS);
    page.push('\n');
    page.push_str(CHECKING.trim_end());
    page.push('\n');
    page
}

fn tenants(page: &mut String) {
    let shipped: Vec<_> = Tiers::shipped()
        .iter()
        .map(|tier| format!("`{}`", tier.tier))
        .collect();
    // Writing to a String does not fail.
    let _ = writeln!(
        page,
        "\n## Tenants\n\n`{TIERS}` has settings that many tenants share, by name; `{TENANTS}` names tenants, each with its tier and what it \
         has over it.\n`{UNKNOWN_TENANTS}` says what becomes of all others: `refuse`, `unlimited` (which holds unless it is said), or the \
         name of the tier\nthey are of. {} ship; a tier of the same name replaces one. What a tenant does not say is as its tier says it, \
         what a tier does not say as the one it extends, and else nothing is limited.\n",
        shipped.join(", ")
    );
    page.push_str("| field | of | | takes |\n|---|---|---|---|\n");
    for field in TENANCY.iter() {
        let of = match field.group {
            "" => "both".to_owned(),
            group => format!("`{group}`"),
        };
        let (name, doc, expected) = (field.name, field.doc, field.slot.expected());
        let _ = writeln!(page, "| `{name}` | {of} | {doc} | {expected} |");
    }
    page.push_str(
        "\n### Their limits\n\n`limits` inside a tier or a tenant has limits beside the tenant's own, by name. One replaces the tier's of the \
         same name whole.\n\n| field | | takes |\n|---|---|---|\n",
    );
    for field in LIMIT.iter() {
        let (name, doc, expected) = (field.name, field.doc, field.slot.expected());
        let _ = writeln!(page, "| `{name}` | {doc} | {expected} |");
    }
    page.push_str(
        "\n`class`, `weight`, `without_store` and a `scope` other than `pod` are checked and told, \
         and nothing acts on them yet.\n",
    );
}

fn of_process(page: &mut String, field: &Field<Config>, defaults: &mut Config) {
    let (path, doc, expected) = (field.path(), field.doc, field.slot.expected());
    let default = field.default_in(defaults);
    let (flag, variable) = (field.flag(), field.variable());
    let _ = writeln!(
        page,
        "| `{path}` | {doc} | {expected} | {default} | `--{flag}`, `{variable}` |"
    );
}
