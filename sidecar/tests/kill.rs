//! The real sidecar, killed, stopped and drained again and again under the load of
//! the Rust client: nothing panics, nothing hangs, nobody reads what was
//! invalidated, and calls fail only as their callers chose.
//!
//! Two processes' worth of handles share one sidecar: one fails without it, the
//! other loads directly. Writers change an origin and invalidate until that is
//! acknowledged; from then on no read that begins may bring an older value.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millpond_client::{
    Bytes, Error, LoadedMany, Millpond, OnUnavailable, RemoteConfig, TenantCache, Value,
};
use tokio::task::JoinSet;

/// Times the sidecar is killed.
const KILLS: usize = 20;
/// Times it is stopped and woken, and times it is drained.
const ROUNDS: usize = 3;
const KEYS: usize = 32;
const READERS: usize = 16;
const BULK_READERS: usize = 4;
const WRITERS: usize = 2;
/// Less than readers wait.
const LEASE: Duration = Duration::from_secs(1);
/// Longer than anything here takes; what takes so long hangs.
const LONG: Duration = Duration::from_secs(60);

/// The real binary on a socket; killed if the test fails.
struct Process {
    child: Child,
    socket: PathBuf,
}

impl Process {
    fn start(socket: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args([
                "serve",
                "--no-listen",
                "--no-admin",
                "--probe",
                "127.0.0.1:0",
            ])
            .args(["--drain", "5s", "--log", "error", "--workers", "1"])
            .arg("--socket")
            .arg(socket)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let mut process = Self {
            child,
            socket: socket.to_owned(),
        };
        let said = process.child.stdout.take().expect("it is piped");
        let ready = BufReader::new(said)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.starts_with("Ctrl-C"));
        assert!(ready, "it ended before it served");
        process
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("there is a kill").success());
    }

    fn kill(mut self) -> PathBuf {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
        self.socket.clone()
    }

    async fn drain(mut self) -> PathBuf {
        self.signal("TERM");
        let ended = eventually("it drains", || {
            self.child.try_wait().expect("it is our child").is_some()
        });
        ended.await;
        self.socket.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until it is so; fails after [`LONG`].
async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    const STEP: Duration = Duration::from_millis(2);
    let mut left = LONG;
    while !so() {
        left = left.checked_sub(STEP).unwrap_or_else(|| panic!("{what}"));
        tokio::time::sleep(STEP).await;
    }
}

#[derive(Default)]
struct Key {
    /// What the origin holds.
    origin: AtomicU64,
    /// The newest that was invalidated for, and acknowledged.
    acknowledged: AtomicU64,
}

/// What all tasks share.
#[derive(Default)]
struct World {
    keys: Vec<Key>,
    over: AtomicBool,
    /// Reads that brought a value, through the handle that fails and the one that
    /// loads directly.
    failing: AtomicU64,
    direct: AtomicU64,
    /// Reads that failed because the sidecar was away.
    away: AtomicU64,
    writes: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        let keys = (0..KEYS).map(|_| Key::default()).collect();
        Arc::new(Self {
            keys,
            ..Self::default()
        })
    }

    fn runs(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }

    fn floor(&self, key: usize) -> u64 {
        self.keys[key].acknowledged.load(Ordering::SeqCst)
    }

    /// What a query of the origin brings, some time after it was sent.
    async fn query(&self, key: usize) -> String {
        let now = self.keys[key].origin.load(Ordering::SeqCst);
        for _ in 0..key % 4 {
            tokio::task::yield_now().await;
        }
        now.to_string()
    }

    fn check(&self, key: usize, floor: u64, value: &Value) {
        let found: u64 = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("the origin's");
        assert!(
            found >= floor,
            "key {key}: {found} read after {floor} was acknowledged"
        );
    }
}

#[derive(Clone)]
struct Handles {
    failing: TenantCache,
    direct: TenantCache,
}

async fn handles(socket: &Path) -> Handles {
    let address = format!("unix:{}", socket.display());
    let handle = async |away| {
        let config = RemoteConfig::new(&address).expect("the address is one");
        let pond: Millpond = config
            .connections(2)
            .on_unavailable(away)
            .connect()
            .await
            .expect("it serves");
        let users = pond.cache("users").expect("the name is one");
        let users = users.tenant("acme").expect("the name is one");
        // A lease whose reply died with its connection ends by its deadline. Whoever
        // waits longer than that waits for no dead leader.
        users.lease(LEASE)
    };
    Handles {
        failing: handle(OnUnavailable::Fail).await,
        direct: handle(OnUnavailable::LoadDirectly).await,
    }
}

fn spread(seed: usize, step: usize) -> usize {
    (seed * 31 + step * 7) % KEYS
}

async fn read(world: Arc<World>, users: TenantCache, fails: bool, seed: usize) {
    for step in 0.. {
        if !world.runs() {
            return;
        }
        let key = spread(seed, step);
        let floor = world.floor(key);
        let source = Arc::clone(&world);
        let load = move || async move { Ok::<_, String>(source.query(key).await) };
        match users.get_or_load(key.to_string(), load).await {
            Ok(value) => {
                let value = value.expect("the origin has every key");
                world.check(key, floor, &value);
                let counted = if fails { &world.failing } else { &world.direct };
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Err(Error::Unavailable { .. }) if fails => {
                world.away.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("a read failed otherwise than was chosen: {error:?}"),
        }
    }
}

async fn read_many(world: Arc<World>, users: TenantCache, seed: usize) {
    for step in 0.. {
        if !world.runs() {
            return;
        }
        let keys: BTreeSet<usize> = (0..8).map(|more| spread(seed + more, step)).collect();
        let floors: Vec<u64> = keys.iter().map(|key| world.floor(*key)).collect();
        let source = Arc::clone(&world);
        let load = move |asked: Vec<Bytes>| {
            let source = Arc::clone(&source);
            async move {
                let mut found = LoadedMany::new();
                for key in asked {
                    let number = std::str::from_utf8(&key).expect("a number").parse();
                    let value = source.query(number.expect("a number")).await;
                    found.insert(key, value);
                }
                Ok::<_, String>(found)
            }
        };
        let names = keys.iter().map(usize::to_string);
        let found = users.get_many_or_load(names, load).await;
        for ((key, floor), one) in keys.iter().zip(floors).zip(found) {
            let value = one.unwrap_or_else(|error| panic!("a bulk read failed: {error:?}"));
            world.check(*key, floor, &value.expect("the origin has every key"));
        }
        world.direct.fetch_add(1, Ordering::SeqCst);
    }
}

async fn write(world: Arc<World>, users: TenantCache, seed: usize) {
    for step in 0.. {
        if !world.runs() {
            return;
        }
        let key = spread(seed, step);
        let written = world.keys[key].origin.fetch_add(1, Ordering::SeqCst) + 1;
        loop {
            match users.invalidate(key.to_string()).await {
                Ok(_) => break,
                // Not delivered, so it is made again.
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("an invalidation failed otherwise: {error:?}"),
            }
            if !world.runs() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let acknowledged = &world.keys[key].acknowledged;
        acknowledged.fetch_max(written, Ordering::SeqCst);
        world.writes.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// Load on a sidecar, until it is told to end.
struct Load {
    world: Arc<World>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(handles: &Handles) -> Self {
        let world = World::new();
        let mut tasks = JoinSet::new();
        for seed in 0..READERS {
            let (failing, direct) = (handles.failing.clone(), handles.direct.clone());
            tasks.spawn(read(Arc::clone(&world), failing, true, seed));
            tasks.spawn(read(Arc::clone(&world), direct, false, seed));
        }
        for seed in 0..BULK_READERS {
            tasks.spawn(read_many(Arc::clone(&world), handles.direct.clone(), seed));
        }
        for seed in 0..WRITERS {
            tasks.spawn(write(Arc::clone(&world), handles.failing.clone(), seed));
        }
        Self { world, tasks }
    }

    /// Waits until reads and writes have got on with the sidecar there.
    async fn until_served(&mut self) {
        let world = Arc::clone(&self.world);
        let count = || {
            let [reads, writes] = [&world.failing, &world.writes];
            [reads, writes].map(|count| count.load(Ordering::SeqCst))
        };
        let before = count();
        self.until("reads and writes get on", || {
            let now = count();
            now[0] > before[0] + 200 && now[1] > before[1] + 20
        })
        .await;
    }

    /// Waits until reads have got on with the sidecar away.
    async fn until_missed(&mut self) {
        let world = Arc::clone(&self.world);
        let count = || [&world.direct, &world.away].map(|count| count.load(Ordering::SeqCst));
        let before = count();
        self.until("reads get on without it", || {
            let now = count();
            now[0] > before[0] + 50 && now[1] > before[1] + 10
        })
        .await;
    }

    async fn until(&mut self, what: &str, so: impl FnMut() -> bool) {
        tokio::select! {
            () = eventually(what, so) => {}
            ended = self.tasks.join_next() => match ended {
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                other => panic!("a task ended by itself: {other:?}"),
            }
        }
    }

    async fn end(mut self) -> Arc<World> {
        self.world.over.store(true, Ordering::SeqCst);
        let ended = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.expect("no task panics");
            }
        };
        let ended = tokio::time::timeout(LONG, ended).await;
        ended.expect("a call hangs");
        self.world
    }
}

/// A folder that is gone when the test is over, with what killed sidecars leave in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("millpond-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        Self(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("millpond.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_killed_20_times_costs_no_old_value_and_only_the_errors_chosen() {
    let folder = Folder::new("kill");
    let mut process = Process::start(&folder.socket());
    let mut load = Load::start(&handles(&process.socket).await);
    for _ in 0..KILLS {
        load.until_served().await;
        let socket = process.kill();
        load.until_missed().await;
        process = Process::start(&socket);
    }
    load.until_served().await;
    let world = load.end().await;
    let away = world.away.load(Ordering::SeqCst);
    assert!(away > 0, "somebody has noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_stopped_and_woken_costs_no_old_value_and_only_the_errors_chosen() {
    let folder = Folder::new("stop");
    let process = Process::start(&folder.socket());
    let mut load = Load::start(&handles(&process.socket).await);
    for _ in 0..ROUNDS {
        load.until_served().await;
        process.signal("STOP");
        load.until_missed().await;
        process.signal("CONT");
    }
    load.until_served().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_drains_and_starts_again_fails_no_call_that_may_load_directly() {
    let folder = Folder::new("drain");
    let mut process = Process::start(&folder.socket());
    let mut load = Load::start(&handles(&process.socket).await);
    for _ in 0..ROUNDS {
        load.until_served().await;
        let socket = process.drain().await;
        load.until_missed().await;
        process = Process::start(&socket);
    }
    load.until_served().await;
    load.end().await;
}
