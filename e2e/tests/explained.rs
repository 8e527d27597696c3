//! A packet that a policy drops, and how a user finds out: counters, the log with names, a test and a trace, with real packets.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::trial::Trial;
use e2e::{two_pods, wait};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);
/// Port 80 of `n1-b` is open to `n1-a`, its others to nobody.
const WEB: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: lab}\nspec: \
                   {podSelector: {matchLabels: {name: b}}, ingress: [{from: [{podSelector: {matchLabels: {name: a}}}], \
                   ports: [{port: 80}]}]}";

struct TwoPods {
    trial: Trial,
    b: IpAddr,
}

impl TwoPods {
    fn up() -> Result<TwoPods> {
        let (trial, b) = two_pods::up()?;
        Ok(TwoPods { trial, b })
    }

    fn json(&self, question: &[&str]) -> Result<Value> {
        let output = self.trial.node(1).ctl().output(&[question, &["-o", "json"]].concat())?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{question:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// As a person reads it, with the exit status. Printed, so that the documents can show it.
    fn text(&self, question: &[&str]) -> Result<(String, Option<i32>)> {
        let output = self.trial.node(1).ctl().output(question)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("$ margayctl {}\n{text}", question.join(" "));
        Ok((text, output.status.code()))
    }

    fn connect(&self, port: u16) -> Result<()> {
        let a = self.trial.plan.pod_netns(1, "a");
        let attempt = format!("timeout 1 bash -c '</dev/tcp/{}/{port}'", self.b);
        a.output("bash", &["-c", &attempt]).map(drop)
    }
}

#[test]
fn a_user_finds_out_which_policy_dropped_a_packet_and_whose_it_was() -> Result<()> {
    let pods = TwoPods::up()?;
    pods.trial.node(1).objects()?.write("policy", WEB)?;
    let test = |port: &'static str| pods.json(&["policy", "test", "lab/n1-a", "lab/n1-b", port]);
    wait::until(SOON, "the policy", || {
        ensure!(test("81")?["verdict"] == "denied", "{}", test("81")?);
        Ok(())
    })?;
    let end = || -> Result<u64> {
        let view = pods.json(&["policy", "show", "lab/n1-b"])?;
        view["ingress"]["tiers"][0]["counter"]["packets"].as_u64().with_context(|| view.to_string())
    };
    let denial = || -> Result<Value> {
        let log = pods.json(&["policy", "log"])?;
        let of_port = |denial: &&Value| denial["port"] == 81;
        log["denials"].as_array().and_then(|all| all.iter().find(of_port).cloned()).with_context(|| log.to_string())
    };
    let denial = wait::until(SOON, "a denial in the log", || {
        pods.connect(81)?;
        ensure!(end()? > 0, "nothing was counted at the tier's end");
        denial()
    })?;
    ensure!(denial["from"]["name"] == "lab/n1-a" && denial["to"]["name"] == "lab/n1-b", "{denial}");
    ensure!(denial["judged"]["unmatched"][0] == "NetworkPolicy/lab/web", "{denial}");

    pods.connect(80)?;
    let counters = pods.json(&["policy", "counters"])?;
    let allowed = counters.as_array().and_then(|all| all.iter().find(|row| row["object"] == "NetworkPolicy/lab/web"));
    ensure!(allowed.is_some_and(|row| row["action"] == "allow" && row["packets"].as_u64() > Some(0)), "{counters}");

    for question in
        [&["policy", "show"][..], &["policy", "show", "lab/n1-b"], &["policy", "counters"], &["policy", "log"]]
    {
        let (text, code) = pods.text(question)?;
        ensure!(
            code == Some(0) && text.contains("n1-b") || text.contains("NetworkPolicy/lab/web"),
            "{question:?}: {text}"
        );
    }
    let (text, code) = pods.text(&["policy", "test", "lab/n1-a", "lab/n1-b", "81"])?;
    ensure!(code == Some(1) && text.contains("no rule matches of NetworkPolicy/lab/web"), "{text}");
    let (text, code) = pods.text(&["trace", "lab/n1-a", "lab/n1-b", "--port", "81"])?;
    ensure!(code == Some(1) && text.contains("ingress   DROPPED"), "{text}");
    let (text, code) = pods.text(&["trace", "lab/n1-a", "lab/n1-b"])?;
    ensure!(code == Some(0) && text.contains("NetworkPolicy/lab/web ingress[0] allows it"), "{text}");
    ensure!(text.ends_with("Verdict: delivered to pod lab/n1-b\n"), "{text}");
    Ok(())
}
