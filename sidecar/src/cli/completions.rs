//! `millpond completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::bytes;
use super::exit::{Failure, Status};

/// Print what makes a shell complete millpond's commands and options.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  source <(millpond completions bash)
  millpond completions zsh > \"${fpath[1]}/_millpond\"
  millpond completions fish > ~/.config/fish/completions/millpond.fish")]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(completions: &Completions) -> Result<Status, Failure> {
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(completions.shell, &mut command, "millpond", &mut script);
    bytes::print(&script)?;
    Ok(Status::Done)
}
