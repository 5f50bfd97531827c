//! The end of it: a table for people, an object for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::act::Act;
use super::board::{Board, Scene, State};

/// Widths of the table's columns.
const PROMISE: usize = 34;
const LABEL: usize = 23;
const NAIVE: usize = 8;
const OURS: usize = 9;

/// The promises in a table, what broke the others, and the verdict as last line.
pub(super) fn text(board: &Board) -> String {
    let mut text = String::new();
    let title = format!("millpond demo, seed {}", board.seed);
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "{title:width$}{:>NAIVE$}{:>OURS$}",
        "naive",
        "millpond",
        width = 4 + PROMISE + LABEL
    );
    for scene in &board.scenes {
        let _ = writeln!(text, "{}", line(scene));
    }
    text.push('\n');
    for scene in &board.scenes {
        if let State::Broken(why) = &scene.state {
            let act = scene.act;
            let _ = writeln!(text, "not held: {} {}: {why}", act.number(), act.promise());
        }
    }
    text.push_str(&verdict(board));
    text.push('\n');
    text
}

fn line(scene: &Scene) -> String {
    let act = scene.act;
    let promise = format!("{} {}", act.number(), act.promise());
    let sign = match scene.state {
        State::Held => "✓",
        State::Broken(_) => "✗",
        State::ToCome | State::Running => "·",
    };
    let Some(row) = scene.headline() else {
        return format!("  {sign} {promise}");
    };
    let (label, naive, ours) = (row.label, row.naive, row.ours);
    format!("  {sign} {promise:PROMISE$}{label:LABEL$}{naive:>NAIVE$}{ours:>OURS$}")
}

/// What the whole came to.
pub(super) fn verdict(board: &Board) -> String {
    let (held, all) = (board.held(), Act::ALL.len());
    if held == all {
        format!("{all} promises held")
    } else {
        format!("{held} of {all} promises held")
    }
}

/// All figures of all acts as one JSON object, on a line.
pub(super) fn json(board: &Board) -> String {
    let acts: Vec<_> = board.scenes.iter().map(act).collect();
    let whole = json!({
        "promises": Act::ALL.len(),
        "held": board.held(),
        "seed": board.seed,
        "elapsed_ms": board.elapsed().as_secs_f64() * 1e3,
        "address": board.address,
        "acts": acts,
    });
    format!("{whole}\n")
}

fn act(scene: &Scene) -> Value {
    let side = |of: fn(&super::figure::Row) -> super::figure::Figure| {
        let figures = scene.rows.iter();
        figures
            .map(|row| (row.name.to_owned(), of(row).json()))
            .collect::<Map<_, _>>()
    };
    let why_not = match &scene.state {
        State::Broken(why) => Some(why),
        State::ToCome | State::Running | State::Held => None,
    };
    json!({
        "act": scene.act.name(),
        "promise": scene.act.promise(),
        "held": scene.state == State::Held,
        "why_not": why_not,
        "headline": scene.headline().map(|row| row.name),
        "naive": side(|row| row.naive),
        "millpond": side(|row| row.ours),
    })
}
