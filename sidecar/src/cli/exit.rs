//! How a command ends: one set of statuses for all of them, so that scripts can
//! tell a miss from a sidecar that is not there.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use millpond_client::Error;

/// The statuses, as `--help` tells them.
pub(crate) const STATUSES: &str = "Exit status:
  0  done; for get: a value is held
  1  failed; for get: no value is held
  2  the command line is wrong
  3  the sidecar cannot be reached or did not answer: a write may have been done
  4  the sidecar refused
  5  for acquire: denied";

/// What a process returns. 2 is clap's for a wrong command line too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Done,
    /// Failed in a way of its own, or nothing is held.
    Failed,
    Usage,
    Unavailable,
    Refused,
    /// Tokens were asked for, and may not be spent.
    Denied,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Done => 0,
            Status::Failed => 1,
            Status::Usage => 2,
            Status::Unavailable => 3,
            Status::Refused => 4,
            Status::Denied => 5,
        })
    }
}

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Status::Usage, message)
    }

    pub(crate) fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(Status::Unavailable, message)
    }

    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self::new(Status::Refused, message)
    }

    fn new(status: Status, message: impl fmt::Display) -> Self {
        Self {
            status,
            message: message.to_string(),
        }
    }

    /// Says it on stderr and ends with its status.
    pub(crate) fn end(self) -> ExitCode {
        // Without a stderr there is nobody to tell.
        drop(writeln!(std::io::stderr(), "millpond: {}", self.message));
        self.status.into()
    }
}

/// Says on stderr what was done and is probably not what was meant.
pub(crate) fn warn(message: impl fmt::Display) {
    // Without a stderr there is nobody to tell.
    drop(writeln!(std::io::stderr(), "millpond: warning: {message}"));
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(Status::Failed, message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::BadField(_) => Status::Usage,
            Error::Unavailable { .. } => Status::Unavailable,
            // Whatever else a sidecar says is an answer of its own.
            _ => Status::Refused,
        };
        Self::new(status, error)
    }
}
