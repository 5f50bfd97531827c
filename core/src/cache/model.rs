//! What the loom models see of a pond beyond its public face.

use super::pond::Pond;

impl Pond {
    /// Lets the eviction policy give up the ticket it has held longest.
    pub fn evict_one(&self) {
        self.l1.evict_one();
    }

    /// What is wrong with L1 at rest; empty when nothing is.
    #[must_use]
    pub fn disorder(&self) -> Vec<&'static str> {
        let mut wrong = self.l1.disorder();
        if self.audit_bytes() != self.gauges().bytes {
            wrong.push("bytes counted are not bytes held");
        }
        if self.gauges().loads != 0 {
            wrong.push("a load is unsettled");
        }
        wrong
    }
}
