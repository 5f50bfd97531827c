//! Resident bytes an entry takes, key and value included: each cache in a process of
//! its own, filled with keys of 32 and values of 128 bytes that it owns alone, so that
//! nothing else is in the difference. Linux only: the kernel's count is read.
//!
//! The process re-executes itself once a cache, with `--child` and its name.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    process::Command,
};

use millpond_benches::{
    subject::{Capacity, Key, Subject, Value, Visitor},
    table::Table,
    workload::{ENTRY_BYTES, KEY_BYTES, VALUE_BYTES},
};

mod peers;

const CHILD: &str = "--child";
const FULL: usize = 500_000;
const QUICK: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // Without `--bench` cargo is only checking that the target runs.
    let quick = asked("--quick") || !asked("--bench");
    let entries = if quick { QUICK } else { FULL };

    if let [flag, name, entries] = arguments.as_slice()
        && flag == CHILD
    {
        let mut fill = Fill {
            name,
            entries: entries.parse()?,
            report: None,
        };
        peers::visit_all(&mut fill);
        let report = fill.report.ok_or("no cache of that name")??;
        write!(io::stdout(), "{report}")?;
        return Ok(());
    }

    let mut names = Names(Vec::new());
    peers::visit_all(&mut names);
    let mut table = Table::new([
        "cache",
        "resident bytes an entry",
        "above key and value",
        "entries held",
    ]);
    for (name, title) in names.0 {
        let arguments = [CHILD, name, &entries.to_string()];
        let output = Command::new(std::env::current_exe()?)
            .args(arguments)
            .output()?;
        let output = String::from_utf8(output.stdout)?;
        let (held, grown) = output.split_once(' ').ok_or("the child did not report")?;
        let (held, grown): (usize, usize) = (held.parse()?, grown.parse()?);
        let each = grown / held.max(1);
        let above = each.saturating_sub(KEY_BYTES + VALUE_BYTES);
        table.push([title, each.to_string(), above.to_string(), held.to_string()]);
    }
    writeln!(
        io::stdout().lock(),
        "{entries} entries of {KEY_BYTES} + {VALUE_BYTES} bytes\n\n{table}"
    )?;
    Ok(())
}

struct Names(Vec<(&'static str, String)>);

impl Visitor for Names {
    fn visit<S: Subject + 'static>(&mut self) {
        self.0.push((S::NAME, peers::title::<S>()));
    }
}

/// The child: fills the named cache and reports `held grown`.
struct Fill<'a> {
    name: &'a str,
    entries: usize,
    report: Option<io::Result<String>>,
}

impl Visitor for Fill<'_> {
    fn visit<S: Subject + 'static>(&mut self) {
        if S::NAME == self.name {
            self.report = Some(fill::<S>(self.entries));
        }
    }
}

fn fill<S: Subject>(entries: usize) -> io::Result<String> {
    let before = resident_bytes()?;
    // Twice the room, so that every entry stays, as in the hit workloads.
    let subject = S::build(Capacity {
        entries: 2 * entries,
        entry_bytes: ENTRY_BYTES,
    });
    for index in 0..entries {
        subject.insert(key(index), Value::copy_from_slice(&[7; VALUE_BYTES]));
    }
    subject.settle();
    let grown = resident_bytes()?.saturating_sub(before);
    let held = (0..entries)
        .filter(|&index| subject.get(&key(index)))
        .count();
    Ok(format!("{held} {grown}"))
}

fn key(index: usize) -> Key {
    format!("{index:0>KEY_BYTES$}").into_bytes().into()
}

/// `VmRSS` of this process.
fn resident_bytes() -> io::Result<usize> {
    const KIB: usize = 1024;
    let status = fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<usize>()
                .ok()
        })
        .map(|kib| kib * KIB)
        .ok_or_else(|| io::Error::other("/proc/self/status has no VmRSS in kB"))
}
