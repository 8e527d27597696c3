//! BIRD 2 as a router.

use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use super::daemon::Start;
use super::{Config, Neighbour, program, short};
use crate::plan::{FAMILIES, Family};

pub(super) fn render(config: &Config) -> String {
    let mut text = format!("log stderr all;\nrouter id {};\nprotocol device {{}}\n", config.id);
    let kernel = if config.graceful_restart { " persist; graceful restart on;" } else { "" };
    for family in FAMILIES {
        let (channel, name) = (channel(family), short(family));
        let networks: String = config
            .networks
            .iter()
            .filter(|network| network.contains(':') == (family == Family::V6))
            .map(|network| format!(" route {network} blackhole;"))
            .collect();
        // The blackholes are only announced; what lies behind them is routed by the namespace itself.
        let _ = write!(
            text,
            "protocol kernel kernel_{name} {{ {channel} {{ import none; export where source = RTS_BGP; }}; merge paths on;{kernel} }}\n\
             protocol static static_{name} {{ {channel};{networks} }}\n"
        );
    }
    for neighbour in &config.neighbours {
        text += &session(config, neighbour);
    }
    text
}

fn session(config: &Config, neighbour: &Neighbour) -> String {
    let channel = channel(neighbour.family());
    let mut options = String::new();
    if config.graceful_restart {
        options += " graceful restart on; graceful restart time 30;";
    }
    if let Some(password) = &neighbour.password {
        let _ = write!(options, " password \"{password}\";");
    }
    if neighbour.ttl_security {
        options += " ttl security on;";
    }
    if let Some(seconds) = neighbour.hold_time {
        let _ = write!(options, " hold time {seconds};");
    }
    // A test takes a node's link down for a moment: whether BIRD would see its carrier go, and end the session, is chance.
    format!(
        "protocol bgp {} {{\n  local as {}; neighbor {} as {};{options}\n  connect delay time 1; connect retry time 1; error wait time 1,2;\n  \
         check link no;\n  {channel} {{ import all; export where source = RTS_STATIC || source = RTS_BGP; }};\n}}\n",
        neighbour.name, config.asn, neighbour.address, neighbour.asn
    )
}

fn channel(family: Family) -> &'static str {
    if family == Family::V4 { "ipv4" } else { "ipv6" }
}

pub(super) fn programs(folder: &Path, start: Start) -> Vec<(&'static str, Command)> {
    let mut bird = program("/usr/sbin/bird");
    let text = fs::read_to_string(folder.join("router.conf")).unwrap_or_default();
    let graceful = start == Start::Graceful || text.contains("graceful restart on;");
    bird.args(graceful.then_some("-R"))
        .arg("-f")
        .arg("-c")
        .arg(folder.join("router.conf"))
        .arg("-s")
        .arg(folder.join("bird.ctl"));
    vec![("bird", bird)]
}

pub(super) fn client(folder: &Path, line: &str) -> Command {
    let mut birdc = program("/usr/sbin/birdc");
    birdc.arg("-s").arg(folder.join("bird.ctl")).args(line.split(' '));
    birdc
}

/// Reads `show protocols all`: a paragraph per protocol.
pub(super) fn established(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut up = false;
    for line in text.lines() {
        let line = line.trim();
        if let Some(state) = line.strip_prefix("BGP state:") {
            up = state.trim() == "Established";
        } else if let Some(address) = line.strip_prefix("Neighbor address:")
            && up
        {
            // A link-local one with its device: `fe80::1%eth0`.
            found.extend(address.trim().split('%').next().and_then(|address| address.parse::<IpAddr>().ok()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn established_neighbours_are_read_from_its_words() {
        let text = "n1_v4 BGP --- up 03:00:00 Established\n  BGP state:          Established\n    Neighbor address: 10.10.1.11\n\
                    n2_v4 BGP --- start\n  BGP state:          Connect\n    Neighbor address: 10.10.2.11\n";
        assert_eq!(established(text), ["10.10.1.11".parse::<IpAddr>().unwrap()]);
    }
}
