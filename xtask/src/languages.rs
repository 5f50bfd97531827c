//! `languages`: the examples of other languages, run as a user runs them.
//!
//! Each program runs against a real sidecar, over TCP and over its Unix socket, and once where no
//! sidecar is: then it must do what it chose, load for itself or say so and leave. A toolchain that
//! is not here is installed where that can be done without asking; else its language is skipped, and
//! on CI, where `CI=true`, that fails.
//!
//! Everything made on the way is under `target/languages`, and the sources are never touched.

mod go;
mod node;
mod python;
mod workshop;

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    command,
    failure::Failure,
    machine,
    millpond::{self, Serving},
    stopwatch::Stopwatch,
    workspace,
};
use workshop::Workshop;

/// What the slowest program takes, many times over.
const PROGRAM_LIMIT: Duration = Duration::from_secs(60);

/// A port that nothing listens on: the kernel gives out none below 1 024.
const NOBODY: &str = "http://127.0.0.1:1";

/// What a program says that cannot do its work without a sidecar.
const NEEDS_A_SIDECAR: i32 = 3;

/// One program, and its exit status where there is no sidecar.
struct Program {
    name: &'static str,
    away: Option<i32>,
}

/// The same in every language. The last tests the helper itself, and starts sidecars of its own.
const PROGRAMS: &[Program] = &[
    Program::new("1_read_through", Some(0)),
    Program::new("2_stale_while_revalidate", Some(NEEDS_A_SIDECAR)),
    Program::new("3_bulk", Some(0)),
    Program::new("4_invalidate_on_write", Some(NEEDS_A_SIDECAR)),
    Program::new("5_limits", Some(NEEDS_A_SIDECAR)),
    Program::new("6_breakers", Some(NEEDS_A_SIDECAR)),
    Program::new("test_helper", None),
];

impl Program {
    const fn new(name: &'static str, away: Option<i32>) -> Self {
        Self { name, away }
    }
}

/// What starts a program of a language by its name.
type Starter = Box<dyn Fn(&str) -> Command>;

/// Gets a toolchain ready, or says why there is none.
type Prepare = fn(&Workshop) -> Result<Starter, Failure>;

const LANGUAGES: &[(&str, Prepare)] = &[
    ("python", python::prepare),
    ("node", node::prepare),
    ("go", go::prepare),
];

pub(crate) fn run() -> Result<(), Failure> {
    let workshop = Workshop::open()?;
    let binary = millpond::build()?;
    let folder = Folder::new()?;
    let socket = folder.0.join("pond.sock");
    let sidecar = Serving::start(&binary, serving(&configuration(), &socket))?;
    let mut failed = Vec::new();
    for (language, prepare) in LANGUAGES {
        match prepare(&workshop) {
            Ok(starter) => {
                for program in PROGRAMS {
                    let log = workshop.path(&format!("{language}-{}.log", program.name));
                    if let Err(failure) = try_out(program, &starter, &sidecar, &binary, &log) {
                        println!("{language:7} {:26} FAILED: {failure}", program.name);
                        println!("{}", fs::read_to_string(&log).unwrap_or_default());
                        failed.push(format!("{language} {}", program.name));
                    } else {
                        println!("{language:7} {:26} ok", program.name);
                    }
                }
            }
            Err(failure) if machine::is_ci() => return Err(failure),
            Err(failure) => println!("{language:7} skipped: {failure}"),
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("failed: {}", failed.join(", "))))
    }
}

/// A folder of the run's own, gone with it. Not under target: a socket's path has at most 107 bytes.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let name = format!("millpond-languages-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What declares the limits that the programs and the tests spend from.
fn configuration() -> PathBuf {
    workspace::root().join("examples/millpond.yaml")
}

/// How the sidecar is started that the programs talk to.
fn serving<'a>(configuration: &'a Path, socket: &'a Path) -> [&'a OsStr; 6] {
    [
        OsStr::new("--config"),
        configuration.as_os_str(),
        OsStr::new("--no-probe"),
        OsStr::new("--no-admin"),
        OsStr::new("--socket"),
        socket.as_os_str(),
    ]
}

/// Runs one program everywhere it is to run.
fn try_out(
    program: &Program,
    starter: &Starter,
    sidecar: &Serving,
    binary: &Path,
    log: &Path,
) -> Result<(), Failure> {
    let places = [(&*sidecar.http, Some(0)), (&*sidecar.unix, Some(0))];
    for (address, expected) in places.into_iter().chain([(NOBODY, program.away)]) {
        let Some(expected) = expected else { continue };
        let watch = Stopwatch::start();
        let mut command = starter(program.name);
        command
            .env("MILLPOND_ADDR", address)
            .env("MILLPOND_BIN", binary)
            .env("MILLPOND_CONFIG", configuration())
            // As a pod has it that goes out by a proxy: it must not lead to the sidecar.
            .env("http_proxy", NOBODY)
            .env_remove("MILLPOND_BYPASS")
            .process_group(0); // its own sidecars end with it
        let status = command::run_within(&mut command, log, PROGRAM_LIMIT)?;
        let said = match status {
            Some(status) if status.code() == Some(expected) => continue,
            Some(status) => format!("{status} for {expected}"),
            None => format!("still running after {} s", watch.elapsed().as_secs()),
        };
        return Err(Failure::new(format!("on {address}: {said}")));
    }
    Ok(())
}
