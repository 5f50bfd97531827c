//! What a tenant may in each state of its life.
//!
//! | state | read | write | load | limit | why it is so |
//! |---|---|---|---|---|---|
//! | `active` | yes | yes | yes | yes | |
//! | `trial` | yes | yes | yes | yes | as active; told apart in reports |
//! | `suspended` | no | no | no | no | until somebody resumes it |
//! | `maintenance` | no | no | no | no | as suspended, but it passes: clients may try again |
//! | `pending_offboard` | yes | no | no | yes | it can still fetch what is held, and nothing new comes in |
//! | `offboarded` | no | no | no | no | what it left may be purged |
//! | `purged` | no | no | no | no | final: only putting the tenant again, as another incarnation, follows |
//!
//! *read*: values that are held are answered. *write*: `Set` and `Fill` store. *load*:
//! a caller or an origin may be asked for a value. *limit*: tokens may be spent.
//! Invalidations are taken in every state: they only remove, and whoever comes back
//! must not find what was invalidated meanwhile.
//!
//! A state whose name is not known comes from a newer configuration: it reads as
//! suspended, never as allowed.

use std::fmt;

/// Where a tenant is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Served.
    #[default]
    Active,
    /// Served, and not yet paying.
    Trial,
    /// Not served, until it is resumed.
    Suspended,
    /// Not served, for now.
    Maintenance,
    /// May fetch what is held; nothing new comes in.
    PendingOffboard,
    /// Gone; what it left may be purged.
    Offboarded,
    /// Gone, with all it left.
    Purged,
}

/// What a state allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Values that are held are answered.
    pub read: bool,
    /// Values may be stored.
    pub write: bool,
    /// Values may be loaded.
    pub load: bool,
    /// Tokens may be spent.
    pub limit: bool,
}

impl Access {
    /// Everything.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        load: true,
        limit: true,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        load: false,
        limit: false,
    };
    const FETCH: Self = Self {
        write: false,
        load: false,
        ..Self::ALL
    };
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Active,
        Self::Trial,
        Self::Suspended,
        Self::Maintenance,
        Self::PendingOffboard,
        Self::Offboarded,
        Self::Purged,
    ];

    /// What it allows.
    #[inline]
    #[must_use]
    pub const fn access(self) -> Access {
        match self {
            Self::Active | Self::Trial => Access::ALL,
            Self::PendingOffboard => Access::FETCH,
            Self::Suspended | Self::Maintenance | Self::Offboarded | Self::Purged => Access::NONE,
        }
    }

    /// Whether what it refuses may be allowed again without anybody's doing.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Maintenance)
    }

    /// Its name in configurations and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Trial => "trial",
            Self::Suspended => "suspended",
            Self::Maintenance => "maintenance",
            Self::PendingOffboard => "pending_offboard",
            Self::Offboarded => "offboarded",
            Self::Purged => "purged",
        }
    }

    /// The state of a name, if it is known here.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The state of a name; one that is not known reads as suspended.
    #[must_use]
    pub fn read_name(name: &str) -> Self {
        Self::named(name).unwrap_or(Self::Suspended)
    }

    /// Whether `next` may be set after this one.
    ///
    /// # Errors
    /// When this one is final, or `next` is what only a purge leads to.
    pub const fn to(self, next: Self) -> Result<(), Transition> {
        match (self, next) {
            (Self::Purged, _) => Err(Transition::Final),
            (_, Self::Purged) => Err(Transition::ByPurge),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a state may not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transition {
    /// The tenant was purged: it can be put again, as another incarnation.
    Final,
    /// Only a purge leads there.
    ByPurge,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Final => "it was purged: put it again to begin anew",
            Self::ByPurge => "purged is no state to set: purge the tenant",
        })
    }
}

impl std::error::Error for Transition {}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_what_its_row_says() {
        let rows = include_str!("lifecycle.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"));
        let mut seen = 0;
        for row in rows {
            let cells: Vec<_> = row
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            let state = State::named(cells[0]).expect("a row is a state's");
            let Access {
                read,
                write,
                load,
                limit,
            } = state.access();
            let said: Vec<_> = cells[1..5].iter().map(|cell| *cell == "yes").collect();
            assert_eq!(said, [read, write, load, limit], "{state}");
            seen += 1;
        }
        assert_eq!(seen, State::ALL.len());
    }

    #[test]
    fn a_state_of_a_newer_configuration_reads_as_suspended() {
        for state in State::ALL {
            assert_eq!(State::read_name(state.as_str()), state);
        }
        assert_eq!(State::named("hibernating"), None);
        assert_eq!(State::read_name("hibernating"), State::Suspended);
        assert_eq!(State::read_name("Active"), State::Suspended);
    }

    #[test]
    fn purged_is_final_and_only_a_purge_leads_there() {
        for state in State::ALL {
            let purged = state == State::Purged;
            let after = if purged {
                Err(Transition::Final)
            } else {
                Ok(())
            };
            assert_eq!(state.to(State::Active), after);
            let before = if purged {
                Transition::Final
            } else {
                Transition::ByPurge
            };
            assert_eq!(state.to(State::Purged), Err(before));
        }
    }
}
