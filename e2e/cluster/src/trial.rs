//! What a test works with: the one cluster that is up, a Kubernetes namespace of the test's own, and pods in it.

use std::fs::File;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::images::TOOLS;
use crate::plan::{PREFIX, Plan};
use crate::traces;
use crate::undo::Undo;

pub use e2e::wait::until;

/// Until pods run: they share two cores with everything else.
pub const SOON: Duration = Duration::from_secs(90);
/// Where the web servers of [`Trial::server`] listen.
pub const PORT: u16 = 8080;

/// On every namespace of a test, so that the next one finds what is left; `KEEP` takes it off.
const LABEL: &str = "margay.test/trial";
/// The same of upstream's suites.
const UPSTREAM_LABEL: &str = "e2e-framework";

static NEXT: AtomicUsize = AtomicUsize::new(1);

/// Whom a test can bear beside itself. Tests of one file and tests of different files alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Others that want company too.
    Welcome,
    /// Nobody: it kills things, or measures them.
    None,
}

/// One test's part of the cluster. Its namespace goes away with it.
#[derive(Debug)]
pub struct Trial {
    /// The whole cluster.
    pub cluster: Cluster,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// What is put right when the test is over.
    undo: Undo,
    /// Held as long as the test runs.
    _turn: File,
}

/// A pod that runs.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// The node that it is on.
    pub node: String,
    /// Its address.
    pub ip: String,
    /// As the API server has it.
    pub uid: String,
}

impl Trial {
    /// Waits for its turn, and makes the namespace. Who is alone finds nothing of earlier tests, on nodes neither.
    pub fn new(company: Company) -> Result<Self> {
        let prefix = std::env::var("CLUSTER").unwrap_or_else(|_| PREFIX.to_owned());
        let cluster = Cluster::find(Plan::new(&prefix)?)?;
        let turn = File::create(cluster.plan.folder().join("turn"))?;
        let operation =
            if company == Company::None { FlockOperation::LockExclusive } else { FlockOperation::LockShared };
        flock(&turn, operation).context("cannot wait for my turn")?;
        if company == Company::None {
            end_of_others(&cluster)?;
        }
        let namespace = format!("trial-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let own = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {LABEL: ""}}});
        cluster.kubectl.apply(&own.to_string())?;
        cluster.until(SOON, "a service account in the new namespace", |kubectl| {
            kubectl.text(&["-n", &namespace, "get", "serviceaccount", "default"])
        })?;
        Ok(Self { cluster, namespace, undo: Undo::default(), _turn: turn })
    }

    /// Says before a change how to take it back: done at the end of the test, whatever its end, last change first.
    pub fn afterwards(&self, what: &str, step: impl FnOnce(&Cluster) -> Result<()> + Send + 'static) {
        self.undo.add(what, step);
    }

    /// Takes back now what was to be taken back at the end.
    pub fn undo(&self) -> Result<()> {
        self.undo.run(&self.cluster)
    }

    /// Applies an object that is of no namespace; it goes with the test.
    pub fn apply_to_cluster(&self, object: &Value) -> Result<()> {
        let text = object.to_string();
        self.cluster.kubectl.apply(&text)?;
        self.afterwards(&format!("without {} {}", object["kind"], object["metadata"]["name"]), move |cluster| {
            cluster.kubectl.feed(&["delete", "--ignore-not-found", "--timeout=60s"], &text).map(|_| ())
        });
        Ok(())
    }

    /// `kubectl -n NAMESPACE ARGS`.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.kubectl.text(&[&["-n", &self.namespace], args].concat())
    }

    /// `kubectl -n NAMESPACE delete WHAT`.
    pub fn delete(&self, what: &[&str]) -> Result<()> {
        self.cluster.kubectl.delete(&[&["-n", &self.namespace], what].concat())
    }

    /// Applies objects, given as JSON, in the namespace.
    pub fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.cluster.kubectl.feed(&["-n", &self.namespace, "apply"], &list.to_string())?;
        Ok(())
    }

    /// A pod with a web server (agnhost netexec) on a node. It is labelled `app: NAME`.
    pub fn server(name: &str, node: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "server", "image": TOOLS, "args": ["netexec", format!("--http-port={PORT}")],
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
                }],
            },
        })
    }

    /// The same in the node's own network, on another port.
    pub fn server_in_host_network(name: &str, node: &str, port: u16) -> Value {
        let mut pod = Self::server(name, node);
        pod["spec"]["hostNetwork"] = true.into();
        pod["spec"]["containers"][0]["args"] =
            json!(["netexec", format!("--http-port={port}"), format!("--udp-port={port}")]);
        pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"] = port.into();
        pod
    }

    /// Applies pods and waits until all in the namespace are Ready; in the order of their names.
    pub fn run(&self, pods: &[Value]) -> Result<Vec<Pod>> {
        self.apply(pods)?;
        self.ready()
    }

    /// Waits until every pod in the namespace is Ready.
    pub fn ready(&self) -> Result<Vec<Pod>> {
        let waited = self.cluster.kubectl.wait("condition=Ready", &["-n", &self.namespace, "pod", "--all"], SOON);
        waited.with_context(|| self.why_not_ready().unwrap_or_else(|wrong| format!("{wrong:#}")))?;
        self.pods()
    }

    /// Events and last words of the pods that are not Ready.
    fn why_not_ready(&self) -> Result<String> {
        let mut text = String::new();
        for item in self.cluster.kubectl.list(&["-n", &self.namespace, "pods"])? {
            let conditions = item["status"]["conditions"].as_array();
            let ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            if conditions.is_some_and(|conditions| conditions.iter().any(ready)) {
                continue;
            }
            let events = self.kubectl(&["events", "--for", &format!("pod/{name}")]).unwrap_or_default();
            let logs = self.kubectl(&["logs", "--tail=10", name]).unwrap_or_default();
            text += &format!("{name} is not Ready:\n{events}{logs}\n");
        }
        Ok(text)
    }

    /// Every pod in the namespace that has an address.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        let items = self.cluster.kubectl.list(&["-n", &self.namespace, "pods"])?;
        let pod = |item: &Value| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let (meta, spec, status) = (&item["metadata"], &item["spec"], &item["status"]);
            Some(Pod {
                name: text(&meta["name"])?,
                node: text(&spec["nodeName"])?,
                ip: text(&status["podIP"])?,
                uid: text(&meta["uid"])?,
            })
        };
        Ok(items.iter().filter_map(pod).collect())
    }

    /// The body of `http://TARGET` as pods see it who ask each once: an error names every pair that failed.
    pub fn ask(&self, from: &Pod, targets: &[String]) -> Result<Vec<String>> {
        let answer =
            self.cluster.kubectl.exec(&self.namespace, &from.name, &["sh", "-c", &questions("curl", targets)])?;
        answers(&format!("pod {} on {}", from.name, from.node), &answer, targets)
    }

    /// The same from a node.
    pub fn ask_from_node(&self, node: &str, targets: &[String]) -> Result<Vec<String>> {
        let questions = questions(&self.cluster.debian.run("curl")?, targets);
        let answer = self.cluster.node(node).stdout(&["bash", "-c", &questions])?;
        answers(&format!("node {node}"), &answer, targets)
    }

    /// The same from the host behind the router.
    pub fn ask_from_outside(&self, targets: &[String]) -> Result<Vec<String>> {
        let questions = questions(&self.cluster.debian.run("curl")?, targets);
        let answer = self.cluster.plan.outside().stdout("bash", &["-c", &questions])?;
        answers("the host outside", &answer, targets)
    }
}

impl Trial {
    /// Whether a new connection from a pod to `ADDRESS:PORT` comes about. Packets that are dropped are a no; a refusal is an error.
    pub fn connects(&self, from: &Pod, target: &str) -> Result<bool> {
        let connect = ["exec", &from.name, "--", "/agnhost", "connect", target, "--timeout=1s"];
        let output = self.cluster.kubectl.output(&[&["-n", &self.namespace], &connect[..]].concat())?;
        connected(&format!("from pod {}", from.name), target, &output)
    }

    /// The same from the host behind the router.
    pub fn connects_from_outside(&self, target: &str) -> Result<bool> {
        let mut connect = Command::new(self.cluster.plan.programs().join("agnhost"));
        connect.args(["connect", target, "--timeout=1s"]);
        let output = self.cluster.plan.outside().run(|| Ok(connect.output()?))?;
        connected("from outside", target, &output)
    }

    /// Waits until the router's kernel reaches a prefix by these nodes and no other.
    pub fn router_reaches(&self, prefix: &str, nodes: &[&str]) -> Result<()> {
        let plan = &self.cluster.plan;
        until(SOON, &format!("the router reaches {prefix} by {nodes:?}"), || {
            let route = plan.router().stdout("ip", &["-4", "route", "show", prefix])?;
            let gateways: Vec<&str> = route.split_whitespace().collect();
            for node in &plan.nodes {
                let is_one = gateways.contains(&plan.node_ip(node)?.to_string().as_str());
                ensure!(is_one == nodes.contains(&node.as_str()), "{node} is in the wrong: {route}");
            }
            Ok(())
        })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let mut outcomes = vec![self.undo()];
        let kubectl = &self.cluster.kubectl;
        if std::env::var_os("KEEP").is_some() {
            println!("kept: namespace {}", self.namespace);
            outcomes.push(kubectl.text(&["label", "namespace", &self.namespace, &format!("{LABEL}-")]).map(|_| ()));
        } else {
            outcomes.push(kubectl.delete(&["namespace", &self.namespace, "--wait=false"]));
        }
        for wrong in outcomes.into_iter().filter_map(Result::err) {
            println!("{wrong:#}");
        }
    }
}

/// Waits until namespaces of earlier tests are gone, and what nodes had for their pods. Nobody else has a turn now: one that
/// was not deleted was left by a test that was killed. What nodes keep for longer is told, not held against the next test.
fn end_of_others(cluster: &Cluster) -> Result<()> {
    for label in [LABEL, UPSTREAM_LABEL] {
        cluster.kubectl.delete(&["namespace", "-l", label])?;
    }
    if let Err(wrong) = traces::namespaces_settled(cluster, SOON) {
        println!("left by an earlier test: {wrong:#}");
    }
    Ok(())
}

/// agnhost ends with a word for each way that a connection can fail.
fn connected(from: &str, target: &str, output: &Output) -> Result<bool> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() || said.contains("TIMEOUT"), "{from} to {target}: {}", said.trim());
    Ok(output.status.success())
}

/// Asks every target once more if need be: one line each, `+` and the body, or `-` and what curl said.
fn questions(curl: &str, targets: &[String]) -> String {
    let one = |target: &String| {
        format!(
            "{curl} -sS -m 3 --retry 1 --retry-all-errors 'http://{target}' 2>&1 >/tmp/ask.$$ && echo \"+$(cat /tmp/ask.$$)\" || echo -"
        )
    };
    targets.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn answers(who: &str, text: &str, targets: &[String]) -> Result<Vec<String>> {
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(['+', '-'])).collect();
    ensure!(lines.len() == targets.len(), "{who}: {} answers to {} questions: {text}", lines.len(), targets.len());
    let failed: Vec<_> =
        lines.iter().zip(targets).filter(|(line, _)| line.starts_with('-')).map(|(_, to)| to).collect();
    ensure!(failed.is_empty(), "{who} does not reach {failed:?}: {text}");
    Ok(lines.iter().map(|line| line.trim_start_matches('+').to_owned()).collect())
}
