//! The prober itself, between two machines and a router that somebody else's rules stand on.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use e2e::ip;
use e2e::netns::Netns;
use e2e::prober::{MachineId, Probe, Prober, Seen};
use model::Protocol;

const PORTS: [u16; 2] = [80, 81];
const PROTOCOLS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// `left` – `middle` – `right`, which forwards.
struct Line {
    prober: Prober,
    middle: Netns,
    ends: [(MachineId, [IpAddr; 2]); 2],
    all: Vec<Netns>,
}

impl Line {
    fn new() -> Result<Self> {
        let prefix = format!("prober{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let all = ["left", "middle", "right"].map(|name| Netns::named(format!("{prefix}-{name}")));
        ip::batch(&all.iter().map(|netns| format!("netns add {}", netns.name())).collect::<Vec<_>>())?;
        let [left, middle, right] = all.clone();
        middle.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        let mut prober = Prober::new();
        let mut ends = Vec::new();
        for (number, netns) in [(1, &left), (2, &right)] {
            ip::batch(&[format!(
                "link add eth0 netns {} type veth peer name e{number} netns {}",
                netns.name(),
                middle.name()
            )])?;
            let near = [format!("10.0.{number}.2"), format!("fd00:{number}::2")];
            let far = [format!("10.0.{number}.1"), format!("fd00:{number}::1")];
            let lines = |device: &str, address: &[String; 2]| -> Vec<String> {
                let mut lines = vec![format!("link set {device} up"), "link set lo up".into()];
                lines.extend(address.iter().zip([24, 64]).map(|(a, length)| {
                    let nodad = if length == 64 { " nodad" } else { "" };
                    format!("addr add {a}/{length} dev {device}{nodad}")
                }));
                lines
            };
            ip::batch_in(&middle, &lines(&format!("e{number}"), &far))?;
            let ways = far.iter().map(|gateway| format!("route add default via {gateway}"));
            ip::batch_in(netns, &lines("eth0", &near).into_iter().chain(ways).collect::<Vec<_>>())?;
            ends.push((prober.add(netns.name(), netns, &PORTS)?, [near[0].parse()?, near[1].parse()?]));
        }
        let ends = [ends[0], ends[1]];
        Ok(Self { prober, middle, ends, all: all.into() })
    }

    /// Every probe between the ends; `silent` are those that must not be answered.
    fn probes(&self, silent: impl Fn(&Probe) -> bool) -> Vec<Probe> {
        let mut probes = Vec::new();
        for (from, to) in [(0, 1), (1, 0)] {
            for (address, protocol, port) in self.ends[to].1.iter().flat_map(|address| {
                PROTOCOLS.iter().flat_map(move |p| PORTS.iter().map(move |port| (address, p, port)))
            }) {
                let probe = Probe::answered(self.ends[from].0, *address, *protocol, *port);
                let silence = Probe::silent(self.ends[from].0, *address, *protocol, *port);
                probes.push(if silent(&probe) { silence } else { probe });
            }
        }
        probes
    }

    fn rules(&self, rules: &str) -> Result<()> {
        let table = format!(
            "add table inet theirs; flush table inet theirs; add chain inet theirs f {{ type filter hook forward priority 0; }}; {rules}"
        );
        self.middle.stdout("nft", &[table]).map(|_| ())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let lines: Vec<String> = self.all.iter().map(|netns| format!("netns del {}", netns.name())).collect();
        ip::batch(&lines).ok();
    }
}

#[test]
fn everything_is_answered_where_nothing_forbids_it() -> Result<()> {
    let mut line = Line::new()?;
    let probes = line.probes(|_| false);
    ensure!(probes.len() == 24, "{}", probes.len());
    line.prober.hold(&probes)
}

#[test]
fn what_a_rule_drops_is_silent_in_every_protocol_and_the_rest_is_answered() -> Result<()> {
    let mut line = Line::new()?;
    let to = line.ends[1].1;
    for (protocol, name) in PROTOCOLS.into_iter().zip(["tcp", "udp", "sctp"]) {
        line.rules(&format!("add rule inet theirs f ip daddr {} {name} dport 81 drop", to[0]))?;
        let dropped = |probe: &Probe| probe.protocol == protocol && probe.to == (to[0], 81).into();
        let probes = line.probes(dropped);
        line.prober.hold(&probes)?;
    }
    // The other way round is wrong, and said to be.
    let upside_down = line.probes(|probe| probe.to.port() == 80);
    let wrong = line.prober.hold(&upside_down).err().map(|wrong| wrong.to_string()).unwrap_or_default();
    ensure!(wrong.contains("13 of 24") && wrong.contains("was not answered"), "{wrong}");
    Ok(())
}

#[test]
fn a_refusal_is_neither_an_answer_nor_silence() -> Result<()> {
    let mut line = Line::new()?;
    line.rules("add rule inet theirs f tcp dport 80 reject with tcp reset")?;
    let probe = Probe::silent(line.ends[0].0, line.ends[1].1[0], Protocol::TCP, 80);
    let seen = line.prober.round(&[probe])?;
    ensure!(matches!(seen.as_slice(), [Seen::Error(_)]), "{seen:?}");
    Ok(())
}

#[test]
fn a_round_is_judged_anew_whatever_connections_the_one_before_left() -> Result<()> {
    let mut line = Line::new()?;
    let open = line.probes(|_| false);
    line.prober.hold(&open)?;
    line.rules("add rule inet theirs f ct state established,related accept; add rule inet theirs f drop")?;
    let shut = line.probes(|_| true);
    line.prober.hold(&shut)
}
