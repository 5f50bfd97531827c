//! Looks, by hand: what the watcher does each second.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;

use millpond_core::cache::{CacheName, Policy};
use millpond_core::tenant::{self, Directory, State};

use super::*;

/// A folder of its own, a file in it, and who looks at it.
struct Folder {
    path: PathBuf,
    reloader: Reloader,
    pond: Arc<Pond>,
    tenants: Arc<Tenants>,
}

fn fresh(seconds: u64) -> String {
    format!("apiVersion: millpond/v1\ncaches:\n  users: {{fresh: {seconds}s}}\n")
}

fn no_tenants(pond: &Arc<Pond>) -> Arc<Tenants> {
    let config = tenant::Config {
        strangers: Strangers::Refuse,
        ..tenant::Config::default()
    };
    let directory = Directory::new(config).unwrap();
    Arc::new(Tenants::new(directory, Arc::clone(pond), HashMap::new()))
}

impl Folder {
    fn new(name: &str, make: impl FnOnce(&Path)) -> Self {
        let path = std::env::temp_dir().join(format!("millpond-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        make(&path);
        let source = Source::new(Some(path.join("millpond.yaml")), |_| None);
        let reading = source.read().unwrap();
        assert_eq!(reading.mistakes, []);
        let pond = Pond::new(reading.config.cache.clone());
        let tenants = no_tenants(&pond);
        let reloader = Reloader::new(&reading.config, &pond, &tenants, &none());
        Self {
            path,
            reloader,
            pond,
            tenants,
        }
    }

    fn with(name: &str, text: &str) -> Self {
        Self::new(name, |path| {
            fs::write(path.join("millpond.yaml"), text).unwrap();
        })
    }

    fn write(&self, text: &str) {
        fs::write(self.path.join("millpond.yaml"), text).unwrap();
    }

    fn look(&self, times: usize) {
        for _ in 0..times {
            self.reloader.look();
        }
    }

    /// Seconds that a user is fresh.
    fn fresh(&self) -> u64 {
        let scope = self.pond.scope_named("acme", "users").unwrap();
        scope.policy().fresh.as_secs()
    }

    fn counts(&self) -> (u64, u64) {
        let state = self.reloader.state();
        (state.reloads, state.refused)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

fn none() -> Arc<Descriptors> {
    Arc::new(Descriptors::new(&[]).unwrap())
}

#[test]
fn a_file_comes_into_force_when_two_looks_in_a_row_saw_the_same() {
    let folder = Folder::with("looks", &fresh(1));
    folder.look(2);
    assert_eq!(folder.counts(), (0, 0), "it is in force already");
    folder.write(&fresh(2));
    folder.look(1);
    assert_eq!(folder.fresh(), 1, "it may be half of a file");
    folder.write(&fresh(3));
    folder.look(1);
    assert_eq!(folder.fresh(), 1, "and has changed since");
    folder.look(1);
    assert_eq!((folder.fresh(), folder.counts()), (3, (1, 0)));
    folder.look(3);
    assert_eq!(folder.counts(), (1, 0));
}

#[test]
fn half_of_a_file_and_none_of_it_never_come_into_force() {
    let folder = Folder::with("half", &fresh(1));
    folder.write("");
    folder.look(2);
    assert_eq!((folder.fresh(), folder.counts()), (1, (0, 1)));
    assert!(folder.reloader.state().errors[0].contains("apiVersion: is missing"));
    // All that a half can lack is at its end, so a whole must be seen to stand.
    folder.write("apiVersion: millpond/v1\n");
    folder.look(1);
    folder.write(&fresh(2));
    folder.look(2);
    assert_eq!(folder.fresh(), 2);
}

#[test]
fn a_bad_file_leaves_the_last_good_one_in_force_and_counts_once() {
    let folder = Folder::with("bad", &fresh(1));
    let good = folder.reloader.state().hash;
    let bad = "apiVersion: millpond/v1\ncaches:\n  users: {fresh: 2}\nmemory: lots\n";
    for _ in 0..2 {
        folder.write(bad);
        folder.look(5);
    }
    let state = folder.reloader.state();
    assert_eq!((state.reloads, state.refused), (0, 1));
    assert_eq!((state.errors.len(), &state.hash), (2, &good));
    assert_eq!(folder.fresh(), 1);

    folder.write(&fresh(1));
    folder.look(2);
    let state = folder.reloader.state();
    assert_eq!((state.errors.len(), &state.hash), (0, &good));
    assert_eq!(folder.counts(), (0, 1), "it was in force all the time");
}

#[test]
fn by_hand_a_file_is_read_at_once_and_all_mistakes_come_back() {
    let folder = Folder::with("hand", &fresh(1));
    folder.write(&fresh(2));
    assert_eq!(folder.reloader.reload(), Ok(Applied::default()));
    assert_eq!(folder.fresh(), 2);
    folder.write("apiVersion: millpond/v1\ndrain: soon\ncaches:\n  users: {fresh: 3}\n");
    let errors = folder.reloader.reload().expect_err("two mistakes");
    assert_eq!(errors.len(), 2);
    assert!(
        errors[0].contains("millpond.yaml:2:8: drain: found \"soon\""),
        "{errors:?}"
    );
    assert_eq!((folder.fresh(), folder.counts()), (2, (1, 1)));
    folder.look(3);
    assert_eq!(folder.counts(), (1, 1), "looking finds nothing new");
}

#[test]
fn what_needs_a_restart_is_named_until_the_file_says_what_runs() {
    let folder = Folder::with("restart", &fresh(1));
    folder.write(&format!("{}listen: 127.0.0.1:7999\ndrain: 5s\n", fresh(2)));
    let applied = folder.reloader.reload().expect("it is good");
    assert_eq!(
        applied.after_restart,
        [
            "listen: 127.0.0.1:7999 is said, 127.0.0.1:7470 is in force",
            "drain: 5s is said, 25s is in force"
        ]
    );
    assert_eq!(folder.fresh(), 2, "the rest is in force");
    assert_eq!(folder.reloader.state().after_restart, applied.after_restart);
    folder.write(&fresh(2));
    assert_eq!(folder.reloader.reload(), Ok(Applied::default()));
}

#[test]
fn the_swap_of_a_link_as_kubelet_does_it_is_seen() {
    let folder = Folder::new("kubelet", |path| {
        fs::create_dir(path.join("..2026_01")).unwrap();
        fs::write(path.join("..2026_01/millpond.yaml"), fresh(1)).unwrap();
        symlink("..2026_01", path.join("..data")).unwrap();
        symlink("..data/millpond.yaml", path.join("millpond.yaml")).unwrap();
    });
    folder.look(1);
    let path = &folder.path;
    fs::create_dir(path.join("..2026_02")).unwrap();
    fs::write(path.join("..2026_02/millpond.yaml"), fresh(2)).unwrap();
    symlink("..2026_02", path.join("..data_tmp")).unwrap();
    fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    fs::remove_dir_all(path.join("..2026_01")).unwrap();
    folder.look(2);
    assert_eq!((folder.fresh(), folder.counts()), (2, (1, 0)));
}

#[test]
fn a_file_that_is_gone_for_a_moment_is_no_mistake_and_for_longer_is_one() {
    let folder = Folder::with("gone", &fresh(1));
    folder.look(1);
    fs::remove_file(folder.path.join("millpond.yaml")).unwrap();
    folder.look(1);
    assert_eq!(folder.counts(), (0, 0));
    folder.look(4);
    assert_eq!((folder.fresh(), folder.counts()), (1, (0, 1)));
    let errors = folder.reloader.state().errors;
    assert!(errors[0].contains("cannot be read"), "{errors:?}");
    folder.write(&fresh(1));
    folder.look(2);
    assert_eq!(folder.reloader.state().errors, [] as [String; 0]);
}

#[test]
fn a_written_file_is_seen_although_its_size_and_its_time_are_the_same() {
    let folder = Folder::with("same", &fresh(1));
    folder.look(1);
    let file = folder.path.join("millpond.yaml");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    folder.write(&fresh(2));
    let opened = fs::File::options().write(true).open(&file).unwrap();
    opened.set_modified(before).unwrap();
    folder.look(2);
    assert_eq!(folder.fresh(), 2);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = Folder::with("folder", &fresh(1));
    fs::remove_file(folder.path.join("millpond.yaml")).unwrap();
    fs::create_dir(folder.path.join("millpond.yaml")).unwrap();
    let errors = folder.reloader.reload().expect_err("a folder");
    assert!(errors[0].contains("not a regular file"), "{errors:?}");
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let config = Config::default();
    let pond = Pond::new(config.cache.clone());
    let reloader = Reloader::new(&config, &pond, &no_tenants(&pond), &none());
    assert!(reloader.reload().is_err());
    assert_eq!(reloader.state().refused, 0);
    let cache = CacheName::parse("users").unwrap();
    let scope = pond.scope_named("acme", cache.as_str()).unwrap();
    assert_eq!(scope.policy(), Policy::undeclared());
}

#[test]
fn environment_and_flags_stay_over_a_file_that_changes() {
    let folder = Folder::with("layers", &fresh(1));
    let file = Some(folder.path.join("millpond.yaml"));
    let source = Source::new(file, |name| (name == "MILLPOND_DRAIN").then(|| "7s".into()));
    let source = source.with_flag("--workers", "workers", "3".into());
    let running = source.read().unwrap().config;
    assert_eq!((running.drain.as_secs(), running.workers), (7, 3));
    let reloader = Reloader::new(&running, &folder.pond, &folder.tenants, &none());
    folder.write(&format!("{}drain: 9s\nworkers: 4\n", fresh(2)));
    assert_eq!(
        reloader.reload(),
        Ok(Applied::default()),
        "the file says nothing new"
    );
}

/// What comes of it, if it comes in a minute.
fn at_all<T: Send + 'static>(of: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(of()));
    tells.recv_timeout(Duration::from_secs(60)).ok()
}

#[test]
fn a_pipe_in_the_files_place_is_refused_and_not_waited_for() {
    let folder = Folder::with("pipe", &fresh(1));
    let path = folder.path.join("millpond.yaml");
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let reloader = folder.reloader.clone();
    let refused = at_all(move || reloader.reload()).expect("it came to an end");
    assert!(refused.unwrap_err()[0].contains("not a regular file"));
}

#[test]
fn what_is_in_force_is_told_while_the_file_is_read() {
    let folder = Folder::with("told", &fresh(1));
    let reading = folder.reloader.0.looks.lock();
    let (reads, looks, asks) = [(); 3].map(|()| folder.reloader.clone()).into();
    let waiting = [
        std::thread::spawn(move || drop(reads.reload())),
        std::thread::spawn(move || looks.look()),
    ];
    let told = at_all(move || asks.state()).expect("it was told");
    assert_eq!(told.reloads, 0);
    drop(reading);
    let ended = at_all(move || waiting.map(|thread| thread.join().is_ok()));
    assert_eq!(ended, Some([true, true]));
}

#[test]
fn what_an_operator_did_stands_until_the_file_says_something_else_of_that_tenant() {
    let of = |acme: &str, other: &str| {
        format!("apiVersion: millpond/v1\ntenants:\n  acme: {acme}\n  other: {other}\n")
    };
    let folder = Folder::with("tenants", "apiVersion: millpond/v1\n");
    let obeyed = |text: &str| {
        folder.write(text);
        folder.reloader.reload().unwrap()
    };
    let entry = |name: &str| folder.tenants.directory.resolve(name).unwrap();
    obeyed(&of("{tier: free}", "{tier: free}"));
    assert_eq!(entry("acme").profile().tier.as_str(), "free");
    let acme = entry("acme").id().clone();
    folder
        .tenants
        .directory
        .set_state(&acme, State::Suspended)
        .unwrap();
    obeyed(&of("{tier: free}", "{tier: pro}"));
    assert_eq!(entry("acme").state(), State::Suspended, "nothing new of it");
    obeyed(&of("{tier: pro}", "{tier: pro, state: suspended}"));
    assert_eq!(
        entry("acme").state(),
        State::Suspended,
        "nothing is said of its state"
    );
    assert_eq!(entry("acme").profile().tier.as_str(), "pro");
    assert_eq!(entry("other").state(), State::Suspended);
    obeyed(&of("{tier: pro, state: active}", "{tier: pro}"));
    assert_eq!(entry("acme").state(), State::Active);
    assert_eq!(
        entry("other").state(),
        State::Active,
        "what suspended it is gone"
    );
    obeyed("apiVersion: millpond/v1\nunknown_tenants: refuse\n");
    assert!(folder.tenants.directory.resolve("acme").is_err());
}

#[test]
fn a_file_that_is_refused_changes_no_tenant() {
    let good = "apiVersion: millpond/v1\ntenants: {acme: {tier: free}}\n";
    let folder = Folder::with("tenants-refused", "apiVersion: millpond/v1\n");
    folder.write(good);
    folder.reloader.reload().unwrap();
    for wrong in [
        "tenants: {acme: {tier: gold}}",
        "tenants: {}\ncaches: {a: {fresh: 1}}",
    ] {
        folder.write(&format!("apiVersion: millpond/v1\n{wrong}\n"));
        let refused = folder.reloader.reload().unwrap_err();
        assert_eq!(refused.len(), 1, "{refused:?}");
        let acme = folder.tenants.directory.resolve("acme").unwrap();
        assert_eq!(acme.profile().tier.as_str(), "free");
    }
}
