//! The command line.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod demo;
mod serve;

/// A cache beside each service that does not stampede its origin, and does not
/// serve what was invalidated.
#[derive(Debug, Parser)]
#[command(name = "millpond", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  millpond serve                         the cache on 127.0.0.1:7470 and, where /run allows, a Unix socket
  millpond serve --listen 127.0.0.1:0    on a free port
  millpond demo                          in 20 seconds, what it promises
  millpond bench --zipf 100000           what that costs on this machine
  millpond help serve                    every option, with its environment variable")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Bench(bench::Bench),
    Demo(demo::Demo),
}

pub(crate) fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(serve) => serve::run(serve),
        Command::Bench(bench) => bench::run(bench),
        Command::Demo(demo) => return demo::run(&demo),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Without a stderr there is nobody to tell.
            drop(writeln!(std::io::stderr(), "millpond: {message}"));
            ExitCode::FAILURE
        }
    }
}
