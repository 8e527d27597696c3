//! `docs/interop.md`: who passes what, as one run has shown it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::case::Case;
use super::cell::Outcome;
use crate::router::{DAEMONS, Daemon};

/// What each cell that was played came to.
pub type Outcomes = BTreeMap<(String, Daemon), Outcome>;

/// Where the table is.
pub fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/interop.md")
}

/// `2.0.12`: the daemon's own version, not Debian's.
pub fn version(daemon: Daemon) -> Result<String> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${source:Upstream-Version}", daemon.package()])
        .output()
        .context("cannot run dpkg-query")?;
    ensure!(
        output.status.success(),
        "{} is not installed: {}",
        daemon.package(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The document that a run of all cells amounts to.
pub fn render(cases: &[Case], outcomes: &Outcomes, versions: &[(Daemon, String)]) -> String {
    let mut text = String::from(HEAD);
    let mut notes = Notes::default();
    let mut group = "";
    for case in cases {
        if case.group != group {
            group = &case.group;
            let _ = write!(text, "\n## {}\n\n| feature | source |", title(group));
            for (daemon, version) in versions {
                let _ = write!(text, " {daemon} {version} |");
            }
            text += &format!("\n|---|---|{}\n", "---|".repeat(DAEMONS.len()));
        }
        let link = format!("../e2e/interop/{}/case.yaml", case.path());
        let _ = write!(text, "| [{}]({link}) | {} |", case.script.title, case.script.source);
        for daemon in DAEMONS {
            let _ = write!(text, " {} |", cell(case, daemon, outcomes, &mut notes));
        }
        text.push('\n');
    }
    if !notes.said.is_empty() {
        text += "\n## Notes\n\n";
        for (number, note) in notes.said.iter().enumerate() {
            let _ = writeln!(text, "{}. {note}", number + 1);
        }
    }
    text
}

fn cell(case: &Case, daemon: Daemon, outcomes: &Outcomes, notes: &mut Notes) -> String {
    let (script, key) = (&case.script, daemon.key());
    if let Some(reason) = script.absent.get(key) {
        return format!("– ({})", notes.number(format!("{daemon} has it not: {reason}.")));
    }
    match outcomes.get(&(case.path(), daemon)) {
        Some(Outcome::Passed) => match script.notes.get(key) {
            Some(note) => format!("yes ({})", notes.number(format!("{daemon}: {note}."))),
            None => "yes".into(),
        },
        Some(Outcome::Wrong) => {
            let observed = script.wrong.get(key).map(|wrong| wrong.observed.as_str()).unwrap_or_default();
            format!("peer is wrong ({})", notes.number(format!("{daemon}: {observed}.")))
        }
        Some(Outcome::Failed(_)) => "**no**".into(),
        None => "not run".into(),
    }
}

#[derive(Default)]
struct Notes {
    said: Vec<String>,
}

impl Notes {
    /// The number of a note, the same for the same words.
    fn number(&mut self, note: String) -> usize {
        match self.said.iter().position(|said| *said == note) {
            Some(position) => position + 1,
            None => {
                self.said.push(note);
                self.said.len()
            }
        }
    }
}

fn title(group: &str) -> String {
    let mut letters = group.replace('-', " ").chars().collect::<Vec<_>>();
    if let Some(first) = letters.first_mut() {
        *first = first.to_ascii_uppercase();
    }
    letters.into_iter().collect()
}

const HEAD: &str = "# Who passes what

Margay beside four other BGP daemons, as Debian packages them. `make interop` plays every case of `e2e/interop` with every daemon that has the feature, in network namespaces, with the
real agent, and writes this file from what it saw. `make test` plays them too, and fails where this file claims what the run did not show.

Each cell is judged from both sides: by `margayctl -o json`, and by what the daemon's own client says (`birdc`, `vtysh`, `gobgp`, `bgpctl`). *yes*: all was as the case
wants it. *–*: the daemon does not have the feature. *peer is wrong*: the daemon does something else, always the same; the note says what.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_note_has_one_number() {
        let mut notes = Notes::default();
        assert_eq!(notes.number("a".into()), 1);
        assert_eq!(notes.number("b".into()), 2);
        assert_eq!(notes.number("a".into()), 1);
    }
}
