//! What became of the probes of one trial, without its lock.
//!
//! Each probe has a number; whoever settles it takes the number off, so that it is
//! settled once, however often it is reported. A trial is decided as soon as what is
//! still to come cannot change it:
//!
//! ```text
//!   failures / probes ≥ failure_rate, or slow / probes ≥ slow_rate      it has failed
//!   so even if all that is to come is bad, neither                       it has passed
//! ```

use super::policy::Thresholds;
use crate::planted::{Bug, planted};

/// Which probe of a trial; zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Probe(u32);

impl Probe {
    /// Of a call that is no probe.
    pub const NONE: Self = Self(0);

    /// From the wire; any number, most of which name no probe.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As it stands on the wire.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }
}

#[derive(Clone, Copy, Debug)]
struct Out {
    probe: Probe,
    /// Counted as slow before its end.
    counted: bool,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
}

/// What a probe was that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// Its permit may be had again.
    Unused,
    /// It was counted as slow, which stands.
    Used,
}

#[derive(Debug, Default)]
pub(super) struct Trial {
    probes: u32,
    issued: u32,
    out: Vec<Out>,
    calls: u64,
    failures: u64,
    slow: u64,
}

impl Trial {
    /// Begins anew: whoever is out is forgotten, and what was counted too.
    pub(super) fn begin(&mut self, probes: u32) {
        self.out.clear();
        *self = Self {
            probes,
            out: std::mem::take(&mut self.out),
            ..Self::default()
        };
    }

    pub(super) fn issue(&mut self) -> Probe {
        self.issued = self.issued.wrapping_add(1).max(1);
        let probe = Probe(self.issued);
        self.out.push(Out {
            probe,
            counted: false,
        });
        probe
    }

    /// The probe is given back unused. `None` if it is not out.
    pub(super) fn give_back(&mut self, probe: Probe) -> Option<Back> {
        let at = self.out.iter().position(|out| out.probe == probe);
        if planted(Bug::IgnoredTwice) {
            return Some(Back::Unused);
        }
        let out = self.out.swap_remove(at?);
        Some(if out.counted {
            Back::Used
        } else {
            Back::Unused
        })
    }

    /// The probe has ended. False if it is not out.
    pub(super) fn end(&mut self, probe: Probe, failed: bool, slow: bool) -> bool {
        let Some(at) = self.out.iter().position(|out| out.probe == probe) else {
            return false;
        };
        let counted = self.out.swap_remove(at).counted;
        self.failures += u64::from(failed);
        if !counted {
            self.calls += 1;
            self.slow += u64::from(slow);
        }
        true
    }

    /// The probe is slow already. False if it is not out, or has counted already.
    pub(super) fn overdue(&mut self, probe: Probe) -> bool {
        let out = self.out.iter_mut().find(|out| out.probe == probe);
        let Some(out) = out.filter(|out| !out.counted) else {
            return false;
        };
        out.counted = true;
        self.calls += 1;
        self.slow += 1;
        true
    }

    /// What it has come to, once nothing can change it.
    pub(super) fn verdict(&self, thresholds: Thresholds) -> Option<Verdict> {
        let probes = u64::from(self.probes);
        if thresholds.fails(self.failures, self.slow, probes) {
            return Some(Verdict::Failed);
        }
        let rest = probes.saturating_sub(self.calls);
        let counted = self.out.iter().filter(|out| out.counted).count() as u64;
        let failures = self.failures + rest + counted;
        let open = thresholds.fails(failures, self.slow + rest, probes);
        (!open).then_some(Verdict::Passed)
    }
}
