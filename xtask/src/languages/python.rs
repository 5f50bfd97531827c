//! Python: a virtual environment with the pinned packages, and the stubs of the contract.

use std::{fs, process::Command};

use super::{
    Starter,
    workshop::{PROTOS, Workshop, proto_root, sources},
};
use crate::failure::Failure;

pub(super) fn prepare(workshop: &Workshop) -> Result<Starter, Failure> {
    let environment = workshop.path("venv");
    let python = environment.join("bin/python");
    let stubs = workshop.path("python-stubs");
    let requirements = sources("python").join("requirements.txt");

    workshop.once_for("venv.stamp", &fs::read_to_string(&requirements)?, || {
        workshop.step(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )?;
        workshop.step(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(&requirements),
        )
    })?;
    fs::create_dir_all(&stubs)?;
    workshop.step(
        Command::new(&python)
            .args(["-m", "grpc_tools.protoc", "-I"])
            .arg(proto_root())
            .arg("--python_out")
            .arg(&stubs)
            .arg("--grpc_python_out")
            .arg(&stubs)
            .args(PROTOS),
    )?;
    Ok(Box::new(move |program| {
        let mut command = Command::new(&python);
        command
            .arg(sources("python").join(program).with_extension("py"))
            .env("PYTHONPATH", &stubs)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }))
}
