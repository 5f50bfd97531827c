//! `console`: the page of the admin port in a real browser, fed by a real sidecar under load.
//!
//! Chromium without a window is driven over its debugging protocol, through two named pipes. It may
//! resolve no name. What is asserted: the figures appear and move, nothing is written to the browser's
//! console, no request leaves the host, the page is light, its text has contrast in both schemes, it
//! fits a narrow window, and hostile names stay text. Screenshots go to `target/console/`.

mod base64;
mod browser;
mod page;
mod served;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{command, failure::Failure, machine, millpond, workspace};

use browser::Browser;
use served::{Load, Served};

/// Under the names that distributions give it.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "chrome"];

pub(crate) fn run() -> Result<(), Failure> {
    let Some(chromium) = chromium()? else {
        if machine::is_ci() {
            return Err(Failure::new(
                "there is no Chromium: `apt-get install chromium`",
            ));
        }
        println!("skipped: there is no Chromium; `apt-get install chromium` brings one");
        return Ok(());
    };
    let binary = millpond::build()?;
    let pictures = pictures()?;
    let served = Served::start(&binary)?;
    let load = Load::start(&binary, &served)?;
    let mut browser = Browser::start(chromium, &pictures)?;
    page::shows_what_the_sidecar_does(&mut browser, &served, &pictures)?;
    page::shows_whatever_it_is_told(&mut browser, &served, &pictures)?;
    drop(load);
    page::says_when_the_sidecar_is_away(&mut browser, served, &pictures)?;
    page::is_kept_from_asking_elsewhere(&mut browser)?;
    println!("pictures are in {}", workspace::relative(&pictures));
    Ok(())
}

fn pictures() -> Result<PathBuf, Failure> {
    let folder = workspace::target().join("console");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Finds Chromium, or installs it where that is ours to do.
fn chromium() -> Result<Option<&'static str>, Failure> {
    if let Some(found) = present() {
        return Ok(Some(found));
    }
    if !machine::takes_packages()? {
        return Ok(None);
    }
    println!("installing Chromium, once");
    let install = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["-qq", "-y"]).args(arguments);
        command::run(
            apt.env("DEBIAN_FRONTEND", "noninteractive")
                .stdout(Stdio::null()),
        )
    };
    let packages = [
        "install",
        "--no-install-recommends",
        "chromium",
        "fonts-dejavu-core",
    ];
    // A machine that never asked for them has no lists of packages.
    if install(&packages).is_err() {
        install(&["update"])?;
        install(&packages)?;
    }
    Ok(present())
}

fn present() -> Option<&'static str> {
    NAMES
        .iter()
        .copied()
        .find(|name| command::is_present(Command::new(name).arg("--version")))
}
