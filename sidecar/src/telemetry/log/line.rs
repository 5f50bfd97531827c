//! One event as one line.

use std::fmt::{self, Debug, Write as _};

use millpond_core::clock::Clock;
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer;

use super::limit::Limit;
use super::{AUDIT, Format};

/// Bytes of one value; what is longer is cut.
const MAX_VALUE: usize = 1 << 10;

type Sink = Box<dyn Fn(String) + Send + Sync>;

/// Makes a line of each event it is given.
pub(super) struct Lines {
    format: Format,
    limit: Limit,
    clock: Clock,
    sink: Sink,
}

impl Lines {
    pub(super) fn to(format: Format, clock: Clock, sink: Sink) -> Self {
        Self {
            format,
            limit: Limit::default(),
            clock,
            sink,
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let Some(suppressed) = self.limit.admit(event.metadata(), self.clock.now()) else {
            return;
        };
        let mut said = Said::default();
        event.record(&mut said);
        if suppressed > 0 {
            said.fields
                .push(("suppressed", Value::Bare(suppressed.to_string())));
        }
        let from = (event.metadata().level(), event.metadata().target());
        (self.sink)(written(self.format, from, &said));
    }
}

/// The line that says how many others are missing here.
pub(super) fn notice(format: Format, dropped: u64) -> String {
    let said = Said {
        message: "lines were dropped: whoever reads them was too slow".to_owned(),
        fields: vec![("lines", Value::Bare(dropped.to_string()))],
    };
    written(format, (&Level::WARN, module_path!()), &said)
}

/// The line of what a place said: its level and its target.
fn written(format: Format, from: (&Level, &str), said: &Said) -> String {
    let mut line = String::with_capacity(256);
    // Writing to a String does not fail.
    let _ = match format {
        Format::Text => text(&mut line, from, said),
        Format::Json => json(&mut line, from, said),
    };
    line.push('\n');
    line
}

fn text(line: &mut String, (level, target): (&Level, &str), said: &Said) -> fmt::Result {
    SystemTime.format_time(&mut Writer::new(line))?;
    write!(line, " {level:>5} ")?;
    // What operators did is looked for by this word, in either format.
    if target == AUDIT {
        write!(line, "{AUDIT}: ")?;
    }
    write!(line, "{}", Plain(&said.message))?;
    for (name, value) in &said.fields {
        match value {
            Value::Bare(value) => write!(line, " {name}={value}")?,
            Value::Text(value) if needs_quotes(value) => write!(line, " {name}={}", Quoted(value))?,
            Value::Text(value) => write!(line, " {name}={value}")?,
        }
    }
    match in_span() {
        Some((trace, span)) => write!(line, " trace_id={trace} span_id={span}"),
        None => Ok(()),
    }
}

fn json(line: &mut String, (level, target): (&Level, &str), said: &Said) -> fmt::Result {
    line.push_str("{\"ts\":\"");
    SystemTime.format_time(&mut Writer::new(line))?;
    let level = level.as_str().to_ascii_lowercase();
    write!(
        line,
        "\",\"level\":\"{level}\",\"target\":{},\"msg\":{}",
        Quoted(target),
        Quoted(&said.message)
    )?;
    line.push_str(",\"fields\":{");
    for (at, (name, value)) in said.fields.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(line, "{comma}{}:", Quoted(name))?;
        match value {
            Value::Bare(value) => line.push_str(value),
            Value::Text(value) => write!(line, "{}", Quoted(value))?,
        }
    }
    line.push('}');
    if let Some((trace, span)) = in_span() {
        write!(line, ",\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"")?;
    }
    line.push('}');
    Ok(())
}

/// The trace and span that this thread works in.
fn in_span() -> Option<(String, String)> {
    Context::map_current(|context| {
        let span = context.span();
        let of = span.span_context();
        of.is_valid()
            .then(|| (of.trace_id().to_string(), of.span_id().to_string()))
    })
}

/// An event's message and fields.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

enum Value {
    /// JSON as it stands.
    Bare(String),
    Text(String),
}

impl Said {
    fn put_text(&mut self, field: &Field, text: impl fmt::Display) {
        let mut cut = Cut::default();
        // It stops writing when it is full.
        let _ = write!(cut, "{text}");
        if field.name() == "message" {
            self.message = cut.0;
        } else {
            self.fields.push((field.name(), Value::Text(cut.0)));
        }
    }

    fn put_bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.fields
            .push((field.name(), Value::Bare(value.to_string())));
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.put_bare(field, value);
        } else {
            self.put_text(field, value);
        }
    }
}

/// The beginning of a text, as far as a value goes.
#[derive(Default)]
struct Cut(String);

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_VALUE.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

/// Characters that end a line, move the cursor or turn the writing around.
fn breaks_a_line(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty()
        || value.chars().any(|character| {
            breaks_a_line(character)
                || character.is_whitespace()
                || matches!(character, '"' | '=' | '\\')
        })
}

/// Text with what would break the line escaped.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if breaks_a_line(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Text as a JSON string, with everything that would break the line escaped.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                // All of these are of the basic plane: one escape each.
                other if breaks_a_line(other) => write!(f, "\\u{:04x}", u32::from(other))?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests;
