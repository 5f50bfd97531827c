//! Races that break well-known caches, run against them and against Millpond.
//!
//! Every race is *forced*: the load is held at a gate while the other side acts, so
//! a round does not hope for a collision, it makes one. See the README for what each
//! row means.

pub mod notes;
pub mod origin;
pub mod race;
pub mod scoreboard;
pub mod subject;
