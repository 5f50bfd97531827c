//! Files that have to be in two places, because Helm and kustomize read nothing outside their own folders.
//!
//! `cargo xtask deployment --write` makes them again.

use std::fs;

use serde_json::{Map, Value, json};

use super::{Breach, binary::Millpond};
use crate::{failure::Failure, workspace};

const RULES: &str = "deploy/helm/millpond/files/rules.yaml";
const RULE_OBJECT: &str = "deploy/kustomize/base/prometheusrule.yaml";
const DASHBOARD: &str = "deploy/helm/millpond/files/dashboard.json";
const DASHBOARD_COPY: &str = "deploy/kustomize/base/dashboard.json";
const VALUES_SCHEMA: &str = "deploy/helm/millpond/values.schema.json";

const RULE_OBJECT_HEAD: &str = "\
# The groups of deploy/helm/millpond/files/rules.yaml; renewed by `cargo xtask deployment --write`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: millpond
spec:
";

/// Addresses that can be `off`, which Helm reads as a boolean.
const ADDRESSES: [&str; 4] = ["listen", "socket", "probe", "admin"];

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(workspace::root().join(path))
        .map_err(|error| Failure::new(format!("{path}: {error}")))
}

/// Each copy, and what it has to be.
fn copies() -> Result<[(&'static str, String); 2], Failure> {
    let rules = read(RULES)?;
    let at = rules
        .find("groups:")
        .ok_or_else(|| Failure::new(format!("{RULES}: no groups")))?;
    let mut object = RULE_OBJECT_HEAD.to_owned();
    for line in rules[at..].lines() {
        if !line.is_empty() {
            object.push_str("  ");
        }
        object.push_str(line);
        object.push('\n');
    }
    Ok([(RULE_OBJECT, object), (DASHBOARD_COPY, read(DASHBOARD)?)])
}

pub(super) fn are_current() -> Result<Vec<Breach>, Failure> {
    let mut breaches = Vec::new();
    for (path, text) in copies()? {
        if read(path)? != text {
            breaches.push(format!(
                "{path}: out of date: cargo xtask deployment --write"
            ));
        }
    }
    Ok(breaches)
}

pub(super) fn write() -> Result<(), Failure> {
    for (path, text) in copies()? {
        fs::write(workspace::root().join(path), text)?;
        println!("{path}");
    }
    Ok(())
}

fn parse(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new(error.to_string()))
}

/// The chart's schema with the configuration's own in it.
fn wanted_schema(millpond: &Millpond) -> Result<Value, Failure> {
    let mut schema = parse(&read(VALUES_SCHEMA)?)?;
    schema["$defs"]["config"] = embedded(parse(&millpond.schema()?)?);
    Ok(schema)
}

pub(super) fn schema_is_current(millpond: &Millpond) -> Result<Vec<Breach>, Failure> {
    Ok(match wanted_schema(millpond) {
        Err(failure) => vec![format!("millpond check --schema: {failure}")],
        Ok(wanted) if parse(&read(VALUES_SCHEMA)?)? != wanted => {
            vec![format!(
                "{VALUES_SCHEMA}: out of date: cargo xtask deployment --write"
            )]
        }
        Ok(_) => vec![],
    })
}

pub(super) fn write_schema(millpond: &Millpond) -> Result<(), Failure> {
    let text = format!("{:#}\n", wanted_schema(millpond)?);
    fs::write(workspace::root().join(VALUES_SCHEMA), text)?;
    println!("{VALUES_SCHEMA}");
    Ok(())
}

/// A schema as a part of another: its own places lie deeper now, and Helm, which reads YAML 1.1, brings `on` and `off`
/// as booleans. The chart puts them back into words.
fn embedded(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
        fields.remove("$id");
    }
    deepen(&mut schema);
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let addresses = ADDRESSES.map(|name| fields.remove(name).map(|address| (name, address)));
        for (name, address) in addresses.into_iter().flatten() {
            fields.insert(
                name.to_owned(),
                json!({"anyOf": [address, {"const": false}]}),
            );
        }
    }
    schema
}

fn deepen(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            deepen_reference(fields);
            if let Some(words) = fields.get_mut("enum").and_then(Value::as_array_mut) {
                for (word, boolean) in [("on", true), ("off", false)] {
                    let boolean = Value::Bool(boolean);
                    // Helm takes no word twice.
                    if words.contains(&word.into()) && !words.contains(&boolean) {
                        words.push(boolean);
                    }
                }
                // A type beside it would refuse the boolean, and says no more than the words do.
                if words.iter().any(Value::is_boolean) {
                    fields.remove("type");
                }
            }
            fields.values_mut().for_each(deepen);
        }
        Value::Array(items) => items.iter_mut().for_each(deepen),
        _ => {}
    }
}

fn deepen_reference(fields: &mut Map<String, Value>) {
    let Some(Value::String(reference)) = fields.get_mut("$ref") else {
        return;
    };
    if let Some(place) = reference.strip_prefix('#') {
        *reference = format!("#/$defs/config{place}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_schema_refers_to_its_own_places_and_takes_the_booleans_of_yaml_1_1() {
        let schema = json!({
            "$schema": "x",
            "properties": {"admin": {"$ref": "#/$defs/address"}, "mode": {"type": "string", "enum": ["on", "bypass"]},
                "switch": {"enum": ["on", true]}},
            "$defs": {"address": {"type": "string"}},
        });
        let wanted = json!({
            "properties": {
                "admin": {"anyOf": [{"$ref": "#/$defs/config/$defs/address"}, {"const": false}]},
                "mode": {"enum": ["on", "bypass", true]},
                "switch": {"enum": ["on", true]},
            },
            "$defs": {"address": {"type": "string"}},
        });
        assert_eq!(embedded(schema), wanted);
    }
}
