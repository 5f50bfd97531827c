//! Layers for services of `tower`.
//!
//! | file | what it owns |
//! |---|---|
//! | `limit` | requests of HTTP that are over a limit are refused |
//! | `fields` | what responses say of the limit |

mod fields;
mod limit;

pub use limit::{LimitLayer, Limited, Limiting};
