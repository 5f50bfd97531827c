//! Sizes as people write them, and how much memory the machine gives us.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What the cache may hold where no limit is set on the process.
const WITHOUT_LIMIT: u64 = 256 << 20;

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A number of bytes. Written `64MiB`, `1GiB`, `512KiB` or `1048576`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// What is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASize;

impl fmt::Display for NotASize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a whole number of bytes, or of KiB, MiB or GiB, such as 64MiB")
    }
}

impl std::error::Error for NotASize {}

impl FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let text = text.trim();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
            .unwrap_or((text, 1));
        let number: u64 = number.trim_end().parse().map_err(|_| NotASize)?;
        number.checked_mul(unit).map(Self).ok_or(NotASize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS
            .iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or(&("B", 1));
        write!(f, "{} {name}", self.0 / unit)
    }
}

/// The cache's budget unless it is given: half of what the control group allows
/// the process, rounded down to a MiB, or 256 MiB without a limit.
#[must_use]
pub fn default_budget() -> ByteSize {
    let half = limit(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"))
        .map_or(WITHOUT_LIMIT, |limit| limit / 2);
    ByteSize((half >> 20).max(1) << 20)
}

/// The tightest limit on the process's control group and those above it
/// (version 2, and version 1 as containers see it).
fn limit(own: &Path, root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(own).unwrap_or_default();
    let group = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    let unified = Path::new(group)
        .ancestors()
        .map(|group| root.join(group).join("memory.max"));
    let version_1: PathBuf = root.join("memory/memory.limit_in_bytes");
    unified
        .chain([version_1])
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
        // Version 1 writes "no limit" as a number near 2^63.
        .filter(|limit| *limit < 1 << 60)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_people_write_it() {
        assert_eq!("64MiB".parse(), Ok(ByteSize(64 << 20)));
        assert_eq!("64 MiB".parse(), Ok(ByteSize(64 << 20)));
        assert_eq!("1048576".parse(), Ok(ByteSize(1 << 20)));
        for wrong in ["", "MiB", "-1", "1.5GiB", "64MB", "99999999999GiB"] {
            assert_eq!(wrong.parse::<ByteSize>(), Err(NotASize), "{wrong}");
        }
        assert_eq!(ByteSize(64 << 20).to_string(), "64 MiB");
        assert_eq!(ByteSize(1_500).to_string(), "1500 B");
    }

    #[test]
    fn the_tightest_limit_above_the_process_counts() {
        let root = std::env::temp_dir().join(format!("millpond-cgroup-{}", std::process::id()));
        let pod = root.join("kubepods/pod1");
        fs::create_dir_all(pod.join("app")).unwrap();
        fs::write(root.join("cgroup"), "0::/kubepods/pod1/app\n").unwrap();
        fs::write(pod.join("app/memory.max"), "max\n").unwrap();
        fs::write(pod.join("memory.max"), "134217728\n").unwrap();
        assert_eq!(limit(&root.join("cgroup"), &root), Some(128 << 20));
        fs::write(pod.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit(&root.join("cgroup"), &root), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
