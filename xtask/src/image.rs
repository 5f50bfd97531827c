//! `image`: what the Dockerfile puts on top of its base, made without an engine and listed with sizes.
//!
//! A release build stands in for the builder's. What the base brings is not here, so what is checked is that the binary
//! asks for nothing else: the libraries of distroless/cc, and a glibc no newer than Debian 12's.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::{command, failure::Failure, workspace};

/// Of distroless/cc, those that a Rust binary may need.
const LIBRARIES: &[&str] = &[
    "libc.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];
/// glibc of Debian 12.
const GLIBC: (u32, u32) = (2, 36);
/// What one downloads for each new version; the base is shared.
const LARGEST_BINARY: u64 = 32 << 20;

pub(crate) fn run() -> Result<(), Failure> {
    command::run(&mut command::cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "millpond-sidecar",
        "--bin",
        "millpond",
    ]))?;
    let root = workspace::target().join("image");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir_all(root.join("run/millpond"))?;
    let binary = root.join("millpond");
    fs::copy(workspace::target().join("release/millpond"), &binary)?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
    list(&root, &root)?;

    let libraries = needed(&binary)?;
    let glibc = newest_glibc(&fs::read(&binary)?);
    println!(
        "needs {}",
        libraries.iter().cloned().collect::<Vec<_>>().join(", ")
    );
    println!("needs glibc {}.{}", glibc.0, glibc.1);
    let size = fs::metadata(&binary)?.len();
    if let Some(strange) = libraries
        .iter()
        .find(|library| !LIBRARIES.contains(&library.as_str()))
    {
        return Err(Failure::new(format!("the base has no {strange}")));
    }
    if glibc > GLIBC {
        return Err(Failure::new(format!(
            "the base has glibc {}.{}: build on Debian 12, as the Dockerfile does",
            GLIBC.0, GLIBC.1
        )));
    }
    if size > LARGEST_BINARY {
        return Err(Failure::new(format!(
            "{size} bytes are more than {LARGEST_BINARY}"
        )));
    }
    Ok(())
}

fn list(root: &Path, folder: &Path) -> Result<(), Failure> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, metadata) = (entry.path(), entry.metadata()?);
        let place = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        if metadata.is_dir() {
            println!("{:>12}  /{place}/", "");
            list(root, &path)?;
        } else {
            println!("{:>12}  /{place}", metadata.len());
        }
    }
    Ok(())
}

/// Libraries that the loader has to find.
fn needed(binary: &Path) -> Result<BTreeSet<String>, Failure> {
    let printed = command::output_of(Command::new("readelf").arg("-d").arg(binary))?;
    let lines = printed.lines().filter(|line| line.contains("(NEEDED)"));
    let names = lines.filter_map(|line| {
        line.split_once('[')?
            .1
            .split_once(']')
            .map(|(name, _)| name.to_owned())
    });
    Ok(names.collect())
}

/// The newest version of glibc among the symbols asked for, which are named `GLIBC_2.34`.
fn newest_glibc(binary: &[u8]) -> (u32, u32) {
    const NAME: &[u8] = b"GLIBC_";
    let places = binary
        .windows(NAME.len())
        .enumerate()
        .filter(|(_, window)| *window == NAME);
    places
        .filter_map(|(at, _)| {
            let rest = &binary[at + NAME.len()..];
            let end = rest
                .iter()
                .position(|byte| !byte.is_ascii_digit() && *byte != b'.')
                .unwrap_or(rest.len());
            let mut numbers = str::from_utf8(&rest[..end]).ok()?.split('.');
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        })
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_is_the_highest_by_number() {
        let symbols = b"x\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.2.5\0GLIBC_PRIVATE\0GLIBC_";
        assert_eq!(newest_glibc(symbols), (2, 34));
    }
}
