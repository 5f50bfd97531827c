//! A strict reader of both formats: it fails on whatever they do not allow.

use std::collections::{BTreeMap, HashSet};

use super::super::page::Format;

#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) families: Vec<Read>,
}

#[derive(Debug)]
pub(super) struct Read {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) unit: Option<String>,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Sample {
    /// Its name and labels, `le` apart.
    fn series(&self) -> (String, BTreeMap<String, String>) {
        let mut labels = self.labels.clone();
        labels.remove("le");
        (self.name.clone(), labels)
    }
}

pub(super) fn parse(page: &str, format: Format) -> Parsed {
    let body = match format {
        Format::OpenMetrics => page.strip_suffix("# EOF\n").expect("it ends with EOF"),
        Format::Text => page,
    };
    assert!(body.ends_with('\n'), "the last line ends");
    let mut parsed = Parsed::default();
    let mut names = HashSet::new();
    for line in body.lines() {
        assert!(!line.is_empty() && !line.ends_with([' ', '\r']), "{line:?}");
        if let Some(described) = line.strip_prefix("# ") {
            let words: Vec<&str> = described.splitn(3, ' ').collect();
            let [what, name, rest] = words[..] else {
                panic!("{line}")
            };
            assert!(is_name(name, true), "{line}");
            describe(&mut parsed, &mut names, what, name, rest, format);
        } else {
            let family = parsed.families.last_mut().expect("samples follow a family");
            assert!(!family.kind.is_empty(), "{line}: TYPE comes before samples");
            let sample = sample(line);
            belongs(family, &sample, format);
            assert!(
                !family
                    .samples
                    .iter()
                    .any(|other| other.name == sample.name && other.labels == sample.labels),
                "{line}: twice"
            );
            family.samples.push(sample);
        }
    }
    parsed.families.iter().for_each(whole);
    no_name_is_shared(&parsed);
    parsed
}

fn describe(
    parsed: &mut Parsed,
    names: &mut HashSet<String>,
    what: &str,
    name: &str,
    rest: &str,
    format: Format,
) {
    // HELP begins a family here, so no family comes twice and none is mixed.
    if what == "HELP" {
        assert!(names.insert(name.to_owned()), "{name}: twice");
        assert!(rest.ends_with('.') && !rest.contains(['\\', '"']), "{rest}");
        parsed.families.push(Read {
            name: name.to_owned(),
            kind: String::new(),
            unit: None,
            help: rest.to_owned(),
            samples: Vec::new(),
        });
        return;
    }
    let family = parsed.families.last_mut().expect("HELP comes first");
    assert_eq!(family.name, name);
    assert!(family.samples.is_empty());
    match (what, format) {
        ("TYPE", format) => {
            let allowed: &[&str] = match format {
                Format::OpenMetrics => &["counter", "gauge", "info", "histogram"],
                Format::Text => &["counter", "gauge", "histogram"],
            };
            assert!(allowed.contains(&rest) && family.kind.is_empty(), "{rest}");
            family.kind = rest.to_owned();
        }
        ("UNIT", Format::OpenMetrics) => {
            assert!(name.ends_with(&format!("_{rest}")), "{name}: {rest}");
            assert!(family.kind != "info" && family.unit.is_none());
            family.unit = Some(rest.to_owned());
        }
        _ => panic!("{what} {name}"),
    }
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
    name.bytes().all(fits)
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

/// `name{label="value",…} number`, one space and nothing else.
fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a name ends");
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name, true), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect("a label");
            assert!(is_name(label, false) && !label.starts_with("__"), "{line}");
            let mut value = String::new();
            let mut characters = after.char_indices();
            let closed = loop {
                match characters.next().expect("a quote closes") {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match characters.next() {
                        Some((_, '\\')) => '\\',
                        Some((_, '"')) => '"',
                        Some((_, 'n')) => '\n',
                        other => panic!("{line}: {other:?} escaped"),
                    }),
                    (_, other) => value.push(other),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = &after[closed + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect("a brace closes");
    }
    let number = rest.strip_prefix(' ').expect("a space");
    assert!(!number.contains(' '), "{line}: a timestamp");
    Sample {
        name: name.to_owned(),
        labels,
        value: number.parse().expect("a number"),
    }
}

/// The sample may stand in the family.
fn belongs(family: &Read, sample: &Sample, format: Format) {
    let suffix = sample.name.strip_prefix(&family.name);
    let suffix = suffix.unwrap_or_else(|| panic!("{} in {}", sample.name, family.name));
    let allowed: &[&str] = match (family.kind.as_str(), format) {
        ("counter", Format::OpenMetrics) => &["_total"],
        ("info", Format::OpenMetrics) => &["_info"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    assert!(allowed.contains(&suffix), "{}", sample.name);
    assert!(sample.value.is_finite(), "{sample:?}");
    if family.kind != "gauge" {
        assert!(sample.value >= 0.0, "{sample:?}");
    }
    if family.kind == "info" {
        assert_eq!(sample.value, 1.0);
    }
    assert_eq!(suffix == "_bucket", sample.labels.contains_key("le"));
}

/// What only a family as a whole shows: buckets that rise to their count.
fn whole(family: &Read) {
    // Only that one is without samples: when no cache is declared or switched.
    assert!(
        !family.samples.is_empty() || family.name == "millpond_cache_mode",
        "{} has no samples",
        family.name
    );
    if family.kind != "histogram" {
        return;
    }
    let mut rest = &family.samples[..];
    let mut seen = HashSet::new();
    while let Some(first) = rest.first() {
        let (_, labels) = first.series();
        assert!(seen.insert(format!("{labels:?}")), "{labels:?} is mixed");
        let buckets = rest.iter().take_while(|sample| {
            sample.name.ends_with("_bucket") && sample.series() == first.series()
        });
        let buckets: Vec<&Sample> = buckets.collect();
        assert!(buckets.len() <= 20, "{} bounds", buckets.len());
        let bounds: Vec<f64> = buckets
            .iter()
            .map(|bucket| bucket.labels["le"].parse().expect("a bound"))
            .collect();
        assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        assert_eq!(buckets.last().expect("a bucket").labels["le"], "+Inf");
        assert!(buckets.is_sorted_by(|one, next| one.value <= next.value));
        let [sum, count] = &rest[buckets.len()..buckets.len() + 2] else {
            panic!("{}: no sum and count", family.name)
        };
        assert!(
            sum.name.ends_with("_sum") && sum.labels == labels,
            "{sum:?}"
        );
        assert!(count.name.ends_with("_count") && count.labels == labels);
        assert_eq!(Some(count.value), buckets.last().map(|bucket| bucket.value));
        rest = &rest[buckets.len() + 2..];
    }
}

/// No sample could belong to two families.
fn no_name_is_shared(parsed: &Parsed) {
    let mut names: Vec<&str> = Vec::new();
    for family in &parsed.families {
        let mut own: Vec<&str> = family.samples.iter().map(|s| s.name.as_str()).collect();
        own.push(&family.name);
        own.sort_unstable();
        own.dedup();
        names.extend(own);
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a name of two families");
}
