//! A screen, drawn again ten times a second.
//!
//! Each frame is one write that overwrites the last one, without
//! clearing in between: nothing flickers. Colour says nothing that words or signs
//! do not say too.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::super::board::{Board, Scene, State};
use super::super::figure::{Figure, Row};
use super::is_over;
use super::wrap::wrap;
use crate::cli::terminal::{CLEAR_BELOW, CLEAR_LINE, HOME, Size, Terminal, print, size};

const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// What is drawn is no wider, and no text is hard to read for being long.
const WIDEST: usize = 100;
const NARROWEST: usize = 80;
/// Lines of a frame; see `Frame::of`.
const LOWEST: usize = 24;
const MARGIN: usize = 2;
/// Widths of the columns: what is counted, and for whom.
const LABEL: usize = 25;
const NAIVE: usize = 8;
const OURS: usize = 9;
/// Of a bar's name.
const NAME: usize = 10;

const PLAIN: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";

pub(super) fn is_enough(size: Size) -> bool {
    size.columns >= NARROWEST && size.rows >= LOWEST
}

#[derive(Debug)]
pub(super) struct Screen(Terminal);

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        Terminal::open().map(Self)
    }

    pub(super) async fn show(self, mut board: watch::Receiver<Board>) -> io::Result<()> {
        let mut ticks = interval(DRAWN_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let (frame, over) = {
                let board = board.borrow_and_update();
                // Asked each time: a window is resized without a word.
                let size = size().unwrap_or(Size {
                    columns: NARROWEST,
                    rows: LOWEST,
                });
                (Frame::of(&board, size), is_over(&board))
            };
            print(&frame.text)?;
            if over {
                return Ok(());
            }
        }
    }
}

/// One picture.
struct Frame {
    text: String,
    columns: usize,
    left: usize,
}

impl Frame {
    /// 24 lines at most: title 3, promises 6, rule 3, story or figures 6, why not 1,
    /// bars 3. The figures of both halves stand in the same columns.
    fn of(board: &Board, size: Size) -> Self {
        let mut frame = Self {
            text: HOME.to_owned(),
            columns: size.columns.min(WIDEST),
            left: size.rows,
        };
        frame.title(board);
        frame.promises(board);
        frame.scene(board.scene());
        frame.text.push_str(PLAIN);
        frame.text.push_str(CLEAR_BELOW);
        frame
    }

    /// One line; what does not fit in height is left out.
    fn line(&mut self, parts: &[(&str, &str)]) {
        let Some(left) = self.left.checked_sub(1) else {
            return;
        };
        let first = self.text == HOME;
        self.left = left;
        if !first {
            self.text.push_str("\r\n");
        }
        let mut room = self.columns;
        for (style, part) in parts {
            let part: String = part.chars().take(room).collect();
            room -= part.chars().count();
            // Writing to a String does not fail.
            let _ = write!(self.text, "{style}{part}{PLAIN}");
        }
        self.text.push_str(CLEAR_LINE);
    }

    fn blank(&mut self) {
        self.line(&[]);
    }

    /// Columns left of the figures, margin and all.
    fn beside(&self) -> usize {
        self.columns.saturating_sub(LABEL + NAIVE + OURS + MARGIN)
    }

    fn title(&mut self, board: &Board) {
        let elapsed = board.elapsed().as_secs().min(board.time.as_secs());
        let right = format!(
            "seed {}, {elapsed} of {} s",
            board.seed,
            board.time.as_secs()
        );
        let left = "  millpond demo";
        let gap = (left.len() + right.len() + MARGIN).min(self.columns);
        let gap = " ".repeat(self.columns - gap);
        self.line(&[(BOLD, left), ("", &gap), (DIM, &right)]);
        let wire = if board.address.starts_with("unix:") {
            "a Unix socket"
        } else {
            "TCP on this machine"
        };
        let about = format!("  naive: a TTL map in process; millpond: a sidecar over {wire}");
        self.line(&[(DIM, &about)]);
        self.blank();
    }

    fn promises(&mut self, board: &Board) {
        let pad = " ".repeat(self.beside() + LABEL);
        let heads = format!("{:>NAIVE$}{:>OURS$}", "naive", "millpond");
        self.line(&[("", &pad), (DIM, &heads)]);
        let width = self.beside().saturating_sub(MARGIN + 1);
        for scene in &board.scenes {
            let promise = format!(" {} {}", scene.act.number(), scene.act.promise());
            let promise = format!("{promise:width$}");
            let (style, sign, title) = match scene.state {
                State::ToCome => (DIM, "·", DIM),
                State::Running => (CYAN, "▶", BOLD),
                State::Held => (GREEN, "✓", ""),
                State::Broken(_) => (RED, "✗", ""),
            };
            let mut parts = vec![("", "  "), (style, sign), (title, promise.as_str())];
            let row = match scene.state {
                State::Held | State::Broken(_) => scene.headline(),
                State::ToCome | State::Running => None,
            };
            let figures = row.map(|row| Figures::of(row, &scene.state));
            if let Some(figures) = &figures {
                parts.extend(figures.parts(DIM));
            }
            self.line(&parts);
        }
    }

    /// The story on the left, the figures on the right.
    fn scene(&mut self, scene: &Scene) {
        let rule = "─".repeat(self.columns.saturating_sub(2 * MARGIN));
        self.blank();
        self.line(&[("", "  "), (DIM, &rule)]);
        self.blank();
        let beside = self.beside();
        let story = wrap(scene.act.story(), beside.saturating_sub(2 * MARGIN));
        for at in 0..story.len().max(scene.rows.len()) {
            let story = story.get(at).map_or("", String::as_str);
            let story = format!("  {story:width$}", width = beside.saturating_sub(MARGIN));
            let figures = scene.rows.get(at);
            let figures = figures.map(|row| Figures::of(row, &scene.state));
            let mut parts = vec![("", story.as_str())];
            if let Some(figures) = &figures {
                parts.extend(figures.parts(""));
            }
            self.line(&parts);
        }
        if let State::Broken(why) = &scene.state {
            self.line(&[(RED, "  not held: "), ("", why)]);
        }
        if let Some(row) = scene.headline() {
            self.blank();
            self.bars(row, &scene.state);
        }
    }

    /// The headline's two figures as lengths.
    fn bars(&mut self, row: &Row, state: &State) {
        let room = self.columns.saturating_sub(2 * MARGIN + NAME + OURS);
        let most = row.naive.size().max(row.ours.size()).max(1.0);
        let [naive, ours] = colours(row, state);
        for (name, figure, style) in [("naive", row.naive, naive), ("millpond", row.ours, ours)] {
            let bar = bar(figure, most, room);
            let name = format!("  {name:NAME$}");
            let figure = if bar.is_empty() {
                figure.to_string()
            } else {
                format!(" {figure}")
            };
            self.line(&[(DIM, &name), (style, &bar), (style, &figure)]);
        }
    }
}

/// A row, ready to be put together.
struct Figures {
    label: String,
    naive: String,
    ours: String,
    headline: bool,
    colours: [&'static str; 2],
}

impl Figures {
    fn of(row: &Row, state: &State) -> Self {
        Self {
            label: format!("{:LABEL$}", row.label),
            naive: format!("{:>NAIVE$}", row.naive),
            ours: format!("{:>OURS$}", row.ours),
            headline: row.headline,
            colours: colours(row, state),
        }
    }

    fn parts(&self, label: &'static str) -> [(&'static str, &str); 3] {
        let ([naive, ours], label) = if self.headline {
            (self.colours, label)
        } else {
            (["", ""], DIM)
        };
        [
            (label, &self.label),
            (naive, &self.naive),
            (ours, &self.ours),
        ]
    }
}

/// How a headline's two figures look: the larger one is the worse one.
fn colours(row: &Row, state: &State) -> [&'static str; 2] {
    if matches!(state, State::Broken(_)) {
        ["", RED]
    } else if row.ours.size() < row.naive.size() {
        [YELLOW, GREEN]
    } else {
        ["", ""]
    }
}

/// In eighths of a character. What is not zero is seen.
fn bar(figure: Figure, most: f64, room: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = (figure.size() / most).clamp(0.0, 1.0);
    let full = room * 8;
    let eighths = (0..=full)
        .rev()
        .find(|eighths| *eighths as f64 <= share * full as f64);
    let mut eighths = eighths.unwrap_or(0);
    if share > 0.0 {
        eighths = eighths.max(1);
    }
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}
