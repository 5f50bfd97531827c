//! The contract only grows: nothing that `field-numbers.txt` lists may vanish or change.
//!
//! After an addition: `MILLPOND_ACCEPT_FIELDS=1 cargo test -p millpond-proto --test field_numbers`
//! adds the new lines to the file. It never takes one away.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

const COMMAND: &str = "MILLPOND_ACCEPT_FIELDS=1 cargo test -p millpond-proto --test field_numbers";

#[test]
fn what_the_contract_once_named_keeps_its_number_name_and_type() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("field-numbers.txt");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let committed: BTreeSet<&str> = lines_of(&committed).collect();
    let listing = listing();
    let current: BTreeSet<&str> = listing.iter().map(String::as_str).collect();

    let gone: Vec<_> = committed.difference(&current).collect();
    assert!(
        gone.is_empty(),
        "removed, renamed, renumbered or of another type; callers in the field still send these:\n{gone:#?}"
    );

    let new: Vec<_> = current.difference(&committed).collect();
    if env::var_os("MILLPOND_ACCEPT_FIELDS").is_some() {
        fs::write(&path, render(&listing)).unwrap();
    } else {
        assert!(new.is_empty(), "added; accept with `{COMMAND}`:\n{new:#?}");
    }
}

#[test]
fn no_two_things_share_a_number() {
    let mut seen = BTreeSet::new();
    for line in listing() {
        let mut words = line.split(' ');
        let (kind, scope, number) = (words.next(), words.next(), words.next());
        if kind != Some("rpc") {
            let id = format!("{scope:?} {number:?}");
            assert!(seen.insert(id.clone()), "{id} is used twice");
        }
    }
}

fn lines_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn render(listing: &[String]) -> String {
    format!(
        "# Every number of the contract. Lines are only ever added, by\n# {COMMAND}\n{}\n",
        listing.join("\n")
    )
}

/// One line for each field, enum value and method, in the order of the files.
fn listing() -> Vec<String> {
    let set = FileDescriptorSet::decode(millpond_proto::FILE_DESCRIPTOR_SET)
        .expect("the build script encoded it");
    let mut lines = Vec::new();
    // What protobuf itself brings is not ours to keep.
    let files = set.file.iter();
    for file in files.filter(|file| file.package() != "google.protobuf") {
        let package = file.package();
        for service in &file.service {
            list_service(package, service, &mut lines);
        }
        for message in &file.message_type {
            list_message(package, message, &mut lines);
        }
        for r#enum in &file.enum_type {
            list_enum(package, r#enum, &mut lines);
        }
    }
    lines
}

fn list_service(scope: &str, service: &ServiceDescriptorProto, lines: &mut Vec<String>) {
    for method in &service.method {
        let stream = |streams: bool| if streams { "stream " } else { "" };
        lines.push(format!(
            "rpc {scope}.{}.{} {}{} -> {}{}",
            service.name(),
            method.name(),
            stream(method.client_streaming()),
            method.input_type().trim_start_matches('.'),
            stream(method.server_streaming()),
            method.output_type().trim_start_matches('.'),
        ));
    }
}

fn list_message(scope: &str, message: &DescriptorProto, lines: &mut Vec<String>) {
    let name = format!("{scope}.{}", message.name());
    for field in &message.field {
        lines.push(format!(
            "field {name} {} {} {}",
            field.number(),
            field.name(),
            type_of(message, field)
        ));
    }
    for nested in &message.nested_type {
        list_message(&name, nested, lines);
    }
    for r#enum in &message.enum_type {
        list_enum(&name, r#enum, lines);
    }
}

fn list_enum(scope: &str, r#enum: &EnumDescriptorProto, lines: &mut Vec<String>) {
    for value in &r#enum.value {
        let name = r#enum.name();
        lines.push(format!(
            "value {scope}.{name} {} {}",
            value.number(),
            value.name()
        ));
    }
}

fn type_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let base = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    };
    if field.label() == Label::Repeated {
        format!("repeated {base}")
    } else if field.proto3_optional() {
        format!("optional {base}")
    } else if let Some(index) = field.oneof_index {
        let index = usize::try_from(index).expect("an index into oneof_decl is not negative");
        format!("{base} oneof {}", message.oneof_decl[index].name())
    } else {
        base
    }
}
