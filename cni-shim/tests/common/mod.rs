//! A node in a namespace of its own, an agent that answers on its socket as the real one does, and a runtime that calls the shim.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use dataplane::linux::netns::{self, Netns};
use model::api::{Answer, AttachPlan, Attachment, PodRoute, Refusal, RefusalCode, Reply, Request};
use model::{Family, Prefix, kernel, pod_link};
use serde_json::{Value, json};

/// Runs a test on a thread that is a node.
pub fn on_a_node(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        netns::unshare().unwrap();
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["addr", "add", "192.0.2.1/32", "dev", "lo"]);
        run("ip", &["addr", "add", "2001:db8::1/128", "dev", "lo"]);
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        test();
    });
    thread.join().unwrap();
}

/// A program that must succeed, in the calling thread's namespace.
#[track_caller]
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A namespace for a pod.
pub struct Pod {
    pub netns: Netns,
    pub container: String,
}

impl Pod {
    pub fn new(container: &str) -> Pod {
        let netns = std::thread::spawn(|| netns::unshare().unwrap()).join().unwrap();
        Pod { netns, container: container.into() }
    }

    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.netns.as_fd().as_raw_fd())
    }

    pub fn ping(&self, address: &str) -> bool {
        let ping = || Command::new("ping").args(["-c1", "-W2", address]).output().unwrap().status.success();
        self.netns.run(ping).unwrap()
    }
}

/// What the agent knows.
#[derive(Default)]
pub struct Known {
    pub plans: BTreeMap<Attachment, AttachPlan>,
    pub requests: Vec<Request>,
    /// Answers the next requests so, whatever they are.
    pub refuse: Option<Refusal>,
    given: u8,
}

/// An agent with the answers of the real one, without its work.
pub struct Agent {
    pub known: Arc<Mutex<Known>>,
    pub socket: PathBuf,
    directory: tempfile::TempDir,
}

impl Agent {
    pub fn new() -> Agent {
        let agent = Agent::away();
        agent.come();
        agent
    }

    /// Not listening yet.
    pub fn away() -> Agent {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        Agent { known: Arc::default(), socket, directory }
    }

    pub fn come(&self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let known = self.known.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let known = known.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &known));
            }
        });
    }

    pub fn go(&self) {
        std::fs::remove_file(&self.socket).unwrap();
    }

    pub fn refuse(&self, code: RefusalCode, message: &str) {
        self.known.lock().unwrap().refuse = Some(Refusal { code, message: message.into() });
    }

    pub fn requests(&self) -> Vec<Request> {
        self.known.lock().unwrap().requests.clone()
    }

    pub fn config(&self, version: &str) -> Value {
        assert!(self.directory.path().exists());
        json!({ "cniVersion": version, "name": "pods", "type": "margay-cni", "socket": self.socket })
    }

    pub fn add(&self, pod: &Pod, args: &str) -> Value {
        let output = call("ADD", pod, args, &self.config("1.1.0"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn serve(stream: UnixStream, known: &Mutex<Known>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
        let request: Request = serde_json::from_str(&line).unwrap();
        let reply = answer(&request, &mut known.lock().unwrap());
        let mut text = serde_json::to_string(&reply).unwrap();
        text.push('\n');
        if reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
        line.clear();
    }
}

fn answer(request: &Request, known: &mut Known) -> Reply {
    known.requests.push(request.clone());
    if let Some(refusal) = &known.refuse {
        return Reply::Error(refusal.clone());
    }
    Reply::Ok(match request {
        Request::Attach(attach) => {
            let next = known.given + 1;
            let plan = known.plans.entry(attach.attachment.clone()).or_insert_with(|| {
                let name = pod_link::name(attach.pod.as_ref(), &attach.attachment.container_id);
                let route = |family, gateway| PodRoute { destination: Prefix::default_route(family), gateway };
                AttachPlan {
                    host_interface: name,
                    addresses: vec![
                        format!("10.9.0.{next}").parse().unwrap(),
                        format!("fd00:9::{next:x}").parse().unwrap(),
                    ],
                    mtu: attach.mtu.unwrap_or(1450),
                    routes: vec![
                        route(Family::Ipv4, kernel::POD_GATEWAY.into()),
                        route(Family::Ipv6, kernel::POD_GATEWAY_V6.into()),
                    ],
                    attached: false,
                }
            });
            let plan = plan.clone();
            known.given = known.plans.len() as u8;
            Answer::Attach(plan)
        }
        Request::Drain { .. } | Request::Undrain | Request::BgpReset(_) | Request::IpamRelease(_) => {
            panic!("not the shim's to ask")
        }
        Request::Check(check) => match known.plans.get(&check.attachment) {
            Some(plan) => Answer::Attach(plan.clone()),
            None => return Reply::Error(Refusal { code: RefusalCode::Unknown, message: "no such attachment".into() }),
        },
        Request::Detach(detach) => {
            known.plans.remove(&detach.attachment);
            Answer::Done
        }
        Request::Attached(_) | Request::Gc(_) | Request::Status => Answer::Done,
        Request::Show(_) => Answer::Show(Value::Null),
    })
}

/// Begins a call of the shim, as a runtime does.
pub fn begin(command: &str, pod: &Pod, args: &str, config: &Value) -> Child {
    let variables = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", &pod.container),
        ("CNI_NETNS", &pod.path()),
        ("CNI_IFNAME", "eth0"),
    ];
    let mut child = spawn(&variables.map(|(k, v)| (k, v.to_string())), args);
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    child
}

/// A whole call.
pub fn call(command: &str, pod: &Pod, args: &str, config: &Value) -> Output {
    begin(command, pod, args, config).wait_with_output().unwrap()
}

/// A call with these variables and these octets on stdin.
pub fn raw(variables: &[(&str, String)], input: &[u8]) -> Output {
    let mut child = spawn(variables, "");
    // A shim that refuses early does not read all of it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn spawn(variables: &[(&str, String)], args: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_margay-cni"));
    command.env_clear().env("CNI_PATH", "/usr/lib/cni").env("CNI_ARGS", args);
    command.envs(variables.iter().map(|(k, v)| (*k, v)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The error object on stdout, which must be one.
#[track_caller]
pub fn error(output: &Output) -> (u64, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!output.status.success(), "it succeeded: {text}");
    let object: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    assert!(object["cniVersion"].is_string(), "{text}");
    (object["code"].as_u64().unwrap(), object["msg"].as_str().unwrap().to_string())
}

/// Names of the pods' links on this node.
pub fn links() -> Vec<String> {
    let text = run("ip", &["-o", "link"]);
    text.lines()
        .filter_map(|line| line.split(": ").nth(1)?.split('@').next())
        .filter(|n| n.starts_with("cali"))
        .map(str::to_string)
        .collect()
}
