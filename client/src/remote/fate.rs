//! What became of a call that brought no reply.
//!
//! Told by the errors underneath the status, not by its code: a sidecar that
//! answers `UNAVAILABLE` has processed the call, and a connection that broke has
//! not said.

use std::error::Error;

use tonic::Status;

use super::live::Ended;

/// What became of a call that brought no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The sidecar answered, or time ran out on a connection that stands.
    Answered,
    /// The sidecar did not process it, and will not: it never left, or the sidecar
    /// said so (`GOAWAY`, `REFUSED_STREAM`).
    Unsent,
    /// The connection broke under it.
    Lost,
}

impl Fate {
    pub(super) fn of(status: &Status) -> Self {
        let mut fate = Self::Answered;
        let mut next = status.source();
        while let Some(error) = next {
            if error.is::<Ended>() {
                return Self::Unsent;
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                // Cancelled: still in the queue when the connection ended.
                if error.is_canceled() {
                    return Self::Unsent;
                }
                fate = Self::Lost;
            }
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                return of_h2(error);
            }
            next = error.source();
        }
        fate
    }
}

fn of_h2(error: &h2::Error) -> Fate {
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    if error.is_remote() && (error.is_go_away() || refused) {
        // Calls that the peer began before its GOAWAY end in another way.
        return Fate::Unsent;
    }
    if error.is_reset() {
        return Fate::Answered; // this call alone
    }
    Fate::Lost
}
