//! The interop matrix as tests: one for each case and daemon that `e2e/interop` has, and then the table of `docs/interop.md`,
//! which has to say what they have shown. `BLESS=1` writes it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use e2e::interop::case::Case;
use e2e::interop::cell::{self, Outcome};
use e2e::interop::table::{self, Outcomes};
use e2e::interop::{folder, table::document};
use e2e::router::{DAEMONS, Daemon};
use e2e::tshark;
use libtest_mimic::{Arguments, Failed, Trial};

/// Cells at once: they wait far more than they compute.
const AT_ONCE: usize = 6;

fn main() -> ExitCode {
    let shown = matrix();
    if let Err(wrong) = &shown {
        eprintln!("{wrong:#}");
    }
    if shown.is_ok_and(|passed| passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether all that was played passed.
fn matrix() -> Result<bool> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.max(Some(AT_ONCE));
    let cases: Arc<Vec<Case>> = Arc::new(Case::discover(&folder())?);
    let outcomes = Arc::new(Mutex::new(Outcomes::new()));
    let cells: Vec<(usize, Daemon)> = (0..cases.len())
        .flat_map(|case| DAEMONS.map(|daemon| (case, daemon)))
        .filter(|(case, daemon)| cases.get(*case).is_some_and(|case| case.applies(*daemon)))
        .collect();
    let expected = cells.len();
    let captures = Arc::new(tempfile::tempdir()?);
    let trials = cells.into_iter().filter_map(|(number, daemon)| {
        let (cases, outcomes, captures) = (Arc::clone(&cases), Arc::clone(&outcomes), Arc::clone(&captures));
        let name = format!("{}::{}", cases.get(number)?.path().replace('/', "::"), daemon.key());
        Some(Trial::test(name, move || one(&cases, number, daemon, captures.path(), &outcomes)))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
    if !outcomes.is_empty() {
        nothing_that_we_sent_is_malformed(captures.path(), outcomes.len() == expected)?;
    }
    if outcomes.len() == expected && expected > 0 {
        the_table_says_what_was_shown(&cases, &outcomes)?;
    }
    Ok(!conclusion.has_failed())
}

fn one(
    cases: &[Case],
    number: usize,
    daemon: Daemon,
    captures: &Path,
    outcomes: &Mutex<Outcomes>,
) -> Result<(), Failed> {
    let case = cases.get(number).ok_or("no such case")?;
    let outcome = cell::play(case, daemon, captures);
    let answer = match &outcome {
        Outcome::Passed | Outcome::Wrong => Ok(()),
        Outcome::Failed(why) => Err(Failed::from(why)),
    };
    outcomes.lock().unwrap_or_else(PoisonError::into_inner).insert((case.path(), daemon), outcome);
    answer
}

/// What tshark makes of every message that an agent of ours sent in the cells that were played.
fn nothing_that_we_sent_is_malformed(captures: &Path, all: bool) -> Result<()> {
    let files = std::fs::read_dir(captures)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let reading = tshark::read(&files, "!(ip.src == 10.10.0.1) && !(ipv6.src == fd00:10:1::1)")?;
    let [_, open, update, notification, keepalive, refresh] = reading.messages;
    println!(
        "tshark read of us: {open} OPEN, {update} UPDATE, {notification} NOTIFICATION, {keepalive} KEEPALIVE, {refresh} ROUTE-REFRESH"
    );
    ensure!(reading.complaints.is_empty(), "tshark complains of what we sent:\n{}", reading.complaints.join("\n"));
    ensure!(
        !all || (open > 50 && update > 50 && keepalive > 50 && notification > 0),
        "that is too little to say anything"
    );
    Ok(())
}

fn the_table_says_what_was_shown(cases: &[Case], outcomes: &Outcomes) -> Result<()> {
    let versions: Vec<(Daemon, String)> =
        DAEMONS.into_iter().map(|daemon| Ok((daemon, table::version(daemon)?))).collect::<Result<_>>()?;
    let shown = table::render(cases, outcomes, &versions);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(document(), shown)?;
        return Ok(());
    }
    let claimed = std::fs::read_to_string(document()).unwrap_or_default();
    let differs = shown.lines().zip(claimed.lines()).find(|(shown, claimed)| shown != claimed);
    if let Some((shown, claimed)) = differs {
        bail!(
            "docs/interop.md is not what the run has shown; `make interop` writes it\n  claimed: {claimed}\n  shown:   {shown}"
        );
    }
    ensure!(shown == claimed, "docs/interop.md has more or less than the run has shown; `make interop` writes it");
    Ok(())
}
