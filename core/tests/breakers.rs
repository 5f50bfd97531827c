//! What a breaker promises, on a clock that is moved by hand.

#[path = "breakers/back_off.rs"]
mod back_off;
#[path = "breakers/forced.rs"]
mod forced;
#[path = "breakers/model.rs"]
mod model;
#[path = "breakers/overdue.rs"]
mod overdue;
#[path = "breakers/registry.rs"]
mod registry;
#[path = "breakers/rig.rs"]
mod rig;
#[path = "breakers/threads.rs"]
mod threads;
#[path = "breakers/transitions.rs"]
mod transitions;
#[path = "breakers/trials.rs"]
mod trials;
