//! Node: the locked packages, in a copy of the folder.

use std::{fs, process::Command};

use super::{
    Starter,
    workshop::{PROTO, Workshop, copy, proto_root, sources},
};
use crate::failure::Failure;

pub(super) fn prepare(workshop: &Workshop) -> Result<Starter, Failure> {
    let home = workshop.path("node");
    copy(&sources("node"), &home, &["js", "json"])?;
    fs::copy(proto_root().join(PROTO), home.join("cache.proto"))?;
    let lock = fs::read_to_string(home.join("package-lock.json"))?;
    workshop.step(Command::new("node").arg("--version"))?;
    workshop.once_for("node.stamp", &lock, || {
        // Without its script, which copies the contract from where the sources are.
        let mut npm = Command::new("npm");
        workshop.step(npm.args(["ci", "--ignore-scripts"]).current_dir(&home))
    })?;
    Ok(Box::new(move |program| {
        let mut command = Command::new("node");
        command.arg(home.join(program).with_extension("js"));
        command
    }))
}
