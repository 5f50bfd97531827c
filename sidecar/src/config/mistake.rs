//! What is wrong with a configuration, said so that it can be mended at once: where,
//! what was found, what is expected.

use std::fmt;
use std::sync::Arc;

/// How much of a value is repeated in a message, in characters. A value that is
/// longer was not meant for this place, and may be a secret.
const SHOWN: usize = 80;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is what holds unless something is said.
    Default,
    /// In a file; lines and columns count from 1.
    File {
        /// The file.
        file: Arc<str>,
        /// Its line; 0 when it is about the whole file.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// In this environment variable.
    Environment(&'static str),
    /// In this flag of the command line, such as `--listen`.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: 0, .. } => f.write_str(file),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Something that is wrong with a configuration, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was said.
    pub place: Place,
    /// What it is about, such as `caches.users.fresh`; `(document)` for the whole.
    pub path: String,
    /// What was found.
    pub problem: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            path,
            problem,
            expected,
        } = self;
        write!(f, "{place}: {path}: {problem}; expected {expected}")
    }
}

/// A path that is about everything.
pub(crate) const DOCUMENT: &str = "(document)";

/// `name` inside `path`.
pub(crate) fn inside(path: &str, name: &str) -> String {
    let name = match cut(name) {
        name if name.is_empty() => "\"\"".to_owned(),
        name => name,
    };
    if path == DOCUMENT {
        name
    } else {
        format!("{path}.{name}")
    }
}

/// A text as a message repeats it: printable, on one line, not longer than
/// [`SHOWN`].
pub(crate) fn cut(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The candidate that `name` was probably meant to be.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = plain(name);
    let near = 1 + name.len() / 4;
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Without what people spell differently: `maxValue`, `max-value`. Cut, because
/// comparing costs the product of the lengths.
fn plain(name: &str) -> Vec<char> {
    name.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .take(SHOWN)
        .collect()
}

/// Letters to insert, delete, replace, or swap with their neighbour (Damerau and
/// Levenshtein, restricted).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before_last = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, wanted) in other.iter().enumerate() {
            let replaced = last[j] + usize::from(letter != wanted);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == other[j - 1] && one[i - 1] == *wanted {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_nothing_far_is_guessed() {
        let names = ["fresh", "stale", "stale_if_error", "max_value", "max_load"];
        for (misspelt, meant) in [
            ("frehs", Some("fresh")),
            ("Fresh", Some("fresh")),
            ("staleIfError", Some("stale_if_error")),
            ("max-value", Some("max_value")),
            ("max_laod", Some("max_load")),
            ("stail", Some("stale")),
            ("ttl", None),
            ("compression", None),
            ("", None),
        ] {
            assert_eq!(nearest(misspelt, names), meant, "{misspelt}");
        }
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_unprintable_is_escaped() {
        assert_eq!(cut("a\nb"), "a\\nb");
        let secret = "s".repeat(81);
        assert_eq!(cut(&secret), format!("{}…", "s".repeat(80)));
        assert_eq!(cut(&"ä".repeat(80)), "ä".repeat(80));
    }
}
