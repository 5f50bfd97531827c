//! Sizes as people write them, and how much memory the machine gives us.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::whole;

/// What the cache may hold where no limit is set on the process.
const WITHOUT_LIMIT: u64 = 256 << 20;

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("B", 1),
];

/// A number of bytes. Written `64MiB`, `64Mi` as Kubernetes does, or `1048576`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// What is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASize;

impl fmt::Display for NotASize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a whole number of bytes, or of Ki, Mi or Gi, such as 64MiB or 64Mi")
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
        let number = whole(number.trim_end()).ok_or(NotASize)?;
        number.checked_mul(unit).map(Self).ok_or(NotASize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS
            .iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or(&("B", 1));
        // The alternate form can be read again anywhere.
        match (f.alternate(), *name) {
            (true, "B") => write!(f, "{}", self.0),
            (true, name) => write!(f, "{}{name}", self.0 / unit),
            (false, name) => write!(f, "{} {name}", self.0 / unit),
        }
    }
}

/// The cache's budget unless it is given: half of what the control group allows
/// the process, rounded down to a MiB, or 256 MiB without a limit.
#[must_use]
pub fn default_budget() -> ByteSize {
    let half = match allowed() {
        Some((limit, Allowed::Limit)) => limit / 2,
        Some((_, Allowed::Machine)) | None => WITHOUT_LIMIT,
    };
    ByteSize((half >> 20).max(1) << 20)
}

/// Who says how much memory the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// A limit on its control group.
    Limit,
    /// Nobody: it is what the machine has.
    Machine,
}

/// Bytes that the process may use: its control group's limit, or what the machine
/// has. `None` where neither can be read.
pub(crate) fn allowed() -> Option<(u64, Allowed)> {
    let limit = limit(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"));
    limit.map(|limit| (limit, Allowed::Limit)).or_else(|| {
        let machine = total(&fs::read_to_string("/proc/meminfo").ok()?)?;
        Some((machine, Allowed::Machine))
    })
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1 << 10)
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
        assert_eq!("64Mi".parse(), Ok(ByteSize(64 << 20)));
        assert_eq!("1Gi".parse(), Ok(ByteSize(1 << 30)));
        assert_eq!("2.68435456e+08".parse(), Ok(ByteSize(256 << 20)));
        for wrong in ["", "MiB", "-1", "1.5GiB", "64MB", "64M", "99999999999GiB"] {
            assert_eq!(wrong.parse::<ByteSize>(), Err(NotASize), "{wrong}");
        }
        assert_eq!(ByteSize(64 << 20).to_string(), "64 MiB");
        assert_eq!(ByteSize(1_500).to_string(), "1500 B");
        assert_eq!(format!("{:#}", ByteSize(64 << 20)), "64MiB");
        assert_eq!(format!("{:#}", ByteSize(1_500)), "1500");
    }

    #[test]
    fn what_the_machine_has_is_read_in_kib() {
        let page = "MemTotal:       16384000 kB\nMemFree:  1 kB\n";
        assert_eq!(total(page), Some(16_384_000 << 10));
        assert_eq!(total("nothing of the kind"), None);
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
