//! `margay-lab`: the lab on the command line. `make lab` and `make lab-down` call it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use e2e::lab::{self, Lab};
use e2e::packages::{self, Need};
use e2e::plan::{Plan, RouterKind, Shape};
use e2e::programs::Programs;
use e2e::reach;

/// Two nodes and a router as network namespaces, with margay between them.
#[derive(Debug, Parser)]
#[command(name = "margay-lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
    /// Names everything in the lab.
    #[arg(long, global = true, default_value = "lab")]
    prefix: String,
    /// mesh, tor, two-tors or route-reflector.
    #[arg(long, global = true, env = "SHAPE", default_value = "tor")]
    shape: Shape,
    /// bird or frr.
    #[arg(long, global = true, env = "TOR", default_value = "bird")]
    router: RouterKind,
    /// How many nodes.
    #[arg(long, global = true, env = "NODES")]
    nodes: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install the Debian packages that are missing.
    Install {
        /// What for.
        #[arg(value_enum, default_value = "lab")]
        what: What,
    },
    /// Bring the lab up and show that it works.
    Up,
    /// Show the pings and views of a lab that is up.
    Show,
    /// Take the lab away: its processes, namespaces and files.
    Down,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Lab,
    Tests,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(wrong) => {
            eprintln!("error: {wrong:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    println!("  {text}");
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut plan = Plan::new(&arguments.prefix, arguments.shape);
    plan.router = arguments.router;
    plan.nodes = arguments.nodes.unwrap_or(plan.nodes);
    plan.check()?;
    match arguments.command {
        Verb::Install { what: What::Lab } => packages::install(Need::Lab, say)?,
        Verb::Install { what: What::Tests } => packages::install(Need::Tests, say)?,
        Verb::Down => {
            lab::down(&plan)?;
            println!("the lab is gone: no namespace {}-*, no process of its own", plan.prefix);
        }
        Verb::Up => {
            println!("bringing up the lab: shape {}, {} nodes, router {}", plan.shape, plan.nodes, plan.router);
            packages::install(Need::Lab, say)?;
            let lab = Lab::new(plan, Programs::find()?, say)?;
            lab.up().with_context(|| {
                format!(
                    "the lab did not come up; logs are in {} (`make lab-down` cleans up)",
                    lab.plan.folder().display()
                )
            })?;
            return show(&lab);
        }
        Verb::Show => return show(&Lab::new(plan, Programs::find()?, say)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(lab: &Lab) -> Result<ExitCode> {
    say("pinging");
    let ways = reach::ways(lab).context("the lab is not up (`make lab` brings it up)")?;
    let outcomes = reach::try_all(&ways, Duration::from_secs(10));
    let (table, good) = reach::table(&ways, &outcomes);
    println!("\n{table}");
    for wrong in outcomes.iter().flatten().filter_map(|outcome| outcome.as_ref().err()) {
        println!("{wrong:#}");
    }
    let ctl = lab.node(1).ctl();
    for view in [&["node", "status"][..], &["bgp", "peers"], &["route", "list"], &["pod", "list"]] {
        println!("n1# margayctl {}", view.join(" "));
        match ctl.text(view) {
            Ok(text) => println!("{text}"),
            Err(wrong) => println!("{wrong:#}\n"),
        }
    }
    println!("{}", look_around(lab));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look_around(lab: &Lab) -> String {
    let prefix = &lab.plan.prefix;
    let folder = lab.plan.folder().display().to_string();
    let ctl = lab.node(1).ctl().program.display().to_string();
    let router = match lab.plan.router {
        RouterKind::Bird => format!("birdc -s {folder}/tor/bird.ctl show route"),
        RouterKind::Frr => format!("vtysh --vty_socket {folder}/tor -d bgpd -c 'show bgp ipv4'"),
    };
    format!(
        "Look around (as root):
  a pod             ip netns exec {prefix}-pod-n1-a ip addr
  a node            ip netns exec {prefix}-n1 ip route
  its nftables      ip netns exec {prefix}-n1 nft list table inet margay
  its agent         {ctl} --socket {folder}/n1/agent.sock bgp routes
  why a route       {ctl} --socket {folder}/n1/agent.sock route why 10.244.2.0/24
  its objects       ls {folder}/n1/objects     (edit one: it applies within a second)
  its log           tail -f {folder}/n1/agent.log
  the router        {router}
  the wire          ip netns exec {prefix}-tor tcpdump -ni n1 port 179     (package tcpdump)
End it: make lab-down"
    )
}
