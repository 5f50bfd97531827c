//! The JSON Schema of a configuration file, from the table.

use serde_json::{Map, Value as Json, json};

use super::Config;
use super::reading::{DESCRIPTORS, UNITS};
use super::table::tenancy::{self, LIMIT, LIMITS, SaidLimit, TENANTS, TIERS, UNKNOWN_TENANTS};
use super::table::{API_VERSION, CACHES, Field, GROUPS, POLICY, PROCESS, UNDECLARED, VERSION_KEY};
use millpond_core::cache::Policy;
use millpond_core::limit::rules::Domain;

/// What editors and pipelines check a file with. It accepts what `millpond check`
/// accepts; what fields say together it leaves to that.
#[must_use]
pub fn schema() -> Json {
    let mut config = Config::default();
    let mut properties = Map::new();
    properties.insert(
        VERSION_KEY.to_owned(),
        json!({ "const": API_VERSION, "description": "The version of this document" }),
    );
    let top = PROCESS.iter().filter(|field| field.group.is_empty());
    properties.extend(top.map(|field| property(field, &mut config)));
    for (group, doc) in GROUPS {
        let fields = PROCESS.iter().filter(|field| field.group == group);
        let fields = fields.map(|field| property(field, &mut config)).collect();
        properties.insert(group.to_owned(), mapping(doc, fields));
    }
    let mut undeclared = mapping(
        "What holds for caches that are not named below",
        policy(Policy::undeclared()),
    );
    undeclared["description"] = json!("The policy of caches that are not declared");
    properties.insert(UNDECLARED.to_owned(), undeclared);
    properties.insert(
        CACHES.to_owned(),
        json!({
            "description": "Policies of caches by name, for every tenant",
            "type": ["object", "null"],
            "propertyNames": { "pattern": "^[a-z0-9._-]{1,64}$" },
            "additionalProperties": mapping("A policy", policy(Policy::declared())),
        }),
    );
    properties.extend(of_tenants());
    properties.insert(DESCRIPTORS.to_owned(), descriptors());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "millpond.yaml",
        "type": "object",
        "required": [VERSION_KEY],
        "additionalProperties": false,
        "properties": properties,
        "$defs": { "rules": rules() },
    })
}

fn descriptors() -> Json {
    json!({
        "description": "Which limits the descriptors of proxies come to, by domain",
        "type": ["object", "null"],
        "additionalProperties": {
            "description": "The rules of a domain",
            "type": ["object", "null"],
            "additionalProperties": false,
            "properties": {
                "tenant_key": {
                    "description": "The key of the entry whose value is the tenant.",
                    "type": "string",
                    "default": Domain::TENANT_KEY,
                },
                "tenant": {
                    "description": "Whose the limits are that no entry gives to a tenant.",
                    "type": "string",
                    "pattern": "^[A-Za-z0-9._-]{1,128}$",
                },
                DESCRIPTORS: { "$ref": "#/$defs/rules" },
            },
        },
    })
}

/// Rules stand inside rules.
fn rules() -> Json {
    let units: Vec<_> = UNITS.iter().map(|(name, _)| *name).collect();
    let count = |doc: &str| json!({ "description": doc, "type": "integer", "minimum": 0 });
    let truth = |doc: &str| json!({ "description": doc, "type": "boolean", "default": false });
    let text = |doc: &str| json!({ "description": doc, "type": ["string", "number", "boolean"] });
    json!({
        "description": "Rules for one entry of a descriptor, the most specific of which holds",
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "required": ["key"],
            "additionalProperties": false,
            "properties": {
                "key": text("The entry's key."),
                "value": text("The entry's value; one that ends in `*` is a prefix. Without one: any."),
                "rate_limit": {
                    "description": "A quota of the rule's own, for each combination of the values it leaves open.",
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "requests_per_unit": count("Tokens that come back in each unit; 0 lets nobody through."),
                        "unit": { "description": "A unit of time.", "enum": units },
                        "unit_multiplier": count("So many units instead of one."),
                        "burst": count("The most tokens that are kept. Default: requests_per_unit."),
                        "unlimited": truth("Nothing is limited."),
                        "name": text("What callers are told it is called. Default: where it stands."),
                    },
                },
                "limit": {
                    "description": "A limit of the tenant's, by name; empty: the tenant's own.",
                    "type": "string",
                    "pattern": "^[a-z0-9._-]{0,64}$",
                },
                "share_threshold": truth("Values that it leaves open share a bucket."),
                "shadow_mode": truth("It is counted and never refuses."),
                "overdraw": truth("It is charged even while it refuses, for costs that are known only afterwards."),
                DESCRIPTORS: { "$ref": "#/$defs/rules" },
            },
        },
    })
}

fn of_tenants() -> [(String, Json); 3] {
    let name = "^[a-z0-9._-]{1,64}$";
    let by_name = |doc: &str, pattern: &str, of: Json| {
        json!({
            "description": doc,
            "type": ["object", "null"],
            "propertyNames": { "pattern": pattern },
            "additionalProperties": of,
        })
    };
    let mut unsaid = SaidLimit::default();
    let limit = LIMIT.iter().map(|field| property(field, &mut unsaid));
    let limit = mapping("A limit beside the tenant's own", limit.collect());
    let limits = by_name("Limits by name", name, limit);
    let settings = |doc, of| {
        let mut unsaid = tenancy::Said::default();
        let fields = tenancy::of(of).map(|field| property(field, &mut unsaid));
        let mut settings = mapping(doc, fields.collect());
        settings["properties"][LIMITS] = limits.clone();
        settings
    };
    let mut tenant = settings("A tenant", TENANTS);
    tenant["type"] = json!("object");
    tenant["required"] = json!(["tier"]);
    let unknown = json!({
        "description": "What becomes of tenants that are not named: `refuse`, `unlimited`, or the tier they are of.",
        "type": "string",
        "pattern": name,
        "default": "unlimited",
    });
    [
        (
            TIERS.to_owned(),
            by_name(
                "Settings that many tenants share",
                name,
                settings("A tier", TIERS),
            ),
        ),
        (
            TENANTS.to_owned(),
            by_name(
                "The tenants that are named",
                "^[A-Za-z0-9._-]{1,128}$",
                tenant,
            ),
        ),
        (UNKNOWN_TENANTS.to_owned(), unknown),
    ]
}

fn policy(mut defaults: Policy) -> Map<String, Json> {
    let fields = POLICY.iter();
    fields.map(|field| property(field, &mut defaults)).collect()
}

/// A mapping whose entries are all commented out is null.
fn mapping(doc: &str, fields: Map<String, Json>) -> Json {
    json!({
        "description": doc,
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": fields,
    })
}

fn property<T>(field: &Field<T>, defaults: &mut T) -> (String, Json) {
    let mut schema = field.slot.schema();
    let default = field.default_in(defaults);
    if field.has_plain_default() {
        schema["description"] = json!(format!("{}.", field.doc));
        if !default.is_empty() {
            schema["default"] = json!(default);
        }
    } else {
        schema["description"] = json!(format!("{}. Default: {default}.", field.doc));
    }
    (field.name.to_owned(), schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(of: &Json) -> Vec<&str> {
        let properties = of["properties"].as_object().expect("a mapping");
        properties.keys().map(String::as_str).collect()
    }

    #[test]
    fn every_field_is_in_the_schema_and_nothing_else_is() {
        let schema = schema();
        let mut described = vec![VERSION_KEY.to_owned()];
        for name in keys(&schema) {
            let property = &schema["properties"][name];
            if GROUPS.iter().any(|(group, _)| *group == name) {
                described.extend(keys(property).iter().map(|of| format!("{name}.{of}")));
            } else if name != VERSION_KEY {
                described.push(name.to_owned());
            }
            assert!(
                property["description"].is_string() || name == VERSION_KEY,
                "{name}"
            );
        }
        let of_process = PROCESS.iter().map(Field::path);
        let mut expected: Vec<_> = of_process
            .chain(
                [
                    VERSION_KEY,
                    UNDECLARED,
                    CACHES,
                    TIERS,
                    TENANTS,
                    UNKNOWN_TENANTS,
                    DESCRIPTORS,
                ]
                .map(str::to_owned),
            )
            .collect();
        described.sort();
        expected.sort();
        assert_eq!(described, expected);

        let mut fields: Vec<_> = POLICY.iter().map(|field| field.name).collect();
        fields.sort_unstable();
        let of_policy = &schema["properties"][CACHES]["additionalProperties"];
        for policy in [of_policy, &schema["properties"][UNDECLARED]] {
            let mut described = keys(policy);
            described.sort_unstable();
            assert_eq!(described, fields);
            assert_eq!(policy["additionalProperties"], json!(false));
        }
    }

    #[test]
    fn what_readers_of_yaml_1_1_make_of_words_is_in_the_schema() {
        let schema = schema();
        let mode = &schema["properties"][UNDECLARED]["properties"]["mode"]["enum"];
        for word in [json!("on"), json!(true), json!("bypass")] {
            assert!(mode.as_array().is_some_and(|words| words.contains(&word)));
        }
        let off = json!({ "const": false });
        for listener in ["listen", "socket", "probe", "admin"] {
            let forms = &schema["properties"][listener]["anyOf"];
            assert!(forms.as_array().is_some_and(|forms| forms.contains(&off)));
        }
    }
}
