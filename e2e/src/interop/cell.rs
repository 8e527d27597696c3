//! One case played with one daemon: two machines on a link, our agent on the one and the daemon on the other, and the case's
//! steps one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::case::{Case, Fields, Side, Step, Traffic as Order};
use super::{folder, held, matching, template};
use crate::ctl::text;
use crate::ip;
use crate::netns::Netns;
use crate::plan::{FAMILIES, Family, OUTSIDE, Shape};
use crate::router::{Daemon, Router, Start, words};
use crate::traffic::Traffic;
use crate::trial::Trial;
use crate::tshark::Capture;
use crate::wait;

/// How long something may take to become so. OpenBGPD waits half a minute after an error.
const PATIENCE: Duration = Duration::from_secs(45);
/// The same where the daemon is known never to do it.
const IN_VAIN: Duration = Duration::from_secs(8);
const A_SECOND: Duration = Duration::from_secs(1);
/// Pods that n1's end of the traffic stands for.
const POD: (&str, &str) = ("10.244.1.1", "fd00:244:0:1::1");

/// Link-local addresses of the peer's end and of n1's, known beforehand to who configures them.
const LINK: [Ipv6Addr; 2] = [Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11)];

/// What happened in a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All was as the case wants it.
    Passed,
    /// The daemon did wrong in the way that the case knows.
    Wrong,
    /// It was not so: why.
    Failed(String),
}

/// Plays a case; what passes the link goes into a file of `captures`.
pub fn play(case: &Case, daemon: Daemon, captures: &Path) -> Outcome {
    let mut logs = String::new();
    let result = Cell::build(case, daemon, captures).and_then(|mut cell| {
        let (began, played) = (cell.begin(case), &mut logs);
        let result = began.and_then(|()| cell.play_all(case));
        if result.is_err() {
            *played = cell.tables() + &cell.trial.logs();
        }
        result
    });
    match (result, case.script.wrong.get(daemon.key())) {
        (Ok(()), None) => Outcome::Passed,
        (Ok(()), Some(wrong)) => {
            Outcome::Failed(format!("it passed: it is no longer so that {daemon} does this: {}", wrong.observed))
        }
        (Err(why), Some(wrong)) if format!("{why:#}").contains(&wrong.fails_with) => Outcome::Wrong,
        (Err(why), _) => Outcome::Failed(format!("{why:#}\n{logs}")),
    }
}

struct Cell {
    /// Ends before its machine does.
    _capture: Capture,
    trial: Trial,
    router: Router,
    told: template::Told,
    /// How often each session had been established when the case first looked.
    established: BTreeMap<String, u64>,
    streams: Vec<Traffic>,
    patience: Duration,
}

/// Paths of a prefix, and what is wanted of them.
struct Found {
    fields: Fields,
    rows: Vec<Value>,
}

/// `v4`, `n2-v6`, or `link`: between the link-local addresses of n1 and the peer.
struct Session {
    node: usize,
    /// The daemon's end and the node's.
    ends: [IpAddr; 2],
}

impl Cell {
    fn build(case: &Case, daemon: Daemon, captures: &Path) -> Result<Self> {
        let trial = Trial::planned(Shape::Mesh, |plan| {
            plan.nodes = case.script.nodes;
            plan.pods.clear();
        })?;
        let trial = trial.silent();
        trial.build_machines()?;
        let router = trial.router(1).running(daemon);
        let base = folder().join("base");
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let own = read(&case.folder.join(daemon.file()))?;
        let place = [("folder", router.folder.display().to_string())];
        let told = template::render(&read(&base.join(daemon.file()))?, &own, &place).with_context(|| daemon.file())?;
        link_local(&trial.plan.tor_netns(1), "rack", LINK[0])?;
        link_local(&trial.plan.node_netns(1), "eth0", LINK[1])?;
        for node in 1..=case.script.nodes {
            let netns = trial.plan.node_netns(node);
            // Only what BGP teaches leads anywhere.
            ip::batch_in(&netns, &["route del 0.0.0.0/0".into(), "route del ::/0".into()])?;
            for address in [POD.0, POD.1].into_iter().filter(|_| node == 1) {
                ip::batch_in(&netns, &[format!("addr add {address} dev lo")])?;
            }
        }
        if matches!(daemon, Daemon::Gobgp | Daemon::Openbgpd) {
            // They forward nothing on Linux: their machine has the way back by hand.
            let ways = FAMILIES.map(|family| {
                let (v4, v6) = trial.plan.pod_cidrs(1);
                let pods = if family == Family::V4 { v4 } else { v6 };
                format!("route add {pods} via {}", trial.plan.node_ip(1, family))
            });
            ip::batch_in(&trial.plan.tor_netns(1), &ways)?;
        }
        let file = captures.join(format!("{}-{}-{}.pcapng", case.group, case.name, daemon.key()));
        let capture = Capture::start(&trial.plan.tor_netns(1), "rack", &file)?;
        let patience = if case.script.wrong.contains_key(daemon.key()) { IN_VAIN } else { PATIENCE };
        Ok(Self { _capture: capture, trial, router, told, established: BTreeMap::new(), streams: Vec::new(), patience })
    }

    fn begin(&mut self, case: &Case) -> Result<()> {
        self.router.start_with(&self.told.config)?;
        self.ask_all()?;
        self.start_agents(case)
    }

    fn start_agents(&mut self, case: &Case) -> Result<()> {
        for node in 1..=case.script.nodes {
            let node = self.trial.node(node);
            let objects = node.objects()?;
            for source in [folder().join("base/objects"), case.folder.join("objects")] {
                for entry in fs::read_dir(source).into_iter().flatten() {
                    let path = entry?.path();
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    let of_nobody = name
                        .strip_prefix("node-")
                        .is_some_and(|node| number(node).is_ok_and(|number| number > case.script.nodes));
                    if !of_nobody && !case.script.without.contains(&name) {
                        objects.write(&name, &fs::read_to_string(&path)?)?;
                    }
                }
            }
            node.start_agent()?;
        }
        Ok(())
    }

    /// The lines that belong to the daemon's configuration, for the one that takes some of it from its client only.
    fn ask_all(&self) -> Result<()> {
        self.told.ask.iter().try_for_each(|line| self.router.ask(line).map(|_| ()))
    }

    fn play_all(&mut self, case: &Case) -> Result<()> {
        for (number, step) in case.script.steps.iter().enumerate() {
            self.play(step).with_context(|| format!("step {}", number + 1))?;
        }
        Ok(())
    }

    fn play(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Sessions(names) => names.iter().try_for_each(|name| self.both_sides_up(name)),
            Step::NoReset(names) => names.iter().try_for_each(|name| self.not_reset(name)),
            Step::WeSee(fields) => self.we_see(fields),
            Step::WeHave(fields) => self.soon("we have it", || one_of(&self.ours(fields)?)),
            Step::WeLack(fields) => self.soon("we lack it", || none_of(&self.ours(fields)?)),
            Step::Kernel(fields) => self.soon("the kernel has it", || one_of(&self.kernel(fields)?)),
            Step::PeerHas(fields) => self.soon("the peer has it", || one_of(&self.theirs(fields)?)),
            Step::PeerLacks(fields) => self.soon("the peer lacks it", || none_of(&self.theirs(fields)?)),
            Step::PeerKeeps(fields) => wait::throughout(A_SECOND, "the peer has it", || one_of(&self.theirs(fields)?)),
            Step::PeerSays(sayings) => match sayings.get(self.router.daemon().key()) {
                Some(saying) => self.soon("the peer says so", || self.said(saying)),
                None => Ok(()),
            },
            Step::Ask(lines) => {
                let lines = lines.get(self.router.daemon().key()).context("nothing to ask this daemon")?;
                lines.iter().try_for_each(|line| self.router.ask(line).map(|_| ()))
            }
            Step::Ctl(nodes) => nodes.iter().try_for_each(|(node, lines)| {
                let ctl = self.trial.node(number(node)?).ctl();
                lines.iter().try_for_each(|line| {
                    let words = words(line);
                    ctl.text(&words.iter().map(String::as_str).collect::<Vec<_>>()).map(|_| ())
                })
            }),
            Step::Write(files) => {
                let objects = self.trial.node(1).objects()?;
                files.iter().try_for_each(|(name, yaml)| objects.write(name, yaml))
            }
            Step::Remove(names) => {
                let objects = self.trial.node(1).objects()?;
                names.iter().try_for_each(|name| objects.remove(name))
            }
            Step::Kill(Side::Us) => self.trial.node(1).agent()?.kill(),
            Step::Kill(Side::Peer) => self.router.kill(),
            Step::Stop(Side::Us) => self.trial.node(1).agent()?.stop(),
            Step::Stop(Side::Peer) => self.router.stop(),
            Step::Start(Side::Us) => self.trial.node(1).start_agent().map(|_| ()),
            Step::Start(Side::Peer) => {
                self.router.start_as(Start::Graceful)?;
                self.ask_all()
            }
            Step::Traffic(order) => self.traffic(*order),
            Step::Ip(machines) => machines.iter().try_for_each(|(machine, lines)| {
                let plan = &self.trial.plan;
                let netns = if machine == "peer" { plan.tor_netns(1) } else { plan.node_netns(1) };
                ip::batch_in(&netns, lines)
            }),
        }
    }

    fn soon<T>(&self, what: &str, look: impl FnMut() -> Result<T>) -> Result<T> {
        wait::until(self.patience, what, look)
    }

    /// What our agents show, for one who asks why.
    fn tables(&self) -> String {
        let mut all = String::new();
        for node in 1..=self.trial.plan.nodes {
            for args in
                [&["bgp", "peers", "-o", "wide"][..], &["bgp", "routes", "received", "-o", "wide"], &["history"]]
            {
                let said = self.trial.node(node).ctl().text(args).unwrap_or_else(|wrong| format!("{wrong:#}"));
                all += &format!("── n{node}: margayctl {}\n{said}\n", args.join(" "));
            }
        }
        all
    }

    fn session(&self, name: &str) -> Result<Session> {
        if name == "link" {
            return Ok(Session { node: 1, ends: LINK.map(IpAddr::V6) });
        }
        let (node, family) = match name.split_once('-') {
            Some((node, family)) => (number(node)?, family),
            None => (1, name),
        };
        let family = match family {
            "v4" => Family::V4,
            "v6" => Family::V6,
            _ => bail!("{name} is no session"),
        };
        let link = self.trial.plan.uplink(node, 1);
        Ok(Session { node, ends: [family.of(link.router), family.of(link.host)] })
    }

    /// What `margayctl bgp peers` shows of a session.
    fn row(&self, name: &str) -> Result<Value> {
        let session = self.session(name)?;
        self.trial.node(session.node).ctl().peer(&session.ends[0].to_string())
    }

    fn both_sides_up(&mut self, name: &str) -> Result<()> {
        let host = self.session(name)?.ends[1];
        let row = self.soon(&format!("session {name}"), || {
            let row = self.row(name)?;
            ensure!(row["state"] == "Established", "it is {}: {}", text(&row["state"]), text(&row["reason"]));
            let established = self.router.established()?;
            ensure!(established.contains(&host), "the peer has sessions with {established:?}");
            Ok(row)
        })?;
        let count = row["establishedCount"].as_u64().unwrap_or(0);
        self.established.entry(name.to_owned()).or_insert(count);
        Ok(())
    }

    fn not_reset(&self, name: &str) -> Result<()> {
        let row = self.row(name)?;
        let before = self.established.get(name).with_context(|| format!("session {name} was not looked at before"))?;
        ensure!(row["establishedCount"] == *before, "session {name} was reset: {}", text(&row["lastError"]));
        ensure!(row["state"] == "Established", "session {name} is down: {}", text(&row["reason"]));
        Ok(())
    }

    fn we_see(&self, fields: &Fields) -> Result<()> {
        let mut fields = fields.clone();
        let session = fields.remove("session").context("we-see names no session")?;
        self.soon("we see it", || match matching::objection(&fields, &self.row(&text(&session))?) {
            Some(objection) => bail!("{objection}"),
            None => Ok(()),
        })
    }

    /// Our paths of the prefix that `fields` names.
    fn ours(&self, fields: &Fields) -> Result<Found> {
        let mut fields = fields.clone();
        let table = fields.remove("table").map_or_else(|| "best".into(), |table| text(&table));
        let node = fields.remove("on").map_or(Ok(1), |node| number(&text(&node)))?;
        let prefix = text(fields.get("prefix").context("no prefix is named")?);
        let rows = self.trial.node(node).ctl().list(&["bgp", "routes", &table, "--prefix", &prefix])?;
        Ok(Found { fields, rows })
    }

    /// What of it the kernel should have, and whether it has.
    fn kernel(&self, fields: &Fields) -> Result<Found> {
        let rows = self.trial.node(1).ctl().list(&["route", "list"])?;
        let rows = rows.into_iter().filter(|row| Some(&row["prefix"]) == fields.get("prefix")).collect();
        Ok(Found { fields: fields.clone(), rows })
    }

    /// The daemon's.
    fn theirs(&self, fields: &Fields) -> Result<Found> {
        let mut fields = fields.clone();
        let prefix = text(&fields.remove("prefix").context("no prefix is named")?);
        let rows = held::paths(&self.router, &prefix)?;
        Ok(Found { fields, rows })
    }

    fn said(&self, saying: &super::case::Saying) -> Result<()> {
        let answer = self.router.ask(&saying.ask)?;
        let missing = saying.words.iter().find(|words| !answer.contains(*words));
        ensure!(missing.is_none(), "{:?} is not in the answer to {:?}: {answer}", missing, saying.ask);
        if !saying.values.is_empty() {
            let json: Value = serde_json::from_str(&answer).with_context(|| format!("no JSON: {answer}"))?;
            for (pointer, want) in &saying.values {
                let there = json.pointer(pointer);
                ensure!(there == Some(want), "{pointer} is {there:?}, not {want}, in {answer}");
            }
        }
        let there = saying.never.iter().find(|words| answer.contains(*words));
        ensure!(there.is_none(), "{:?} is in the answer to {:?}: {answer}", there, saying.ask);
        Ok(())
    }

    fn traffic(&mut self, order: Order) -> Result<()> {
        let node = self.trial.plan.node_netns(1);
        match order {
            Order::Start => {
                for (source, target) in [(POD.0, IpAddr::V4(OUTSIDE.0)), (POD.1, IpAddr::V6(OUTSIDE.1))] {
                    let folder = self.trial.plan.folder();
                    let source = source.parse()?;
                    self.soon(&format!("{target} answers {source}"), || crate::reach::from(&node, source, target))?;
                    self.streams.push(Traffic::start_from(folder, &node, Some(source), target)?);
                }
                Ok(())
            }
            Order::Flows => self.streams.iter().try_for_each(|stream| stream.flows(50, PATIENCE)),
            Order::Unbroken => self.streams.drain(..).try_for_each(|stream| {
                let target = stream.target;
                stream.flows(50, PATIENCE)?;
                let (answers, lost) = stream.stop()?;
                ensure!(lost == 0, "{lost} of {} packets to {target} are lost", answers + lost);
                Ok(())
            }),
        }
    }
}

/// Gives a device this link-local address instead of what the kernel has made up.
fn link_local(netns: &Netns, device: &str, address: Ipv6Addr) -> Result<()> {
    netns.stdout("ip", &["-6", "addr", "flush", "dev", device, "scope", "link"])?;
    ip::batch_in(netns, &[format!("addr add {address}/64 dev {device} nodad")])
}

/// Of `n2`.
fn number(node: &str) -> Result<usize> {
    let digits = node.strip_prefix('n').with_context(|| format!("{node} is no node"))?;
    digits.parse().with_context(|| format!("{node} is no node"))
}

fn one_of(found: &Found) -> Result<()> {
    let rows = &found.rows;
    let objections: Vec<String> = rows.iter().filter_map(|row| matching::objection(&found.fields, row)).collect();
    if objections.len() < rows.len() {
        return Ok(());
    }
    let seen: Vec<String> = rows.iter().map(Value::to_string).collect();
    bail!("of {} paths none fits: {}; there is {}", rows.len(), objections.join("; "), seen.join(" "))
}

fn none_of(found: &Found) -> Result<()> {
    let there = found.rows.iter().find(|row| matching::objection(&found.fields, row).is_none());
    ensure!(there.is_none(), "it is there: {}", there.map(Value::to_string).unwrap_or_default());
    Ok(())
}
