//! One word of a few, and the words of a log filter.

use serde_json::{Value as Json, json};
use tracing_subscriber::EnvFilter;

use super::{Form, Wrong};

/// One of these words.
pub(crate) struct Word<V: 'static> {
    pub(crate) words: &'static [(&'static str, V)],
    /// Words that are no good, with what to say about them.
    pub(crate) not: &'static [(&'static str, &'static str)],
}

/// What readers of YAML 1.1 make of `on`, and what else they read as the same.
const ON: [&str; 2] = ["true", "yes"];

impl<V: Copy + PartialEq> Form for Word<V> {
    type Value = V;

    fn read(&self, text: &str) -> Result<V, Wrong> {
        let text = if ON.contains(&text) { "on" } else { text };
        if let Some((_, value)) = self.words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let not = self.not.iter().find(|(word, _)| *word == text);
        Err(not.map_or(Wrong::Form, |(_, why)| Wrong::Because(why)))
    }

    fn expected(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|(word, _)| *word).collect();
        match words.split_last() {
            Some((last, others)) if !others.is_empty() => {
                format!("{} or {last}", others.join(", "))
            }
            _ => words.concat(),
        }
    }

    fn show(&self, value: &V) -> String {
        let word = self.words.iter().find(|(_, of)| of == value);
        word.map_or("", |(word, _)| word).to_owned()
    }

    fn schema(&self) -> Json {
        let mut words: Vec<Json> = self.words.iter().map(|(word, _)| json!(word)).collect();
        if self.words.iter().any(|(word, _)| *word == "on") {
            words.push(json!(true));
            words.extend(ON.map(|word| json!(word)));
        }
        json!({ "enum": words })
    }
}

/// What is logged.
pub(crate) struct Filter;

impl Form for Filter {
    type Value = String;

    fn read(&self, text: &str) -> Result<String, Wrong> {
        if text.is_empty() || EnvFilter::try_new(text).is_err() {
            return Err(Wrong::Form);
        }
        Ok(text.to_owned())
    }

    fn expected(&self) -> String {
        "error, warn, info, or directives by module such as warn,millpond_sidecar=info".to_owned()
    }

    fn show(&self, filter: &String) -> String {
        filter.clone()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}
