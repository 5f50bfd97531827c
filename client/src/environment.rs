//! What the environment says of the cache, read where handles are made from it.
//!
//! A variable that is there and cannot be understood is an error, never "unset": a
//! program that went on without its sidecar, or with the cache that somebody meant
//! to switch off, would be found out late.

use std::ffi::OsString;
use std::sync::Once;

use crate::error::Error;
use crate::millpond::Millpond;
use crate::remote::RemoteConfig;

/// The environment variable that names the sidecar.
pub const ADDR_VARIABLE: &str = "MILLPOND_ADDR";
/// The environment variable that switches the cache off for this process.
pub const BYPASS_VARIABLE: &str = "MILLPOND_BYPASS";

/// What the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    /// `None` when unset or empty.
    address: Option<String>,
    bypass: bool,
}

impl Environment {
    /// Reads it, and says on stderr if it switches the cache off.
    pub(crate) fn read() -> Result<Self, Error> {
        let said = |name| std::env::var_os(name);
        let environment = Self::parse(said(ADDR_VARIABLE), said(BYPASS_VARIABLE))?;
        if environment.bypass {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                eprintln!(
                    "millpond: {BYPASS_VARIABLE} is set: reads of this process go past the cache"
                );
            });
        }
        Ok(environment)
    }

    fn parse(address: Option<OsString>, bypass: Option<OsString>) -> Result<Self, Error> {
        let address = text(ADDR_VARIABLE, address)?;
        let bypass = match text(BYPASS_VARIABLE, bypass)?.as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => {
                return Err(Error::Rejected {
                    message: format!("{BYPASS_VARIABLE}: {other:?}, expected 1 or 0"),
                });
            }
        };
        Ok(Self { address, bypass })
    }

    pub(crate) fn names_a_sidecar(&self) -> bool {
        self.address.is_some()
    }

    pub(crate) fn bypass(&self) -> bool {
        self.bypass
    }

    pub(crate) async fn remote(self) -> Result<Millpond, Error> {
        let config = match &self.address {
            Some(address) => RemoteConfig::new(address).map_err(|error| match error {
                Error::Rejected { message } => Error::Rejected {
                    message: format!("{ADDR_VARIABLE}: {message}"),
                },
                other => other,
            })?,
            None => RemoteConfig::new(RemoteConfig::DEFAULT_ADDRESS)?,
        };
        if self.bypass {
            // What is switched off need not be there.
            return Ok(config.connect_lazily().bypassed());
        }
        config.connect().await
    }
}

/// What a variable says; `None` when it is unset or empty.
fn text(name: &str, value: Option<OsString>) -> Result<Option<String>, Error> {
    let Some(value) = value else {
        return Ok(None);
    };
    let text = value.into_string().map_err(|_| Error::Rejected {
        message: format!("{name}: is not UTF-8"),
    })?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn parse(address: Option<&str>, bypass: Option<&str>) -> Result<(Option<String>, bool), Error> {
        let found = Environment::parse(address.map(Into::into), bypass.map(Into::into))?;
        Ok((found.address, found.bypass))
    }

    #[test]
    fn what_is_unset_or_empty_says_nothing() {
        assert_eq!(parse(None, None), Ok((None, false)));
        assert_eq!(parse(Some(""), Some("")), Ok((None, false)));
        let said = parse(Some("unix:/m.sock"), Some("0"));
        assert_eq!(said, Ok((Some("unix:/m.sock".to_owned()), false)));
        assert_eq!(parse(None, Some("1")), Ok((None, true)));
        assert_eq!(parse(None, Some("true")), Ok((None, true)));
    }

    #[test]
    fn what_cannot_be_understood_is_not_taken_for_unset() {
        let told = parse(None, Some("on"))
            .expect_err("it is neither")
            .to_string();
        assert_eq!(told, "refused: MILLPOND_BYPASS: \"on\", expected 1 or 0");
        let broken = Some(OsString::from_vec(vec![b'u', 0xff]));
        let told = Environment::parse(broken.clone(), None).expect_err("it is no text");
        assert_eq!(told.to_string(), "refused: MILLPOND_ADDR: is not UTF-8");
        let told = Environment::parse(None, broken).expect_err("it is no text");
        assert_eq!(told.to_string(), "refused: MILLPOND_BYPASS: is not UTF-8");
    }
}
