//! Test binaries: building them and finding one again.
//!
//! A planted bug is run against one test of one binary. Calling the binary itself, instead of cargo,
//! lets two run at once and lets a hang be killed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{command, failure::Failure};

/// A test binary that cargo built.
pub(crate) struct TestBinary {
    package: String,
    kind: String,
    target: String,
    path: PathBuf,
    /// Where cargo would run it.
    home: PathBuf,
}

/// Builds with a `cargo test --no-run …` and lists what came of it.
pub(crate) fn build(cargo_test: &mut Command) -> Result<Vec<TestBinary>, Failure> {
    let printed = command::output_of(cargo_test.arg("--message-format=json-render-diagnostics"))?;
    Ok(printed.lines().filter_map(parse).collect())
}

/// The binary of a package's library (`None`) or of an integration test or binary by its name.
pub(crate) fn find<'a>(
    binaries: &'a [TestBinary],
    package: &str,
    target: Option<&str>,
) -> Result<&'a TestBinary, Failure> {
    let wanted = |binary: &&TestBinary| {
        binary.package == package
            && match target {
                None => binary.kind == "lib",
                Some(name) => binary.kind != "lib" && binary.target == name,
            }
    };
    binaries.iter().find(wanted).ok_or_else(|| {
        let target = target.unwrap_or("the library");
        Failure::new(format!("{package} has no test binary of {target}"))
    })
}

impl TestBinary {
    /// A command that runs the one test of this full path.
    pub(crate) fn one_test(&self, test: &str) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(["--exact", test])
            .current_dir(&self.home)
            .env("CARGO_MANIFEST_DIR", &self.home);
        command
    }
}

fn parse(line: &str) -> Option<TestBinary> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let home = Path::new(message["manifest_path"].as_str()?).parent()?;
    Some(TestBinary {
        package: package_name(message["package_id"].as_str()?)?,
        kind: message["target"]["kind"][0].as_str()?.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        path: message["executable"].as_str()?.into(),
        home: home.to_owned(),
    })
}

/// `path+file:///x/core#millpond-core@0.1.0`; the name is left out when the folder has it: `…/xtask#0.1.0`.
fn package_name(id: &str) -> Option<String> {
    let (source, fragment) = id.split_once('#')?;
    let name = match fragment.split_once('@') {
        Some((name, _version)) => name,
        None => source.rsplit('/').next()?,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_by_its_id_or_by_its_folder() {
        let named = package_name("path+file:///src/core#millpond-core@0.1.0");
        assert_eq!(named.as_deref(), Some("millpond-core"));
        let unnamed = package_name("path+file:///src/xtask#0.1.0");
        assert_eq!(unnamed.as_deref(), Some("xtask"));
    }

    #[test]
    fn only_test_binaries_are_listed() {
        let artifact = |test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///src/core#millpond-core@0.1.0",
                "manifest_path":"/src/core/Cargo.toml","target":{{"kind":["lib"],"name":"millpond_core"}},
                "profile":{{"test":{test}}},"executable":"/src/target/debug/deps/millpond_core-1"}}"#
            )
        };
        assert!(parse(&artifact(false)).is_none());
        let binaries = [parse(&artifact(true)).unwrap()];
        assert!(find(&binaries, "millpond-core", None).is_ok());
        assert!(find(&binaries, "millpond-core", Some("races")).is_err());
    }
}
