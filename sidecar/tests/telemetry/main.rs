//! What a real sidecar tells about itself: numbers, traces, log lines.

mod calls;
mod collector;
mod logs;
mod measures;
mod stalled;
mod traces;

#[path = "../wire/process.rs"]
#[expect(dead_code, reason = "the cache's own tests use the rest")]
mod process;
#[path = "../wire/support.rs"]
#[expect(dead_code, reason = "the cache's own tests use the rest")]
mod support;
