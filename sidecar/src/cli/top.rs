//! `millpond top`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use millpond_core::clock::{Clock, Time};
use millpond_proto::v1::{StatsReply, StatsRequest};

use super::exit::{Failure, STATUSES};
use super::operator::{Operator, Sidecar, reply};
use super::span::{Span, shown};
use super::terminal::{
    CLEAR_BELOW, CLEAR_LINE, HOME, Size, Terminal, interrupted, print, printable, size,
};

mod view;

use view::View;

/// Of a page that goes to a file or a pipe.
const PAPER: Size = Size {
    columns: 120,
    rows: 200,
};

const EXAMPLES: &str = "Examples:
  millpond top
  millpond top --once                   one page, for a ticket
  millpond top --every 5s --admin 127.0.0.1:7471
  kubectl port-forward pod/orders 7471 & millpond top

A cache marked * is not declared in the configuration.";

/// Watch a sidecar: reads, loads, memory, calls, caches, what changed.
///
/// The console of the admin port in a terminal. Rates are of the last interval;
/// Ctrl-C ends it.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Top {
    /// How often it is drawn
    #[arg(long, value_name = "TIME", default_value = "1s")]
    every: Span,

    /// Print one page, with means since the start, and end
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    operator: Operator,
}

/// The least time between two pages.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn run(top: &Top) -> ExitCode {
    let watched = top.operator.run(async |sidecar| {
        tokio::select! {
            biased;
            code = interrupted() => Ok(Some(code?)),
            watched = watch(top, sidecar) => watched.map(|()| None),
        }
    });
    match watched {
        // Ctrl-C is how it is meant to end.
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

async fn watch(top: &Top, mut sidecar: Sidecar) -> Result<(), Failure> {
    let now = stats(&mut sidecar).await?;
    if top.once || !io::stdout().is_terminal() {
        let view = View {
            now: &now,
            before: None,
            size: PAPER,
        };
        return Ok(print(&(view.lines().join("\n") + "\n")).map_err(told)?);
    }
    let clock = Clock::Kernel;
    let _terminal = Terminal::open().map_err(told)?;
    let mut shown = Shown {
        now,
        at: clock.precise(),
        before: None,
        away: None,
    };
    loop {
        shown.draw(clock.precise()).map_err(told)?;
        tokio::time::sleep(top.every.0.max(AT_MOST_EVERY)).await;
        // One that is restarted is away for a moment: that is when one watches.
        match stats(&mut sidecar).await {
            Ok(now) => shown = shown.then(now, clock.precise()),
            Err(failure) => {
                let since = shown.away.map_or(clock.precise(), |(since, _)| since);
                shown.away = Some((since, failure.to_string()));
            }
        }
    }
}

async fn stats(sidecar: &mut Sidecar) -> Result<StatsReply, Failure> {
    reply(sidecar.stats(StatsRequest {}).await)
}

fn told(error: io::Error) -> String {
    format!("stdout: {error}")
}

/// What is on the screen.
struct Shown {
    now: StatsReply,
    at: Time,
    before: Option<(StatsReply, Duration)>,
    /// Since when nobody answers, and why.
    away: Option<(Time, String)>,
}

impl Shown {
    fn then(self, now: StatsReply, at: Time) -> Self {
        // Another run of the process counts from zero: there is no "before".
        let same = now.boot == self.now.boot;
        let took = at.since(self.at);
        Self {
            now,
            at,
            before: same.then_some((self.now, took)),
            away: None,
        }
    }

    fn draw(&self, time: Time) -> io::Result<()> {
        let view = View {
            now: &self.now,
            before: self.before.as_ref().map(|(stats, took)| (stats, *took)),
            size: size().unwrap_or(PAPER),
        };
        let mut lines = view.lines();
        if let (Some((since, why)), Some(second)) = (&self.away, lines.get_mut(1)) {
            let line = format!("! away for {}: {why}", shown(time.since(*since)));
            *second = printable(&line).chars().take(view.size.columns).collect();
        }
        print(&format!(
            "{HOME}{}{CLEAR_LINE}{CLEAR_BELOW}",
            lines.join(&format!("{CLEAR_LINE}\r\n"))
        ))
    }
}
