//! Compiles the contract with a compiler written in Rust, so that a fresh machine needs no `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

/// Where imports are looked up.
const ROOT: &str = "proto";

/// Every file of the contract, below [`ROOT`].
const FILES: [&str; 4] = [
    "envoy/service/ratelimit/v3/rls.proto",
    "millpond/v1/admin.proto",
    "millpond/v1/cache.proto",
    "millpond/v1/limit.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");

    let set = protox::Compiler::new([ROOT])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?
        .file_descriptor_set();

    // Reflection answers from this. The comments stay in the Rust documentation only: they are most of the bytes.
    let mut bare = set.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("millpond.fds"), bare.encode_to_vec())?;

    tonic_prost_build::configure().bytes(".").compile_fds(set)?;
    Ok(())
}
