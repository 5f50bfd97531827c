//! `cargo run --release -p millpond-gauntlet`: the table on stdout. Status 0 unless
//! Millpond itself failed.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use millpond_gauntlet::{
    scoreboard::Scoreboard,
    subject::{foyer::Foyer, millpond::Embedded, moka::Moka, quick_cache::QuickCache},
};

/// Races that break well-known caches, forced, against named versions.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of each race.
    #[arg(long, default_value_t = 200)]
    rounds: u64,
    /// The results as JSON instead of markdown.
    #[arg(long)]
    json: bool,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut scoreboard = Scoreboard::new(arguments.rounds);
    scoreboard.run::<Embedded>()?;
    scoreboard.run::<Moka>()?;
    scoreboard.run::<Foyer>()?;
    scoreboard.run::<QuickCache>()?;

    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &scoreboard)?;
        writeln!(out)?;
    } else {
        write!(out, "{scoreboard}")?;
    }
    Ok(match scoreboard.passed() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
