//! Where limits are: here or in the sidecar. Both answer alike.

use std::sync::Arc;

use super::charges::Asked;
use super::decision::Decision;
use super::reservation::Reserved;
use crate::error::Error;
use crate::millpond::Backend;

impl Backend {
    pub(crate) async fn acquire(&self, asked: Asked) -> Result<Decision, Error> {
        match self {
            Self::Embedded(home) => home.acquire(&asked).await,
            Self::Remote(remote) => remote.acquire(&asked).await,
        }
    }

    pub(crate) async fn peek_limits(&self, asked: Asked) -> Result<Decision, Error> {
        match self {
            Self::Embedded(home) => home.peek_limits(&asked),
            Self::Remote(remote) => remote.peek_limits(&asked).await,
        }
    }

    /// `asked` says for how long.
    pub(crate) async fn reserve(&self, asked: Asked) -> Result<Reserved, Error> {
        match self {
            Self::Embedded(home) => home.reserve(&asked).await,
            Self::Remote(remote) => Arc::clone(remote).reserve(asked).await,
        }
    }
}
