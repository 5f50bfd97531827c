//! What is seen while it runs: a screen that is drawn again and again, lines one
//! after another, or nothing.

use std::io::{self, IsTerminal};

use tokio::sync::watch;

use super::board::{Board, State};
use crate::cli::terminal;

mod lines;
mod screen;
mod wrap;

use screen::Screen;

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Screen,
    Lines,
    Silent,
}

impl View {
    /// A screen where there is one that can be drawn on and nobody objects.
    pub(super) fn fitting(plain: bool, json: bool) -> Self {
        // As https://no-color.org has it: set and not empty.
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if json {
            Self::Silent
        } else if plain || set("NO_COLOR") || dumb || !io::stdout().is_terminal() {
            Self::Lines
        } else if terminal::size().is_some_and(screen::is_enough) {
            Self::Screen
        } else {
            Self::Lines
        }
    }

    /// Shows the board as it changes; returns when the last act is over.
    pub(super) async fn show(self, board: watch::Receiver<Board>) -> io::Result<()> {
        match self {
            Self::Screen => Screen::open()?.show(board).await,
            Self::Lines => lines::show(board).await,
            Self::Silent => Ok(()),
        }
    }
}

fn is_over(board: &Board) -> bool {
    let over = |state: &State| matches!(state, State::Held | State::Broken(_));
    board.scenes.iter().all(|scene| over(&scene.state))
}
