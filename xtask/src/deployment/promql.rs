//! The series that a PromQL expression reads.
//!
//! Not a parser of PromQL: promtool is, and has seen the expression before. Here only its words are told apart, so
//! that what is left are the names of series and their matchers. Words before `(` are functions; `by (…)` and the
//! like enclose labels; `[…]` encloses a time; strings are skipped.

/// A label's condition: name, operator, value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) operator: String,
    pub(super) value: String,
}

/// A series by its name, and what its labels have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) name: String,
    pub(super) matchers: Vec<Matcher>,
}

const AGGREGATIONS: &[&str] = &[
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
];
const BEFORE_LABELS: &[&str] = &[
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
const WORDS: &[&str] = &[
    "and", "or", "unless", "atan2", "bool", "offset", "inf", "nan",
];

/// All selectors of an expression, in its order.
pub(super) fn selectors(expression: &str) -> Vec<Selector> {
    let tokens = tokens(expression);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let next = tokens.get(at).map(Token::text);
        let Token::Word(word) = token else {
            if token.text() == "[" {
                at = after(&tokens, at, "]");
            }
            continue;
        };
        let lower = word.to_ascii_lowercase();
        if BEFORE_LABELS.contains(&lower.as_str()) {
            if next == Some("(") {
                at = after(&tokens, at, ")");
            }
        } else if AGGREGATIONS.contains(&lower.as_str())
            || WORDS.contains(&lower.as_str())
            || next == Some("(")
        {
            // An operator or a function.
        } else {
            let mut matchers = Vec::new();
            if next == Some("{") {
                let end = after(&tokens, at, "}");
                matchers = self::matchers(&tokens[at + 1..end.max(at + 2) - 1]);
                at = end;
            }
            found.push(Selector {
                name: word.clone(),
                matchers,
            });
        }
    }
    found
}

/// The place behind the next `closing`.
fn after(tokens: &[Token], from: usize, closing: &str) -> usize {
    let closed = tokens[from..]
        .iter()
        .position(|token| token.text() == closing);
    closed.map_or(tokens.len(), |offset| from + offset + 1)
}

fn matchers(tokens: &[Token]) -> Vec<Matcher> {
    tokens
        .split(|token| token.text() == ",")
        .filter_map(|matcher| match matcher {
            [Token::Word(label), operator @ .., Token::Text(value)] => Some(Matcher {
                label: label.clone(),
                operator: operator.iter().map(Token::text).collect(),
                value: value.clone(),
            }),
            _ => None,
        })
        .collect()
}

#[derive(Debug)]
enum Token {
    Word(String),
    Text(String),
    Sign(String),
}

impl Token {
    /// What a sign is; a quoted `]` closes nothing, so texts are nothing here.
    fn text(&self) -> &str {
        match self {
            Self::Sign(text) => text,
            Self::Word(_) | Self::Text(_) => "",
        }
    }
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            '"' | '\'' | '`' => {
                let mut text = String::new();
                while let Some(next) = rest.next() {
                    match next {
                        '\\' if first != '`' => text.extend(rest.next()),
                        next if next == first => break,
                        next => text.push(next),
                    }
                }
                tokens.push(Token::Text(text));
            }
            '#' => while rest.next_if(|&next| next != '\n').is_some() {},
            first if first.is_ascii_alphabetic() || first == '_' || first == ':' => {
                let mut word = String::from(first);
                while let Some(next) =
                    rest.next_if(|&next| next.is_ascii_alphanumeric() || next == '_' || next == ':')
                {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            // A number, with its exponent or its unit: 0.99, 1e9, 5m, 1h30m.
            first if first.is_ascii_digit() => {
                while rest
                    .next_if(|&next| next.is_ascii_alphanumeric() || next == '.')
                    .is_some()
                {}
            }
            first if first.is_whitespace() => {}
            first => tokens.push(Token::Sign(first.into())),
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(expression: &str) -> Vec<String> {
        selectors(expression)
            .into_iter()
            .map(|selector| selector.name)
            .collect()
    }

    #[test]
    fn functions_labels_times_and_texts_are_no_series() {
        let expression = r#"histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{x="b(c]", y=~"d"}[$__rate_interval])))
            / on (namespace, pod) group_left (hash) (e:f:g5m offset 1h > 1e9) and count without(z) (h) # i
            or vector(0) unless time() - j{} > bool 3"#;
        assert_eq!(names(expression), ["a_bucket", "e:f:g5m", "h", "j"]);
    }

    #[test]
    fn matchers_are_read_with_their_operators() {
        let found = selectors(r#"up{job=~"a|b", pod!="c,d", container="e"}"#);
        let matchers: Vec<_> = found[0]
            .matchers
            .iter()
            .map(|matcher| {
                (
                    matcher.label.as_str(),
                    matcher.operator.as_str(),
                    matcher.value.as_str(),
                )
            })
            .collect();
        assert_eq!(
            matchers,
            [
                ("job", "=~", "a|b"),
                ("pod", "!=", "c,d"),
                ("container", "=", "e")
            ]
        );
    }

    #[test]
    fn a_series_alone_is_read_and_one_that_is_not_closed_does_not_panic() {
        assert_eq!(names("millpond_connections"), ["millpond_connections"]);
        for broken in ["a{", "a{b", "rate(a[", "by (", "'", "a{b=\"\\"] {
            selectors(broken);
        }
    }
}
