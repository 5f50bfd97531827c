use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Time {
    Time::ZERO.after(Duration::from_secs(seconds))
}

#[test]
fn an_entry_passes_through_its_phases_at_its_deadlines() {
    let policy = Policy {
        fresh: 10 * SECOND,
        stale: 20 * SECOND,
        stale_if_error: 30 * SECOND,
        ..Policy::declared()
    };
    let deadlines = Deadlines::for_value(at(100), &policy, Times::default(), 0.0);
    let nearly = |seconds: u64| Time::from_nanos(at(seconds).as_nanos() - 1);
    for (now, phase) in [
        (at(100), Phase::Fresh),
        (nearly(110), Phase::Fresh),
        (at(110), Phase::Stale),
        (nearly(130), Phase::Stale),
        (at(130), Phase::OnError),
        (nearly(160), Phase::OnError),
        (at(160), Phase::Gone),
    ] {
        assert_eq!(deadlines.phase(now, false), phase, "at {now:?}");
    }
    assert_eq!(deadlines.phase(at(100), true), Phase::Stale);
    assert_eq!(deadlines.phase(at(130), true), Phase::OnError);
}

#[test]
fn jitter_shortens_and_never_lengthens() {
    let policy = Policy {
        fresh: 10 * SECOND,
        jitter: 0.5,
        ..Policy::declared()
    };
    let fresh = |unit| {
        Deadlines::for_value(at(0), &policy, Times::default(), unit)
            .fresh_until()
            .since(at(0))
    };
    assert_eq!(fresh(0.0), 10 * SECOND);
    assert_eq!(fresh(0.5), Duration::from_millis(7_500));
    assert!(fresh(0.999_999) > 5 * SECOND);
}

#[test]
fn a_call_overrides_the_policy_and_zero_means_zero() {
    let times = Times {
        fresh: Some(SECOND),
        stale: Some(Duration::ZERO),
        stale_if_error: None,
    };
    let policy = Policy {
        stale_if_error: 2 * SECOND,
        ..Policy::declared()
    };
    let deadlines = Deadlines::for_value(at(0), &policy, times, 0.0);
    assert_eq!(deadlines.phase(at(1), false), Phase::OnError);
    assert_eq!(deadlines.gone_at(), at(3));
}

#[test]
fn absence_has_no_stale_time_of_its_own() {
    let deadlines = Deadlines::for_absence(at(0), &Policy::declared(), Times::default());
    assert_eq!(deadlines.phase(at(4), false), Phase::Fresh);
    assert_eq!(deadlines.phase(at(5), false), Phase::Gone);
    assert_eq!(deadlines.phase(at(4), true), Phase::Stale);
}

#[test]
fn a_cap_moves_every_deadline() {
    let deadlines =
        Deadlines::for_value(at(0), &Policy::declared(), Times::default(), 0.0).capped(at(3));
    assert_eq!(deadlines.phase(at(2), false), Phase::Fresh);
    assert_eq!(deadlines.phase(at(3), false), Phase::Gone);
}

#[test]
fn early_refresh_is_likelier_near_expiry_and_off_without_beta() {
    let expiry = at(100);
    let chance = |now: Time, beta: f64| {
        (0..1_000_u32)
            .filter(|&i| refresh_early(now, expiry, SECOND, beta, || f64::from(i) / 1_000.0))
            .count()
    };
    assert_eq!(chance(at(99), 0.0), 0);
    assert_eq!(chance(at(50), 1.0), 0);
    // P(−ln U ≥ left / (Δ·β)) = e^−(left / (Δ·β)).
    assert!(
        (360..=375).contains(&chance(at(99), 1.0)),
        "{}",
        chance(at(99), 1.0)
    );
    assert!(
        (130..=140).contains(&chance(at(98), 1.0)),
        "{}",
        chance(at(98), 1.0)
    );
    assert!(
        (600..=612).contains(&chance(at(99), 2.0)),
        "{}",
        chance(at(99), 2.0)
    );
    assert_eq!(chance(at(100), 1.0), 1_000);
}

#[test]
fn backoff_doubles_to_its_cap_and_honours_the_origin() {
    let waits: Vec<u64> = (1..9)
        .map(|failures| backoff(failures, None, 0.0).as_secs())
        .collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(backoff(1, Some(90 * SECOND), 0.0), 90 * SECOND);
    assert_eq!(backoff(1, None, 0.5), Duration::from_millis(1_250));
    assert_eq!(backoff(u32::MAX, None, 0.0), MAX_BACKOFF);
}
