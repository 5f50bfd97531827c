//! What can go wrong, as the caller sees it.
//!
//! A miss, an absent value and a void lease are no errors. What is left falls in
//! three: the load failed (this caller's own, or the one it waited for), the
//! cache refused, or it cannot be reached.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use millpond_core::cache::{BadField, LoadError, MAX_LOAD_ERROR_LEN, ScopeError, WriteError};

/// Why a call brought nothing. `E` is the error of the caller's own loader;
/// calls that load nothing never return [`Error::Load`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E = Infallible> {
    /// This caller's loader failed, and nothing stale may be served instead.
    Load(E),
    /// The load that this caller waited for failed.
    Failed {
        /// What its loader said, at most 256 bytes.
        message: String,
        /// When its origin asks to be tried again.
        retry_after: Option<Duration>,
    },
    /// The load that this caller waited for did not end in time.
    WaitExpired,
    /// Too much is under way already: loads, or caches in use.
    Shed {
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// The tenant's budget of loads is spent.
    OverBudget {
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// The breaker before the origin is open.
    BreakerOpen {
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// An argument is not of its form.
    BadField(BadField),
    /// The cache refused an argument by a limit of its own configuration, or for
    /// a reason that this version of the client does not know.
    Rejected {
        /// What it said.
        message: String,
    },
    /// The tenant is suspended, or this process may not act for it.
    Denied {
        /// What the sidecar said.
        message: String,
    },
    /// The tenant is in maintenance: the sidecar is there and answers so. Nobody loads
    /// for it meanwhile, directly neither. It passes; ask again later.
    Maintenance {
        /// What the sidecar said.
        message: String,
    },
    /// The version that was asked for by `at_least` was issued by another process,
    /// or another run of the sidecar, and cannot be confirmed here. Only for reads
    /// that load nothing: those that load do so for themselves.
    Unconfirmed {
        /// What it said.
        message: String,
    },
    /// The sidecar cannot be reached, or did not answer in time, or its connection
    /// broke. What a write was to do may or may not have been done: an invalidation
    /// that ended so must be made again. Calls that the sidecar certainly did not
    /// process were made again already, and connecting again is under way; while
    /// that does not succeed, calls fail at once with this error. Reads with a
    /// loader do not, where [`LoadDirectly`](crate::OnUnavailable::LoadDirectly) is
    /// chosen.
    Unavailable {
        /// What happened.
        message: String,
    },
    /// A value and its type do not fit.
    #[cfg(feature = "json")]
    Json(crate::JsonError),
}

impl Error {
    /// The same error, of a call with a loader.
    #[must_use]
    pub fn widen<E>(self) -> Error<E> {
        self.map(|never| match never {})
    }
}

impl<E> Error<E> {
    /// When to try again, if the answer said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed { retry_after, .. }
            | Self::Shed { retry_after }
            | Self::OverBudget { retry_after }
            | Self::BreakerOpen { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// The same error with another loader's error in it.
    pub fn map<F>(self, map: impl FnOnce(E) -> F) -> Error<F> {
        self.try_map(|error| Ok(map(error)))
    }

    /// The same error, unless the loader's turns out to be another.
    pub(crate) fn try_map<F>(self, map: impl FnOnce(E) -> Result<F, Error<F>>) -> Error<F> {
        match self {
            Self::Load(error) => map(error).map_or_else(|other| other, Error::Load),
            Self::Failed {
                message,
                retry_after,
            } => Error::Failed {
                message,
                retry_after,
            },
            Self::WaitExpired => Error::WaitExpired,
            Self::Shed { retry_after } => Error::Shed { retry_after },
            Self::OverBudget { retry_after } => Error::OverBudget { retry_after },
            Self::BreakerOpen { retry_after } => Error::BreakerOpen { retry_after },
            Self::BadField(bad) => Error::BadField(bad),
            Self::Rejected { message } => Error::Rejected { message },
            Self::Denied { message } => Error::Denied { message },
            Self::Maintenance { message } => Error::Maintenance { message },
            Self::Unconfirmed { message } => Error::Unconfirmed { message },
            Self::Unavailable { message } => Error::Unavailable { message },
            #[cfg(feature = "json")]
            Self::Json(error) => Error::Json(error),
        }
    }

    pub(crate) fn failed(error: Option<LoadError>, retry_after: Option<Duration>) -> Self {
        Self::Failed {
            message: error.map_or_else(String::new, |error| error.message().to_owned()),
            retry_after,
        }
    }
}

impl<E: fmt::Display> Error<E> {
    /// The same error for another key of the same load, whose own there is but one.
    pub(crate) fn echo<F>(&self) -> Error<F> {
        match self {
            Self::Load(error) => Error::Failed {
                message: shortened(error),
                retry_after: None,
            },
            Self::Failed {
                message,
                retry_after,
            } => Error::Failed {
                message: message.clone(),
                retry_after: *retry_after,
            },
            Self::WaitExpired => Error::WaitExpired,
            Self::Shed { retry_after } => Error::Shed {
                retry_after: *retry_after,
            },
            Self::OverBudget { retry_after } => Error::OverBudget {
                retry_after: *retry_after,
            },
            Self::BreakerOpen { retry_after } => Error::BreakerOpen {
                retry_after: *retry_after,
            },
            Self::BadField(bad) => Error::BadField(bad.clone()),
            Self::Rejected { message } => Error::Rejected {
                message: message.clone(),
            },
            Self::Denied { message } => Error::Denied {
                message: message.clone(),
            },
            Self::Maintenance { message } => Error::Maintenance {
                message: message.clone(),
            },
            Self::Unconfirmed { message } => Error::Unconfirmed {
                message: message.clone(),
            },
            Self::Unavailable { message } => Error::Unavailable {
                message: message.clone(),
            },
            #[cfg(feature = "json")]
            Self::Json(error) => Error::Json(error.clone()),
        }
    }
}

/// As much of a loader's error as is told to others.
pub(crate) fn shortened(error: &impl fmt::Display) -> String {
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(MAX_LOAD_ERROR_LEN));
    message
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Failed { message, .. } => write!(f, "the load waited for failed: {message}"),
            Self::WaitExpired => f.write_str("the load waited for did not end in time"),
            Self::Shed { .. } => f.write_str("too many loads are under way"),
            Self::OverBudget { .. } => f.write_str("the tenant's budget of loads is spent"),
            Self::BreakerOpen { .. } => f.write_str("the breaker before the origin is open"),
            Self::BadField(bad) => bad.fmt(f),
            Self::Rejected { message } => write!(f, "refused: {message}"),
            Self::Denied { message } => write!(f, "denied: {message}"),
            Self::Maintenance { message } => write!(f, "in maintenance: {message}"),
            Self::Unconfirmed { message } => write!(f, "unconfirmed: {message}"),
            Self::Unavailable { message } => write!(f, "sidecar unavailable: {message}"),
            #[cfg(feature = "json")]
            Self::Json(error) => error.fmt(f),
        }
    }
}

// No `E: Error` asked for: loaders often return boxed errors or strings. Display
// of a load's error is its own, so nothing is lost without `source`.
impl<E: fmt::Debug + fmt::Display> std::error::Error for Error<E> {}

impl<E> From<BadField> for Error<E> {
    fn from(bad: BadField) -> Self {
        Self::BadField(bad)
    }
}

impl<E> From<ScopeError> for Error<E> {
    fn from(error: ScopeError) -> Self {
        match error {
            ScopeError::Field(bad) => bad.into(),
            // As the sidecar says it.
            ScopeError::TooManyCaches(_) => Self::Shed { retry_after: None },
        }
    }
}

impl<E> From<WriteError> for Error<E> {
    fn from(error: WriteError) -> Self {
        Self::Rejected {
            message: error.to_string(),
        }
    }
}

#[cfg(feature = "json")]
impl<E> From<crate::JsonError> for Error<E> {
    fn from(error: crate::JsonError) -> Self {
        Self::Json(error)
    }
}
