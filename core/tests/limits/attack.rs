//! Ten million keys that somebody makes up.

use std::collections::HashMap;
use std::time::Duration;

use crate::rig::{Rig, SECOND, named, quota, tier};

const ATTACKS: u64 = 10_000_000;
const MAX_KEYS: u32 = 4_096;
const BURST: u64 = 5;

/// A bucket of one key as it should be, in nanoseconds of a second a token.
#[derive(Default)]
struct Ideal {
    full_at: u64,
}

impl Ideal {
    fn spend(&mut self, now: u64) -> bool {
        const TOKEN: u64 = 1_000_000_000;
        let full_at = self.full_at.max(now) + TOKEN;
        if full_at > now + BURST * TOKEN {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[test]
fn ten_million_keys_leave_the_table_flat_a_resident_exact_and_none_above_its_limit() {
    let mut api = named("api", None, Some(quota(1, BURST)));
    api.max_keys = MAX_KEYS;
    let rig = Rig::new(vec![tier("t", None, vec![api])]);
    let mut random = fastrand::Rng::with_seed(3);
    let mut resident = Ideal::default();
    // Of all the keys, those that come round again are watched.
    let mut watched: HashMap<u64, Ideal> = HashMap::new();
    let (mut now, mut admitted) = (0, 0_u64);
    for attack in 0..ATTACKS {
        if attack % 64 == 0 {
            let step = Duration::from_micros(random.u64(0..200));
            rig.clock.advance(step);
            now += u64::try_from(step.as_nanos()).expect("short");
        }
        let key = match random.u32(0..4) {
            // A rotation through more keys than there is room for, over and over.
            0 => attack % (u64::from(MAX_KEYS) * 3),
            // The same few.
            1 => random.u64(0..50),
            // New ones.
            _ => 1 << 40 | attack,
        };
        let allowed = rig.call(&[("api", &format!("{key:x}"), 1)]).is_allowed();
        admitted += u64::from(allowed);
        if key < 1 << 40 && allowed {
            let ideal = watched.entry(key).or_default();
            assert!(ideal.spend(now), "key {key} is above its limit at {now} ns");
        }
        if attack % 1_000 == 0 {
            let allowed = rig.call(&[("api", "resident", 1)]).is_allowed();
            assert_eq!(allowed, resident.spend(now), "at {now} ns");
        }
        if attack % 1_000_000 == 0 {
            let kept = rig.limiter.figures().keys;
            assert!(kept < MAX_KEYS as usize, "{kept} keys are kept");
            rig.limiter.sweep_keys();
        }
    }
    assert!(admitted > 50_000, "{admitted}: the table was put to use");
    rig.clock.advance(10 * SECOND);
    rig.limiter.sweep_keys();
    assert_eq!(rig.limiter.figures().keys, 0);
}
