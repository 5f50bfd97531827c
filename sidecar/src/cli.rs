//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod acquire;
mod bench;
mod bucket;
mod bytes;
mod canary;
mod check;
mod completions;
mod connection;
mod demo;
mod drain;
mod exit;
mod explain;
mod get;
mod invalidate;
mod mode;
mod operator;
mod overrides;
mod reload;
mod serve;
mod set;
mod span;
mod tenant;
mod terminal;
mod top;

use exit::{Failure, Status};

/// A cache beside each service that does not stampede its origin, and does not
/// serve what was invalidated.
#[derive(Debug, Parser)]
#[command(name = "millpond", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  millpond serve                         the cache on 127.0.0.1:7470 and, where /run allows, a Unix socket
  millpond serve --listen 127.0.0.1:0    on a free port
  millpond set acme users 42 Ada         write a value; then get acme users 42
  millpond demo                          in 20 seconds, what it promises
  millpond top                           what it does now
  millpond explain key acme users 42     why it answers as it does
  millpond tenant suspend acme           refuse a tenant's calls, until it is resumed
  millpond check millpond.yaml           all that is wrong with a configuration, in one run
  millpond bench --zipf 100000           what that costs on this machine
  millpond help serve                    every option, with its environment variable")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Bench(bench::Bench),
    Demo(demo::Demo),
    Get(get::Get),
    Set(set::Set),
    Invalidate(invalidate::Invalidate),
    Acquire(acquire::Acquire),
    Canary(canary::Canary),
    Mode(mode::Mode),
    Tenant(tenant::Tenant),
    Explain(explain::Explain),
    Top(top::Top),
    Reload(reload::Reload),
    Drain(drain::Drain),
    Completions(completions::Completions),
}

pub(crate) fn run() -> ExitCode {
    let done = |result: Result<(), String>| match result {
        Ok(()) => Ok(Status::Done),
        Err(message) => Err(Failure::from(message)),
    };
    let result = match Arguments::parse().command {
        Command::Serve(serve) => done(serve::run(serve)),
        Command::Check(check) => return check::run(check),
        Command::Bench(bench) => done(bench::run(bench)),
        Command::Demo(demo) => return demo::run(&demo),
        Command::Get(get) => get::run(get),
        Command::Set(set) => set::run(set),
        Command::Invalidate(invalidate) => invalidate::run(invalidate),
        Command::Acquire(acquire) => acquire::run(acquire),
        Command::Canary(canary) => canary::run(canary),
        Command::Mode(mode) => mode::run(mode),
        Command::Tenant(tenant) => tenant::run(tenant),
        Command::Explain(explain) => explain::run(explain),
        Command::Top(top) => return top::run(&top),
        Command::Reload(reload) => reload::run(reload),
        Command::Drain(drain) => drain::run(drain),
        Command::Completions(completions) => completions::run(&completions),
    };
    result.map_or_else(Failure::end, Status::into)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// What documents tell people to type into a container: `/millpond …`, to the end of
    /// the line or of the quotation.
    fn told(document: &str) -> Vec<Vec<&str>> {
        let after = document.split("-- /millpond ").skip(1);
        after
            .map(|text| text.split(['\n', '`', '|']).next().unwrap_or_default())
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words != &["<command>"])
            .collect()
    }

    #[test]
    fn what_documents_tell_to_type_is_a_command_line_of_ours() {
        let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let mut tried = 0;
        for folder in [documents.clone(), documents.join("runbooks")] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "md") {
                    continue;
                }
                for line in told(&fs::read_to_string(&path).unwrap()) {
                    let parsed = Arguments::try_parse_from([&["millpond"], &line[..]].concat());
                    let shown = path.display();
                    assert!(parsed.is_ok(), "{shown}: {line:?}: {}", parsed.unwrap_err());
                    tried += 1;
                }
            }
        }
        assert!(tried >= 10, "{tried}");
    }
}
