//! Another configuration for a sidecar that serves: all of a file, or none of it.
//!
//! Policies, tenants and rules for descriptors come into force at once, and the log's filter where the process logs by
//! itself; whatever a process takes only when it starts is named as waiting for a
//! restart. A file with a mistake changes nothing: the last good one stays in force, and
//! what is wrong is logged once for each content.
//!
//! The file is looked at once a second (`docs/adr/0009`): where its identity has
//! changed it is read, and what it says comes into force when two looks in a row saw
//! the same, so that a file that is being written is not taken for a short one.
//! Asked for by hand it is read at once.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millpond_core::cache::Pond;
use millpond_core::clock::Time;
use millpond_core::tenant::Strangers;
use parking_lot::Mutex;
use tracing::{info, warn};

use super::reading::Reading;
use super::source::{Source, Sourced, bytes_of, hash};
use super::table::PROCESS;
use super::{Config, Tenancy};
use crate::rpc::Descriptors;
use crate::telemetry::log;
use crate::tenancy::Tenants;

mod watch;

pub(crate) use watch::Watcher;

/// Mistakes that are kept and logged of one file.
const KEPT: usize = 50;
/// How often a file that changes while it is read is read again, before it is left
/// for the next look.
const ATTEMPTS: usize = 5;

/// A file that is obeyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What it says that takes effect only when the process is started again, such as
    /// `memory: 1GiB is said, 512MiB is in force`.
    pub after_restart: Vec<String>,
}

/// The configuration that is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Of the bytes of the file that is obeyed; empty without one.
    pub hash: String,
    /// How long it has been in force.
    pub age: Duration,
    /// Files that came into force since the start.
    pub reloads: u64,
    /// Files that did not.
    pub refused: u64,
    /// Why the last one did not; empty when it did.
    pub errors: Vec<String>,
    /// What waits for a restart.
    pub after_restart: Vec<String>,
}

/// Reads the configuration again.
#[derive(Clone, Debug)]
pub struct Reloader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    /// What the process was started with.
    running: Config,
    pond: Arc<Pond>,
    tenants: Arc<Tenants>,
    descriptors: Arc<Descriptors>,
    /// The log of a process that is ours.
    log: OnceLock<log::Handle>,
    /// Whoever reads the file holds it meanwhile, however long the disk takes.
    looks: Mutex<Looks>,
    /// Never held while something is read: the thread that answers probes asks for it.
    /// Taken after `looks`.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hash: Option<String>,
    since: Time,
    reloads: u64,
    refused: u64,
    errors: Vec<String>,
    after_restart: Vec<String>,
    /// What the file that is obeyed says of tenants.
    tenancy: Tenancy,
}

/// What was seen of the file.
#[derive(Debug, Default)]
struct Looks {
    /// What was refused last, by its hash or by why it could not be read.
    refused_last: Option<String>,
    seen: Option<Identity>,
    /// The hash that the last look saw, when it was neither obeyed nor refused.
    pending: Option<String>,
}

/// What changes whenever a file is written or replaced. Of what a link leads to:
/// kubelet replaces a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|file| Self::in_metadata(&file))
    }

    fn in_metadata(file: &Metadata) -> Self {
        Self {
            file: (file.dev(), file.ino()),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl Reloader {
    /// For a sidecar that was started with `running`.
    pub(crate) fn new(
        running: &Config,
        pond: &Arc<Pond>,
        tenants: &Arc<Tenants>,
        descriptors: &Arc<Descriptors>,
    ) -> Self {
        let Sourced { source, hash } = running.source.clone().unwrap_or_else(|| Sourced {
            source: Source::default(),
            hash: None,
        });
        Self(Arc::new(Inner {
            source,
            running: running.clone(),
            pond: Arc::clone(pond),
            tenants: Arc::clone(tenants),
            descriptors: Arc::clone(descriptors),
            log: OnceLock::new(),
            looks: Mutex::default(),
            state: Mutex::new(State {
                hash,
                since: pond.clock().precise(),
                reloads: 0,
                refused: 0,
                errors: Vec::new(),
                after_restart: Vec::new(),
                tenancy: running.tenancy.clone(),
            }),
        }))
    }

    /// From now on a reload also changes what this log says. A second handle changes
    /// nothing.
    pub fn steer_log(&self, log: log::Handle) {
        drop(self.0.log.set(log));
    }

    /// What is in force.
    #[must_use]
    pub fn state(&self) -> InForce {
        let state = self.0.state.lock();
        InForce {
            file: self.0.source.file().map(Path::to_owned),
            hash: state.hash.clone().unwrap_or_default(),
            age: self.0.pond.clock().precise().since(state.since),
            reloads: state.reloads,
            refused: state.refused,
            errors: state.errors.clone(),
            after_restart: state.after_restart.clone(),
        }
    }

    /// Reads the file now. Blocks for the milliseconds that takes.
    ///
    /// # Errors
    /// All that is wrong with it, a line each; then nothing has changed.
    pub fn reload(&self) -> Result<Applied, Vec<String>> {
        let Some(path) = self.0.source.file() else {
            return Err(vec![
                "there is no configuration file to read again".to_owned(),
            ]);
        };
        let mut looks = self.0.looks.lock();
        let whole = whole_of(path)
            .and_then(|whole| whole.ok_or_else(|| io::Error::other("it changes while it is read")));
        match whole {
            Ok((identity, bytes)) => {
                looks.seen = Some(identity);
                self.0.consider(&mut looks, &bytes)
            }
            Err(error) => {
                let why = self.0.why_unreadable(&error);
                self.0.refuse(&mut looks, why.clone(), vec![why])
            }
        }
    }

    /// Looks whether the file has changed, and obeys it once it no longer does.
    fn look(&self) {
        let Some(path) = self.0.source.file() else {
            return;
        };
        let mut looks = self.0.looks.lock();
        let seen = Identity::of(path);
        if looks.pending.is_none()
            && let Ok(seen) = &seen
            && looks.seen.as_ref() == Some(seen)
        {
            return;
        }
        let (identity, bytes) = match whole_of(path) {
            Ok(Some(whole)) => whole,
            Ok(None) => return, // at the next look
            Err(error) => {
                // Whoever replaces a file in two steps is given the time of a look.
                let why = self.0.why_unreadable(&error);
                let again = looks.pending.replace(why.clone()).as_ref() == Some(&why);
                if again && looks.refused_last.as_ref() != Some(&why) {
                    drop(self.0.refuse(&mut looks, why.clone(), vec![why]));
                }
                return;
            }
        };
        let found = hash(&bytes);
        if self.0.is_in_force(&found) {
            looks.seen = Some(identity);
            looks.pending = None;
            if looks.refused_last.take().is_some() {
                self.0.state.lock().errors.clear();
                info!("configuration: the file is again what is in force");
            }
            return;
        }
        let stands = looks.pending.as_ref() == Some(&found);
        if !stands {
            looks.pending = Some(found);
            return;
        }
        looks.seen = Some(identity);
        looks.pending = None;
        if looks.refused_last.as_ref() != Some(&found) {
            drop(self.0.consider(&mut looks, &bytes));
        }
    }
}

impl Inner {
    fn is_in_force(&self, hash: &str) -> bool {
        self.state.lock().hash.as_deref() == Some(hash)
    }

    fn consider(&self, looks: &mut Looks, bytes: &[u8]) -> Result<Applied, Vec<String>> {
        looks.pending = None;
        let found = hash(bytes);
        let reading = self.source.read_bytes(Some(bytes));
        if !reading.mistakes.is_empty() {
            let mistakes = reading.mistakes.len();
            let kept = reading.mistakes.iter().take(KEPT);
            let mut errors: Vec<_> = kept.map(ToString::to_string).collect();
            if mistakes > KEPT {
                errors.push(format!("and {} more", mistakes - KEPT));
            }
            return self.refuse(looks, found, errors);
        }
        if !self.is_in_force(&found) {
            for odd in reading.unknown.iter().chain(&reading.warnings) {
                warn!("configuration: {odd}");
            }
        }
        let rules = match Descriptors::prepared(&reading.config.descriptors) {
            Ok(rules) => rules,
            Err(errors) => return self.refuse(looks, found, errors),
        };
        // Its tenants can still not be had: then nothing else of it holds either.
        let mut tenancy = reading.config.tenancy.clone();
        if let Strangers::Tier { most, .. } = &mut tenancy.strangers {
            *most = self.running.max_unknown_tenants;
        }
        let before = self.state.lock().tenancy.clone();
        if let Err(errors) = self.tenants.revise(tenancy.clone(), &before) {
            return self.refuse(looks, found, errors);
        }
        self.state.lock().tenancy = tenancy;
        self.descriptors.replace(rules);
        Ok(self.obey(looks, found, reading))
    }

    fn obey(&self, looks: &mut Looks, found: String, reading: Reading) -> Applied {
        let mut config = reading.config;
        let mut running = self.running.clone();
        if self.obeyed_by_the_log(&config.log.filter) {
            running.log.filter.clone_from(&config.log.filter);
        }
        let after_restart = differences(&mut running, &mut config);
        let cache = config.cache;
        self.pond.reconfigure(cache.declared, cache.undeclared);
        info!(hash = found, "configuration: in force");
        for waits in &after_restart {
            warn!("configuration: after a restart: {waits}");
        }
        looks.refused_last = None;
        let mut state = self.state.lock();
        state.hash = Some(found);
        state.since = self.pond.clock().precise();
        state.reloads += 1;
        state.errors.clear();
        state.after_restart.clone_from(&after_restart);
        Applied { after_restart }
    }

    /// A filter that was read is one: what stops it is a log that is not ours.
    fn obeyed_by_the_log(&self, filter: &str) -> bool {
        let log = self.log.get();
        log.is_some_and(|log| log.set_filter(filter).is_ok())
    }

    fn why_unreadable(&self, error: &io::Error) -> String {
        let file = self.source.file().unwrap_or(Path::new(""));
        format!("{}: cannot be read: {error}", file.display())
    }

    /// Keeps what is in force. `what` was refused: its hash, or why it was not read.
    fn refuse(
        &self,
        looks: &mut Looks,
        what: String,
        errors: Vec<String>,
    ) -> Result<Applied, Vec<String>> {
        let again = looks.refused_last.as_ref() == Some(&what);
        if again {
            warn!("configuration: refused again, as it was");
        } else {
            for error in &errors {
                warn!("configuration: {error}");
            }
            warn!("configuration: refused; the last good one stays in force");
        }
        looks.refused_last = Some(what);
        let mut state = self.state.lock();
        state.refused += 1;
        state.errors.clone_from(&errors);
        Err(errors)
    }
}

/// The fields in which what is said differs from what the process runs with.
fn differences(running: &mut Config, said: &mut Config) -> Vec<String> {
    PROCESS
        .iter()
        .filter_map(|field| {
            let (running, said) = (field.slot.show(running), field.slot.show(said));
            let path = field.path();
            (running != said).then(|| format!("{path}: {said} is said, {running} is in force"))
        })
        .collect()
}

/// A file's bytes as they were at one moment; `None` when it keeps changing.
fn whole_of(path: &Path) -> io::Result<Option<(Identity, Vec<u8>)>> {
    for _ in 0..ATTEMPTS {
        let before = Identity::of(path)?;
        let bytes = bytes_of(path)?;
        if Identity::of(path)? == before {
            return Ok(Some((before, bytes)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
