//! `margayctl plan`: what it says of objects is what happens when they are applied, and asking changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::ctl::text;
use e2e::objects::{Objects, bgp_peer, secret, tor_peer_spec};
use e2e::plan::{Family, RouterKind, Shape};
use e2e::router::Config;
use e2e::trial::Trial;
use e2e::wait;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);
const PEER: &str = "n1-tor-ipv4";

/// What a plan speaks of, as it is.
#[derive(Debug, Clone, PartialEq)]
struct State {
    /// Peer to since when its session is up.
    sessions: BTreeMap<String, String>,
    /// Peer and prefix.
    told: BTreeSet<(String, String)>,
    /// Prefixes of our routes in the kernel, with next hops.
    kernel: BTreeMap<String, String>,
}

impl State {
    fn of(trial: &Trial) -> Result<State> {
        let ctl = trial.node(1).ctl();
        // Two sessions may begin in one second: how many there were tells them apart.
        let which = |row: &Value| format!("{} since {}", row["establishedCount"], text(&row["since"]));
        let up = |row: &Value| (row["state"] == "Established").then(|| (text(&row["peerAddress"]), which(row)));
        let sessions = ctl.list(&["bgp", "peers"])?.iter().filter_map(up).collect();
        let told = ctl.list(&["bgp", "routes", "advertised"])?;
        let told = told.iter().map(|row| (text(&row["peer"]), text(&row["prefix"]))).collect();
        let routes = ctl.list(&["route", "list"])?;
        let installed = routes.iter().filter(|row| row["installed"] == true);
        let kernel = installed.map(|row| (text(&row["prefix"]), row["nextHops"].to_string())).collect();
        Ok(State { sessions, told, kernel })
    }
}

/// The prefixes of a cut list of the plan.
fn named(list: &Value) -> Result<BTreeSet<String>> {
    let prefixes: BTreeSet<String> = list["first"].as_array().into_iter().flatten().map(text).collect();
    ensure!(list["count"] == prefixes.len(), "cut: {list}");
    Ok(prefixes)
}

fn ask(trial: &Trial, path: &Path) -> Result<(Option<i32>, Value)> {
    let output = trial.node(1).ctl().output(&["plan", path.to_str().context("a path")?, "-o", "json"])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let plan = serde_json::from_str(&said)
        .with_context(|| format!("no JSON: {said}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code(), plan))
}

/// The state that the plan promises, sessions as they will be: those that are reset without a date.
fn promised(before: &State, plan: &Value) -> Result<State> {
    let mut then = before.clone();
    for session in plan["sessions"].as_array().context("sessions")? {
        let peer = text(&session["peerAddress"]);
        match text(&session["does"]).as_str() {
            "reset" => drop(then.sessions.insert(peer.clone(), String::new())),
            "remove" => drop(then.sessions.remove(&peer)),
            _ => {}
        }
        let gone = named(&session["withdrawn"])?;
        then.told.retain(|(of, prefix)| *of != peer || !gone.contains(prefix));
        then.told.extend(named(&session["announced"])?.into_iter().map(|prefix| (peer.clone(), prefix)));
    }
    for line in plan["kernelRoutes"]["first"].as_array().context("routes")? {
        let prefix = text(&line["what"]);
        match text(&line["step"]).as_str() {
            "remove" => drop(then.kernel.remove(&prefix)),
            _ => {
                let route = text(&line["then"]);
                let words: Vec<&str> = route.split_whitespace().collect();
                let hops = words.windows(2).filter(|pair| pair[0] == "via").map(|pair| Value::from(pair[1]));
                then.kernel.insert(prefix, Value::Array(hops.collect()).to_string());
            }
        }
    }
    Ok(then)
}

/// Plans with a copy of the objects that was changed, sees that nothing has happened by that, applies the same change and
/// holds what comes of it against the plan. Returns the plan.
fn foretold(trial: &Trial, change: impl Fn(&Objects) -> Result<()>) -> Result<Value> {
    let objects = trial.node(1).objects()?;
    let folder = tempfile::tempdir()?;
    for file in std::fs::read_dir(objects.path("x").parent().context("a folder")?)? {
        let file = file?;
        std::fs::copy(file.path(), folder.path().join(file.file_name()))?;
    }
    // The change before this one may show nowhere else that it is in force.
    wait::until(SOON, "a plan of what is in force", || {
        let (status, nothing) = ask(trial, folder.path())?;
        ensure!(status == Some(0) && nothing["changes"] == false, "no change makes a plan: {nothing}");
        Ok(())
    })?;

    change(&Objects::in_folder(folder.path())?)?;
    let before = State::of(trial)?;
    let (status, plan) = ask(trial, folder.path())?;
    ensure!(status == Some(2) && plan["changes"] == true, "a change makes no plan: {plan}");
    ensure!(State::of(trial)? == before, "asking has changed something");

    let mut then = promised(&before, &plan)?;
    change(&objects)?;
    wait::until(SOON, "what was planned", || {
        let now = State::of(trial)?;
        for (peer, since) in then.sessions.iter_mut().filter(|(_, since)| since.is_empty()) {
            let again = now.sessions.get(peer).with_context(|| format!("{peer} is not back"))?;
            ensure!(before.sessions.get(peer) != Some(again), "{peer} was not reset");
            again.clone_into(since);
        }
        ensure!(now == then, "it is {now:#?}, and not {then:#?} as planned: {plan:#}");
        Ok(())
    })?;
    Ok(plan)
}

/// What the plan does with the router's IPv4 session.
fn does(trial: &Trial, plan: &Value) -> Result<String> {
    let router = trial.plan.uplink(1, 1).router.0.to_string();
    let sessions = plan["sessions"].as_array().context("sessions")?;
    let session = sessions.iter().find(|session| session["peerAddress"] == *router).context("the session")?;
    Ok(text(&session["does"]))
}

const FILTER: &str = "apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata:
  name: tor
spec:
  importV4:
  - action: Accept
    matchOperator: Equal
    cidr: 0.0.0.0/0
  - action: Reject
    matchOperator: In
    cidr: 10.200.1.0/24
  exportV4:
  - action: Reject
    matchOperator: In
    cidr: 10.244.0.0/16
";

fn write_peer(trial: &Trial, objects: &Objects, more: &str) -> Result<()> {
    objects
        .write(&format!("peer-{PEER}"), &bgp_peer(PEER, &(tor_peer_spec(&trial.plan, Some(1), 1, Family::V4) + more)))
}

#[test]
fn what_a_plan_says_is_what_happens_then() -> Result<()> {
    let trial = Trial::planned(Shape::Tor, |plan| {
        plan.router = RouterKind::Bird;
        plan.nodes = 1;
        plan.pods.clear();
    })?;
    trial.up()?;
    let mut config = Config::of_tor(&trial.plan, 1);
    config.networks.push("0.0.0.0/0".into());
    trial.router(1).stop()?;
    trial.router(1).start(&config)?;
    trial.node(1).ctl().wait_established(2, SOON)?;
    wait::until(SOON, "the router's routes", || {
        let kernel = State::of(&trial)?.kernel;
        ensure!(kernel.contains_key("10.200.1.0/24") && kernel.contains_key("10.200.2.0/24"), "{kernel:?}");
        Ok(())
    })?;

    let filtered = foretold(&trial, |objects| {
        objects.write("filter-tor", FILTER)?;
        write_peer(&trial, objects, "  filters: [tor]\n")
    })?;
    ensure!(does(&trial, &filtered)? == "soft-both", "{filtered:#}");
    let routes = &filtered["kernelRoutes"];
    ensure!((&routes["added"], &routes["removed"]) == (&Value::from(1), &Value::from(1)), "{routes:#}");

    let hot = foretold(&trial, |objects| write_peer(&trial, objects, "  filters: [tor]\n  keepaliveTime: 7s\n"))?;
    ensure!(does(&trial, &hot)? == "hot", "{hot:#}");

    let unfiltered = foretold(&trial, |objects| objects.write("filter-tor", &FILTER.replace("Reject", "Accept")))?;
    ensure!(does(&trial, &unfiltered)? == "soft-both", "{unfiltered:#}");

    let plain = foretold(&trial, |objects| {
        let pool = objects.read("pool-ipv4")?;
        objects.write("pool-ipv4", &pool.replace("natOutgoing: true", "natOutgoing: false"))
    })?;
    let rule = &plain["rules"][0];
    ensure!(rule["step"] == "remove" && text(&rule["what"]).starts_with("masquerade"), "{plain:#}");
    wait::until(SOON, "the packet rules", || {
        let rules = trial.node(1).netns.stdout("nft", &["list", "table", "inet", "margay"])?;
        ensure!(!rules.contains("10.244.0.0/16 ip daddr"), "{rules}");
        Ok(())
    })?;

    let anew = foretold(&trial, |objects| write_peer(&trial, objects, "  filters: [tor]\n  sourceAddress: None\n"))?;
    ensure!(does(&trial, &anew)? == "reset", "{anew:#}");

    // One file beside all that is in force; a password is planned with and never told.
    let folder = tempfile::tempdir()?;
    let proposed = Objects::in_folder(folder.path())?;
    let password = "  filters: [tor]\n  password:\n    secretKeyRef:\n      name: bgp\n      key: tor\n";
    write_peer(&trial, &proposed, password)?;
    let both = [secret("bgp", "tor", "correct-horse"), proposed.read(&format!("peer-{PEER}"))?].join("---\n");
    proposed.write("both", &both)?;
    let (_, plan) = ask(&trial, &proposed.path("both"))?;
    ensure!(does(&trial, &plan)? == "reset", "{plan:#}");
    ensure!(!plan.to_string().contains("correct-horse"), "the plan tells the password");

    let alone = foretold(&trial, |objects| objects.remove(&format!("peer-{PEER}")))?;
    ensure!(does(&trial, &alone)? == "remove", "{alone:#}");
    Ok(())
}

#[test]
fn errors_in_proposed_objects_are_named_and_the_last_good_version_is_planned_with() -> Result<()> {
    let trial = Trial::planned(Shape::Tor, |plan| {
        plan.nodes = 1;
        plan.pods.clear();
    })?;
    trial.up()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("new.yaml");
    let broken = bgp_peer(PEER, "  peerIP: 192.0.2.300\n  asNumber: 65001\n");
    std::fs::write(&file, &broken)?;
    let (status, plan) = ask(&trial, &file)?;
    ensure!(status == Some(0) && plan["sessions"] == Value::Array(vec![]), "{plan:#}");
    let error = &plan["objectErrors"][0];
    ensure!(text(&error["object"]) == format!("BGPPeer/{PEER}") && text(&error["field"]) == "spec.peerIP", "{plan:#}");
    Ok(())
}
