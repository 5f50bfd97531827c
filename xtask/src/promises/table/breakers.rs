//! Rows of breakers (K).

use super::{Promise, model, unit};

pub(super) const BREAKERS: &[Promise] = &[
    unit(
        "K1",
        "A breaker opens at exactly its thresholds, on failures and on slow calls.",
        "breakers",
        "transitions::a_breaker_opens_at_exactly_its_thresholds_whatever_its_window",
        "threshold-exceeded",
    ),
    model(
        "K1",
        "Of failures that race at the threshold one trips, and the time open doubles once.",
        "breaker",
        "of_two_failures_at_the_threshold_one_trips",
        "trip-unchecked",
    ),
    model(
        "K1",
        "Of failures that race none is missed: the last to count sees the others.",
        "breaker",
        "whoever_counts_last_sees_what_the_other_counted",
        "credit-unchecked",
    ),
    model(
        "K1",
        "Nor does one overwrite another in a window of calls.",
        "breaker",
        "two_outcomes_in_one_word_of_the_ring_are_both_kept",
        "ring-overwrites",
    ),
    model(
        "K2",
        "A trial has no more probes out than the policy says.",
        "breaker",
        "two_callers_at_the_deadline_are_no_more_probes_than_there_are",
        "probe-unchecked",
    ),
    unit(
        "K3",
        "Probes that are never reported come back, all of them, with the next trial.",
        "breakers",
        "trials::probes_that_are_never_reported_come_back_with_the_next_trial",
        "permits-kept",
    ),
    model(
        "K3",
        "So they do when they are reported at that moment.",
        "breaker",
        "a_dead_probers_permits_return_with_the_generation",
        "permits-kept",
    ),
    unit(
        "K4",
        "Outcomes of another generation change nothing.",
        "breakers",
        "transitions::outcomes_of_another_generation_change_nothing",
        "late-counted",
    ),
    model(
        "K4",
        "However their steps interleave with the trial's.",
        "breaker",
        "a_late_outcome_changes_nothing",
        "late-counted",
    ),
    model(
        "K5",
        "A slot that comes round loses no outcome and adds none.",
        "breaker",
        "a_slot_that_comes_round_loses_no_outcome_and_adds_none",
        "slot-reset-apart",
    ),
    unit(
        "K6",
        "A probe is settled once, however often it is reported.",
        "breakers",
        "trials::a_probe_is_settled_once_however_often_it_is_reported",
        "ignored-twice",
    ),
    model(
        "K6",
        "An ignored probe's permit comes back once.",
        "breaker",
        "an_ignored_probes_permit_comes_back_once",
        "ignored-twice",
    ),
    model(
        "K7",
        "Who waits for a change is told of one that comes meanwhile.",
        "breaker",
        "who_waits_for_a_change_is_told_of_one_that_comes_meanwhile",
        "change-untold",
    ),
];
