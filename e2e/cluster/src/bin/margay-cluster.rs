//! `margay-cluster`: the cluster on the command line. `make cluster`, `make cluster-down` and `make test-cluster` call it.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use cluster::cluster::{Cluster, Network};
use cluster::plan::{PREFIX, Plan};

/// A real Kubernetes on this machine: control plane, three nodes, and a router.
#[derive(Debug, Parser)]
#[command(name = "margay-cluster", version)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
    /// Names everything of the cluster.
    #[arg(long, global = true, env = "CLUSTER", default_value = PREFIX)]
    prefix: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build and fetch what a cluster needs.
    Prepare,
    /// Bring it up.
    Up {
        /// What connects the pods.
        #[arg(long, value_enum, default_value = "margay")]
        network: Connect,
    },
    /// Take it away; logs stay.
    Down,
    /// Print what the tests of the last run measured.
    Figures,
    /// kubectl as admin.
    Kubectl {
        /// What kubectl gets.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run a command inside a node.
    In {
        /// n1, n2, …
        node: String,
        /// The command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Connect {
    Margay,
    Ptp,
    None,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("error: {wrong:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    println!("  {text}");
}

fn run(arguments: Arguments) -> Result<()> {
    let plan = Plan::new(&arguments.prefix)?;
    match arguments.command {
        Verb::Prepare => {
            Cluster::prepare(plan, say)?;
        }
        Verb::Up { network } => {
            let cluster = Cluster::prepare(plan, say)?;
            let network = match network {
                Connect::Margay => Network::Margay,
                Connect::Ptp => Network::Ptp,
                Connect::None => Network::None,
            };
            if let Err(wrong) = cluster.up(network, say) {
                bail!("{wrong:#}\nlogs are in {} (`make cluster-down` cleans up)", cluster.plan.logs().display());
            }
            println!("{}", look_around(&cluster.plan));
        }
        Verb::Down => {
            let cluster = Cluster::named(plan);
            cluster.keep_agents_logs();
            cluster.down()?;
            println!("cluster {} is gone; its logs are in {}", cluster.plan.prefix, cluster.plan.logs().display());
        }
        Verb::Figures => print!("{}", cluster::figures::table(&plan)),
        Verb::Kubectl { args } => {
            let cluster = Cluster::find(plan)?;
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut command = cluster.kubectl.command(&args);
            return Err(command.stdin(std::process::Stdio::inherit()).exec().into());
        }
        Verb::In { node, args } => {
            let cluster = Cluster::find(plan)?;
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut command = cluster.node(&node).command(&args)?;
            return Err(command.stdin(std::process::Stdio::inherit()).exec().into());
        }
    }
    Ok(())
}

fn look_around(plan: &Plan) -> String {
    let program = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    let (prefix, logs) = (&plan.prefix, plan.logs().display().to_string());
    format!(
        "Look around (as root):
  kubectl           {program} --prefix {prefix} kubectl get pods -A -o wide
  margayctl         {program} --prefix {prefix} kubectl -n kube-system exec ds/margay -- margayctl node status
  inside a node     {program} --prefix {prefix} in n1 ip route
  the router        birdc -r -s {}/bird.ctl show route
  outside           ip netns exec {prefix}-outside ping 192.168.77.11
  logs              ls {logs}
End it: make cluster-down",
        plan.folder().display()
    )
}
