//! GoBGP as a neighbour. It has no forwarding table of its own, so no lab uses it as router.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::daemon::Start;
use super::{program, words};

/// `session_state` of an established session in its API.
const ESTABLISHED: u64 = 6;

pub(super) fn programs(folder: &Path, start: Start) -> Vec<(&'static str, Command)> {
    let mut gobgpd = program("/usr/bin/gobgpd");
    gobgpd.arg("-f").arg(folder.join("router.conf")).arg("--api-hosts").arg(target(folder));
    gobgpd.args(["--pprof-disable", "-p"]).args((start == Start::Graceful).then_some("-r"));
    vec![("gobgpd", gobgpd)]
}

pub(super) fn client(folder: &Path, line: &str) -> Command {
    let mut gobgp = program("/usr/bin/gobgp");
    gobgp.arg("--target").arg(target(folder)).args(words(line));
    gobgp
}

fn target(folder: &Path) -> String {
    format!("unix://{}", folder.join("gobgp.ctl").display())
}

/// Reads `-j neighbor`: a list.
pub(super) fn established(text: &str) -> Result<Vec<IpAddr>> {
    let peers: Vec<Value> = serde_json::from_str(text).context("GoBGP did not answer with JSON")?;
    let up = peers.iter().filter(|peer| peer["state"]["session_state"] == ESTABLISHED);
    Ok(up.filter_map(|peer| peer["state"]["neighbor_address"].as_str()?.split('%').next()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn established_neighbours_are_read_from_its_json() {
        let text = r#"[{"state":{"neighbor_address":"10.10.0.11","session_state":6}},
            {"state":{"neighbor_address":"10.10.0.12","session_state":3}}]"#;
        assert_eq!(established(text).unwrap(), ["10.10.0.11".parse::<IpAddr>().unwrap()]);
    }
}
