//! What the kernel counts of a process. Linux only: elsewhere, and in containers that
//! hide it, nothing is known.

use std::fs;
use std::time::Duration;

/// The time that the threads of a process have been on a core, as the scheduler
/// counts it, in nanoseconds. Threads that have ended are not in it: take the
/// difference of two readings between which none does.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end between the listing and the reading.
        let Ok(line) = fs::read_to_string(task.ok()?.path().join("schedstat")) else {
            continue;
        };
        nanos += line.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

/// Bytes of a process that are in memory.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    const KIB: u64 = 1024;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * KIB)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::stopwatch::Stopwatch;

    #[test]
    fn a_thread_that_works_is_seen_to_work() {
        const WORK: Duration = Duration::from_millis(20);
        let (own, watch) = (std::process::id(), Stopwatch::start());
        let Some(before) = cpu_time(own) else {
            return; // hidden here
        };
        let mut worked = Duration::ZERO;
        while worked < WORK && watch.elapsed() < 500 * WORK {
            worked = cpu_time(own).unwrap_or_default().saturating_sub(before);
        }
        assert!(worked >= WORK, "{worked:?} in {:?}", watch.elapsed());
        assert!(resident_bytes(own).is_some_and(|bytes| bytes > 1 << 20));
    }
}
