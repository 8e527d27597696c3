//! What is left for whoever looks later: recordings that replay, bundles, metrics, probes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::plan::Shape;
use e2e::programs::Programs;
use e2e::trial::Trial;
use e2e::wait;

const SOON: Duration = Duration::from_secs(20);

fn one_node() -> Result<Trial> {
    let trial = Trial::planned(Shape::Tor, |plan| plan.nodes = 1)?;
    trial.up()?;
    Ok(trial)
}

#[test]
fn a_recording_replays_to_the_routes_that_were_wanted() -> Result<()> {
    let trial = one_node()?;
    let node = trial.node(1);
    node.agent()?.stop()?;
    let file = trial.plan.folder().join("facts.jsonl");
    node.start_agent_with(&["--record", &file.display().to_string()])?;
    node.ctl().wait_established(2, SOON)?;
    trial.attach(1, "c")?;
    wait::until(SOON, "routes of the router", || {
        let rows = node.ctl().list(&["route", "list"])?;
        ensure!(rows.iter().any(|row| row["prefix"] == "10.200.1.0/24"), "{rows:?}");
        Ok(())
    })?;
    let wanted = node.ctl().list(&["route", "list"])?;
    node.agent()?.stop()?;
    let output = Command::new(Programs::find()?.agent()).args(["--node-name", "n1", "replay"]).arg(&file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed = String::from_utf8_lossy(&output.stdout).into_owned();
    for row in &wanted {
        let prefix = row["prefix"].as_str().context("a route without a prefix")?;
        let address = prefix.trim_end_matches("/32").trim_end_matches("/128");
        ensure!(replayed.contains(address), "{prefix} is not in what the recording says:\n{replayed}");
    }
    Ok(())
}

#[test]
fn a_recording_holds_no_password() -> Result<()> {
    let trial = one_node()?;
    let node = trial.node(1);
    node.agent()?.stop()?;
    let file = trial.plan.folder().join("facts.jsonl");
    node.start_agent_with(&["--record", &file.display().to_string()])?;
    node.objects()?.write("secret", &e2e::objects::secret("bgp", "tor", "correct-horse"))?;
    wait::until(SOON, "the secret is recorded as such", || {
        let text = std::fs::read_to_string(&file)?;
        ensure!(text.contains("Secret"), "not yet");
        ensure!(!text.contains("correct-horse"), "the password is in the recording");
        Ok(())
    })
}

#[test]
fn probes_and_metrics_answer_over_http() -> Result<()> {
    let trial = one_node()?;
    let ask = |path: &str| {
        trial.plan.node_netns(1).run(|| {
            let mut stream = TcpStream::connect("127.0.0.1:9095")?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        })
    };
    for probe in ["/livez", "/readyz"] {
        let text = ask(probe)?;
        ensure!(text.starts_with("HTTP/1.1 200"), "{probe}: {text}");
    }
    let metrics = ask("/metrics")?;
    ensure!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    ensure!(metrics.contains("10.10.1.10"), "no metric names the peer:\n{metrics}");
    Ok(())
}

#[test]
fn diags_make_one_file_that_tar_reads() -> Result<()> {
    let trial = one_node()?;
    let file = trial.plan.folder().join("diags.tar.gz").display().to_string();
    trial.node(1).ctl().text(&["diags", &file])?;
    let listing = Command::new("tar").args(["-tzf", &file]).output()?;
    let names = String::from_utf8_lossy(&listing.stdout).into_owned();
    ensure!(listing.status.success() && names.lines().count() > 5, "{names}");
    Ok(())
}
