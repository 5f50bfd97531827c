//! The configuration, from outside: every mistake with its message, the documents
//! that come from the table, reloading under load, and the real binary.

mod descriptors;
mod documents;
mod fuzz;
mod layers;
mod mistakes;
mod process;
mod reload;
mod tenants;
mod yaml;

use millpond_sidecar::config::{Reading, Source};

/// What a file called `millpond.yaml` with these bytes comes to.
fn read(bytes: &[u8]) -> Reading {
    Source::new(Some("millpond.yaml".into()), |_| None).read_bytes(Some(bytes))
}

/// All that is wrong, as `check` says it.
fn wrong(bytes: &[u8]) -> Vec<String> {
    let reading = read(bytes);
    let all = reading.mistakes.iter().chain(&reading.unknown);
    all.map(ToString::to_string).collect()
}

/// A folder of a test's own, gone with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millpond-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.join("millpond.yaml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).expect("a file can be written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
