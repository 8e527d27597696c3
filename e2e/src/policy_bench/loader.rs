//! The agent's own compiler, planner and committer as a process in a namespace: `agent/examples/rules.rs`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::ground::PODS;
use crate::netns::Netns;
use crate::programs::Programs;

/// One that runs.
#[derive(Debug)]
pub struct Loader {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What one command took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Took {
    /// From objects to the program.
    pub compile: f64,
    /// From the program to the transaction.
    pub plan: f64,
    /// Until the kernel has it.
    pub commit: f64,
    /// Operations of the transaction.
    pub operations: usize,
    /// Rules that are in the table then.
    pub rules: usize,
    /// Memory of the process, in octets.
    pub resident: u64,
}

impl Took {
    /// All of it.
    pub fn all(&self) -> f64 {
        self.compile + self.plan + self.commit
    }
}

impl Loader {
    /// Starts one in the node's namespace; it has nothing in the kernel yet.
    pub fn start(programs: &Programs, node: &Netns) -> Result<Self> {
        let program = programs.folder.join("examples/rules");
        let mut child = node.run(|| {
            let mut command = Command::new(&program);
            for (link, address) in PODS {
                command.arg(format!("{link}={address}"));
            }
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().with_context(|| {
                let program = program.display();
                format!("cannot run {program}: run `cargo build --release -p margay-agent --example rules` first")
            })
        })?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("it has no output")?);
        Ok(Self { child, input, output })
    }

    /// Has it do something.
    pub fn tell(&mut self, command: &str) -> Result<Took> {
        let input = self.input.as_mut().context("it has no input")?;
        writeln!(input, "{command}")?;
        input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("it ended at `{command}`");
        }
        serde_json::from_str(&line).with_context(|| format!("`{command}` was answered by {line}"))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.input.take(); // it ends at the end of its input
        self.child.wait().ok();
    }
}
