//! The wire contract of Millpond, as Rust types: messages, client and server.
//!
//! Purpose: one place that both the sidecar and the client take the contract from.
//! `proto/millpond/v1/*.proto` says what each field means; this crate adds nothing to it. Beside it stands what is
//! served to Envoy, with Envoy's names and numbers.
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

/// The part of Envoy's contract for rate limit services that is served here, by Envoy's own packages: generated code
/// refers from one to another by their nesting.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated: the house rules do not bind the generator"
)]
pub mod envoy {
    /// Package `envoy.config`.
    pub mod config {
        /// Package `envoy.config.core`.
        pub mod core {
            /// Package `envoy.config.core.v3`.
            pub mod v3 {
                tonic::include_proto!("envoy.config.core.v3");
            }
        }
    }
    /// Package `envoy.extensions`.
    pub mod extensions {
        /// Package `envoy.extensions.common`.
        pub mod common {
            /// Package `envoy.extensions.common.ratelimit`.
            pub mod ratelimit {
                /// Package `envoy.extensions.common.ratelimit.v3`.
                pub mod v3 {
                    tonic::include_proto!("envoy.extensions.common.ratelimit.v3");
                }
            }
        }
    }
    /// Package `envoy.service`.
    pub mod service {
        /// Package `envoy.service.ratelimit`.
        pub mod ratelimit {
            /// Package `envoy.service.ratelimit.v3`.
            pub mod v3 {
                tonic::include_proto!("envoy.service.ratelimit.v3");
            }
        }
    }
    /// Package `envoy.type`.
    pub mod r#type {
        /// Package `envoy.type.v3`.
        pub mod v3 {
            tonic::include_proto!("envoy.r#type.v3");
        }
    }
}

/// The contract as an encoded `google.protobuf.FileDescriptorSet`, without its comments: what server
/// reflection answers from.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/millpond.fds"));
