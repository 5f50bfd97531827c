//! Running other programs.

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use crate::{failure::Failure, stopwatch::Stopwatch, workspace};

/// How often a child with a time limit is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The cargo that runs us, in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(workspace::root());
    command
}

/// Runs to the end, on our terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    println!("$ {}", line(command));
    let status = command
        .status()
        .map_err(|error| unstarted(command, &error))?;
    succeeded(command, status)
}

/// Runs to the end and returns what was printed, which no one sees.
pub(crate) fn output_of(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| unstarted(command, &error))?;
    succeeded(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end on our terminal and returns what was printed. The status is the caller's to judge.
pub(crate) fn tee(command: &mut Command) -> Result<(ExitStatus, String), Failure> {
    println!("$ {}", line(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| unstarted(command, &error))?;
    let mut printed = String::new();
    if let Some(stdout) = child.stdout.take() {
        for text in BufReader::new(stdout).lines() {
            let text = text?;
            println!("{text}");
            printed.push_str(&text);
            printed.push('\n');
        }
    }
    Ok((child.wait()?, printed))
}

/// Whether the program can be started and says that all is well.
pub(crate) fn is_present(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs with both outputs in the file `log`; `None`: it was still running at `limit`, and was killed, with what it
/// had started if it leads a group of processes.
pub(crate) fn run_within(
    command: &mut Command,
    log: &Path,
    limit: Duration,
) -> io::Result<Option<ExitStatus>> {
    let log = fs::File::create(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let watch = Stopwatch::start();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if watch.elapsed() > limit {
            let group = format!("-{}", child.id());
            is_present(Command::new("kill").args(["-KILL", "--", &group]));
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| {
            let value = value?.to_string_lossy();
            let name = name.to_string_lossy();
            Some(format!("{name}={value:?}"))
        })
        .collect();
    words.push(name_of(command));
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

fn name_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    name.to_string_lossy().into_owned()
}

fn unstarted(command: &Command, error: &io::Error) -> Failure {
    Failure::new(format!("`{}` did not start: {error}", name_of(command)))
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{}`: {status}", line(command))))
    }
}
