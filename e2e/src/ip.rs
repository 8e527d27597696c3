//! `ip` in batches: one process for many changes.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::netns::Netns;

/// Runs lines of `ip -batch` where the caller stands.
pub fn batch(lines: &[String]) -> Result<()> {
    run(&[], lines).context("in the machine's own namespace")
}

/// Runs lines of `ip -batch` in a namespace.
pub fn batch_in(netns: &Netns, lines: &[String]) -> Result<()> {
    run(&["-n", netns.name()], lines).with_context(|| format!("in namespace {}", netns.name()))
}

fn run(prefix: &[&str], lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut child = Command::new("ip")
        .args(prefix)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run ip (package iproute2)")?;
    let mut text = lines.join("\n");
    text.push('\n');
    child.stdin.take().ok_or_else(|| anyhow!("ip has no stdin"))?.write_all(text.as_bytes()).ok();
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`ip -batch` failed: {}\n{text}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
