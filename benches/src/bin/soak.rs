//! `cargo run --release -p millpond-benches --bin soak`: a long run under load with
//! faults. `cargo xtask soak` calls it.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use millpond_benches::soak::{Place, Soak};

const USAGE: &str = "\
soak [--seconds N] [--callers N] [--remote] [--sidecar PATH]

  --seconds N      how long callers are at it [default: 60]
  --callers N      how many at once [default: 64]
  --remote         against a sidecar, not a cache in this process
  --sidecar PATH   the sidecar's executable [default: millpond, beside this one]
";

#[derive(Debug)]
struct Arguments {
    soak: Soak,
    sidecar: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // Without a stderr there is nobody to tell.
            drop(writeln!(io::stderr(), "soak: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let Some(arguments) = arguments(std::env::args().skip(1))? else {
        write!(io::stdout(), "{USAGE}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let place = match &arguments.sidecar {
        Some(executable) => Place::Sidecar(executable),
        None => Place::Embedded,
    };
    let found = runtime.block_on(arguments.soak.run(place))?;
    write!(io::stdout(), "{found}")?;
    Ok(if found.violations().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// `None` when help was asked for.
fn arguments(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, Box<dyn Error>> {
    let mut soak = Soak {
        duration: Duration::from_secs(60),
        callers: 64,
    };
    let (mut remote, mut sidecar) = (false, None);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match &*word {
            "--seconds" => soak.duration = Duration::from_secs(value()?.parse()?),
            "--callers" => soak.callers = value()?.parse()?,
            "--remote" => remote = true,
            "--sidecar" => sidecar = Some(PathBuf::from(value()?)),
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("no option {other}\n\n{USAGE}").into()),
        }
    }
    if remote && sidecar.is_none() {
        sidecar = Some(std::env::current_exe()?.with_file_name("millpond"));
    }
    Ok(Some(Arguments { soak, sidecar }))
}
