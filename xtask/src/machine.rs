//! The machine that a task runs on, and what may be done to it.

use std::{env, process::Command};

use crate::{command, failure::Failure};

/// On CI what is missing fails; on a person's machine it is said, and the rest goes on.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|ci| ci == "true")
}

/// Whether Debian's packages can be installed without asking anybody.
pub(crate) fn takes_packages() -> Result<bool, Failure> {
    let user = command::output_of(Command::new("id").arg("-u"))?;
    Ok(user.trim() == "0" && command::is_present(Command::new("apt-get").arg("--version")))
}
