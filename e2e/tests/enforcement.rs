//! Policies in the kernel of a node: in force before a pod's first packet, over the agent's death, and against others' hands.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::lab;
use e2e::plan::Family;
use e2e::trial::Trial;
use e2e::{two_pods, wait};

const SOON: Duration = Duration::from_secs(20);
/// Nobody may come in.
const CLOSED: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: lab}\n\
                      spec: {podSelector: {matchLabels: {name: b}}}";

struct TwoPods {
    trial: Trial,
    b: IpAddr,
}

impl TwoPods {
    fn up() -> Result<TwoPods> {
        let (trial, b) = two_pods::up()?;
        Ok(TwoPods { trial, b })
    }

    /// Whether `a` reaches `b`.
    fn is_reached(&self) -> Result<bool> {
        let a = self.trial.plan.pod_netns(1, "a");
        Ok(a.output("ping", &["-c1", "-W1", &self.b.to_string()])?.status.success())
    }

    fn wait(&self, reached: bool, what: &str) -> Result<()> {
        wait::until(SOON, what, || {
            ensure!(self.is_reached()? == reached, "reached is {}", !reached);
            Ok(())
        })
    }

    fn table(&self) -> Result<String> {
        self.trial.node(1).netns.stdout("nft", &["-a", "list", "table", "inet", "margay"])
    }
}

#[test]
fn a_policy_cuts_and_opens_and_stays_when_the_agent_dies_and_comes_back_when_others_flush_it() -> Result<()> {
    let pods = TwoPods::up()?;
    let node = pods.trial.node(1);
    pods.wait(true, "two pods without a policy")?;
    node.objects()?.write("policy", CLOSED)?;
    pods.wait(false, "a policy that closes b")?;

    let before = pods.table()?;
    node.agent()?.kill()?;
    ensure!(!pods.is_reached()?, "the agent's death has opened the pod");
    ensure!(shape(&pods.table()?) == shape(&before), "the agent's death has changed the rules");
    let _agent = node.start_agent()?;
    wait::until(SOON, "a new agent", || node.ctl().list(&["pod", "list"]).map(|_| ()))?;
    // It is done with its first plan when an ADD of a pod that is there is answered.
    pods.trial.attach(1, "b")?;
    ensure!(shape(&pods.table()?) == shape(&before), "a restart touched the rules");
    ensure!(!pods.is_reached()?, "a restart has opened the pod");

    node.netns.stdout("nft", &["flush", "ruleset"])?;
    wait::until(Duration::from_secs(1), "the rules again", || pods.table().map(|_| ()))?;
    ensure!(!pods.is_reached()?, "what was made again does not close the pod");

    node.objects()?.remove("policy")?;
    pods.wait(true, "the policy gone")
}

#[test]
fn a_pods_first_packet_meets_its_policy() -> Result<()> {
    let pods = TwoPods::up()?;
    let node = pods.trial.node(1);
    node.objects()?.write("policy", CLOSED)?;
    pods.wait(false, "a policy that closes b")?;
    for _ in 0..3 {
        pods.trial.detach(1, "b")?;
        let b = lab::address(&pods.trial.attach(1, "b")?, Family::V4)?;
        let a = pods.trial.plan.pod_netns(1, "a");
        ensure!(!a.output("ping", &["-c1", "-W1", &b.to_string()])?.status.success(), "b was open for a moment");
    }
    Ok(())
}

#[test]
fn a_pod_cannot_send_from_an_address_that_is_not_its_own() -> Result<()> {
    let pods = TwoPods::up()?;
    let a = pods.trial.plan.pod_netns(1, "a");
    let ping = |source: &str| -> Result<bool> {
        Ok(a.output("ping", &["-c1", "-W1", "-I", source, &pods.b.to_string()])?.status.success())
    };
    a.stdout("ip", &["addr", "add", "192.0.2.99/32", "dev", "eth0"])?;
    let (own, side) = host_side(&pods.trial)?;
    // So that an answer would find its way.
    let way = ["route", "add", "192.0.2.99/32", "via", &own, "onlink", "dev", &side];
    pods.trial.node(1).netns.stdout("ip", &way)?;
    ensure!(!ping("192.0.2.99")?, "a foreign source passes");
    ensure!(pods.is_reached()?, "the pod's own address");
    Ok(())
}

/// A table with its handles, which are new in one that was made anew, and without what it has counted.
fn shape(table: &str) -> Vec<String> {
    let line = |line: &str| match (line.split_once("counter packets"), line.rsplit_once(" # ")) {
        (Some((before, _)), Some((_, handle))) => format!("{before} # {handle}"),
        _ => line.to_owned(),
    };
    table.lines().map(line).collect()
}

/// The address of pod `a`, and its host side.
fn host_side(trial: &Trial) -> Result<(String, String)> {
    let address = lab::address(&trial.attach(1, "a")?, Family::V4)?.to_string();
    let routes = trial.node(1).kernel_routes(&address)?;
    let device = routes.first().and_then(|route| route["dev"].as_str()).unwrap_or_default().to_owned();
    Ok((address, device))
}
