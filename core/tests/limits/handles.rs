use std::time::Duration;

use millpond_core::limit::Verdict;
use millpond_core::tenant::State;

use crate::rig::{Rig, SECOND, named, quota, tenant, tier};

#[test]
fn a_handle_spends_what_calls_by_name_do() {
    let rig = Rig::five();
    let mut handle = rig.limiter.handle("a").expect("known");
    for _ in 0..3 {
        assert_eq!(handle.try_acquire(1), Ok(()));
    }
    assert_eq!(rig.drain(), 2);
    let denial = handle.try_acquire(1).expect_err("it is empty");
    assert_eq!(denial.verdict, Verdict::OverLimit);
    assert_eq!(denial.retry_after, SECOND);
    let denial = handle.try_acquire(6).expect_err("it never holds six");
    assert_eq!(denial.verdict, Verdict::Never);
    assert_eq!(denial.retry_after, Duration::ZERO);
    rig.clock.advance(SECOND);
    assert_eq!(handle.try_acquire(1), Ok(()));
}

#[test]
fn a_handle_follows_every_change_of_its_tenant() {
    let shadow = tier("shadow", Some(quota(1, 1)), Vec::new());
    let mut shadow = shadow;
    shadow.settings.shadow = Some(true);
    let rig = Rig::new(vec![
        tier("five", Some(quota(1, 5)), Vec::new()),
        tier("nine", Some(quota(1, 9)), vec![named("n", None, None)]),
        tier("none", None, Vec::new()),
        shadow,
    ]);
    let mut handle = rig.limiter.handle("a").expect("known");
    let drain = |handle: &mut millpond_core::limit::Handle| {
        (0..100)
            .take_while(|_| handle.try_acquire(1).is_ok())
            .count()
    };
    assert_eq!(drain(&mut handle), 5);
    rig.put("nine");
    assert_eq!(drain(&mut handle), 4, "what was spent stays spent");
    rig.put("shadow");
    assert_eq!(drain(&mut handle), 100, "it counts and does not deny");
    rig.put("none");
    assert_eq!(drain(&mut handle), 100);
    rig.put("five");
    assert_eq!(drain(&mut handle), 0);
    rig.clock.advance(100 * SECOND);
    assert_eq!(drain(&mut handle), 5);
    rig.clock.advance(100 * SECOND);
    let directory = rig.limiter.directory();
    directory
        .set_state(&tenant("a"), State::Suspended)
        .expect("it may follow");
    // By name first, and then by what it has found.
    for _ in 0..2 {
        let denial = handle.try_acquire(1).expect_err("it is not served");
        assert_eq!(denial.verdict, Verdict::NotServed(State::Suspended));
    }
    directory
        .set_state(&tenant("a"), State::Active)
        .expect("it may follow");
    assert_eq!(drain(&mut handle), 5);
    assert!(rig.limiter.handle("stranger").is_err());
}
