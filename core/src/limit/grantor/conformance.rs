//! What every grantor must keep, run against each adapter.
//!
//! [`check`] panics with the promise that was broken. Time passes by what the caller
//! hands in, so that a model's clock is moved and a real one is waited for.

use std::time::Duration;

use super::{FleetAsk, FleetBucket, FleetGiven, Grantor};
use crate::cache::TenantId;
use crate::fence::Boot;
use crate::limit::LEAST_TIME;
use crate::limit::quota::Quota;

const BURST: u32 = 40;

/// One sidecar of the fleet, and the bucket it asks for.
struct Sidecar<'a> {
    grantor: &'a dyn Grantor,
    bucket: FleetBucket<'a>,
    holder: Boot,
    used: u64,
    returned: u64,
}

impl<'a> Sidecar<'a> {
    fn new(grantor: &'a dyn Grantor, bucket: FleetBucket<'a>) -> Self {
        Self {
            grantor,
            bucket,
            holder: Boot::random(),
            used: 0,
            returned: 0,
        }
    }

    async fn ask(&self, want: u32) -> FleetGiven {
        let ask = FleetAsk {
            bucket: self.bucket,
            holder: self.holder,
            want,
            used: self.used,
            returned: self.returned,
        };
        self.grantor.ask(ask).await.expect("the grantor is there")
    }

    /// All that is there, asked for until there is no more.
    async fn drain(&mut self) -> u32 {
        let mut all = 0;
        loop {
            let given = self.ask(BURST).await;
            if given.tokens == 0 {
                assert!(given.retry_after >= LEAST_TIME, "an empty bucket says when");
                self.used += u64::from(all);
                return all;
            }
            assert!(given.tokens <= BURST, "no more than is wanted");
            assert!(!given.lives.is_zero(), "tokens that can be spent");
            all += given.tokens;
        }
    }
}

/// Runs the whole suite against a grantor that knows nothing yet. `pass` lets time pass.
///
/// # Panics
/// When the grantor breaks one of its promises.
pub async fn check<F: Future<Output = ()>>(grantor: &dyn Grantor, pass: impl Fn(Duration) -> F) {
    let [acme, other] =
        ["acme", "acme2"].map(|name| TenantId::parse(name).expect("the suite's names are valid"));
    let quota = Quota::per_second(4, BURST.into()).expect("the suite's quota is valid");
    let bucket = FleetBucket {
        tenant: &acme,
        limit: "sms",
        key: b"u",
        quota,
    };
    let full = Duration::from_secs(u64::from(BURST) / 4);
    let mut one = Sidecar::new(grantor, bucket);
    let mut two = Sidecar::new(grantor, bucket);

    assert_eq!(
        one.ask(1).await.tokens,
        0,
        "a bucket that is new begins empty"
    );
    pass(full).await;
    let all = one.drain().await;
    assert_eq!(all, BURST, "an idle bucket holds its burst");
    assert_eq!(
        two.ask(1).await.tokens,
        0,
        "it is one bucket for all holders"
    );

    // What is on grant comes back by reports alone, and once.
    pass(full).await;
    let got = two.ask(8).await.tokens;
    assert!((1..=8).contains(&got), "what is wanted, or some of it");
    two.returned += u64::from(got);
    for _ in 0..3 {
        two.ask(0).await;
    }
    let back = two.drain().await;
    assert_eq!(back, BURST, "all of it is there again, and no more");
    one.returned = u64::from(u32::MAX);
    one.ask(0).await;
    assert_eq!(one.drain().await, 0, "what was used is not handed back");

    // What a store that is lost had granted does not count against what this one grants
    // later.
    pass(full).await;
    let mut three = Sidecar::new(grantor, bucket);
    three.ask(0).await;
    three.returned = 8;
    three.ask(0).await;
    let got = three.ask(8).await.tokens;
    three.ask(0).await;
    assert_eq!(
        two.drain().await,
        BURST - got,
        "what is on grant is not there"
    );

    // Another quota forgives nothing.
    let faster = Quota::per_second(8, (2 * BURST).into()).expect("valid");
    two.bucket.quota = faster;
    assert_eq!(
        two.drain().await,
        BURST,
        "the room that is new, and no more"
    );

    let others = [
        FleetBucket {
            tenant: &other,
            ..bucket
        },
        FleetBucket {
            limit: "",
            ..bucket
        },
        FleetBucket { key: b"", ..bucket },
        FleetBucket {
            limit: "smsu",
            key: b"",
            ..bucket
        },
    ];
    for bucket in others {
        Sidecar::new(grantor, bucket).ask(1).await;
    }
    pass(2 * full).await;
    for bucket in others {
        let mut apart = Sidecar::new(grantor, bucket);
        assert_eq!(
            apart.drain().await,
            BURST,
            "{bucket:?} is a bucket of its own"
        );
    }
}
