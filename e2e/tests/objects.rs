//! Objects change while the agent runs: what they say applies within a second, and a mistake disturbs nothing else.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::plan::{Family, Shape};
use e2e::trial::Trial;
use e2e::wait;
use serde_json::Value;

const A_SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(20);

fn one_node() -> Result<Trial> {
    let trial = Trial::planned(Shape::Tor, |plan| {
        plan.nodes = 1;
        plan.pods.clear();
    })?;
    trial.up()?;
    Ok(trial)
}

fn since(trial: &Trial) -> Result<Vec<Value>> {
    Ok(trial.node(1).ctl().list(&["bgp", "peers"])?.iter().map(|row| row["since"].clone()).collect())
}

#[test]
fn a_new_pod_cidr_is_announced_within_a_second_without_a_session_reset() -> Result<()> {
    let trial = one_node()?;
    let before = since(&trial)?;
    let objects = trial.node(1).objects()?;
    let node = objects.read("node-n1")?;
    objects.write("node-n1", &node.replace("  - 10.244.1.0/24\n", "  - 10.244.1.0/24\n  - 10.244.9.0/24\n"))?;
    wait::until(A_SECOND, "the router has the new block", || {
        let route = trial.router(1).route("10.244.9.0/24")?;
        ensure!(route.contains("65001"), "{route}");
        Ok(())
    })?;
    objects.write("node-n1", &node)?;
    wait::until(A_SECOND, "the router has it no more", || {
        let route = trial.router(1).route("10.244.9.0/24");
        ensure!(!route.as_ref().is_ok_and(|route| route.contains("65001")), "{route:?}");
        Ok(())
    })?;
    ensure!(since(&trial)? == before, "a session was reset");
    Ok(())
}

#[test]
fn a_peer_that_is_taken_away_goes_and_the_others_stay() -> Result<()> {
    let trial = one_node()?;
    let ctl = trial.node(1).ctl();
    let link = trial.plan.uplink(1, 1);
    let v6 = ctl.peer(&link.router.1.to_string())?["since"].clone();
    let objects = trial.node(1).objects()?;
    let yaml = objects.read("peer-n1-tor-ipv4")?;
    objects.remove("peer-n1-tor-ipv4")?;
    wait::until(A_SECOND, "one peer", || {
        let rows = ctl.list(&["bgp", "peers"])?;
        ensure!(rows.len() == 1, "{} peers", rows.len());
        Ok(())
    })?;
    objects.write("peer-n1-tor-ipv4", &yaml)?;
    ctl.wait_established(2, SOON)?;
    ensure!(ctl.peer(&link.router.1.to_string())?["since"] == v6, "the IPv6 session was reset");
    Ok(())
}

#[test]
fn a_bad_object_is_named_with_file_and_field_and_its_last_good_version_stays() -> Result<()> {
    let trial = one_node()?;
    let before = since(&trial)?;
    let objects = trial.node(1).objects()?;
    let good = objects.read("peer-n1-tor-ipv4")?;
    objects.write("peer-n1-tor-ipv4", &good.replace("  asNumber:", "  asNumbr:"))?;
    let ctl = trial.node(1).ctl();
    let problem = wait::until(SOON, "the mistake is shown", || {
        let text = ctl.text(&["node", "status"])?;
        ensure!(text.contains("asNumbr"), "node status says nothing of it:\n{text}");
        Ok(text)
    })?;
    for word in ["peer-n1-tor-ipv4.yaml", "n1-tor-ipv4"] {
        ensure!(problem.contains(word), "{word} is not named:\n{problem}");
    }
    ensure!(since(&trial)? == before, "a session was reset");
    objects.write("broken", "apiVersion: v1\nkind: [\n")?;
    wait::until(SOON, "a file that is no YAML is shown", || {
        ensure!(ctl.text(&["node", "status"])?.contains("broken.yaml"), "it is not");
        Ok(())
    })?;
    ensure!(since(&trial)? == before, "a session was reset");
    objects.remove("broken")?;
    objects.write("peer-n1-tor-ipv4", &good)?;
    wait::until(SOON, "all is well again", || {
        let text = ctl.text(&["node", "status"])?;
        ensure!(!text.contains("asNumbr") && !text.contains("broken.yaml"), "{text}");
        Ok(())
    })?;
    ensure!(since(&trial)? == before, "a session was reset");
    Ok(())
}

#[test]
fn check_judges_a_folder_of_objects_offline() -> Result<()> {
    let trial = one_node()?;
    let objects = trial.node(1).objects()?;
    let folder = trial.node(1).folder.join("objects").display().to_string();
    let ctl = trial.node(1).ctl();
    let good = ctl.output(&["check", &folder])?;
    ensure!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let pool = objects.read("pool-ipv4")?;
    objects.write("pool-ipv4", &pool.replace("natOutgoing", "natOutgoin"))?;
    let bad = ctl.output(&["check", &folder])?;
    let said = [bad.stdout, bad.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(!bad.status.success(), "a bad folder passed: {said}");
    ensure!(said.contains("pool-ipv4.yaml") && said.contains("natOutgoin"), "{said}");
    Ok(())
}

#[test]
fn nat_outgoing_is_switched_off_and_on_at_run_time() -> Result<()> {
    let trial = Trial::planned(Shape::Tor, |plan| {
        plan.nodes = 1;
        plan.pods.truncate(1);
    })?;
    trial.up()?;
    let (pod, target) = (trial.plan.pod_netns(1, "a"), Family::V4.of(e2e::plan::NOROUTE));
    e2e::reach::ping(&pod, target, 1, SOON)?;
    let objects = trial.node(1).objects()?;
    let pool = objects.read("pool-ipv4")?;
    objects.write("pool-ipv4", &pool.replace("natOutgoing: true", "natOutgoing: false"))?;
    wait::until(SOON, "no masquerade", || {
        ensure!(e2e::reach::once(&pod, target, 1).is_err(), "the host without a route still answers");
        Ok(())
    })?;
    objects.write("pool-ipv4", &pool)?;
    e2e::reach::ping(&pod, target, 3, SOON).map(|_| ())
}
