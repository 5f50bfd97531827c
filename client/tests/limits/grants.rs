//! Decisions from tokens that the sidecar granted: never more than its bucket had.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millpond_client::clock::Clock;
use millpond_client::{LimitReason, Millpond, RemoteConfig, TenantGrant};

use crate::venue::{Far, Venue, connect, in_time, put, quota, sidecar, until};

fn grant(pond: &Millpond) -> TenantGrant {
    pond.requests().granted().tenant("acme").expect("a name")
}

/// Spends until the sidecar says that there is nothing.
async fn drain(grant: &TenantGrant) -> u64 {
    let mut spent = 0;
    loop {
        let decision = grant.acquire().await.expect("it answers");
        assert!(!decision.without_sidecar, "{decision:?}");
        if !decision.allowed {
            assert_eq!(decision.reason, LimitReason::OverLimit);
            return spent;
        }
        spent += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_together_spend_what_the_bucket_had_and_no_more() {
    in_time(async {
        let venue = Venue::tcp().await;
        venue.put("acme", Some(quota(100, 1_000)), Vec::new());
        let address = venue.tcp_address().to_string();
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let pond = connect(&address).await;
            tasks.push(tokio::spawn(async move {
                let spent = drain(&grant(&pond)).await;
                pond.hand_back().await;
                spent
            }));
        }
        let mut spent = 0;
        for task in tasks {
            spent += task.await.expect("no panic");
        }
        // Time stands still there. What one had in hand when others found nothing was
        // handed back at the end; of what is handed back by several, some may stay spent.
        spent += drain(&grant(&venue.pond)).await;
        assert!((900..=1_000).contains(&spent), "{spent} of 1 000");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_spent_is_handed_back_at_the_end() {
    in_time(async {
        let venue = Venue::tcp().await;
        venue.put("acme", Some(quota(10_000, 10_000)), Vec::new());
        let acme = grant(&venue.pond);
        for _ in 0..7 {
            assert!(acme.acquire().await.expect("it answers").allowed);
        }
        assert!(venue.left_in_sidecar("acme") < 9_993, "some are in hand");
        venue.pond.hand_back().await;
        assert_eq!(venue.left_in_sidecar("acme"), 9_993);
        assert!(acme.acquire().await.expect("it asks anew").allowed);
        assert!(venue.left_in_sidecar("acme") < 9_992);
        venue.pond.hand_back().await;
        assert_eq!(venue.left_in_sidecar("acme"), 9_992);
        // The last handle hands back what is left.
        let another = connect(&venue.tcp_address().to_string()).await;
        assert!(grant(&another).acquire().await.expect("it answers").allowed);
        drop(another);
        until(async || venue.left_in_sidecar("acme") == 9_991).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_idle_is_handed_back_and_asked_for_anew() {
    in_time(async {
        let venue = Venue::unix().await;
        venue.put("acme", Some(quota(10_000, 10_000)), Vec::new());
        let acme = grant(&venue.pond);
        for spent in 1..=2 {
            assert!(acme.acquire().await.expect("it answers").allowed);
            assert!(venue.left_in_sidecar("acme") < 10_000 - spent);
            until(async || venue.left_in_sidecar("acme") == 10_000 - spent).await;
        }
        assert!(!acme.spend(), "nothing is in hand");
        until(async || acme.spend()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_hand_when_the_stream_broke_is_spent_from_the_hand_or_stays_spent() {
    in_time(async {
        let far = Far::with(|config| config).await;
        far.venue.put("acme", Some(quota(1_000, 1_000)), Vec::new());
        let acme = grant(&far.pond);
        let mut spent = 0;
        for _ in 0..20 {
            for _ in 0..10 {
                let decision = acme.acquire().await.expect("it answers");
                assert!(
                    decision.allowed && !decision.without_sidecar,
                    "{decision:?}"
                );
                spent += 1;
            }
            far.proxy.cut();
        }
        spent += drain(&acme).await;
        assert!((200..=1_000).contains(&spent), "{spent} of 1 000");
        assert_eq!(far.venue.left_in_sidecar("acme"), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_back_grants_again() {
    in_time(async {
        let far = Far::with(|config| config).await;
        far.venue.put("acme", Some(quota(1, 100)), Vec::new());
        let acme = grant(&far.pond);
        assert!(acme.acquire().await.expect("it answers").allowed);
        far.proxy.shut();
        until(async || acme.acquire().await.expect("it decides").without_sidecar).await;
        far.proxy.open();
        until(async || !acme.acquire().await.expect("it decides").without_sidecar).await;
        assert!(drain(&acme).await <= 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bucket_that_is_not_known_ends_nothing_for_the_others() {
    in_time(async {
        let venue = Venue::tcp().await;
        venue.put("acme", Some(quota(1, 1_000)), Vec::new());
        let acme = grant(&venue.pond);
        let unknown = venue.pond.limit("unheard-of").expect("a name").granted();
        for _ in 0..50 {
            assert!(unknown.acquire("acme").await.is_err());
            assert!(acme.acquire().await.expect("it answers").allowed);
        }
        venue.pond.hand_back().await;
        assert_eq!(venue.left_in_sidecar("acme"), 950);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_caller_waits_for_what_comes_back() {
    in_time(async {
        let config = sidecar(Clock::Kernel, None);
        put(
            config.limiter().directory(),
            "acme",
            Some(quota(20, 1)),
            Vec::new(),
        );
        let address = config.tcp().expect("it listens").to_string();
        let pond = connect(&address).await;
        let requests = pond.requests().granted();
        let patient = requests.wait(Duration::from_secs(30));
        let acme = patient.tenant("acme").expect("a name");
        for _ in 0..5 {
            assert!(acme.acquire().await.expect("it answers").allowed);
        }
        let mut callers = Vec::new();
        for _ in 0..10 {
            let acme = acme.clone();
            callers.push(tokio::spawn(async move { acme.acquire().await }));
        }
        for caller in callers {
            let decision = caller.await.expect("no panic").expect("it answers");
            assert!(decision.allowed && !decision.without_sidecar);
        }
        tokio::task::block_in_place(|| drop(config));
    })
    .await;
}

/// A process: a runtime of its own, in which nothing outlives its end.
struct Process {
    runtime: Option<tokio::runtime::Runtime>,
    spent: Arc<AtomicU64>,
}

impl Process {
    /// Spends as fast as it can, until it is told or dies.
    fn start(address: &str, over: &Arc<AtomicBool>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let spent = Arc::new(AtomicU64::new(0));
        let (over, counted, address) = (Arc::clone(over), Arc::clone(&spent), address.to_owned());
        runtime.spawn(async move {
            let pond = RemoteConfig::new(&address).expect("an address");
            let acme = grant(&pond.connect().await.expect("it answers"));
            while !over.load(Ordering::Relaxed) {
                let decision = acme.acquire().await.expect("it answers");
                assert!(!decision.without_sidecar);
                if decision.allowed {
                    counted.fetch_add(1, Ordering::Relaxed);
                } else {
                    tokio::time::sleep(decision.retry_after).await;
                }
            }
        });
        Self {
            runtime: Some(runtime),
            spent,
        }
    }

    fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.die();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dies_with_a_process_is_never_spent_by_another() {
    in_time(async {
        const RATE: u64 = 500;
        const BURST: u64 = 100;
        let running = sidecar(Clock::Kernel, None);
        let limit = Some(quota(RATE, BURST));
        put(running.limiter().directory(), "acme", limit, Vec::new());
        let address = running.tcp().expect("it listens").to_string();
        let over = Arc::new(AtomicBool::new(false));
        let began = tokio::time::Instant::now();
        let mut processes: Vec<_> = (0..3).map(|_| Process::start(&address, &over)).collect();
        let mut dead = 0;
        for round in 0..4 {
            // Each has spent something, so each has a stream.
            until(async || processes.iter().all(|process| process.spent() > 10)).await;
            let mut dying = processes.remove(round % processes.len());
            dying.die();
            dead += dying.spent();
            processes.push(Process::start(&address, &over));
        }
        let enough = |processes: &[Process]| processes.iter().map(Process::spent).sum::<u64>();
        until(async || dead + enough(&processes) > 4 * BURST).await;
        over.store(true, Ordering::Relaxed);
        // Counted first: what is spent after it was counted took longer, too.
        let spent = dead + enough(&processes);
        let took = began.elapsed();
        let bound = u128::from(BURST) + u128::from(RATE) * took.as_millis() / 1_000 + 1;
        assert!(
            u128::from(spent) <= bound,
            "{spent} in {took:?}, at most {bound}"
        );
        drop(processes);
        tokio::task::block_in_place(|| drop(running));
    })
    .await;
}
