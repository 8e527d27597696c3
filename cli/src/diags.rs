//! `diags`: everything for a bug report in one tar.gz, without secrets.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use model::api::Show;
use model::api::show::{BgpRoutes, BgpTable, DiagPart, NodeStatusView, ObjectKind};
use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::output::print;

/// What the kernel and the tools of the node say. The table `inet margay` only: other tables are others' business.
const TOOLS: [&[&str]; 12] = [
    &["uname", "-a"],
    &["ip", "-d", "address"],
    &["ip", "-s", "link"],
    &["ip", "route", "show", "table", "all"],
    &["ip", "-6", "route", "show", "table", "all"],
    &["ip", "rule"],
    &["ip", "-6", "rule"],
    &["ip", "neighbour"],
    &["ip", "-6", "neighbour"],
    &["nft", "-n", "list", "table", "inet", "margay"],
    &["ss", "-tan", "sport = :179 or dport = :179"],
    &["sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter"],
];

/// Writes the bundle. What cannot be had is named in it and does not stop the rest.
pub fn diags(client: &mut Client, file: Option<&Path>) -> anyhow::Result<()> {
    let mut parts = of_agent(client);
    parts.extend(TOOLS.iter().map(|command| of_tool(command)));
    let node = match client.show::<NodeStatusView>(Show::NodeStatus) {
        Ok(status) => status.node,
        Err(_) => "unknown".to_string(),
    };
    let now = Timestamp::now();
    let stem = format!("margay-diags-{}-{}", file_name(&node), now.strftime("%Y%m%d-%H%M%S"));
    let path = file.map_or_else(|| PathBuf::from(format!("{stem}.tar.gz")), Path::to_path_buf);
    let write = || {
        let archive = File::create(&path)?;
        write_archive(archive, &stem, now.as_second(), &parts)
    };
    write().with_context(|| path.display().to_string())?;
    print(&format!("Wrote {} parts to {}\n", parts.len(), path.display()))
}

fn of_agent(client: &mut Client) -> Vec<DiagPart> {
    let mut parts = Vec::new();
    let views = [
        ("node-status.json", Show::NodeStatus),
        ("pods.json", Show::Pods),
        ("services.json", Show::Services { of: None }),
        ("ipam.json", Show::Ipam),
        ("ipam-check.json", Show::IpamCheck),
        ("policy-pods.json", Show::PolicyPods),
        ("policy-counters.json", Show::PolicyCounters),
        ("policy-log.json", Show::PolicyLog),
        ("object-errors.json", Show::ObjectErrors),
        ("nodes.json", Show::Objects { kind: ObjectKind::Node, name: None }),
        ("bgppeers.json", Show::Objects { kind: ObjectKind::BGPPeer, name: None }),
        ("bgpfilters.json", Show::Objects { kind: ObjectKind::BGPFilter, name: None }),
        ("bgpconfigurations.json", Show::Objects { kind: ObjectKind::BGPConfiguration, name: None }),
        ("ippools.json", Show::Objects { kind: ObjectKind::IPPool, name: None }),
    ];
    for (name, show) in views {
        parts.push(part(name, client.show::<Value>(show)));
    }
    parts.push(part("routes.json", client.installed()));
    let tables = [
        ("bgp-received.json", BgpTable::Received),
        ("bgp-best.json", BgpTable::Best),
        ("bgp-advertised.json", BgpTable::Advertised),
    ];
    for (name, table) in tables {
        parts.push(part(name, client.routes(BgpRoutes { table, peer: None, within: None, after: None })));
    }
    match client.show::<Vec<DiagPart>>(Show::Diags) {
        Ok(own) => parts.extend(own.into_iter().map(|p| DiagPart { name: file_name(&p.name), ..p })),
        Err(error) => parts.push(DiagPart { name: "agent.txt".into(), text: format!("{error:#}\n") }),
    }
    parts
}

fn part<T: Serialize>(name: &str, view: anyhow::Result<T>) -> DiagPart {
    let text = view.and_then(|view| Ok(serde_json::to_string_pretty(&view)?));
    DiagPart { name: name.to_string(), text: text.unwrap_or_else(|error| format!("{error:#}")) + "\n" }
}

fn of_tool(command: &[&str]) -> DiagPart {
    let name = file_name(&command.join("-")) + ".txt";
    let (program, arguments) = command.split_first().map_or(("true", command), |(p, a)| (*p, a));
    let text = match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            said + &String::from_utf8_lossy(&output.stderr)
        }
        Err(error) => format!("{program}: {error}\n"),
    };
    DiagPart { name, text }
}

/// Letters, digits, dots and hyphens only: a name from outside makes no path.
fn file_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = text.chars().map(plain).collect();
    name.split('-').filter(|part| !part.trim_matches('.').is_empty()).collect::<Vec<_>>().join("-")
}

fn write_archive(to: impl Write, stem: &str, seconds: i64, parts: &[DiagPart]) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(to, Compression::default()));
    for part in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(part.text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(seconds).unwrap_or_default());
        archive.append_data(&mut header, format!("{stem}/{}", part.name), part.text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_bundle_is_a_tar_gz_with_every_part_under_one_folder() {
        let parts = [DiagPart { name: "a.txt".into(), text: "one".into() }, of_tool(&["echo", "two words"])];
        let mut octets = Vec::new();
        write_archive(&mut octets, "margay-diags-n1", 0, &parts).expect("written");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(octets.as_slice()));
        let entries: Vec<(String, String)> = archive
            .entries()
            .expect("entries")
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let path = entry.path().expect("a path").display().to_string();
                let mut text = String::new();
                entry.read_to_string(&mut text).expect("text");
                (path, text)
            })
            .collect();
        let said = |path: &str, text: &str| (path.to_string(), text.to_string());
        assert_eq!(
            entries,
            [said("margay-diags-n1/a.txt", "one"), said("margay-diags-n1/echo-two-words.txt", "two words\n")]
        );
    }

    #[test]
    fn a_name_from_outside_makes_no_path() {
        assert_eq!(file_name("../../etc/passwd"), "etc-passwd");
        assert_eq!(file_name("node 1/α"), "node-1");
    }

    #[test]
    fn a_tool_that_is_not_there_does_not_stop_the_rest() {
        let part = of_tool(&["margay-no-such-tool"]);
        assert!(part.text.starts_with("margay-no-such-tool: "), "{}", part.text);
    }
}
