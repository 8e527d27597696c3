//! The verbs. CNI spec, section "CNI operations".

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use dataplane::linux::netlink::Netlink;
use dataplane::linux::netns::Netns;
use dataplane::linux::pod::{self, Plumber, PodError, PodWant};
use model::api::{Answer, Attach, AttachPlan, Attached, Check, Detach, Gc, Request};
use model::pod_link;
use serde_json::{Value, json};

use crate::agent::{Agent, AskError};
use crate::call::{Call, Command};
use crate::config::{Config, LogLevel, Version};
use crate::error::{CniError, code};
use crate::result::{self, Plumbed, mac_text};

/// How long ADD waits for an agent that is away: longer than an agent's restart, shorter than the runtime's patience.
const ADD_WITHIN: Duration = Duration::from_secs(10);
/// How long the other verbs wait for an answer; they do not wait for an agent that is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

pub(crate) fn run(call: &Call, config: &Config) -> Result<String, CniError> {
    match call.command {
        Command::Add => add(call, config),
        Command::Del => del(call, config),
        Command::Check => check(call, config),
        Command::Gc => gc(config),
        Command::Status => status(config),
        Command::Version => version(b""),
    }
}

/// Always answers: the caller may be about to find out what we speak.
pub(crate) fn version(input: &[u8]) -> Result<String, CniError> {
    let asked: Option<Value> = serde_json::from_slice(input).ok();
    let asked = asked.as_ref().and_then(|object| object.get("cniVersion")).and_then(Value::as_str);
    let known = Version::ALL.iter().find(|version| Some(version.as_str()) == asked).unwrap_or(&Version::NEWEST);
    let all: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
    Ok(format!("{}\n", json!({ "cniVersion": known.as_str(), "supportedVersions": all })))
}

fn add(call: &Call, config: &Config) -> Result<String, CniError> {
    if config.ignores_ipam {
        config.log(LogLevel::Warn, "the section ipam is ignored: the agent gives addresses");
    }
    let netns = open_netns(&call.netns)?;
    let mut agent = Agent::new(&config.socket, ADD_WITHIN);
    let addresses = if call.args.addresses.is_empty() { &config.addresses } else { &call.args.addresses };
    let attach = Attach {
        attachment: call.attachment.clone(),
        netns: call.netns.clone(),
        pod: call.args.pod.clone(),
        uid: call.args.uid.clone(),
        mtu: config.mtu,
        network: config.name.clone(),
        addresses: addresses.clone(),
    };
    let plan = plan(agent.persist(&Request::Attach(attach)))?;
    let want = want(call, config, plan);
    let mut plumber = Plumber::new(&want, &netns).map_err(|error| CniError::plumbing(&error))?;
    let pair = plumber.host().map_err(|error| CniError::plumbing(&error))?;
    let mac = mac_text(pair.mac);
    let attached = Request::Attached(Attached {
        attachment: call.attachment.clone(),
        host_ifindex: pair.host_ifindex,
        mac: mac.clone(),
    });
    // The agent takes note of the node's side while the pod's is made; should that fail, the runtime calls DEL.
    agent.begin(&attached);
    plumber.furnish(&pair).map_err(|error| CniError::plumbing(&error))?;
    plumber.introduce(&pair).map_err(|error| CniError::plumbing(&error))?;
    agent.finish(&attached).map_err(unanswered)?;
    let plumbed = Plumbed { plan: &want.plan, ifname: &call.attachment.ifname, mac: &mac, netns: &call.netns };
    Ok(format!("{}\n", result::add(config.version, &plumbed, config.previous.as_ref())))
}

/// Always succeeds. What the agent could not be told it finds out by itself: a lease without its link ends.
fn del(call: &Call, config: &Config) -> Result<String, CniError> {
    let detach =
        Detach { attachment: call.attachment.clone(), pod: call.args.pod.clone(), network: config.name.clone() };
    match Agent::new(&config.socket, ANSWER_WITHIN).ask(&Request::Detach(detach)) {
        Ok(_) => {}
        Err(error) => {
            let told = match error {
                AskError::Away(text) => text,
                AskError::Refused(refusal) => refusal.message,
            };
            config.log(LogLevel::Warn, &format!("the link is removed without the agent: {told}"));
            if let Err(error) = remove_link(call) {
                config.log(LogLevel::Error, &format!("the link stays until the agent is back: {error}"));
            }
        }
    }
    Ok(String::new())
}

/// The agent removes links off this path, many at a time; without it the link goes here, so that traffic stops.
fn remove_link(call: &Call) -> Result<(), PodError> {
    let netns = Some(&call.netns).filter(|path| !path.is_empty()).and_then(|path| Netns::open(Path::new(path)).ok());
    let mut netlink = Netlink::route().map_err(|error| PodError::Netlink { doing: "speak netlink".into(), error })?;
    let pod = call.args.pod.as_ref();
    let names = [pod_link::further_name(pod, &call.attachment), pod_link::name(pod, &call.attachment.container_id)];
    for name in names {
        if pod::remove(&mut netlink, &name, &call.attachment, netns.as_ref())? {
            break;
        }
    }
    Ok(())
}

fn check(call: &Call, config: &Config) -> Result<String, CniError> {
    let Some(previous) = &config.previous else {
        return Err(CniError::config("prevResult is missing: CHECK compares with it"));
    };
    let netns = open_netns(&call.netns)?;
    let question = Request::Check(Check { attachment: call.attachment.clone() });
    let plan = plan(Agent::new(&config.socket, ANSWER_WITHIN).ask(&question))?;
    let want = want(call, config, plan);
    let ifname = &call.attachment.ifname;
    let mut defects = result::differences(previous, &want.plan, ifname, &call.netns);
    let (kernel, mac) = pod::check(&want, &netns).map_err(|error| CniError::plumbing(&error))?;
    defects.extend(kernel);
    if let (Some(told), Some(mac)) = (result::told_mac(previous, ifname), mac.map(mac_text))
        && !told.eq_ignore_ascii_case(&mac)
    {
        defects.push(format!("{ifname} in the pod has the MAC address {mac}, but prevResult told {told}"));
    }
    match defects.first() {
        None => Ok(String::new()),
        Some(first) => Err(CniError::new(code::DEFECT, first.clone()).with_details(defects.join("; "))),
    }
}

fn gc(config: &Config) -> Result<String, CniError> {
    // Without the list everything would be released.
    let valid = config.valid.clone().ok_or_else(|| CniError::config("cni.dev/valid-attachments is missing"))?;
    let gc = Request::Gc(Gc { network: config.name.clone(), valid });
    Agent::new(&config.socket, ANSWER_WITHIN).ask(&gc).map(|_| String::new()).map_err(unanswered)
}

fn status(config: &Config) -> Result<String, CniError> {
    match Agent::new(&config.socket, ANSWER_WITHIN).once(&Request::Status) {
        Ok(_) => Ok(String::new()),
        Err(AskError::Away(text)) => Err(CniError::new(code::UNAVAILABLE, text)),
        Err(AskError::Refused(refusal)) => Err(CniError::new(code::UNAVAILABLE, refusal.message)),
    }
}

fn plan(answer: Result<Answer, AskError>) -> Result<AttachPlan, CniError> {
    match answer.map_err(unanswered)? {
        Answer::Attach(plan) => Ok(plan),
        Answer::Done | Answer::Show(_) => Err(CniError::internal("the agent answered another question")),
    }
}

fn unanswered(error: AskError) -> CniError {
    match error {
        AskError::Away(text) => CniError::new(code::TRY_AGAIN, text),
        AskError::Refused(refusal) => CniError::refused(refusal),
    }
}

fn want(call: &Call, config: &Config, plan: AttachPlan) -> PodWant {
    PodWant {
        plan,
        ifname: call.attachment.ifname.clone(),
        mac: config.mac.unwrap_or_else(|| pod_link::pod_mac(&call.attachment)),
        mark: pod_link::mark(&call.attachment, &config.name),
    }
}

fn open_netns(path: &str) -> Result<Netns, CniError> {
    let netns = Netns::open(Path::new(path)).map_err(|error| CniError::environment(format!("CNI_NETNS: {error}")))?;
    let identity = |path: &str| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    // Plumbing the node's own namespace would take its default route away.
    if identity(path).is_some() && identity(path) == identity("/proc/thread-self/ns/net") {
        return Err(CniError::environment(format!("CNI_NETNS: {path} is the node's own namespace")));
    }
    Ok(netns)
}
