//! Node: the locked packages, in a copy of the folder.

use std::{fs, process::Command};

use super::{
    Starter,
    workshop::{PROTOS, Workshop, copy, proto_root, sources},
};
use crate::failure::Failure;

pub(super) fn prepare(workshop: &Workshop) -> Result<Starter, Failure> {
    let home = workshop.path("node");
    copy(&sources("node"), &home, &["js", "json"])?;
    for proto in PROTOS {
        // Beside the helpers, where they look for them.
        let name = proto.rsplit('/').next().unwrap_or(proto);
        fs::copy(proto_root().join(proto), home.join(name))?;
    }
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
