//! Lines one after another, for logs and narrow terminals: each act's story as it
//! begins, its figures as it ends.

use std::fmt::Write as _;
use std::io;

use tokio::sync::watch;

use super::super::board::{Board, Scene, State};
use super::is_over;
use super::wrap::wrap;
use crate::cli::terminal::print;

const WIDTH: usize = 78;

pub(super) async fn show(mut board: watch::Receiver<Board>) -> io::Result<()> {
    // By act: whether its story, and whether its figures have been told.
    let (mut begun, mut ended) = (0, 0);
    loop {
        let (text, over) = {
            let board = board.borrow_and_update();
            let mut text = String::new();
            for (at, scene) in board.scenes.iter().enumerate() {
                if at == begun && scene.state != State::ToCome {
                    text.push_str(&story(scene));
                    begun += 1;
                }
                if at == ended && matches!(scene.state, State::Held | State::Broken(_)) {
                    text.push_str(&figures(scene));
                    ended += 1;
                }
            }
            (text, is_over(&board))
        };
        if !text.is_empty() {
            print(&text)?;
        }
        if over || board.changed().await.is_err() {
            return Ok(());
        }
    }
}

fn story(scene: &Scene) -> String {
    let act = scene.act;
    let mut text = format!("{} {}\n", act.number(), act.promise());
    for line in wrap(act.story(), WIDTH - 2) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn figures(scene: &Scene) -> String {
    let mut text = format!("  {:28}{:>9}{:>10}\n", "", "naive", "millpond");
    for row in &scene.rows {
        let (label, naive, ours) = (row.label, row.naive, row.ours);
        let _ = writeln!(text, "  {label:28}{naive:>9}{ours:>10}");
    }
    let _ = match &scene.state {
        State::Broken(why) => writeln!(text, "  not held: {why}\n"),
        State::ToCome | State::Running | State::Held => writeln!(text, "  held\n"),
    };
    text
}
