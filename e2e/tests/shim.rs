//! The shim's manners: the spec's error JSON for every bad input, bounded waits, never a panic.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::cni::{self, PluginError, Ran};
use e2e::plan::Shape;
use e2e::programs::Programs;
use e2e::trial::Trial;
use serde_json::{Value, json};

fn shim(variables: &[(&str, &str)], stdin: &[u8]) -> Result<Ran> {
    let variables: Vec<(&str, String)> = variables.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    cni::run(&Programs::find()?.shim(), &variables, stdin)
}

fn config(version: &str, socket: &str) -> Vec<u8> {
    json!({"cniVersion": version, "name": "margay", "type": "margay-cni", "socket": socket}).to_string().into_bytes()
}

const NOWHERE: &str = "/run/margay/no-agent-is-here.sock";
const ADD: [(&str, &str); 5] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/proc/self/ns/net"),
    ("CNI_IFNAME", "eth0"),
    ("CNI_PATH", "/usr/lib/cni"),
];

/// `ADD` with one variable changed, or taken away.
fn add_but(key: &str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let mut variables: Vec<_> = ADD.into_iter().filter(|(name, _)| *name != key).collect();
    if let (Some(value), Some((name, _))) = (value, ADD.iter().find(|(name, _)| *name == key)) {
        variables.push((name, value));
    }
    variables
}

fn refused(what: &str, ran: &Ran, code: Option<i64>) -> Result<()> {
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let spoken = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.is_some_and(|status| status != 0), "{what}: exit {:?}; {said}", ran.status);
    ensure!(!spoken.contains("panicked"), "{what}: {spoken}");
    let error: Value = serde_json::from_str(&said)?;
    ensure!(error["cniVersion"].is_string() && error["msg"].is_string(), "{what}: {error}");
    let got = error["code"].as_i64();
    ensure!(got.is_some() && code.is_none_or(|code| got == Some(code)), "{what}: code {got:?}, not {code:?}: {error}");
    Ok(())
}

/// What it is, environment, standard input, the spec's code where it names one.
type Case = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>, Option<i64>);

#[test]
fn bad_input_gets_the_specs_error_and_never_a_panic() -> Result<()> {
    let good = config("1.0.0", NOWHERE);
    let deep = "[".repeat(100_000);
    let cases: Vec<Case> = vec![
        ("no command", vec![], good.clone(), Some(4)),
        ("an unknown command", add_but("CNI_COMMAND", Some("JUMP")), good.clone(), Some(4)),
        ("no container id", add_but("CNI_CONTAINERID", None), good.clone(), Some(4)),
        ("a container id that is a path", add_but("CNI_CONTAINERID", Some("../../etc")), good.clone(), Some(4)),
        ("no netns", add_but("CNI_NETNS", None), good.clone(), Some(4)),
        ("no ifname", add_but("CNI_IFNAME", None), good.clone(), Some(4)),
        ("an ifname that is too long", add_but("CNI_IFNAME", Some("sixteen-letters!")), good.clone(), Some(4)),
        ("an ifname that is a path", add_but("CNI_IFNAME", Some("../x")), good.clone(), Some(4)),
        ("empty stdin", ADD.into(), Vec::new(), Some(6)),
        ("no JSON", ADD.into(), b"{\"cniVersion\":".to_vec(), Some(6)),
        ("JSON that is no object", ADD.into(), b"[1,2]".to_vec(), None),
        ("JSON that is deep", ADD.into(), deep.into_bytes(), Some(6)),
        ("no UTF-8", ADD.into(), vec![0xff, 0xfe, 0x00], Some(6)),
        ("a version that nobody knows", ADD.into(), config("9.9.9", NOWHERE), Some(1)),
        (
            "a mtu of words",
            ADD.into(),
            b"{\"cniVersion\":\"1.0.0\",\"name\":\"a\",\"type\":\"margay-cni\",\"mtu\":\"big\"}".to_vec(),
            None,
        ),
    ];
    for (what, variables, stdin, code) in cases {
        refused(what, &shim(&variables, &stdin)?, code)?;
    }
    Ok(())
}

#[test]
fn add_without_an_agent_waits_a_bounded_time_and_says_try_again_later() -> Result<()> {
    let trial = Trial::new(Shape::Tor)?;
    let netns = trial.pod(1, "a")?.netns.display().to_string();
    let variables = ADD.map(|(key, value)| (key, if key == "CNI_NETNS" { netns.as_str() } else { value }));
    let start = Instant::now();
    let ran = shim(&variables, &config("1.0.0", NOWHERE))?;
    refused("no agent", &ran, Some(11))?;
    ensure!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
    Ok(())
}

#[test]
fn del_without_an_agent_succeeds() -> Result<()> {
    let variables = add_but("CNI_COMMAND", Some("DEL"));
    let variables: Vec<_> =
        variables.into_iter().map(|(key, value)| if key == "CNI_NETNS" { (key, "") } else { (key, value) }).collect();
    let ran = shim(&variables, &config("1.0.0", NOWHERE))?;
    ensure!(ran.status == Some(0), "{}", String::from_utf8_lossy(&ran.stdout));
    Ok(())
}

#[test]
fn status_tells_whether_an_add_could_be_served() -> Result<()> {
    let away = shim(&[("CNI_COMMAND", "STATUS"), ("CNI_PATH", "/usr/lib/cni")], &config("1.1.0", NOWHERE))?;
    refused("no agent", &away, Some(50))?;
    let trial = Trial::planned(Shape::Tor, |plan| plan.nodes = 1)?;
    trial.up_without_pods()?;
    trial.node(1).network_alone("1.1.0").status()
}

#[test]
fn version_names_every_version_it_speaks() -> Result<()> {
    let ran = shim(&[("CNI_COMMAND", "VERSION")], b"{\"cniVersion\":\"1.1.0\"}")?;
    ensure!(ran.status == Some(0), "{}", String::from_utf8_lossy(&ran.stdout));
    let said: Value = serde_json::from_slice(&ran.stdout)?;
    let versions = said["supportedVersions"].as_array().cloned().unwrap_or_default();
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        ensure!(versions.contains(&json!(version)), "{said}");
    }
    Ok(())
}

#[test]
fn a_netns_that_is_not_there_is_named() -> Result<()> {
    let trial = Trial::planned(Shape::Tor, |plan| plan.nodes = 1)?;
    trial.up_without_pods()?;
    let network = trial.node(1).network_alone("1.0.0");
    let mut attachment = trial.attachment(1, "a");
    attachment.netns = Path::new("/run/netns/nobody-made-this").into();
    let Err(wrong) = network.add(&attachment) else { anyhow::bail!("it succeeded") };
    let error = wrong.downcast_ref::<PluginError>().map(|error| error.error.clone()).unwrap_or_default();
    ensure!(
        error["msg"].to_string().contains("nobody-made-this")
            || error["details"].to_string().contains("nobody-made-this"),
        "{error}"
    );
    Ok(())
}
