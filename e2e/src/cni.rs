//! A container runtime's side of the CNI protocol: runs a list of plugins, one after the other, as the spec says.
//!
//! CNI spec 1.1.0: environment and standard input in, JSON out, `prevResult` from plugin to plugin, DEL in reverse.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::netns::Netns;

/// A network configuration list, on one node.
#[derive(Debug, Clone)]
pub struct Network {
    /// `cniVersion`, `name`, `plugins`.
    pub conflist: Value,
    /// Folders to look for plugins in.
    pub path: Vec<PathBuf>,
    /// The node.
    pub netns: Netns,
    /// Where results are kept between ADD and DEL.
    pub cache: PathBuf,
}

/// One interface of one container.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`.
    pub netns: PathBuf,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `CNI_ARGS`.
    pub args: Vec<(String, String)>,
    /// By capability: `{"portMappings": [...]}`.
    pub capabilities: Value,
}

impl Attachment {
    /// `eth0` of a pod of Kubernetes.
    pub fn of_pod(container_id: &str, netns: &Netns, namespace: &str, pod: &str) -> Self {
        let args = [
            ("IgnoreUnknown", "1"),
            ("K8S_POD_NAMESPACE", namespace),
            ("K8S_POD_NAME", pod),
            ("K8S_POD_INFRA_CONTAINER_ID", container_id),
        ];
        Self {
            container_id: container_id.into(),
            netns: netns.path(),
            ifname: "eth0".into(),
            args: args.map(|(key, value)| (key.into(), value.into())).into(),
            capabilities: json!({}),
        }
    }

    /// `eth0` of a container that Kubernetes knows nothing of.
    pub fn of_container(container_id: &str, netns: &Netns) -> Self {
        Self { args: Vec::new(), ..Self::of_pod(container_id, netns, "", "") }
    }
}

/// What one plugin said when it failed.
#[derive(Debug, Clone)]
pub struct PluginError {
    /// `ADD`.
    pub verb: String,
    /// The plugin.
    pub plugin: String,
    /// The spec's error object; null if standard output was not JSON.
    pub error: Value,
    /// Exit status, if it was not a signal.
    pub status: Option<i32>,
    /// Both outputs as they were.
    pub output: String,
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} failed ({:?}): {}", self.verb, self.plugin, self.status, self.output.trim())
    }
}

impl std::error::Error for PluginError {}

impl Network {
    /// ADD: the result of the last plugin.
    pub fn add(&self, attachment: &Attachment) -> Result<Value> {
        let mut result = Value::Null;
        for plugin in self.plugins()? {
            result = self.call("ADD", plugin, attachment, &result)?;
        }
        fs::create_dir_all(&self.cache)?;
        fs::write(self.cached(attachment), result.to_string())?;
        Ok(result)
    }

    /// CHECK, with the result that ADD gave.
    pub fn check(&self, attachment: &Attachment) -> Result<()> {
        let result = self.result(attachment)?;
        for plugin in self.plugins()? {
            self.call("CHECK", plugin, attachment, &result)?;
        }
        Ok(())
    }

    /// DEL, in reverse; goes on after an error and returns the first one.
    pub fn del(&self, attachment: &Attachment) -> Result<()> {
        let result = self.result(attachment).unwrap_or(Value::Null);
        let mut outcome = Ok(());
        for plugin in self.plugins()?.iter().rev() {
            let deleted = self.call("DEL", plugin, attachment, &result).map(|_| ());
            outcome = outcome.and(deleted);
        }
        fs::remove_file(self.cached(attachment)).ok();
        outcome
    }

    /// STATUS of the first plugin (spec 1.1.0).
    pub fn status(&self) -> Result<()> {
        let plugin = self.first()?;
        self.exec("STATUS", plugin, &[], &self.configured(plugin)).map(|_| ())
    }

    /// GC of the first plugin: everything but `valid` may go (spec 1.1.0).
    pub fn gc(&self, valid: &[&Attachment]) -> Result<()> {
        let plugin = self.first()?;
        let mut config = self.configured(plugin);
        config["cni.dev/valid-attachments"] =
            valid.iter().map(|one| json!({"containerID": one.container_id, "ifname": one.ifname})).collect();
        self.exec("GC", plugin, &[], &config).map(|_| ())
    }

    /// The result that ADD gave for this attachment.
    pub fn result(&self, attachment: &Attachment) -> Result<Value> {
        let file = self.cached(attachment);
        let text = fs::read(&file).with_context(|| format!("no result of ADD in {}", file.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn plugins(&self) -> Result<&Vec<Value>> {
        self.conflist["plugins"].as_array().ok_or_else(|| anyhow!("the conflist has no plugins"))
    }

    fn first(&self) -> Result<&Value> {
        self.plugins()?.first().ok_or_else(|| anyhow!("the conflist has no plugins"))
    }

    fn cached(&self, attachment: &Attachment) -> PathBuf {
        self.cache.join(format!("{}-{}.json", attachment.container_id, attachment.ifname))
    }

    /// The plugin's own part of the list, with what the runtime adds to it.
    fn configured(&self, plugin: &Value) -> Value {
        let mut config = plugin.clone();
        for key in ["cniVersion", "name"] {
            config[key] = self.conflist[key].clone();
        }
        config
    }

    fn call(&self, verb: &str, plugin: &Value, attachment: &Attachment, previous: &Value) -> Result<Value> {
        let mut config = self.configured(plugin);
        if !previous.is_null() {
            config["prevResult"] = previous.clone();
        }
        for (capability, wanted) in plugin["capabilities"].as_object().into_iter().flatten() {
            let value = &attachment.capabilities[capability];
            if *wanted == json!(true) && !value.is_null() {
                config["runtimeConfig"][capability] = value.clone();
            }
        }
        self.exec(verb, plugin, &environment(attachment), &config)
    }

    fn exec(&self, verb: &str, plugin: &Value, environment: &[(&str, String)], config: &Value) -> Result<Value> {
        let name = plugin["type"].as_str().ok_or_else(|| anyhow!("a plugin without a type: {plugin}"))?;
        let folder = self.path.iter().find(|folder| folder.join(name).is_file());
        let program = folder.with_context(|| format!("no plugin {name} in {:?}", self.path))?.join(name);
        let mut variables: Vec<(&str, String)> = environment.to_vec();
        variables.extend([("CNI_COMMAND", verb.to_owned()), ("CNI_PATH", join(&self.path))]);
        let stdin = config.to_string();
        self.netns.run(|| run(&program, &variables, stdin.as_bytes())).and_then(|ran| ran.understood(verb, name))
    }
}

fn environment(attachment: &Attachment) -> Vec<(&'static str, String)> {
    let args: Vec<String> = attachment.args.iter().map(|(key, value)| format!("{key}={value}")).collect();
    vec![
        ("CNI_CONTAINERID", attachment.container_id.clone()),
        ("CNI_NETNS", attachment.netns.display().to_string()),
        ("CNI_IFNAME", attachment.ifname.clone()),
        ("CNI_ARGS", args.join(";")),
    ]
}

fn join(path: &[PathBuf]) -> String {
    path.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
}

/// What a plugin's process left.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit status, if it was not a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Runs a plugin where the caller stands, with nothing in its environment but `variables` and a PATH.
pub fn run(program: &Path, variables: &[(&str, String)], stdin: &[u8]) -> Result<Ran> {
    let mut child = Command::new(program)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(variables.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(stdin).ok(); // a plugin may fail before it has read all
    }
    let output = child.wait_with_output()?;
    Ok(Ran { status: output.status.code(), stdout: output.stdout, stderr: output.stderr })
}

impl Ran {
    /// The plugin's result, or its error.
    fn understood(self, verb: &str, plugin: &str) -> Result<Value> {
        let value = serde_json::from_slice(&self.stdout).unwrap_or(Value::Null);
        if self.status == Some(0) {
            return Ok(value);
        }
        let output = format!("{}{}", String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        Err(PluginError { verb: verb.into(), plugin: plugin.into(), error: value, status: self.status, output }.into())
    }
}
