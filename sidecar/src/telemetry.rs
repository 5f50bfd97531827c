//! What the sidecar tells about itself.

pub(crate) mod calls;
pub mod log;
pub(crate) mod metrics;
pub(crate) mod trace;
