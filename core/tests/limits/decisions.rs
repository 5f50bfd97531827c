use std::time::{Duration, UNIX_EPOCH};

use millpond_core::limit::{CallError, Charge, MAX_CHARGES, Verdict};
use millpond_core::tenant::{NamedQuota, OnLimit, State};

use crate::rig::{Rig, SECOND, charges_of, named, quota, tenant, tier};

#[test]
fn a_burst_of_five_at_one_a_second_is_exact_to_the_millisecond() {
    let rig = Rig::five();
    assert_eq!(rig.drain(), 5);
    assert_eq!(rig.own(1), Err(Some(1_000)));
    rig.clock.advance(SECOND);
    assert_eq!(rig.own(1), Ok(()));
    rig.clock.advance(Duration::from_millis(999));
    assert_eq!(rig.own(1), Err(Some(1)));
    for _ in 0..10 {
        assert_eq!(rig.own(6), Err(None));
        rig.clock.advance(3_600 * SECOND);
        assert_eq!(rig.own(6), Err(None));
        for _ in 0..100 {
            assert_eq!(rig.own(0), Ok(()), "a peek");
        }
        assert_eq!(rig.drain(), 5, "an hour idle");
    }
}

#[test]
fn free_to_pro_and_back_with_everything_spent_gives_nothing_back() {
    let free = tier("free", Some(quota(1, 5)), Vec::new());
    let pro = tier("pro", Some(quota(100, 50)), Vec::new());
    let rig = Rig::new(vec![free, pro]);
    assert_eq!(rig.drain(), 5);
    rig.put("pro");
    assert_eq!(rig.drain(), 45);
    for tier in ["free", "pro", "free", "free"] {
        rig.put(tier);
        assert_eq!(rig.drain(), 0, "{tier}");
    }
    rig.clock.advance(45 * SECOND);
    assert_eq!(
        rig.drain(),
        0,
        "50 spent, 45 back: 5 are missing, all that free has"
    );
    rig.clock.advance(SECOND);
    assert_eq!(rig.drain(), 1);
}

fn api() -> Rig {
    let mail = NamedQuota {
        apart: true,
        ..named("mail", Some(quota(1, 1_000)), None)
    };
    let api = named("api", Some(quota(1, 10)), Some(quota(1, 3)));
    Rig::new(vec![tier("api", Some(quota(1, 20)), vec![api, mail])])
}

#[test]
fn a_tenants_keys_share_its_limit_and_all_limits_its_own() {
    let rig = api();
    for key in ["x", "y", "z"] {
        for _ in 0..3 {
            assert!(rig.call(&[("api", key, 1)]).is_allowed());
        }
        let denied = rig.call(&[("api", key, 1)]);
        assert_eq!(denied.verdict, Verdict::OverLimit);
        let by = denied.decided_by.expect("somebody did");
        assert_eq!((by.limit.expect("named").as_str(), by.keyed), ("api", true));
    }
    assert!(rig.call(&[("api", "w", 1)]).is_allowed(), "the tenth");
    let denied = rig.call(&[("api", "v", 1)]);
    assert!(
        !denied.decided_by.expect("somebody did").keyed,
        "by the limit"
    );
    assert_eq!(denied.standing.expect("it has one").capacity, 10);
    let own = rig
        .limiter
        .peek("a", &charges_of(&[("", "", 0)]))
        .expect("known");
    assert_eq!(
        own.standing.expect("limited").remaining,
        10,
        "denials spent none"
    );
    let other = rig
        .limiter
        .peek("b", &charges_of(&[("api", "x", 3)]))
        .expect("known");
    assert!(other.is_allowed(), "another tenant's keys are others");
}

#[test]
fn a_call_of_several_charges_spends_all_or_none_and_its_own_bucket_once() {
    let rig = api();
    assert!(
        rig.call(&[("api", "x", 2), ("mail", "", 500), ("api", "y", 1)])
            .is_allowed()
    );
    let left = |limit, key| {
        let levels = rig
            .limiter
            .levels(
                "a",
                Charge {
                    limit,
                    key,
                    cost: 1,
                },
            )
            .expect("known");
        let remaining = |level: &millpond_core::limit::Level| level.standing.remaining;
        levels.iter().map(remaining).collect::<Vec<_>>()
    };
    assert_eq!(left("api", b"x"), [1, 7, 18], "own: the largest of 2 and 1");
    assert_eq!(left("api", b"y"), [2, 7, 18]);
    assert_eq!(left("mail", b""), [500], "apart");
    let denied = rig.call(&[("mail", "", 500), ("api", "x", 2)]);
    assert_eq!(denied.verdict, Verdict::OverLimit);
    assert_eq!(left("mail", b""), [500], "nothing was spent");
    assert_eq!(rig.call(&[("api", "x", 4)]).verdict, Verdict::Never);
    assert_eq!(left("api", b"x"), [1, 7, 18]);
}

#[test]
fn what_is_not_enforced_admits_and_says_that_it_would_not() {
    let lenient = [
        NamedQuota {
            shadow: true,
            ..named("l", Some(quota(1, 2)), None)
        },
        NamedQuota {
            on_limit: OnLimit::Admit,
            ..named("l", Some(quota(1, 2)), None)
        },
        NamedQuota {
            // The rig's clock is at 1 000 s.
            enforce_from: Some(UNIX_EPOCH + Duration::from_secs(1_060)),
            ..named("l", Some(quota(1, 2)), None)
        },
    ];
    for (which, limit) in lenient.into_iter().enumerate() {
        let rig = Rig::new(vec![tier("t", Some(quota(1, 100)), vec![limit])]);
        for call in 0..5 {
            let decision = rig.call(&[("l", "", 1)]);
            assert!(decision.is_allowed());
            assert_eq!(decision.would_deny, call >= 2, "{which}: {call}");
        }
        rig.clock.advance(60 * SECOND);
        assert!(rig.call(&[("l", "", 2)]).is_allowed());
        assert_eq!(
            rig.call(&[("l", "", 1)]).is_allowed(),
            which < 2,
            "from its date on"
        );
    }
}

#[test]
fn what_is_no_call_is_refused_by_name() {
    let rig = api();
    let refused = |charges: &[Charge<'_>]| {
        rig.limiter
            .peek("a", charges)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(refused(&[]), "charges: 0 of them, expected 1 to 8");
    let many = [Charge {
        limit: "api",
        key: b"",
        cost: 1,
    }; MAX_CHARGES + 1];
    assert_eq!(refused(&many), "charges: 9 of them, expected 1 to 8");
    let key = [b'k'; Charge::MAX_KEY + 1];
    assert_eq!(
        refused(&[Charge {
            limit: "api",
            key: &key,
            cost: 1
        }]),
        "charges.key: 1025 bytes, limit 1024"
    );
    assert_eq!(
        refused(&[Charge {
            limit: "fax",
            key: b"",
            cost: 1
        }]),
        "limit: the tenant has none named `fax`"
    );
    let stranger = rig.limiter.acquire_own("c", 1).expect_err("refused");
    assert_eq!(
        stranger,
        CallError::UnknownTenant {
            tenant: tenant("c")
        }
    );
    assert!(matches!(
        rig.limiter.acquire_own("a b", 1),
        Err(CallError::Field(_))
    ));
    assert_eq!(
        rig.call(&[("api", "x", u64::MAX), ("api", "x", u64::MAX)])
            .verdict,
        Verdict::Never
    );
}

#[test]
fn a_tenant_that_is_not_served_spends_nothing_and_loses_nothing() {
    let rig = Rig::five();
    assert_eq!(rig.own(2), Ok(()));
    let directory = rig.limiter.directory();
    for state in [State::Suspended, State::Maintenance, State::Offboarded] {
        directory
            .set_state(&tenant("a"), state)
            .expect("may follow");
        let calls = [
            rig.call(&[("", "", 1)]),
            rig.limiter.acquire_own("a", 1).expect("known"),
            rig.limiter
                .peek("a", &charges_of(&[("", "", 1)]))
                .expect("known"),
        ];
        for decision in calls {
            assert_eq!(decision.verdict, Verdict::NotServed(state));
        }
    }
    directory
        .set_state(&tenant("a"), State::Active)
        .expect("may follow");
    assert_eq!(rig.drain(), 3);
}
