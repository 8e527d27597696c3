//! A lab for one test: a prefix of its own, taken away when the test ends, and its logs shown if the test failed.

use std::ops::Deref;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use crate::lab::{self, Lab};
use crate::plan::{Plan, RouterKind, Shape};
use crate::programs::Programs;

/// Prefixes of tests begin so.
const PREFIX: &str = "e2e";
/// Lines of each log that a failed test shows.
const TAIL: usize = 60;

static SWEPT: Once = Once::new();
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// A lab that lives as long as the test. With `KEEP=1` in the environment it stays, to look around in it.
#[derive(Debug)]
pub struct Trial {
    lab: Lab,
    /// Whether its end prints the logs.
    talks: bool,
}

impl Trial {
    /// Nothing stands yet.
    pub fn new(shape: Shape) -> Result<Self> {
        Self::planned(shape, |_| {})
    }

    /// The same, with changes to the plan.
    pub fn planned(shape: Shape, change: impl FnOnce(&mut Plan)) -> Result<Self> {
        SWEPT.call_once(|| lab::sweep(PREFIX).unwrap_or_else(|wrong| eprintln!("{wrong:#}")));
        let prefix = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut plan = Plan::new(prefix, shape);
        change(&mut plan);
        let lab = Lab::new(plan, Programs::find()?, |_| {})?;
        lab.claim()?;
        Ok(Self { lab, talks: true })
    }

    /// For a test whose output nobody keeps until it is wanted: nothing is printed at the end, see [`Trial::logs`].
    pub fn silent(mut self) -> Self {
        self.talks = false;
        self
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        tails(&self.lab.plan.folder())
    }

    /// A whole lab, up.
    pub fn up(shape: Shape) -> Result<Self> {
        let trial = Self::new(shape)?;
        trial.lab.up()?;
        Ok(trial)
    }

    /// A whole lab with FRR as router, up.
    pub fn up_with_frr(shape: Shape) -> Result<Self> {
        let trial = Self::planned(shape, |plan| plan.router = RouterKind::Frr)?;
        trial.lab.up()?;
        Ok(trial)
    }
}

impl Deref for Trial {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // A test that returns an error does not panic, so the tails are printed either way; libtest shows them on failure only.
        if self.talks {
            println!("{}", self.logs());
        }
        if std::env::var_os("KEEP").is_some() {
            println!("kept: {}", self.lab.plan.folder().display());
        } else if let Err(wrong) = self.lab.down() {
            println!("{wrong:#}");
        }
    }
}

fn tails(folder: &Path) -> String {
    let mut all = String::new();
    for machine in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(machine.path()).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|extension| extension == "log")
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
                all += &format!("── the end of {} ({} lines)\n{}\n", path.display(), lines.len(), tail.join("\n"));
            }
        }
    }
    all
}
