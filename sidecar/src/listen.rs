//! Where callers come in.

pub(crate) mod accept;
pub(crate) mod authority;
pub(crate) mod connection;
pub(crate) mod greeting;
pub(crate) mod guests;
pub(crate) mod pace;
pub(crate) mod unix;
