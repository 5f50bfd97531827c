//! Numbers without a unit: how many, and what share.

use serde_json::{Value as Json, json};

use super::{Form, Wrong, whole};

/// How many, from 1 to `most`.
pub(crate) struct Count<N> {
    pub(crate) most: N,
    /// What the word `auto` stands for, where it is a word.
    pub(crate) auto: Option<fn() -> N>,
}

impl<N> Form for Count<N>
where
    N: Copy + PartialOrd + TryFrom<u64> + std::fmt::Display,
{
    type Value = N;

    fn read(&self, text: &str) -> Result<N, Wrong> {
        if let (Some(auto), "auto") = (self.auto, text) {
            return Ok(auto());
        }
        let number = whole(text).ok_or(Wrong::Form)?;
        let many = N::try_from(number).ok().filter(|many| *many <= self.most);
        match many {
            Some(many) if number > 0 => Ok(many),
            Some(_) => Err(Wrong::Because("which is too few")),
            None => Err(Wrong::Because("which is too many")),
        }
    }

    fn expected(&self) -> String {
        let auto = self.auto.map_or("", |_| "auto or ");
        format!("{auto}a whole number from 1 to {}", self.most)
    }

    fn show(&self, many: &N) -> String {
        many.to_string()
    }

    fn schema(&self) -> Json {
        let most = self.most.to_string();
        // A number that was just written is one.
        let most: Json = serde_json::from_str(&most).unwrap_or(Json::Null);
        let number = json!({ "type": "integer", "minimum": 1, "maximum": most });
        let quoted =
            json!({ "type": "string", "pattern": "^[0-9]+([.][0-9]+)?([eE][+]?[0-9]+)?$" });
        match self.auto {
            Some(_) => json!({ "anyOf": [number, quoted, { "const": "auto" }] }),
            None => json!({ "anyOf": [number, quoted] }),
        }
    }
}

/// A number from 0 to `most`, itself included or not.
pub(crate) struct Ratio {
    pub(crate) most: f64,
    pub(crate) included: bool,
}

impl Form for Ratio {
    type Value = f64;

    fn read(&self, text: &str) -> Result<f64, Wrong> {
        // Not "inf", "nan", "1_000" or "+.5": as JSON writes numbers.
        let plain = text
            .bytes()
            .all(|letter| letter.is_ascii_digit() || b".eE+-".contains(&letter));
        let number: f64 = text.parse().ok().filter(|_| plain).ok_or(Wrong::Form)?;
        if number < 0.0 {
            return Err(Wrong::Because("which is too small"));
        }
        if number > self.most || (number >= self.most && !self.included) {
            return Err(Wrong::Because("which is too large"));
        }
        Ok(number)
    }

    fn expected(&self) -> String {
        let upto = if self.included { "to" } else { "to below" };
        format!("a number from 0 {upto} {}", self.most)
    }

    fn show(&self, number: &f64) -> String {
        number.to_string()
    }

    fn schema(&self) -> Json {
        let most = if self.included {
            "maximum"
        } else {
            "exclusiveMaximum"
        };
        json!({ "anyOf": [
            { "type": "number", "minimum": 0, most: self.most },
            { "type": "string", "pattern": "^[0-9]*[.]?[0-9]*([eE][+-]?[0-9]+)?$" },
        ] })
    }
}
