//! What a real sidecar tells about itself: numbers, traces, log lines.

mod collector;
mod logs;
mod measures;
mod support;
mod traces;
