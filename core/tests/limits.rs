//! What a limiter promises, on a clock that is moved by hand.

#[path = "limits/attack.rs"]
mod attack;
#[path = "limits/bound.rs"]
mod bound;
#[path = "limits/decisions.rs"]
mod decisions;
#[path = "limits/fleet.rs"]
mod fleet;
#[path = "limits/handles.rs"]
mod handles;
#[path = "limits/oracle.rs"]
mod oracle;
#[path = "limits/origin.rs"]
mod origin;
#[path = "limits/reservations.rs"]
mod reservations;
#[path = "limits/retries.rs"]
mod retries;
#[path = "limits/rig.rs"]
mod rig;
#[path = "limits/turns.rs"]
mod turns;
