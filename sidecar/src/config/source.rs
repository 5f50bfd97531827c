//! Where a configuration comes from, and how its parts lie over one another:
//! defaults, then the file, then the environment, then flags.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustix::fs::OFlags;

use super::Config;
use super::mistake::{Mistake, Place};
use super::reading::Reading;
use super::table::{Field, PROCESS};
use super::yaml::MAX_BYTES;

/// The file that is read when none is named and this one is there.
pub const DEFAULT_FILE: &str = "/etc/millpond/millpond.yaml";
/// Names the file.
pub const FILE_VARIABLE: &str = "MILLPOND_CONFIG";

/// A flag of the command line and the environment variable that says the same.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What it sets, such as `limits.connections`.
    pub path: String,
    /// Without its dashes, such as `limits-connections`.
    pub flag: String,
    /// Such as `MILLPOND_LIMITS_CONNECTIONS`.
    pub variable: String,
    /// What it is, in a sentence without its full stop.
    pub doc: &'static str,
    /// What holds unless it is said.
    pub default: String,
}

static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let mut defaults = Config::default();
    let setting = |field: &Field<Config>| Setting {
        path: field.path(),
        flag: field.flag(),
        variable: field.variable(),
        doc: field.doc,
        default: field.default_in(&mut defaults),
    };
    PROCESS.iter().map(setting).collect()
});

/// What flags and the environment can say.
#[must_use]
pub fn settings() -> &'static [Setting] {
    &SETTINGS
}

/// Something that a flag or the environment says.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) path: String,
    /// `None`: it is not UTF-8.
    pub(crate) text: Option<String>,
    pub(crate) place: Place,
}

/// Where a configuration comes from. Flags and environment are kept as they were
/// when it was made; the file is read whenever that is asked.
#[derive(Clone, Debug, Default)]
pub struct Source {
    file: Option<PathBuf>,
    said: Vec<Said>,
}

impl Source {
    /// From a file, if there is one, with this environment over it. A variable that
    /// is empty says nothing.
    pub fn new(file: Option<PathBuf>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let said = settings().iter().filter_map(|setting| {
            let text = variable(&setting.variable).filter(|text| !text.is_empty())?;
            Some(Said {
                path: setting.path.clone(),
                text: text.into_string().ok(),
                place: Place::Environment(&setting.variable),
            })
        });
        Self {
            said: said.collect(),
            file,
        }
    }

    /// With a flag over all of it. `flag` is how it was written, such as
    /// `--no-listen`; `path` what it sets, such as `listen`.
    #[must_use]
    pub fn with_flag(mut self, flag: &str, path: &str, text: OsString) -> Self {
        self.said.push(Said {
            path: path.to_owned(),
            text: text.into_string().ok(),
            place: Place::Flag(flag.to_owned()),
        });
        self
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the file, and what lies over it.
    ///
    /// # Errors
    /// When there is a file that cannot be read, or is none.
    pub fn read(&self) -> io::Result<Reading> {
        let bytes = self.file.as_deref().map(bytes_of).transpose()?;
        Ok(self.read_bytes(bytes.as_deref()))
    }

    /// The same for a file with these bytes.
    #[must_use]
    pub fn read_bytes(&self, bytes: Option<&[u8]>) -> Reading {
        let name: Arc<str> = match &self.file {
            Some(file) => file.display().to_string().into(),
            None => "-".into(),
        };
        let mut reading = Reading::of(bytes.map(|bytes| (&name, bytes)), &self.said);
        reading.config.source = Some(Sourced {
            source: self.clone(),
            hash: bytes.map(hash),
        });
        reading
    }
}

/// Where a configuration that is in force came from.
#[derive(Clone, Debug)]
pub struct Sourced {
    pub(crate) source: Source,
    /// Of the file's bytes.
    pub(crate) hash: Option<String>,
}

impl Said {
    pub(crate) fn not_text(&self) -> Option<Mistake> {
        self.text.is_none().then(|| Mistake {
            place: self.place.clone(),
            path: self.path.clone(),
            problem: "found bytes that are not UTF-8".to_owned(),
            expected: "text".to_owned(),
        })
    }
}

/// The bytes of a regular file, or enough of them to see that they are too many.
/// Anything else could keep a reader waiting for ever.
pub(crate) fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe waits for whoever writes to it, unless told not to.
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(at_once)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says whether two contents are the same, not who made them: FNV-1a, 64 bits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = bytes.iter().fold(BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    format!("{hash:016x}")
}
