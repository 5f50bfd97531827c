//! A page under construction: families one after another, each with its samples.
//!
//! Two formats: [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/)
//! for scrapers that ask for it, and the
//! [text format 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/) for
//! all others. Their samples are the same; the lines that describe them differ.

use std::fmt::{Display, Write};
use std::time::Duration;

use http::HeaderMap;
use http::header::ACCEPT;
use millpond_core::histogram::Durations;

use super::table::{Family, Kind};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    OpenMetrics,
    Text,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What a scraper prefers of what we write; the text format unless it names the
    /// other.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let ranges = || {
            let accepted = headers.get_all(ACCEPT).into_iter();
            accepted
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(Range::parse)
        };
        let best = |fits: fn(&Range<'_>) -> bool| {
            let wishes = ranges().filter(fits).map(|range| range.thousandths);
            wishes.max().unwrap_or(0)
        };
        let open = best(|range| {
            range
                .name
                .eq_ignore_ascii_case("application/openmetrics-text")
                && matches!(range.version, None | Some("1.0.0"))
        });
        let text = best(|range| {
            ["text/plain", "text/*", "*/*"]
                .iter()
                .any(|name| range.name.eq_ignore_ascii_case(name))
                && matches!(range.version, None | Some("0.0.4"))
        });
        if open > 0 && open >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// One media range of an `Accept` header.
struct Range<'a> {
    name: &'a str,
    version: Option<&'a str>,
    /// Of the weight `q`.
    thousandths: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            name: parts.next().unwrap_or_default(),
            version: None,
            thousandths: 1_000,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "version" => range.version = Some(value.trim_matches('"')),
                // A weight that is none refuses: the other format is always safe.
                "q" => range.thousandths = thousandths(value).unwrap_or(0),
                _ => {}
            }
        }
        range
    }
}

/// `0`, `1`, or one of these with up to three decimals.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    Some(whole * 1_000 + decimals).filter(|weight| *weight <= 1_000)
}

#[derive(Debug)]
pub(super) struct Page {
    format: Format,
    text: String,
    family: Option<&'static Family>,
}

// Writing to a String does not fail.
impl Page {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            text: String::with_capacity(32 << 10),
            family: None,
        }
    }

    /// Begins a family; the samples that follow are its.
    pub(super) fn family(&mut self, family: &'static Family) -> &mut Self {
        let Family {
            name, kind, help, ..
        } = family;
        // The older format describes samples where the newer describes families.
        let (name, kind) = match (self.format, kind) {
            (Format::Text, Kind::Counter) => (format!("{name}_total"), "counter"),
            (Format::Text, Kind::Info) => (format!("{name}_info"), "gauge"),
            (_, kind) => ((*name).to_owned(), kind.name()),
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        if let (Format::OpenMetrics, Some(unit)) = (self.format, family.unit) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        self.family = Some(family);
        self
    }

    /// A sample; `labels` are values in the order of the family's labels.
    pub(super) fn sample(&mut self, labels: &[&str], value: impl Display) -> &mut Self {
        let family = self.family.expect("a family was begun");
        let suffix = match family.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.line(suffix, labels, None, value);
        self
    }

    pub(super) fn value(&mut self, value: impl Display) -> &mut Self {
        self.sample(&[], value)
    }

    /// The samples of one histogram.
    pub(super) fn durations(&mut self, labels: &[&str], durations: &Durations) -> &mut Self {
        for (bound, count) in durations.cumulative() {
            let bound = format!("{:?}", bound.as_secs_f64());
            self.line("_bucket", labels, Some(&bound), count);
        }
        let count = durations.count();
        self.line("_bucket", labels, Some("+Inf"), count);
        self.line("_sum", labels, None, Seconds(durations.sum()));
        self.line("_count", labels, None, count);
        self
    }

    fn line(&mut self, suffix: &str, labels: &[&str], le: Option<&str>, value: impl Display) {
        let family = self.family.expect("a family was begun");
        debug_assert_eq!(labels.len(), family.labels.len(), "{}", family.name);
        let _ = write!(self.text, "{}{suffix}", family.name);
        let named = family.labels.iter().map(|label| label.name);
        let mut before = '{';
        for (name, value) in named
            .zip(labels.iter().copied())
            .chain(le.map(|le| ("le", le)))
        {
            let _ = write!(self.text, "{before}{name}=\"{}\"", Escaped(value));
            before = ',';
        }
        let end = if before == ',' { "}" } else { "" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// A duration as seconds, to the nanosecond.
pub(super) struct Seconds(pub(super) Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0.as_secs(), self.0.subsec_nanos())
    }
}

/// A label's value between its quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
