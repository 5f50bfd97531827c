//! A tenant's buckets against the change that re-rates them.
#![cfg(millpond_loom)]

use std::sync::Arc;

use loom::thread;
use millpond_core::tenant::model::Tenancy;
use millpond_loom_tests::explore;

#[test]
fn a_change_of_rate_mints_and_loses_nothing() {
    explore(|| {
        let tenancy = Arc::new(Tenancy::new());
        let chargers: Vec<_> = (0..2)
            .map(|_| {
                let tenancy = Arc::clone(&tenancy);
                let entry = tenancy.entry();
                thread::spawn(move || u64::from(tenancy.spend(&entry)))
            })
            .collect();
        tenancy.put("large");
        let joined = chargers.into_iter().map(|charger| charger.join());
        let admitted: u64 = joined.map(|spent| spent.expect("no panic")).sum();
        assert_eq!(admitted, 2, "either tier has two to give");
        assert_eq!(tenancy.left(), 1, "3, of which 2 are spent");
    });
}

#[test]
fn a_limit_that_is_first_used_during_a_change_is_known_to_what_comes_after() {
    explore(|| {
        let tenancy = Arc::new(Tenancy::new());
        let other = Arc::clone(&tenancy);
        let entry = tenancy.entry();
        let charger = thread::spawn(move || other.spend_named(&entry));
        tenancy.put("large");
        assert!(charger.join().expect("no panic"), "either tier has one");
        assert_eq!(tenancy.left_named(), 1, "2, of which 1 is spent");
    });
}

#[test]
fn whoever_saw_a_change_never_sees_what_was_before_it() {
    explore(|| {
        let tenancy = Arc::new(Tenancy::new());
        let other = Arc::clone(&tenancy);
        let old = tenancy.entry();
        let was = Arc::clone(old.profile());
        let reader = thread::spawn(move || {
            // The successor, by way of an entry that was kept: before the map has it.
            let changed = !old.is_current();
            let seen = other.entry();
            let again = other.entry();
            if changed {
                assert_ne!(seen.profile(), &was, "an older profile after a newer one");
            }
            if seen.profile() != &was {
                assert_ne!(again.profile(), &was, "an older profile after a newer one");
            }
            // Whatever was found can be charged: nobody is handed a pending word.
            assert!(other.spend(&again));
        });
        tenancy.put("large");
        reader.join().expect("no panic");
        assert_eq!(tenancy.left(), 2);
    });
}
