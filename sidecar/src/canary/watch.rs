//! The canary of a running sidecar: a round now and then, over its own listener.
//!
//! It is a client as any other, so what it finds is what services are served. A thread of its own, asleep
//! but for some milliseconds a round; ended by the first sign of a drain, in the middle of a round too.
//!
//! A leak is an error in the log and counted, and the next round looks again: it does not stop the
//! sidecar, whose owner decides what a leak is worth.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tonic::Status;
use tonic::transport::Endpoint;
use tracing::{error, info, warn};

use super::{Canary, Check, Names, Outcome};
use crate::drain::{Stage, Stages};
use crate::sidecar::Addresses;

/// How long one call of a round may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What rounds came to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By check: passed, leaks, skipped.
    checks: [[AtomicU64; 3]; Check::ALL.len()],
    unanswered: AtomicU64,
}

impl Counts {
    /// Outcomes, as they are counted.
    pub(crate) const OUTCOMES: [&'static str; 3] = ["passed", "leak", "skipped"];

    fn count(&self, check: Check, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Passed => 0,
            Outcome::Leak(_) => 1,
            Outcome::Skipped(_) => 2,
        };
        // Relaxed, here and below: counts order nothing.
        self.checks[check as usize][outcome].fetch_add(1, Ordering::Relaxed);
    }

    /// In the order of [`Self::OUTCOMES`].
    pub(crate) fn of(&self, check: Check) -> [u64; 3] {
        self.checks[check as usize]
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Rounds that were not answered to their end.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }
}

/// The thread that makes the rounds.
#[derive(Debug)]
pub(crate) struct Watch(JoinHandle<()>);

impl Watch {
    /// Makes a round every so often; none if that is never.
    pub(crate) fn start(
        every: Duration,
        addresses: &Addresses,
        stages: &Stages,
        counts: &Arc<Counts>,
    ) -> io::Result<Option<Self>> {
        if every.is_zero() {
            return Ok(None);
        }
        let Some(address) = own_address(addresses) else {
            return Ok(None);
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (stages, counts) = (stages.clone(), Arc::clone(counts));
        let thread = std::thread::Builder::new()
            .name("millpond-canary".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = stages.reached(Stage::Draining) => {}
                        () = rounds(every, &address, &counts) => {}
                    }
                });
            })?;
        Ok(Some(Self(thread)))
    }

    /// Waits for its end.
    pub(crate) fn join(self) {
        // One that panicked has been told of already.
        drop(self.0.join());
    }
}

/// Where it reaches its own sidecar: the socket, which no address can be in the way of.
fn own_address(addresses: &Addresses) -> Option<String> {
    if let Some(socket) = addresses.socket.on() {
        return Some(format!("unix:{}", socket.display()));
    }
    let address = addresses.tcp.on()?;
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Some(format!("http://{}", SocketAddr::new(ip, address.port())))
}

async fn rounds(every: Duration, address: &str, counts: &Counts) {
    let endpoint = match Endpoint::from_shared(address.to_owned()) {
        Ok(endpoint) => endpoint.connect_timeout(PATIENCE),
        Err(wrong) => {
            warn!(address, %wrong, "canary: cannot dial its own sidecar");
            return;
        }
    };
    let mut canary = Canary::new(endpoint.connect_lazy(), Names::default(), PATIENCE);
    let mut last: Option<Result<Vec<(Check, Outcome)>, tonic::Code>> = None;
    loop {
        let round = canary.round().await;
        if let Ok(told) = &round {
            for (check, outcome) in told {
                counts.count(*check, outcome);
            }
        } else {
            counts.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        tell(&round, last.as_ref());
        last = Some(round.map_err(|status| status.code()));
        tokio::time::sleep(every).await;
    }
}

/// Leaks each time, the rest when it is not what it was.
fn tell(
    round: &Result<Vec<(Check, Outcome)>, Status>,
    last: Option<&Result<Vec<(Check, Outcome)>, tonic::Code>>,
) {
    let told = match round {
        Ok(told) => told,
        Err(status) => {
            if !matches!(last, Some(Err(code)) if *code == status.code()) {
                warn!(code = ?status.code(), why = status.message(), "canary: not answered");
            }
            return;
        }
    };
    for (check, outcome) in told {
        let check = check.name();
        match outcome {
            Outcome::Leak(how) => error!(check, how, "canary: LEAK between tenants"),
            Outcome::Skipped(why) if !matches!(last, Some(Ok(last)) if last == told) => {
                info!(check, why, "canary: skipped");
            }
            Outcome::Skipped(_) | Outcome::Passed => {}
        }
    }
}
