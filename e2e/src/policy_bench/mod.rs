//! What policies cost: packets with and without them, changes, beginnings, memory; medians of rounds that take turns.

mod ground;
mod loader;
mod report;
mod traffic;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;

use self::ground::Ground;
use self::loader::Loader;
pub use self::report::page;
pub use self::traffic::Cost;
use crate::netns::Netns;
use crate::programs::Programs;

/// Changes of each kind and size that are measured.
const CHANGES: usize = 100;
/// Pods of the node whose policies are in force.
const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Pods of the node while changes are measured: the second have some 10,000 rules.
const CHANGED: [usize; 3] = [100, 1_250, 10_000];
/// Pods of other nodes.
const ELSEWHERE: [usize; 3] = [0, 10_000, 50_000];

/// What stands in the kernel while packets are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rules {
    /// Nothing at all.
    NoTable,
    /// The table, and every pod is open.
    NoPolicies,
    /// The policies of so many pods, the measured two among them.
    Pods(usize),
    /// Behind the same shortcut for connections, one rule per pod in a row.
    InARow(usize),
}

/// Everything that was measured, in the order in which it was.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// By what stood in the kernel.
    pub packets: BTreeMap<Rules, Vec<Cost>>,
    /// Of one pod's policy, by the number of pods, in milliseconds: altogether, and of it the commit.
    pub pod: BTreeMap<usize, Vec<(f64, f64)>>,
    /// Of one member of a set, likewise.
    pub member: BTreeMap<usize, Vec<(f64, f64)>>,
    /// From nothing to everything in force, in milliseconds, by what.
    pub beginnings: BTreeMap<Beginning, Vec<f64>>,
    /// Resident memory in octets, by pods elsewhere.
    pub memory: BTreeMap<usize, Vec<f64>>,
    /// Rules in the table, by the number of pods.
    pub rules: BTreeMap<usize, usize>,
}

/// How much there is to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Beginning {
    /// Policies of the cluster.
    pub policies: usize,
    /// Pods of the cluster.
    pub pods: usize,
    /// Of these, on this node.
    pub here: usize,
}

/// All of them on one node, and as a cluster has them.
const BEGINNINGS: [Beginning; 2] =
    [Beginning { policies: 10_000, pods: 5_000, here: 5_000 }, Beginning { policies: 10_000, pods: 5_000, here: 110 }];

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => f.write_str("no table"),
            Self::NoPolicies => f.write_str("no policies"),
            Self::Pods(pods) => write!(f, "{} pods", report::thousands(*pods)),
            Self::InARow(rules) => write!(f, "{} rules in a row", report::thousands(*rules)),
        }
    }
}

/// Runs everything so many times.
pub fn run(rounds: usize, say: fn(&str)) -> Result<Measured> {
    let programs = Programs::find()?;
    let mut measured = Measured::default();
    let ground = Ground::new("bench-policy")?;
    let mut port = 20_000;
    for round in 1..=rounds {
        say(&format!("packets, round {round} of {rounds}"));
        let mut all = vec![Rules::NoTable, Rules::NoPolicies];
        all.extend(SIZES.map(Rules::Pods));
        all.push(Rules::InARow(10_000));
        for rules in all {
            let loader = stand(&programs, &ground.node, rules)?;
            measured.packets.entry(rules).or_default().push(traffic::measure(&ground, port)?);
            port += 2;
            drop(loader);
        }
    }
    for pods in CHANGED {
        say(&format!("one change, with the policies of {pods} pods"));
        changes(&programs, &ground.node, pods, &mut measured)?;
    }
    for _ in 0..rounds {
        for beginning in BEGINNINGS {
            let Beginning { policies, pods, here } = beginning;
            say(&format!("{policies} policies and {pods} pods, {here} of them here, from nothing"));
            let mut loader = empty(&programs, &ground.node)?;
            let took = loader.tell(&format!("begin {policies} {pods} {here}"))?;
            measured.beginnings.entry(beginning).or_default().push(took.all());
        }
        for elsewhere in ELSEWHERE {
            say(&format!("memory with {elsewhere} pods elsewhere"));
            let mut loader = empty(&programs, &ground.node)?;
            let took = loader.tell(&format!("hold 1000 {} 110", elsewhere + 110))?;
            measured.memory.entry(elsewhere).or_default().push(took.resident as f64);
        }
    }
    Ok(measured)
}

fn empty(programs: &Programs, node: &Netns) -> Result<Loader> {
    node.stdout("nft", &["flush", "ruleset"])?;
    Loader::start(programs, node)
}

/// Makes the kernel's rules so; the loader has to live as long as they are measured.
fn stand(programs: &Programs, node: &Netns, rules: Rules) -> Result<Option<Loader>> {
    node.stdout("nft", &["flush", "ruleset"])?;
    match rules {
        Rules::NoTable => Ok(None),
        Rules::NoPolicies => {
            let mut loader = Loader::start(programs, node)?;
            loader.tell("load 0")?;
            Ok(Some(loader))
        }
        Rules::Pods(pods) => {
            let mut loader = Loader::start(programs, node)?;
            loader.tell(&format!("load {pods}"))?;
            Ok(Some(loader))
        }
        Rules::InARow(count) => {
            let mut text = "table inet row {\nchain forward { type filter hook forward priority 0;\n\
                ct state established,related accept\n"
                .to_owned();
            for number in 0..count {
                text +=
                    &format!("ip daddr 172.{}.{}.{} drop\n", 16 + (number >> 16), (number >> 8) & 255, number & 255);
            }
            text += "}\n}\n";
            let file = tempfile::NamedTempFile::new()?;
            std::fs::write(file.path(), text)?;
            node.stdout("nft", &["-f", &file.path().display().to_string()])?;
            Ok(None)
        }
    }
}

fn changes(programs: &Programs, node: &Netns, pods: usize, measured: &mut Measured) -> Result<()> {
    let mut loader = empty(programs, node)?;
    let loaded = loader.tell(&format!("load {pods}"))?;
    measured.rules.insert(pods, loaded.rules);
    for _ in 0..CHANGES {
        let took = loader.tell("pod")?;
        measured.pod.entry(pods).or_default().push((took.all(), took.commit));
        let took = loader.tell("member")?;
        measured.member.entry(pods).or_default().push((took.all(), took.commit));
    }
    Ok(())
}
