//! Three sidecars whose clocks stand still: both tenants on one, each alone on another.
//!
//! [`Worlds::by`] asks for a tenant where both are and where it is alone, requires the same answer, and
//! returns both. A request is made for each [`Side`], because a lease of one sidecar is none of another.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond_core::Entropy;
use millpond_core::cache::{CacheName, Policy};
use millpond_core::clock::{Clock, ManualClock, Time};

use millpond_core::limit::Quota;
use millpond_core::limit::rules::{Domain, Limit, Rule, Terms};
use millpond_proto::v1::{GrantReply, GrantRequest};
use millpond_sidecar::Config;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::methods::{GRANT, Mask, Rpc};
use crate::support::{LONG, Pod};

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    A,
    B,
}

/// On which sidecar a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Together,
    Alone,
}

/// Something of the sidecar where both are, and of the one where a tenant is alone.
#[derive(Clone, Debug)]
pub(crate) struct Twin<T> {
    pub(crate) together: T,
    pub(crate) alone: T,
}

impl<T> Twin<T> {
    pub(crate) fn at(&self, side: Side) -> &T {
        match side {
            Side::Together => &self.together,
            Side::Alone => &self.alone,
        }
    }

    pub(crate) fn map<U>(self, mut f: impl FnMut(T) -> U) -> Twin<U> {
        Twin {
            together: f(self.together),
            alone: f(self.alone),
        }
    }
}

/// A refusal, as far as its caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) said: String,
    pub(crate) beside: Vec<(String, String)>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        // Of the metadata what the sidecar says itself; a date is none of it.
        let names = ["millpond-reason", "grpc-retry-pushback-ms"];
        let beside = names.iter().filter_map(|name| {
            let value = status.metadata().get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), value.to_owned()))
        });
        Self {
            code: status.code(),
            said: status.message().to_owned(),
            beside: beside.collect(),
        }
    }
}

pub(crate) type Answered<T> = Twin<Result<T, Refused>>;

impl<T: Debug> Answered<T> {
    /// Both were answered.
    pub(crate) fn ok(self) -> Twin<T> {
        self.map(|answer| answer.expect("it is answered"))
    }

    /// Both were refused.
    pub(crate) fn refused(self) -> Refused {
        self.together.expect_err("it is refused")
    }
}

pub(crate) struct World {
    // Closed before the sidecar ends, which else waits for its operators to hear of it.
    data: Channel,
    admin: Channel,
    clock: ManualClock,
    pub(crate) pod: Pod,
}

impl World {
    async fn start(mut config: Config) -> Self {
        const BEGINNING: Duration = Duration::from_secs(60_000);
        let clock = ManualClock::starting_at(Time::ZERO.after(BEGINNING));
        config.cache.clock = Clock::Manual(clock.clone());
        config.cache.entropy = Entropy::Fixed(0.5);
        // One worker: what is answered first is settled first.
        config.workers = 1;
        let pod = Pod::with(config);
        let data = pod.channel().await;
        let admin = pod.running.admin().expect("it serves operators");
        let admin = Endpoint::from_shared(format!("http://{admin}")).expect("an address is a URI");
        let admin = admin.connect().await.expect("it accepts");
        Self {
            pod,
            clock,
            data,
            admin,
        }
    }

    pub(crate) async fn call<R: Rpc>(&self, request: R) -> Result<R::Reply, Refused> {
        let channel = if R::ADMIN { &self.admin } else { &self.data };
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.expect("it is connected");
        let path = PathAndQuery::from_static(R::PATH);
        let codec = ProstCodec::<R, R::Reply>::default();
        let call = grpc.unary(Request::new(request), path, codec);
        let reply = timeout(LONG, call).await.expect("it answers");
        Ok(reply.map_err(Refused::from)?.into_inner())
    }

    async fn stream(&self) -> Stream {
        let (asks, asked) = mpsc::channel(16);
        let mut grpc = Grpc::new(self.data.clone());
        grpc.ready().await.expect("it is connected");
        let codec = ProstCodec::<GrantRequest, GrantReply>::default();
        let request = Request::new(ReceiverStream::new(asked));
        let path = PathAndQuery::from_static(GRANT);
        let replies = grpc.streaming(request, path, codec).await;
        Stream {
            asks,
            replies: replies.expect("it is served").into_inner(),
        }
    }
}

struct Stream {
    asks: mpsc::Sender<GrantRequest>,
    replies: Streaming<GrantReply>,
}

impl Stream {
    async fn ask(&mut self, ask: GrantRequest) -> Result<GrantReply, Refused> {
        self.asks.send(ask).await.expect("it is read");
        let reply = timeout(LONG, self.replies.message()).await;
        let reply = reply.expect("it answers").map_err(Refused::from)?;
        Ok(reply.expect("it goes on"))
    }
}

/// One tenant's open streams of grants.
pub(crate) struct Streams {
    who: Who,
    open: Twin<Stream>,
}

impl Streams {
    pub(crate) async fn ask(&mut self, ask: GrantRequest) -> GrantReply {
        let together = self.open.together.ask(ask.clone()).await;
        let alone = self.open.alone.ask(ask.clone()).await;
        assert_eq!(together, alone, "{:?} asked for {ask:?}", self.who);
        together.expect("it is answered")
    }
}

/// All three.
pub(crate) struct Worlds {
    pub(crate) together: World,
    only_a: World,
    only_b: World,
    called: Mutex<BTreeSet<(Who, &'static str)>>,
    answered: AtomicUsize,
    /// Where a run is, for the message when it fails.
    pub(crate) moment: Mutex<String>,
}

impl Worlds {
    pub(crate) async fn start() -> Self {
        Self::with(|| config(&Config::on_free_ports())).await
    }

    pub(crate) async fn with(config: impl Fn() -> Config) -> Self {
        Self {
            together: World::start(config()).await,
            only_a: World::start(config()).await,
            only_b: World::start(config()).await,
            called: Mutex::default(),
            answered: AtomicUsize::new(0),
            moment: Mutex::default(),
        }
    }

    fn alone(&self, who: Who) -> &World {
        match who {
            Who::A => &self.only_a,
            Who::B => &self.only_b,
        }
    }

    pub(crate) fn at(&self, who: Who, side: Side) -> &World {
        match side {
            Side::Together => &self.together,
            Side::Alone => self.alone(who),
        }
    }

    /// Asks on both sides; the answers must be the same.
    pub(crate) async fn by<R: Rpc>(
        &self,
        who: Who,
        request: impl Fn(Side) -> R,
    ) -> Answered<R::Reply> {
        self.called.lock().insert((who, R::PATH));
        let asked = request(Side::Together);
        let moment = self.moment.lock().clone();
        let told = format!("{moment} {who:?} asked {} with {asked:?}", R::PATH);
        let together = self.together.call(asked).await;
        let alone = self.alone(who).call(request(Side::Alone)).await;
        let (of_both, of_one) = (masked(&together), masked(&alone));
        assert_eq!(
            of_both, of_one,
            "beside the other (left) and alone (right): {told}"
        );
        let answered = usize::from(together.is_ok());
        self.answered.fetch_add(answered, Ordering::Relaxed);
        Twin { together, alone }
    }

    /// Calls that were not refused.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// The same for a request without anything of one sidecar's own.
    pub(crate) async fn ask<R: Rpc>(&self, who: Who, request: R) -> Answered<R::Reply> {
        self.by(who, |_| request.clone()).await
    }

    pub(crate) async fn grants(&self, who: Who) -> Streams {
        self.called.lock().insert((who, GRANT));
        let (together, alone) = (self.together.stream(), self.alone(who).stream());
        let open = Twin {
            together: together.await,
            alone: alone.await,
        };
        Streams { who, open }
    }

    /// Moves every clock.
    pub(crate) fn pass(&self, time: Duration) {
        for world in [&self.together, &self.only_a, &self.only_b] {
            world.clock.advance(time);
        }
    }

    pub(crate) fn called(&self, who: Who, path: &str) -> bool {
        let called = self.called.lock();
        called.iter().any(|call| *call == (who, path))
    }
}

fn masked<T: Mask + Clone>(answer: &Result<T, Refused>) -> Result<T, Refused> {
    let mut answer = answer.clone();
    if let Ok(reply) = &mut answer {
        reply.mask();
    }
    answer
}

/// Cache `users` with every phase of life; a domain for proxies.
pub(crate) fn config(base: &Config) -> Config {
    let mut config = base.clone();
    let users = Policy {
        jitter: 0.0,
        ..Policy::declared()
    };
    let name = CacheName::parse("users").expect("a name");
    config.cache.declared.insert(name, users);
    let quota = Quota::new(5, Duration::from_secs(3_600), 5).expect("valid");
    let rule = |key: &str, rules| Rule {
        key: key.to_owned(),
        value: None,
        shared: false,
        limit: Some(Limit {
            name: None,
            terms: Terms::Quota(quota),
            shadow: false,
            overdraw: false,
        }),
        rules,
    };
    config.descriptors = vec![Domain {
        name: "edge".to_owned(),
        tenant_key: "tenant".to_owned(),
        tenant: None,
        rules: vec![rule("tenant", vec![rule("path", Vec::new())])],
    }];
    config
}
