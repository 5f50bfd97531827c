//! Tenants do not see, count, evict or remove what is another's: over every method that is served.
//!
//! One sidecar serves A and B together; beside it, one serves A alone and one B alone, on clocks that
//! are moved alike. Whatever a scenario lets a tenant ask is asked where both are and where it is alone,
//! and must be answered the same ([`worlds`]). That is the whole proof: nothing is said of what the
//! answers should be. What names itself at random (boots, tokens, versions) is masked before.
//!
//! | file | what it owns |
//! |---|---|
//! | `worlds` | the three sidecars, and asking two of them |
//! | `methods` | every method's request, reply and mask |
//! | `table` | a row for every method that the descriptors know |
//! | `state` | what A has before B comes, and looking at all of it |
//! | `cache`, `limits`, `envoy`, `operators` | the rows' scenarios |
//! | `waiting`, `names`, `strangers`, `memory` | what is more than one call |
//! | `canary` | what `millpond canary` says of sound sidecars and of leaks |
//! | `random` | thousands of operations of both, interleaved |

mod cache;
mod canary;
mod envoy;
mod limits;
mod memory;
mod methods;
mod names;
mod operators;
mod random;
mod state;
mod strangers;
mod table;
mod waiting;
mod worlds;

#[path = "../wire/support.rs"]
#[expect(dead_code, reason = "the cache's own tests use the rest")]
mod support;
