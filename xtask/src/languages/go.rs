//! Go: Debian's compiler and packages, in GOPATH mode, because they need no module proxy.
//!
//! What runs here is the helper and the programs as they are; a user's build takes newer versions of the
//! same packages, by `go.mod`.

use std::{ffi::OsString, process::Command};

use super::{
    Starter,
    workshop::{PROTOS, Workshop, copy, proto_root, sources},
};
use crate::{command, failure::Failure, machine};

/// protobuf 1.5 is named because it goes with the plugin; left to itself gRPC takes 1.3.
const PACKAGES: &[&str] = &[
    "golang-go",
    "golang-google-grpc-dev",
    "golang-google-protobuf-dev",
    "golang-github-golang-protobuf-1-5-dev",
    "protobuf-compiler",
    "protoc-gen-go",
    "protoc-gen-go-grpc",
];

const SYSTEM: &str = "/usr/share/gocode";
const MODULE: &str = "example.com/everyday";

pub(super) fn prepare(workshop: &Workshop) -> Result<Starter, Failure> {
    install(workshop)?;
    let binaries = workshop.path("go-bin");
    let gopath = workshop.path("gopath");
    let home = gopath.join("src").join(MODULE);
    copy(&sources("go"), &home, &["go"])?;

    let mut protoc = Command::new("protoc");
    protoc.current_dir(&home).arg("-I").arg(proto_root());
    for plugin in ["go", "go-grpc"] {
        protoc.arg(format!("--{plugin}_out=."));
        protoc.arg(format!("--{plugin}_opt=module={MODULE}"));
        for proto in PROTOS {
            protoc.arg(format!("--{plugin}_opt=M{proto}={MODULE}/millpond"));
        }
    }
    workshop.step(protoc.args(PROTOS))?;

    let mut path = OsString::from(&gopath);
    path.push(":");
    path.push(SYSTEM);
    let go = |arguments: &[&str]| {
        let mut go = Command::new("go");
        go.args(arguments)
            .current_dir(&home)
            .env("GOPATH", &path)
            .env("GOCACHE", workshop.path("go-cache"))
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "");
        go
    };
    workshop.step(&mut go(&["vet", "./..."]))?;
    let mut output = OsString::from(&binaries);
    output.push("/");
    workshop.step(go(&["build", "-o"]).arg(output).arg("./..."))?;
    workshop.step(
        go(&["test", "-c", "-o"])
            .arg(binaries.join("test_helper"))
            .arg("./millpond"),
    )?;
    Ok(Box::new(move |program| {
        Command::new(binaries.join(program))
    }))
}

fn install(workshop: &Workshop) -> Result<(), Failure> {
    let installed = || command::is_present(Command::new("dpkg").arg("--status").args(PACKAGES));
    if installed() {
        return Ok(());
    }
    if !machine::takes_packages()? {
        let wanted = PACKAGES.join(" ");
        return Err(Failure::new(format!("needs Debian's {wanted}")));
    }
    workshop.step(Command::new("apt-get").args(["update", "--quiet"]))?;
    workshop.step(
        Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
