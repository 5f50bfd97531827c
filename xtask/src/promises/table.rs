//! Which planted bug breaks which rule, and which test notices.
//!
//! A rule may have several rows. `unit` rows are ordinary tests of `millpond-core`,
//! by the test binary they are in; `model` rows are loom models; `wire` rows are tests of
//! the sidecar's binary `isolation`.

use std::sync::LazyLock;

use super::{Kind, Promise};

const fn unit(
    rule: &'static str,
    promise: &'static str,
    target: &'static str,
    test: &'static str,
    bug: &'static str,
) -> Promise {
    let package = "millpond-core";
    Promise {
        rule,
        promise,
        kind: Kind::Unit,
        package,
        test_target: Some(target),
        test,
        bug,
    }
}

const fn model(
    rule: &'static str,
    promise: &'static str,
    target: &'static str,
    test: &'static str,
    bug: &'static str,
) -> Promise {
    let package = "millpond-loom-tests";
    Promise {
        rule,
        promise,
        kind: Kind::Loom,
        package,
        test_target: Some(target),
        test,
        bug,
    }
}

const fn library(
    rule: &'static str,
    promise: &'static str,
    test: &'static str,
    bug: &'static str,
) -> Promise {
    let package = "millpond-core";
    Promise {
        rule,
        promise,
        kind: Kind::Unit,
        package,
        test_target: None,
        test,
        bug,
    }
}

const fn wire(
    rule: &'static str,
    promise: &'static str,
    test: &'static str,
    bug: &'static str,
) -> Promise {
    let package = "millpond-sidecar";
    Promise {
        rule,
        promise,
        kind: Kind::Unit,
        package,
        test_target: Some("isolation"),
        test,
        bug,
    }
}

mod breakers;
mod tenants;

/// Every row: of the cache's rules, of tenants, their memory and their buckets, and of
/// breakers.
pub(crate) static PROMISES: LazyLock<Vec<&Promise>> = LazyLock::new(|| {
    let rest = tenants::TENANTS.iter().chain(breakers::BREAKERS);
    CACHE.iter().chain(rest).collect()
});

const CACHE: &[Promise] = &[
    unit(
        "C1",
        "After an invalidation returns, no read in the pod sees the older value.",
        "rules",
        "invalidation::c1_after_an_invalidation_no_read_sees_the_older_value",
        "barrier-unread",
    ),
    unit(
        "C1",
        "A load that an invalidation overtook is not stored.",
        "rules",
        "invalidation::c1_a_load_that_an_invalidation_overtook_is_superseded",
        "invalidate-spares-loads",
    ),
    unit(
        "C1",
        "Nor do those who waited for it get its value.",
        "rules",
        "invalidation::c1_a_follower_of_an_overtaken_load_does_not_get_its_value",
        "begin-at-fill",
    ),
    unit(
        "C1",
        "A value handed to a waiter is void if it is invalidated before the waiter wakes.",
        "rules",
        "invalidation::c1_a_value_handed_to_a_waiter_is_void_if_it_is_invalidated_before_it_wakes",
        "deliver-unchecked",
    ),
    unit(
        "C1",
        "A `Set` overtakes a load even when its own entry is gone again.",
        "rules",
        "invalidation::c1_a_set_overtakes_a_load_even_when_its_entry_is_gone_again",
        "late-load-wins",
    ),
    model(
        "C1",
        "An invalidation beats a fill, however their steps interleave.",
        "invalidation",
        "an_invalidated_load_is_not_stored",
        "invalidate-spares-loads",
    ),
    model(
        "C1",
        "So does a barrier.",
        "invalidation",
        "a_barrier_covers_a_load_in_flight",
        "barrier-unread",
    ),
    unit(
        "C2",
        "A lease's deadline ends exclusivity only: a slow loader's value counts.",
        "rules",
        "leases::c2_a_lease_that_ran_out_ends_exclusivity_and_not_the_loads_worth",
        "deadline-discards",
    ),
    unit(
        "C2",
        "A loader slower than its lease is run a bounded number of times.",
        "rules",
        "leases::c2_a_loader_slower_than_its_lease_is_run_a_bounded_number_of_times",
        "deadline-discards",
    ),
    unit(
        "C2",
        "An earlier load never replaces a later one's value.",
        "rules",
        "leases::c2_an_earlier_load_never_replaces_a_later_ones_value",
        "late-load-wins",
    ),
    unit(
        "C2",
        "Every answer agrees with a sequential model, over all policies and invalidations.",
        "model",
        "the_cache_agrees_with_the_sequential_model",
        "begin-at-fill",
    ),
    unit(
        "C3",
        "Of many readers of a key one leads, and the others get its value.",
        "rules",
        "leases::c3_one_of_many_readers_leads_and_the_others_get_its_value",
        "two-leaders",
    ),
    model(
        "C3",
        "Of two readers exactly one leads, however their steps interleave.",
        "fill",
        "of_two_readers_exactly_one_leads",
        "two-leaders",
    ),
    model(
        "C3",
        "Nor do two lead when the leader has died.",
        "fill",
        "two_followers_of_a_dead_leader_elect_one",
        "two-leaders",
    ),
    unit(
        "C4",
        "A lease of another boot, or an unknown one, settles nothing.",
        "rules",
        "leases::c4_a_lease_of_another_boot_or_an_unknown_token_settles_nothing",
        "settle-any-token",
    ),
    unit(
        "C4",
        "A holder that slept cannot release its successor's lease.",
        "rules",
        "leases::c4_a_holder_that_slept_cannot_release_its_successors_lease",
        "settle-any-token",
    ),
    unit(
        "C5",
        "A dropped leader promotes exactly one follower.",
        "rules",
        "leases::c5_a_dropped_leader_promotes_exactly_one_follower",
        "handover-forgotten",
    ),
    unit(
        "C5",
        "Its cancellation is not handed over as an error.",
        "rules",
        "leases::c5_a_dropped_leader_promotes_exactly_one_follower",
        "cancel-as-error",
    ),
    unit(
        "C5",
        "A leader that panics promotes a follower.",
        "rules",
        "leases::c5_a_leader_that_panics_promotes_a_follower",
        "handover-forgotten",
    ),
    unit(
        "C5",
        "A promoted follower that leaves hands on to the next.",
        "rules",
        "leases::c5_a_promoted_follower_that_leaves_hands_on_to_the_next",
        "drop-keeps-lease",
    ),
    model(
        "C5",
        "Every follower wakes with the value.",
        "fill",
        "every_follower_wakes_with_the_value",
        "wake-one",
    ),
    model(
        "C5",
        "A dropped lease goes to a follower in whatever state it is.",
        "fill",
        "a_dropped_lease_goes_to_a_follower_in_whatever_state_it_is",
        "handover-forgotten",
    ),
    model(
        "C5",
        "A promoted follower that leaves at that moment hands on.",
        "fill",
        "a_promoted_follower_that_leaves_hands_on",
        "drop-keeps-lease",
    ),
    unit(
        "C6",
        "A failed refresh keeps the entry.",
        "rules",
        "staleness::c6_a_failed_refresh_keeps_the_entry_and_backs_off_doubling",
        "error-drops-stale",
    ),
    unit(
        "C6",
        "And backs off, doubling.",
        "rules",
        "staleness::c6_a_failed_refresh_keeps_the_entry_and_backs_off_doubling",
        "no-backoff",
    ),
    unit(
        "C6",
        "An error reaches the followers and is not remembered.",
        "rules",
        "leases::c6_an_error_reaches_the_followers_and_is_not_remembered",
        "error-remembered",
    ),
    unit(
        "C6",
        "Absence is remembered briefly, with its tags.",
        "rules",
        "leases::c6_absence_is_remembered_briefly_and_invalidated_like_a_value",
        "barrier-unread",
    ),
    unit(
        "C8",
        "Neither tenants nor caches share a key, a lease or an invalidation.",
        "rules",
        "invalidation::c8_neither_tenants_nor_caches_share_a_key",
        "key-without-scope",
    ),
    unit(
        "C9",
        "Tag, cache and tenant invalidations reach every entry they cover and no other.",
        "rules",
        "invalidation::c9_tag_cache_and_tenant_invalidations_reach_every_entry_they_cover_and_no_other",
        "barrier-unread",
    ),
    unit(
        "C9",
        "A tag invalidation holds for loads in flight although the tag was forgotten.",
        "rules",
        "invalidation::c9_a_tag_invalidation_holds_for_loads_in_flight_although_the_tag_was_forgotten",
        "tag-forgotten",
    ),
    unit(
        "C10",
        "An invalidation between the read of L2 and its promotion wins.",
        "lookup",
        "c10_an_invalidation_between_the_read_of_l2_and_its_promotion_wins",
        "promote-unleased",
    ),
    unit(
        "C10",
        "What L2 still holds from before an invalidation is not promoted.",
        "lookup",
        "c10_a_value_that_l2_still_holds_from_before_an_invalidation_is_not_promoted",
        "promote-under-barrier",
    ),
    model(
        "C10",
        "A barrier covers a promotion, however their steps interleave.",
        "invalidation",
        "a_barrier_covers_a_promotion_in_flight",
        "promote-under-barrier",
    ),
    model(
        "C10",
        "A promotion needs the lease that an invalidation voids.",
        "invalidation",
        "a_promotion_needs_the_lease_that_an_invalidation_voids",
        "promote-unleased",
    ),
    unit(
        "C13",
        "What was invalidated is not served when loading fails.",
        "rules",
        "invalidation::c13_what_was_invalidated_is_not_served_when_loading_fails",
        "stale-after-invalidate",
    ),
    unit(
        "C14",
        "A value whose load begins inside the settle time expires at its end.",
        "rules",
        "invalidation::c14_a_value_whose_load_begins_inside_the_settle_time_expires_at_its_end",
        "settle-ignored",
    ),
    unit(
        "C14",
        "A load that ends after the settle time it began in is worth nothing.",
        "rules",
        "invalidation::c14_a_load_that_ends_after_the_settle_time_it_began_in_is_worth_nothing",
        "settle-forgotten",
    ),
    unit(
        "C14",
        "A settle time is remembered for the longest load under way, whichever policy it began under.",
        "rules",
        "reconfigure::c14_a_settle_time_is_remembered_for_a_longer_load_that_a_reload_forbade",
        "longer-load-forgotten",
    ),
    model(
        "C14",
        "A load that begins after an invalidation sees its settle time.",
        "invalidation",
        "a_load_after_an_invalidation_sees_its_settle_time",
        "settle-late",
    ),
    model(
        "C10",
        "A fill against a purge leaves nothing held.",
        "share",
        "a_fill_against_a_purge_leaves_nothing_held",
        "purge-without-grace",
    ),
    unit(
        "C10",
        "A purge leaves no byte of its tenant, and no fill under way brings one back.",
        "shares",
        "purge::c10_a_purge_leaves_no_byte_and_no_fill_under_way_brings_one_back",
        "purge-spares-loads",
    ),
    model(
        "C1",
        "No thread's front serves the old value after the write returned.",
        "front",
        "no_front_serves_the_old_value_after_the_write_returned",
        "stamp-forgotten",
    ),
    model(
        "C1",
        "Nor once any thread can have read the new one.",
        "front",
        "no_front_serves_the_old_value_once_the_index_gave_the_new_one",
        "stamp-late",
    ),
    model(
        "C2",
        "Whoever reads a policy reads one that was in force, never parts of two.",
        "policy",
        "no_reader_sees_parts_of_two_policies",
        "snapshot-unchecked",
    ),
    model(
        "C1",
        "Nor what was invalidated.",
        "front",
        "no_front_serves_what_was_invalidated",
        "stamp-forgotten",
    ),
    model(
        "C1",
        "A waiter is not handed what an invalidation overtook.",
        "fill",
        "a_waiter_is_not_handed_what_an_invalidation_overtook",
        "version-early",
    ),
    unit(
        "C2",
        "A loader slower than many leases is stored, and its loads at once are bounded.",
        "rules",
        "bounds::c2_a_loader_slower_than_many_leases_is_stored_and_its_loads_at_once_are_bounded",
        "oldest-forgotten",
    ),
];
