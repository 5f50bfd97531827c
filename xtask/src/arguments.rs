//! The words behind `cargo xtask`.

use std::env;

use crate::failure::Failure;

/// What is not taken yet.
pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    pub(crate) fn from_process() -> Self {
        Self(env::args().skip(1).collect())
    }

    pub(crate) fn next_word(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    pub(crate) fn take_flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| word != name);
        self.0.len() != before
    }

    /// The number behind `name`, if `name` is there.
    pub(crate) fn take_number(&mut self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(at) = self.0.iter().position(|word| word == name) else {
            return Ok(None);
        };
        let number = self.0.get(at + 1).and_then(|word| word.parse().ok());
        let number = number.ok_or_else(|| Failure::new(format!("{name} wants a whole number")))?;
        self.0.drain(at..=at + 1);
        Ok(Some(number))
    }

    /// Refuses what no task took.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(Failure::new(format!("`{word}` means nothing here"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Arguments {
        Arguments(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn a_number_is_taken_with_its_name_and_what_is_left_is_refused() {
        let mut arguments = words("--rounds 7 --loud");
        assert_eq!(arguments.take_number("--rounds").unwrap(), Some(7));
        assert!(arguments.finish().is_err());
        assert!(arguments.take_flag("--loud"));
        assert!(arguments.finish().is_ok());
    }

    #[test]
    fn a_name_without_its_number_is_refused() {
        assert!(words("--rounds").take_number("--rounds").is_err());
        assert!(words("--rounds many").take_number("--rounds").is_err());
    }
}
