//! `margayctl` as a user of a node's agent, read as JSON.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::wait;

/// The command line of one node.
#[derive(Debug, Clone)]
pub struct Ctl {
    /// The program.
    pub program: PathBuf,
    /// The agent's socket.
    pub socket: PathBuf,
}

impl Ctl {
    /// Runs it; whatever comes.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        Command::new(&self.program)
            .arg("--socket")
            .arg(&self.socket)
            .args(args)
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))
    }

    /// What it prints for people.
    pub fn text(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args)?;
        if !output.status.success() {
            bail!("`margayctl {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What it prints with `-o json`.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.text(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("`margayctl {} -o json` printed no JSON: {text}", args.join(" ")))
    }

    /// A listing.
    pub fn list(&self, args: &[&str]) -> Result<Vec<Value>> {
        match self.json(args)? {
            Value::Array(rows) => Ok(rows),
            other => bail!("`margayctl {} -o json` printed no list: {other}", args.join(" ")),
        }
    }

    /// The row of `bgp peers` for a peer's address.
    pub fn peer(&self, address: &str) -> Result<Value> {
        let rows = self.list(&["bgp", "peers"])?;
        let found = rows.iter().find(|row| row["peerAddress"] == address).cloned();
        found.with_context(|| format!("no peer {address} in {rows:?}"))
    }

    /// Waits until at least `least` sessions are there and all are established.
    pub fn wait_established(&self, least: usize, within: Duration) -> Result<Vec<Value>> {
        wait::until(within, "sessions", || {
            let rows = self.list(&["bgp", "peers"])?;
            ensure!(rows.len() >= least, "{} of {least} sessions", rows.len());
            for row in &rows {
                ensure!(
                    row["state"] == "Established",
                    "{} is {}: {}",
                    text(&row["peerAddress"]),
                    text(&row["state"]),
                    text(&row["reason"])
                );
            }
            Ok(rows)
        })
    }

    /// Waits until one peer is in a state.
    pub fn wait_peer(&self, address: &str, state: &str, within: Duration) -> Result<Value> {
        wait::until(within, &format!("peer {address} {state}"), || {
            let row = self.peer(address)?;
            ensure!(row["state"] == state, "it is {}: {}", text(&row["state"]), text(&row["reason"]));
            Ok(row)
        })
    }

    /// The row of `route list` for a prefix.
    pub fn route(&self, prefix: &str) -> Result<Value> {
        let rows = self.list(&["route", "list"])?;
        rows.into_iter().find(|row| row["prefix"] == prefix).with_context(|| format!("no route {prefix}"))
    }
}

/// A string without its quotes, anything else as JSON.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
