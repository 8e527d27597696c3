//! kubectl as the cluster's admin, and what tests ask it for most often.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::plan::Plan;

/// kubectl in the namespace of the control plane.
#[derive(Debug, Clone)]
pub struct Kubectl {
    plan: Plan,
}

impl Kubectl {
    /// The cluster's own, of the same release.
    pub fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone() }
    }

    /// A command with `args`, to be run by the caller.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.plan.control_plane().name()])
            .arg(self.plan.programs().join("kubectl"))
            .arg("--kubeconfig")
            .arg(self.plan.kubeconfig("admin"))
            .arg("--cache-dir")
            .arg(self.plan.folder().join("kubectl-cache"))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs it, whatever comes of it.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        self.command(args).output().context("cannot run kubectl")
    }

    /// Its standard output if it succeeds.
    pub fn text(&self, args: &[&str]) -> Result<String> {
        said(args, &self.output(args)?)
    }

    /// What `-o json` gives.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.text(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("`kubectl {}` did not print JSON", args.join(" ")))
    }

    /// The `items` of a list.
    pub fn list(&self, args: &[&str]) -> Result<Vec<Value>> {
        let items = self.json(&[&["get"], args].concat())?["items"].take();
        Ok(serde_json::from_value(items)?)
    }

    /// Gives `text` (YAML or JSON) to `kubectl ARGS -f -`.
    pub fn feed(&self, args: &[&str], text: &str) -> Result<String> {
        let args = [args, &["-f", "-"]].concat();
        let mut child = self
            .command(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        child.stdin.take().ok_or_else(|| anyhow!("kubectl has no stdin"))?.write_all(text.as_bytes())?;
        said(&args, &child.wait_with_output()?)
    }

    /// `kubectl apply` of objects as text.
    pub fn apply(&self, text: &str) -> Result<String> {
        self.feed(&["apply"], text)
    }

    /// `kubectl wait --for=...`; `what` names the objects, and their namespace if they have one.
    pub fn wait(&self, condition: &str, what: &[&str], within: Duration) -> Result<()> {
        let (condition, timeout) = (format!("--for={condition}"), format!("--timeout={}s", within.as_secs()));
        self.text(&[&["wait", &condition, &timeout], what].concat())?;
        Ok(())
    }

    /// `kubectl delete`, which returns when it is gone; a finalizer that nobody removes is an error after two minutes.
    pub fn delete(&self, what: &[&str]) -> Result<()> {
        self.text(&[&["delete", "--timeout=120s"], what].concat())?;
        Ok(())
    }

    /// Runs a command in a pod; its standard output if it succeeds.
    pub fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<String> {
        self.text(&[&["-n", namespace, "exec", pod, "--"], command].concat())
    }
}

fn said(args: &[&str], output: &Output) -> Result<String> {
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("`kubectl {}`: {} {}", args.join(" "), err.trim(), out.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
