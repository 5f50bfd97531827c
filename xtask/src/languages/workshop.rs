//! Where the programs are made ready: a folder that outlives the run, so that a second one is quick.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{command, failure::Failure, workspace};

/// The folder of the contract, as protoc's `-I` wants it.
const PROTO_ROOT: &str = "proto/proto";
/// Its files that the helpers need, by what an import calls them.
pub(super) const PROTOS: [&str; 2] = ["millpond/v1/cache.proto", "millpond/v1/limit.proto"];

/// Downloads of a cold machine.
const STEP_LIMIT: Duration = Duration::from_secs(300);

pub(super) struct Workshop(PathBuf);

impl Workshop {
    pub(super) fn open() -> Result<Self, Failure> {
        let home = workspace::target().join("languages");
        fs::create_dir_all(&home)?;
        Ok(Self(home))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Does one step of getting ready, in silence unless it fails.
    pub(super) fn step(&self, command: &mut Command) -> Result<(), Failure> {
        let log = self.path("step.log");
        let program = command.get_program().to_string_lossy().into_owned();
        let status = command::run_within(command, &log, STEP_LIMIT)
            .map_err(|error| Failure::new(format!("{program}: {error}")))?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                Err(Failure::new(format!("{program}: {status}\n{said}")))
            }
            None => Err(Failure::new(format!("{program} did not end"))),
        }
    }

    /// Does `work` unless it was done before for the same `text`.
    pub(super) fn once_for(
        &self,
        name: &str,
        text: &str,
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let stamp = self.path(name);
        if fs::read_to_string(&stamp).is_ok_and(|done| done == text) {
            return Ok(());
        }
        work()?;
        fs::write(stamp, text)?;
        Ok(())
    }
}

/// The examples of a language.
pub(super) fn sources(language: &str) -> PathBuf {
    workspace::root().join("examples").join(language)
}

pub(super) fn proto_root() -> PathBuf {
    workspace::root().join(PROTO_ROOT)
}

/// Copies the files of a folder and of those below it, as a user does; what was made there by hand stays behind.
pub(super) fn copy(from: &Path, to: &Path, extensions: &[&str]) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "node_modules" {
                copy(&source, &target, extensions)?;
            }
        } else if source
            .extension()
            .is_some_and(|found| extensions.iter().any(|wanted| found == *wanted))
        {
            fs::copy(source, target)?;
        }
    }
    Ok(())
}
