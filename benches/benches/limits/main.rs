//! What a decision on a limit takes in process: Millpond beside governor, in alternating
//! rounds of one process, so that what the machine does meanwhile befalls both. Ratios
//! are taken within a round; the table gives their medians.
//!
//! Buckets are so large that all but nothing is denied, or so slow that all but
//! nothing is admitted, as the row says; the last column but one tells what was.
//!
//! `--quick` runs fewer and shorter rounds: to see that it works, not to quote. Names
//! after `--` run only the groups that begin with one of them.

use std::io::{self, Write};

use millpond_benches::race::Run;
use millpond_benches::table::{Table, median};

mod millpond;
mod peer;
mod work;

use millpond::{ADMITS, DENIES, Share};
use work::Contender;

const THREADS: [usize; 2] = [1, 2];
const FULL: Effort = Effort {
    rounds: 9,
    operations: 1_000_000,
};
const QUICK: Effort = Effort {
    rounds: 3,
    operations: 50_000,
};

#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    operations: u64,
}

/// Contenders that are compared with each other; those named as [`peer::KEYED`] and
/// [`peer::DIRECT`] are what the others are held against.
struct Group {
    title: &'static str,
    make: fn() -> Vec<Contender>,
}

const GROUPS: [Group; 8] = [
    Group {
        title: "in hand, a bucket each",
        make: || {
            let mut all = millpond::in_hand(&ADMITS, Share::Each);
            all.extend(peer::in_hand(peer::admits(), true));
            all
        },
    },
    Group {
        title: "in hand, one bucket",
        make: || {
            let mut all = millpond::in_hand(&ADMITS, Share::One);
            all.extend(peer::in_hand(peer::admits(), false));
            all
        },
    },
    Group {
        title: "in hand, denied",
        make: || {
            let mut all = millpond::in_hand(&DENIES, Share::Each);
            all.extend(peer::in_hand(peer::denies(), true));
            all
        },
    },
    Group {
        title: "by name, 10 000 tenants",
        make: || vec![millpond::by_name(&ADMITS), peer::by_key(peer::admits(), 1)],
    },
    Group {
        title: "by name, denied",
        make: || vec![millpond::by_name(&DENIES), peer::by_key(peer::denies(), 1)],
    },
    Group {
        title: "a limit's key, 10 000 keys",
        make: || {
            vec![
                millpond::by_key(&ADMITS, true),
                millpond::by_key(&ADMITS, false),
                peer::by_key(peer::admits(), 1),
            ]
        },
    },
    Group {
        title: "2 charges, 10 000 tenants",
        make: || {
            vec![
                millpond::charges(&ADMITS, 2),
                peer::by_key(peer::admits(), 2),
            ]
        },
    },
    Group {
        title: "8 charges, 10 000 tenants",
        make: || {
            vec![
                millpond::charges(&ADMITS, 8),
                peer::by_key(peer::admits(), 8),
            ]
        },
    },
];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // Under `cargo test --benches` the flag is absent too; only `--bench` is a real run.
    let effort = if asked("--quick") || !asked("--bench") {
        QUICK
    } else {
        FULL
    };
    let chosen = |group: &&Group| {
        let mut names = arguments.iter().filter(|name| !name.starts_with("--"));
        let any = names.clone().next().is_none();
        any || names.any(|name| group.title.starts_with(name))
    };
    let mut table = Table::new([
        "what",
        "threads",
        "who",
        "ns/op, median",
        "min",
        "max",
        "of governor keyed",
        "of governor direct",
        "admitted %",
        "overlap %",
    ]);
    for group in GROUPS.iter().filter(chosen) {
        let contenders = (group.make)();
        for threads in THREADS {
            let rounds = alternate(&contenders, threads, effort);
            for place in 0..contenders.len() {
                table.push(row(group.title, threads, place, &contenders, &rounds));
            }
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}; {} rounds of {} operations a thread\n\n{table}",
        peer::title(),
        effort.rounds,
        effort.operations
    )
}

/// Rounds × contenders. Every round starts with another one, so that none always runs
/// behind the same neighbour.
fn alternate(contenders: &[Contender], threads: usize, effort: Effort) -> Vec<Vec<Run>> {
    for contender in contenders {
        let _warm = contender.run(threads, effort.operations / 10);
    }
    (0..effort.rounds)
        .map(|round| {
            let mut runs: Vec<(usize, Run)> = (0..contenders.len())
                .map(|step| {
                    let place = (round + step) % contenders.len();
                    (place, contenders[place].run(threads, effort.operations))
                })
                .collect();
            runs.sort_by_key(|&(place, _)| place);
            runs.into_iter().map(|(_, run)| run).collect()
        })
        .collect()
}

fn row(
    title: &str,
    threads: usize,
    place: usize,
    contenders: &[Contender],
    rounds: &[Vec<Run>],
) -> Vec<String> {
    let nanos = |place: usize| {
        rounds
            .iter()
            .map(move |round| round[place].nanos_per_operation())
    };
    let of = |peer: &str| {
        let peer = contenders.iter().position(|other| other.name() == peer);
        peer.map_or_else(String::new, |peer| {
            let ratios = nanos(place).zip(nanos(peer)).map(|(own, peer)| own / peer);
            format!("{:.2}", median(ratios))
        })
    };
    let runs = || rounds.iter().map(|round| round[place]);
    let operations: u64 = runs().map(|run| run.operations * threads as u64).sum();
    let admitted: u64 = runs().map(|run| run.hits).sum();
    vec![
        title.to_owned(),
        threads.to_string(),
        contenders[place].name().to_owned(),
        format!("{:.1}", median(nanos(place))),
        format!("{:.1}", nanos(place).fold(f64::INFINITY, f64::min)),
        format!("{:.1}", nanos(place).fold(0.0, f64::max)),
        of(peer::KEYED),
        of(peer::DIRECT),
        format!("{:.1}", 100.0 * admitted as f64 / operations as f64),
        format!("{:.0}", 100.0 * median(runs().map(|run| run.overlap))),
    ]
}
