//! `millpond demo`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

mod act;
mod beside;
mod board;
mod callers;
mod expiry;
mod figure;
mod herd;
mod invalidation;
mod leader;
mod naive;
mod origin;
mod outage;
mod report;
mod stage;
mod subject;
mod view;

use super::exit::Failure;
use super::terminal::{self, interrupted};
use act::Act;
use beside::Beside;
use board::Board;
use stage::Stage;
use view::View;

/// See in 20 seconds what this cache promises, beside one that does not.
///
/// Plays five acts. In each the same callers ask a naive cache, the kind that every
/// team writes (a map with expiries), and Millpond, over the wire of a real sidecar
/// that is started for it. Both load from a slow origin in this process. Needs no
/// network, no configuration and no privileges, and leaves nothing behind.
///
/// Succeeds when all five promises held, by counts and by the values answered:
/// never by the clock alone.
#[derive(Args, Debug)]
#[command(after_help = "The acts:
  1  a herd of 100 callers on a cold key makes one load, not 100
  2  a hot key expires under load and nobody waits for the reload
  3  a key is invalidated while it is loaded and nobody reads the old value
  4  the caller that loads dies and those who wait are served by the next
  5  the origin goes down and what is held is answered, flagged as stale

Examples:
  millpond demo
  millpond demo --seconds 60           longer acts: more rounds, the same promises
  millpond demo --plain | tee demo.txt
  millpond demo --json | jq '.acts[] | {promise, held, naive, millpond}'

The last line is \"5 promises held\" and the exit status 0; or else how many held,
after a line for each that did not, and 1. Ctrl-C ends it with 130.")]
pub(crate) struct Demo {
    /// How long it takes, about; an act plays one round at least
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Draw the same keys and pauses as another run [default: new ones]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Lines instead of a screen; also when stdout is no terminal of 80 columns and
    /// 24 lines, or NO_COLOR is set
    #[arg(long)]
    plain: bool,

    /// Print one JSON object at the end instead; times in milliseconds
    #[arg(long, conflicts_with = "plain")]
    json: bool,

    /// Put the naive cache in Millpond's place in this act, to see it noticed
    #[arg(long = "break", value_name = "ACT", hide = true)]
    sabotage: Option<Act>,
}

/// Why it ended early.
enum Ended {
    Failed(String),
    /// By a signal, with what a shell calls that.
    Interrupted(u8),
}

pub(crate) fn run(demo: &Demo) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let played = match runtime {
        Ok(runtime) => runtime.block_on(demo.play_unless_interrupted()),
        Err(error) => Err(Ended::Failed(format!("threads: {error}"))),
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Ended::Interrupted(code)) => ExitCode::from(code),
        Err(Ended::Failed(message)) => Failure::from(message).end(),
    }
}

impl Demo {
    /// A signal drops everything where it stands: the screen gives the terminal
    /// back, the sidecar ends and removes its socket.
    async fn play_unless_interrupted(&self) -> Result<bool, Ended> {
        tokio::select! {
            biased; // listens before there is anything to clean up
            code = interrupted() => Err(code.map_or_else(Ended::Failed, Ended::Interrupted)),
            played = self.play() => played.map_err(Ended::Failed),
        }
    }

    /// Whether all promises held.
    async fn play(&self) -> Result<bool, String> {
        let beside = Beside::start()?;
        let pond = beside.connect().await?;
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
        let time = Duration::from_secs(self.seconds);
        let board = watch::Sender::new(Board::new(time, seed, beside.address().to_owned()));
        let view = View::fitting(self.plain, self.json);
        let told = |error| format!("stdout: {error}");

        let acts = async {
            for act in Act::ALL {
                board.send_modify(|board| board.begin(act));
                let stage = Stage {
                    act,
                    time: time / 5,
                    seed,
                    sabotaged: self.sabotage == Some(act),
                    beside: &beside,
                    pond: &pond,
                    board: &board,
                };
                let outcome = act.play(&stage).await?;
                board.send_modify(|board| board.end(outcome));
            }
            Ok(())
        };
        let shown = async { view.show(board.subscribe()).await.map_err(told) };
        tokio::try_join!(acts, shown)?;

        let board = board.borrow();
        let report = if self.json {
            report::json(&board)
        } else {
            report::text(&board)
        };
        terminal::print(&report).map_err(told)?;
        Ok(board.held() == Act::ALL.len())
    }
}
