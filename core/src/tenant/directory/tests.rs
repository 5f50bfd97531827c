use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::limit::Quota;
use crate::limit::word;
use crate::tenant::{Access, LimitName, NamedQuota, Pace, Tier};

const SECOND: Duration = Duration::from_secs(1);

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("valid")
}

fn of(tier: &str) -> Declaration {
    Declaration::of(TierName::parse(tier).expect("valid"))
}

fn quota(rate: u64, burst: u64) -> Pace {
    Pace::of(rate, SECOND, burst)
}

fn limit(name: &str, burst: u64) -> NamedQuota {
    NamedQuota {
        total: Quota::per_second(1, burst).ok(),
        ..NamedQuota::new(LimitName::parse(name).expect("valid"))
    }
}

fn tier(name: &str, settings: Overrides) -> Tier {
    Tier {
        name: TierName::parse(name).expect("valid"),
        extends: None,
        settings,
    }
}

/// A directory with its clock in hand.
struct Fixture {
    directory: Arc<Directory>,
    hand: ManualClock,
}

impl Fixture {
    fn new(tiers: Vec<Tier>, strangers: Strangers, tenants: &[(&str, Declaration)]) -> Self {
        let hand = ManualClock::starting_at(Time::ZERO.after(SECOND * 1_000));
        let named = tenants.iter().cloned();
        let config = Config {
            tiers: Tiers::new(tiers).expect("valid"),
            strangers,
            tenants: named
                .map(|(name, declared)| (tenant(name), declared))
                .collect(),
            clock: Clock::Manual(hand.clone()),
        };
        let directory = Directory::new(config).expect("valid");
        Self { directory, hand }
    }

    fn shipped(tenants: &[(&str, Declaration)]) -> Self {
        Self::new(Vec::new(), Strangers::Refuse, tenants)
    }

    fn entry(&self, name: &str) -> Arc<Entry> {
        self.directory.resolve(name).expect("valid")
    }

    /// Spends from what the name leads to.
    fn spend(&self, name: &str, tokens: u64) -> bool {
        self.spend_from(&self.entry(name), tokens)
    }

    /// Spends from an entry that may be old.
    fn spend_from(&self, entry: &Arc<Entry>, tokens: u64) -> bool {
        let now = self.directory.now();
        for _ in 0..10 {
            let entry = self.directory.current(entry).expect("valid");
            let Some(quota) = &entry.profile().request else {
                return true;
            };
            match entry
                .request
                .charge(quota, now, tokens, Ticks::ZERO, &entry.dues)
            {
                Ok(_) => return true,
                Err(word::Refused::Sealed) => {}
                Err(_) => return false,
            }
        }
        panic!("sealed for ever");
    }

    fn drain(&self, name: &str) -> u64 {
        (0..1_000_000).take_while(|_| self.spend(name, 1)).count() as u64
    }

    fn drain_limit(&self, name: &str, limit: &str) -> u64 {
        let (entry, now) = (self.entry(name), self.directory.now());
        let (at, limit) = entry.profile().limit(limit).expect("valid");
        let quota = limit.total.as_ref().expect("valid");
        let spend = |_: &u64| {
            let charged = entry.named(at, |named| {
                named.total.charge(quota, now, 1, Ticks::ZERO, &named.dues)
            });
            charged.expect("valid").is_ok()
        };
        (0..1_000_000).take_while(spend).count() as u64
    }

    fn put(&self, name: &str, declaration: &Declaration) -> Put {
        self.directory
            .put(&tenant(name), declaration)
            .expect("valid")
    }
}

#[test]
fn a_tier_there_and_back_gives_nothing_back() {
    let fixture = Fixture::shipped(&[("acme", of("free"))]);
    assert_eq!(fixture.drain("acme"), 50);
    let mut admitted = 50;
    for tier in ["pro", "free", "pro", "free", "enterprise", "free"] {
        fixture.put("acme", &of(tier));
        let gained = fixture.drain("acme");
        admitted += gained;
        let burst = fixture
            .entry("acme")
            .profile()
            .request
            .expect("valid")
            .burst();
        assert!(admitted <= burst.max(5_000), "{admitted} at once");
        if tier == "free" {
            assert_eq!(gained, 0);
        }
    }
    assert_eq!(admitted, 5_000, "the largest burst of all, once");
    // And what comes back comes at the rate in force.
    fixture.hand.advance(SECOND * 60);
    assert!(
        !fixture.spend("acme", 1),
        "in debt of 4 950 at 100 a minute"
    );
}

#[test]
fn what_was_spent_under_an_old_entry_is_known_to_the_new_one() {
    let fixture = Fixture::shipped(&[("acme", of("free"))]);
    let old = fixture.entry("acme");
    assert!(fixture.spend_from(&old, 20));
    fixture.put("acme", &of("free").overriding(|over| over.weight = Some(2)));
    assert!(!old.is_current());
    assert!(
        fixture.spend_from(&old, 20),
        "an old entry leads to the new one"
    );
    assert_eq!(fixture.drain("acme"), 10);
    assert!(fixture.directory.current(&old).expect("valid").is_current());
}

#[test]
fn limits_keep_what_was_spent_also_while_the_tier_has_them_not() {
    let with = |limits| Overrides {
        limits,
        ..Overrides::default()
    };
    let tiers = vec![
        tier("exports", with(vec![limit("export", 5), limit("mail", 2)])),
        tier("plain", Overrides::default()),
        tier("more", with(vec![limit("export", 9)])),
    ];
    let fixture = Fixture::new(tiers, Strangers::Refuse, &[("acme", of("exports"))]);
    assert_eq!(fixture.drain_limit("acme", "export"), 5);
    for there in ["plain", "more"] {
        fixture.put("acme", &of(there));
        if there == "more" {
            assert_eq!(fixture.drain_limit("acme", "export"), 4);
        }
        fixture.put("acme", &of("exports"));
        assert_eq!(
            fixture.drain_limit("acme", "export"),
            0,
            "there and back: {there}"
        );
    }
    assert_eq!(
        fixture.drain_limit("acme", "mail"),
        2,
        "of which nothing was spent"
    );
    // When all is back nothing is carried any more.
    fixture.put("acme", &of("plain"));
    fixture.hand.advance(SECOND * 20);
    fixture.put("acme", &of("exports"));
    assert_eq!(fixture.drain_limit("acme", "export"), 5);
}

#[test]
fn an_entry_that_gave_way_makes_no_buckets() {
    let limits = vec![limit("export", 5)];
    let tiers = vec![tier(
        "exports",
        Overrides {
            limits,
            ..Overrides::default()
        },
    )];
    let fixture = Fixture::new(tiers, Strangers::Refuse, &[("acme", of("exports"))]);
    let old = fixture.entry("acme");
    fixture
        .directory
        .set_state(&tenant("acme"), State::Trial)
        .expect("valid");
    assert!(old.named(0, |_| ()).is_err());
    assert!(fixture.entry("acme").named(0, |_| ()).is_ok());
    assert!(
        fixture.entry("acme").named(1, |_| ()).is_err(),
        "no such limit"
    );
}

#[test]
fn a_state_is_obeyed_by_name_and_what_cannot_follow_is_refused() {
    let fixture = Fixture::shipped(&[("acme", of("free"))]);
    assert!(fixture.spend("acme", 10));
    let id = tenant("acme");
    let put = fixture
        .directory
        .set_state(&id, State::Suspended)
        .expect("valid");
    assert_eq!(put.before.expect("valid").state(), State::Active);
    assert_eq!(fixture.entry("acme").access(), Access::NONE);
    fixture.put("acme", &of("pro"));
    assert_eq!(
        fixture.entry("acme").state(),
        State::Suspended,
        "a tier is no resumption"
    );
    fixture
        .directory
        .set_state(&id, State::Active)
        .expect("valid");
    assert_eq!(fixture.drain("acme"), 990, "1 000, of which 10 are spent");
    let refused = fixture
        .directory
        .set_state(&id, State::Purged)
        .expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "tenant acme: purged is no state to set: purge the tenant"
    );
    let unknown = fixture
        .directory
        .set_state(&tenant("nobody"), State::Active);
    assert_eq!(
        unknown.expect_err("refused").to_string(),
        "tenant nobody is not known here"
    );
}

#[test]
fn purged_is_final_until_the_tenant_is_put_again_as_another_incarnation() {
    let fixture = Fixture::shipped(&[("acme", of("free"))]);
    let id = tenant("acme");
    let old = fixture.entry("acme");
    assert_eq!(fixture.drain("acme"), 50);
    let purged = fixture.directory.purge(&id).expect("valid").after;
    assert_eq!((purged.state(), purged.incarnation()), (State::Purged, 2));
    let again = fixture.directory.purge(&id).expect("valid");
    assert!(Arc::ptr_eq(&again.after, &purged));
    assert!(fixture.directory.set_state(&id, State::Active).is_err());
    fixture.directory.remove(&id);
    assert_eq!(
        fixture.entry("acme").state(),
        State::Purged,
        "also when it is no longer named"
    );
    let anew = fixture.put("acme", &of("free")).after;
    assert_eq!((anew.state(), anew.incarnation()), (State::Active, 2));
    assert_eq!(fixture.drain("acme"), 50, "another life");
    assert!(
        !fixture.spend_from(&old, 1),
        "an entry of the former life leads to it"
    );
}

#[test]
fn strangers_are_refused_or_unlimited_or_of_a_tier() {
    let refusing = Fixture::shipped(&[]);
    let unknown = refusing.directory.resolve("x").expect_err("refused");
    assert_eq!(unknown.to_string(), "tenant: x is not known here");

    let open = Fixture::new(Vec::new(), Strangers::Unlimited, &[]);
    assert!(open.spend("x", u64::MAX));
    assert!(Arc::ptr_eq(&open.entry("x"), &open.entry("y")));
    assert!(open.directory.is_empty());

    let free = TierName::parse("free").expect("valid");
    let tiered = Fixture::new(
        Vec::new(),
        Strangers::Tier {
            tier: free,
            most: 10,
        },
        &[],
    );
    assert_eq!((tiered.drain("x"), tiered.drain("y")), (50, 50));
    assert_eq!(tiered.entry("x").source(), Source::Stranger);
    for fixture in [refusing, open, tiered] {
        for wrong in ["", "*", "a b"] {
            let refused = fixture.directory.resolve(wrong).expect_err("refused");
            assert!(matches!(refused, Unresolved::Name(_)), "{wrong}: {refused}");
        }
    }
}

fn at_most(most: usize) -> Fixture {
    let tiers = vec![tier(
        "guest",
        Overrides {
            request: quota(1, 5),
            ..Overrides::default()
        },
    )];
    let guest = TierName::parse("guest").expect("valid");
    Fixture::new(tiers, Strangers::Tier { tier: guest, most }, &[])
}

#[test]
fn no_order_of_strangers_coming_and_going_is_a_refill() {
    let fixture = at_most(3);
    for name in ["a", "b", "c"] {
        assert_eq!(fixture.drain(name), 5);
    }
    // Nobody is full: newcomers share.
    assert_eq!(fixture.drain("d"), 5);
    assert_eq!(fixture.drain("e"), 0);
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(fixture.drain(name), 0, "{name}");
    }
    assert_eq!(fixture.directory.len(), 3);
    // Two seconds later each has two again, and so has what the others share.
    fixture.hand.advance(SECOND * 2);
    let left: Vec<_> = ["a", "b", "c", "d", "e", "f"]
        .map(|name| fixture.drain(name))
        .into();
    assert_eq!(left, [2, 2, 2, 2, 0, 0]);
    // `c` alone goes on; the others are full again, and one of them goes for `e`,
    // who begins with what is spent of the shared bucket.
    fixture.hand.advance(SECOND * 4);
    assert_eq!(fixture.drain("c"), 4);
    assert_eq!(fixture.drain("d"), 4);
    fixture.hand.advance(SECOND);
    assert_eq!(fixture.drain("e"), 1);
    assert_eq!(fixture.drain("c"), 1);
}

#[test]
fn a_stranger_that_is_forgotten_while_it_is_called_is_found_again() {
    let fixture = at_most(1);
    let kept = fixture.entry("a");
    let other = fixture.entry("b");
    assert_eq!(other.id().as_str(), "b", "a was full, and is forgotten");
    assert!(!kept.is_current());
    assert!(fixture.spend_from(&kept, 5), "by name: a newcomer again");
    assert_eq!(fixture.drain("a"), 0);
    assert_eq!(fixture.directory.len(), 1);
}

#[test]
fn numbers_are_dense_and_nobody_elses_while_an_entry_is_held() {
    let fixture = Fixture::shipped(&[("a", of("free")), ("b", of("free"))]);
    let old = fixture.entry("a");
    let number = old.number();
    fixture.put("a", &of("pro"));
    assert_eq!(fixture.entry("a").number(), number, "the same tenant");
    fixture.directory.remove(&tenant("a"));
    fixture.put("c", &of("free"));
    assert_eq!(fixture.entry("c").number(), 2);
    drop(old);
    // The map lets go of what it dropped a little later.
    let reused = (0..1_000).any(|i| {
        let name = format!("n{i}");
        fixture.put(&name, &of("free"));
        let reused = fixture.entry(&name).number() == number;
        fixture.directory.remove(&tenant(&name));
        reused
    });
    assert!(reused);
}

#[test]
fn followers_are_told_of_each_change_before_the_call_returns() {
    let fixture = Fixture::shipped(&[("acme", of("free"))]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    fixture.directory.follow_with(Box::new(move |id, entry| {
        let state = entry.map(|entry| entry.state());
        telling.lock().push((id.as_str().to_owned(), state));
    }));
    let (id, before) = (tenant("acme"), fixture.directory.changes());
    fixture
        .directory
        .set_state(&id, State::Maintenance)
        .expect("valid");
    fixture.put("acme", &of("free"));
    fixture.put("acme", &of("pro"));
    fixture.directory.remove(&id);
    let acme = |state| ("acme".to_owned(), state);
    let now = Some(State::Maintenance);
    assert_eq!(*told.lock(), [acme(now), acme(now), acme(None)]);
    assert_eq!(
        fixture.directory.changes(),
        before + 3,
        "what changes nothing is no change"
    );
}

#[test]
fn a_revision_is_all_or_nothing_and_leaves_alone_what_it_does_not_name() {
    let fixture = Fixture::shipped(&[("a", of("free")), ("b", of("pro")), ("c", of("free"))]);
    assert_eq!(fixture.drain("a"), 50);
    fixture
        .directory
        .set_state(&tenant("b"), State::Suspended)
        .expect("valid");
    fixture.put("mine", &of("enterprise"));
    let halved = Overrides {
        request: quota(1, 60),
        ..Overrides::default()
    };
    let revision = |put: &[(&str, Declaration)]| Revision {
        tiers: Tiers::new(vec![tier("free", halved.clone())]).expect("valid"),
        strangers: Strangers::Refuse,
        put: put
            .iter()
            .map(|(name, put)| (tenant(name), put.clone()))
            .collect(),
        remove: vec![tenant("c")],
    };
    let wrong = fixture
        .directory
        .revise(revision(&[
            ("x", of("gold")),
            ("a", of("pro")),
            ("y", of("silver")),
        ]))
        .expect_err("refused");
    let said: Vec<_> = wrong.iter().map(Refused::to_string).collect();
    assert_eq!(
        said,
        [
            "tenant x: no tier gold: expected one of enterprise, free, pro",
            "tenant y: no tier silver: expected one of enterprise, free, pro",
        ]
    );
    assert_eq!(fixture.entry("a").profile().tier.as_str(), "free");
    assert!(fixture.directory.resolve("c").is_ok());

    let revised = fixture
        .directory
        .revise(revision(&[("d", of("pro"))]))
        .expect("valid");
    let expected = Revised {
        put: 1,
        retiered: 1,
        removed: 1,
        orphaned: 0,
    };
    assert_eq!(revised, expected);
    assert_eq!(fixture.drain("a"), 10, "60, of which 50 are spent");
    assert_eq!(fixture.entry("b").state(), State::Suspended);
    assert_eq!(fixture.entry("mine").profile().tier.as_str(), "enterprise");
    assert!(fixture.directory.resolve("c").is_err());
    assert_eq!(fixture.entry("d").source(), Source::Configured);
}

#[test]
fn a_tenant_whose_tier_is_gone_keeps_what_it_had() {
    let gold = Overrides {
        request: quota(1, 7),
        ..Overrides::default()
    };
    let fixture = Fixture::new(vec![tier("gold", gold)], Strangers::Refuse, &[]);
    fixture.put("acme", &of("gold"));
    let revised = fixture.directory.revise(Revision {
        tiers: Tiers::shipped(),
        strangers: Strangers::Refuse,
        put: Vec::new(),
        remove: Vec::new(),
    });
    assert_eq!(revised.expect("valid").orphaned, 1);
    assert_eq!(fixture.drain("acme"), 7);
}

#[test]
fn a_change_of_the_strangers_rule_reaches_those_who_are_there() {
    let fixture = at_most(10);
    let kept = fixture.entry("a");
    assert_eq!((fixture.drain("a"), fixture.drain("b")), (5, 5));
    let rule = |strangers| {
        let tiers = Tiers::shipped();
        let revision = Revision {
            tiers,
            strangers,
            put: Vec::new(),
            remove: Vec::new(),
        };
        fixture.directory.revise(revision).expect("valid");
    };
    let free = TierName::parse("free").expect("valid");
    rule(Strangers::Tier {
        tier: free.clone(),
        most: 10,
    });
    assert_eq!(fixture.drain("a"), 45, "50, of which 5 are spent");
    rule(Strangers::Unlimited);
    assert!(fixture.spend_from(&kept, 1_000));
    assert_eq!(fixture.directory.len(), 0);
    rule(Strangers::Refuse);
    assert!(fixture.directory.current(&kept).is_err());
    assert!(fixture.directory.resolve("a").is_err());
    rule(Strangers::Tier {
        tier: free,
        most: 10,
    });
    assert_eq!(fixture.drain("a"), 50);
}

#[test]
fn tenants_are_listed_in_the_order_of_their_names() {
    let fixture = Fixture::shipped(&[]);
    let mut expected: Vec<_> = (0..100).map(|i| format!("t{i}")).collect();
    for name in &expected {
        fixture.put(name, &of("free"));
    }
    expected.sort_unstable();
    let mut listed: Vec<String> = Vec::new();
    loop {
        let page = fixture.directory.list(listed.last().map(String::as_str), 7);
        if page.is_empty() {
            break;
        }
        listed.extend(page.iter().map(|entry| entry.id().as_str().to_owned()));
    }
    assert_eq!(listed, expected);
}

#[test]
fn chargers_and_changers_in_real_threads_admit_a_burst_and_no_more() {
    let fixture = Fixture::shipped(&[("acme", of("free"))]);
    let kept = fixture.entry("acme");
    let admitted: usize = std::thread::scope(|scope| {
        let chargers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| (0..4_000).filter(|_| fixture.spend_from(&kept, 1)).count()))
            .collect();
        for turn in 0..500 {
            fixture.put("acme", &of(["pro", "enterprise", "free"][turn % 3]));
        }
        fixture.put("acme", &of("enterprise"));
        chargers
            .into_iter()
            .map(|charger| charger.join().expect("valid"))
            .sum()
    });
    assert!(admitted <= 5_000, "{admitted} at once");
    assert_eq!(admitted as u64 + fixture.drain("acme"), 5_000);
}

impl Declaration {
    fn overriding(mut self, change: impl FnOnce(&mut Overrides)) -> Self {
        change(&mut self.overrides);
        self
    }
}
