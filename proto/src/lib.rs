//! The wire contract of Millpond, as Rust types: messages, client and server.
//!
//! Purpose: one place that both the sidecar and the client take the contract from.
//! `proto/millpond/v1/*.proto` says what each field means; this crate adds nothing to it.
//!
//! Every `bytes` field is a [`bytes::Bytes`]: decoding a key or a value borrows the buffer it came in
//! instead of copying, and keeping one keeps that buffer alive.

/// Package `millpond.v1`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated: the house rules do not bind the generator"
)]
pub mod v1 {
    tonic::include_proto!("millpond.v1");
}

/// The contract as an encoded `google.protobuf.FileDescriptorSet`, without its comments: what server
/// reflection answers from.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/millpond.fds"));
