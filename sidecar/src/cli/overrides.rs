//! The flags that lie over a configuration file, from the table of its fields: one
//! for each field of the process, and `--no-…` for what can be off.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use millpond_sidecar::config::{DEFAULT_FILE, Setting, Source, settings};

/// What can be switched off by a flag of its own, by the flag that moves it.
const NO: [(&str, &str, &str); 4] = [
    ("no-listen", "listen", "Do not listen on TCP"),
    ("no-socket", "socket", "Do not listen on a Unix socket"),
    ("no-probe", "probe", "Do not answer probes or metrics"),
    ("no-admin", "admin", "Do not listen for operators"),
];

/// What flags say.
#[derive(Debug)]
pub(crate) struct Overrides {
    /// As it was written, what it sets, and to what.
    said: Vec<(String, &'static str, OsString)>,
}

impl Overrides {
    /// The layers: this file, the environment, these flags.
    pub(crate) fn over(self, file: Option<PathBuf>) -> Source {
        let source = Source::new(file, |name| std::env::var_os(name));
        self.said
            .into_iter()
            .fold(source, |source, (flag, path, text)| {
                source.with_flag(&flag, path, text)
            })
    }
}

/// Of a file's name. An empty one is let through: so a variable says nothing.
pub(crate) fn file_name() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The file that is meant: the one that is named, else the usual one if it is there.
pub(crate) fn file_or_usual(named: Option<PathBuf>) -> Option<PathBuf> {
    let usual = || Some(PathBuf::from(DEFAULT_FILE)).filter(|file| is_there(file));
    named
        .filter(|file| !file.as_os_str().is_empty())
        .or_else(usual)
}

/// A link that leads nowhere is there: it is better told of than passed over.
fn is_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

fn argument(setting: &'static Setting) -> Arg {
    let Setting {
        flag,
        variable,
        doc,
        default,
        ..
    } = setting;
    Arg::new(flag.as_str())
        .long(flag.as_str())
        .value_name(value_name(flag))
        .value_parser(ValueParser::os_string())
        .help(format!("{doc} [default: {default}] [env: {variable}]"))
        .help_heading("Over the file")
}

fn value_name(flag: &str) -> &'static str {
    match flag {
        "listen" | "probe" | "admin" => "ADDR",
        "socket" => "PATH",
        "memory" | "in-flight" => "BYTES",
        "drain" | "limits-patience" | "limits-ping-every" => "TIME",
        "log" => "FILTER",
        "log-format" => "FORMAT",
        "tracing-endpoint" => "URL",
        "tracing-sample" => "SHARE",
        _ => "N",
    }
}

impl Args for Overrides {
    fn augment_args(command: Command) -> Command {
        let command = settings()
            .iter()
            .fold(command, |command, setting| command.arg(argument(setting)));
        NO.iter().fold(command, |command, (no, flag, help)| {
            let no = Arg::new(*no).long(*no).action(ArgAction::SetTrue);
            let no = no.conflicts_with(*flag).help(*help);
            command.arg(no.help_heading("Over the file"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let said = settings().iter().filter_map(|setting| {
            let text: &OsString = matches.get_one(&setting.flag)?;
            Some((
                format!("--{}", setting.flag),
                setting.path.as_str(),
                text.clone(),
            ))
        });
        let off = NO.iter().filter(|(no, _, _)| matches.get_flag(no));
        let off = off.map(|(no, path, _)| (format!("--{no}"), *path, OsString::from("off")));
        Ok(Self {
            said: said.chain(off).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
