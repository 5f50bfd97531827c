//! Numbers of bytes: `512MiB`, `512Mi` as Kubernetes writes it, `50%` of what there is.

use serde_json::{Value as Json, json};

use super::{Form, Wrong};
use crate::memory::{self, ByteSize};

const WRITTEN: &str = "[0-9]+([.][0-9]+)?([eE][+]?[0-9]+)? ?(B|Ki|Mi|Gi|KiB|MiB|GiB)?";

/// A number of bytes within bounds.
pub(crate) struct Size {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Form for Size {
    type Value = usize;

    fn read(&self, text: &str) -> Result<usize, Wrong> {
        let bytes = bytes(text)?;
        let bytes = within(bytes, self.least, self.most)?;
        usize::try_from(bytes).map_err(|_| Wrong::Because("which is too much"))
    }

    fn expected(&self) -> String {
        let (least, most) = (ByteSize(self.least), ByteSize(self.most));
        format!("bytes such as 64KiB or 1Mi, {least:#} to {most:#}")
    }

    fn show(&self, bytes: &usize) -> String {
        format!("{:#}", ByteSize(*bytes as u64))
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "string", "pattern": format!("^{WRITTEN}$") },
            { "type": "integer", "minimum": self.least, "maximum": self.most },
        ] })
    }
}

/// Bytes, or a share of what the process may use.
pub(crate) struct Amount {
    pub(crate) least: u64,
}

impl Form for Amount {
    type Value = u64;

    fn read(&self, text: &str) -> Result<u64, Wrong> {
        let bytes = match text.strip_suffix('%') {
            None => bytes(text)?,
            Some(share) => {
                let share: u64 = share.trim_end().parse().map_err(|_| Wrong::Form)?;
                if !(1..=100).contains(&share) {
                    return Err(Wrong::Form);
                }
                let (allowed, _) = memory::allowed().ok_or(Wrong::Because(
                    "and how much there is to have a share of cannot be read here",
                ))?;
                // To the MiB: nobody means a byte by a percentage.
                ((allowed / 100 * share) >> 20) << 20
            }
        };
        within(bytes, self.least, u64::MAX)
    }

    fn expected(&self) -> String {
        let least = ByteSize(self.least);
        format!(
            "bytes such as 512MiB, 512Mi or 1Gi, at least {least:#}, or 1% to 100% of the container's limit"
        )
    }

    fn show(&self, bytes: &u64) -> String {
        format!("{:#}", ByteSize(*bytes))
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "string", "pattern": format!("^({WRITTEN}|(100|[1-9][0-9]?) ?%)$") },
            { "type": "integer", "minimum": self.least },
        ] })
    }
}

fn bytes(text: &str) -> Result<u64, Wrong> {
    const DECIMAL: &str = "whose unit is not one of Ki, Mi, Gi, KiB, MiB, GiB";
    let ByteSize(bytes) = text.parse().map_err(|_| {
        let number = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
        if number.len() < text.len() && number.parse::<f64>().is_ok() {
            Wrong::Because(DECIMAL)
        } else {
            Wrong::Form
        }
    })?;
    Ok(bytes)
}

fn within(bytes: u64, least: u64, most: u64) -> Result<u64, Wrong> {
    if bytes < least {
        Err(Wrong::Because("which is too little"))
    } else if bytes > most {
        Err(Wrong::Because("which is too much"))
    } else {
        Ok(bytes)
    }
}
