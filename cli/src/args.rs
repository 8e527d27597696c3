//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::api::show::{BgpTable, ObjectKind, ServiceRef};
use model::object::GoDuration;
use model::{Prefix, Protocol};

use crate::output::Format;

/// Shows and explains what the margay agent of this node knows.
#[derive(Debug, Parser)]
#[command(name = "margayctl", version, about, disable_help_subcommand = true)]
pub struct Arguments {
    /// The agent's unix socket.
    #[arg(long, global = true, env = "MARGAY_SOCKET", default_value = model::api::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The node as a whole.
    #[command(subcommand)]
    Node(NodeCommand),
    /// What the BGP speaker does: peers, and routes in its tables.
    #[command(subcommand)]
    Bgp(BgpCommand),
    /// Filters of routes between this node and its peers.
    #[command(subcommand)]
    Filter(FilterCommand),
    /// The routes that the kernel should have.
    #[command(subcommand)]
    Route(RouteCommand),
    /// NetworkPolicy: who may reach whom.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Where a packet goes, hop by hop, and why: link, translation, route, policies, tunnel. Exit status 1 if it is dropped on
    /// this node.
    Trace(TraceArguments),
    /// Addresses: who has which, how many are left.
    #[command(subcommand)]
    Ipam(IpamCommand),
    /// Pods that this node plumbed.
    #[command(subcommand)]
    Pod(PodCommand),
    /// Service addresses that this node announces.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Objects as they are in force.
    Get(GetArguments),
    /// Validate a directory of object files, without an agent. Exit status 1 if anything is wrong.
    Check {
        /// The directory, or one file.
        directory: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// What objects would do that are not in force: sessions, routes, rules, and why. Nothing is changed. Exit status 0 if
    /// nothing would change, 2 if something would, 1 if it cannot be said.
    Plan {
        /// A directory with all objects, or one file with objects to add or to replace.
        path: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Collect everything for a bug report into one tar.gz. No secrets are in it.
    Diags {
        /// Where to; by default margay-diags-NODE-DATE.tar.gz in the current directory.
        file: Option<PathBuf>,
    },
    /// The versions of margayctl and of the agent.
    Version,
    /// Print a completion script for a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// What changed on this node, when and why: sessions, best paths, kernel routes, objects, pods.
    History {
        /// Only of this prefix (and those inside), peer, pod (namespace/name) or object (Kind/name).
        of: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Write man pages into a directory.
    Man {
        /// Made if it is not there.
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Is the node well, are its peers up, and why not?
    Status {
        #[command(flatten)]
        output: Output,
    },
    /// Take the node out of service without losing packets: peers are told to turn to others, then the sessions end and
    /// stay down. Waits until they have.
    Drain {
        /// For the peers' operators.
        #[arg(long)]
        message: Option<String>,
        /// Do not wait for the sessions to end.
        #[arg(long)]
        no_wait: bool,
        /// Wait no longer than this; exit status 1 if the sessions are still up.
        #[arg(long, value_name = "DURATION", default_value = "2h")]
        timeout: GoDuration,
    },
    /// Take the node back into service.
    Undrain,
}

#[derive(Debug, Subcommand)]
pub enum BgpCommand {
    /// Sessions with peers: state, since when, why.
    #[command(visible_alias = "peer")]
    Peers {
        #[command(flatten)]
        output: Output,
    },
    /// Write the table into a file that other tools read.
    Dump {
        /// The file, in the MRT format (RFC 6396); - is standard output.
        #[arg(long, value_name = "FILE")]
        mrt: PathBuf,
    },
    /// BMP stations: whether they are connected, what they are told, why not.
    #[command(visible_alias = "station")]
    Stations {
        #[command(flatten)]
        output: Output,
    },
    /// Begin a session anew, or have routes told again. Where both sides agreed on it, a reset keeps the routes.
    Reset {
        /// The peer's address, or the name of its BGPPeer.
        peer: String,
        /// Leave the session up: ask the peer for its routes again (in), tell it ours again (out).
        #[arg(long, value_name = "DIRECTION", conflicts_with = "hard")]
        soft: Option<Soft>,
        /// Both sides forget the routes.
        #[arg(long)]
        hard: bool,
    },
    /// Routes in one of the speaker's tables.
    #[command(visible_alias = "route")]
    Routes {
        /// Which table.
        #[arg(default_value = "best")]
        table: Table,
        /// Only routes from this peer; with `advertised`, to it.
        #[arg(long)]
        peer: Option<IpAddr>,
        /// Only this prefix and those inside it.
        #[arg(long)]
        prefix: Option<Target>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub enum FilterCommand {
    /// Which rule of which BGPFilter decides on a route from a peer or to it. Exit status 1 if it does not pass.
    Test(FilterTestArguments),
}

#[derive(Debug, Args)]
pub struct FilterTestArguments {
    /// The peer's address, or the name of its BGPPeer.
    pub peer: String,
    /// The route: a prefix or an address.
    pub prefix: Target,
    /// From the peer or to it; both by default.
    #[arg(long)]
    pub direction: Option<Direction>,
    /// Ask these object files instead of the agent.
    #[arg(long, requires = "node")]
    pub objects: Option<PathBuf>,
    /// The node whose peer it is.
    #[arg(long, requires = "objects")]
    pub node: Option<String>,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// What the policies of a directory of object files allow between all pairs of its pods, without an agent.
    Matrix(MatrixArguments),
    /// The policies about a pod of this node in the order in which they are asked, with what each rule decided so far;
    /// without a pod, how many are about each.
    Show {
        /// NAMESPACE/NAME of a pod of this node, or HostEndpoint/NAME.
        pod: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Whether the policies let a connection pass, and which rule of which object decides. Exit status 1 if they do not.
    Test(PolicyTestArguments),
    /// What each policy let pass and dropped, over all pods of this node.
    Counters {
        #[command(flatten)]
        output: Output,
    },
    /// The last packets that policies dropped, with names instead of addresses.
    Log {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct PolicyTestArguments {
    /// Who connects: a pod (NAMESPACE/NAME), an address, or host for this node.
    pub from: String,
    /// Whom to: a pod (NAMESPACE/NAME), an address, or host.
    pub to: String,
    /// To which port.
    pub port: u16,
    /// TCP, UDP, SCTP, or another by name or number.
    #[arg(long, default_value = "TCP")]
    pub protocol: Protocol,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct TraceArguments {
    /// Who sends: a pod (NAMESPACE/NAME), an address, or host for this node.
    pub from: String,
    /// Whom to: a pod (NAMESPACE/NAME), an address, service/NAMESPACE/NAME, or host.
    pub to: String,
    /// To which port.
    #[arg(long, default_value_t = 80)]
    pub port: u16,
    /// TCP, UDP, SCTP, or another by name or number.
    #[arg(long, default_value = "TCP")]
    pub protocol: Protocol,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct MatrixArguments {
    /// The directory with Pods, Namespaces and NetworkPolicies, or one file.
    #[arg(long, value_name = "DIR")]
    pub objects: PathBuf,
    /// The ports that are tried.
    #[arg(long, value_delimiter = ',', default_value = "80", value_parser = clap::value_parser!(u16).range(1..))]
    pub ports: Vec<u16>,
    /// The protocols that are tried: TCP, UDP, SCTP.
    #[arg(long, value_delimiter = ',', default_value = "TCP", value_parser = with_ports)]
    pub protocols: Vec<Protocol>,
    #[command(flatten)]
    pub output: Output,
}

/// A protocol whose ports policies can name.
fn with_ports(text: &str) -> Result<Protocol, String> {
    let protocol = text.parse().ok().filter(|protocol: &Protocol| protocol.has_ports());
    protocol.ok_or_else(|| "must be TCP, UDP or SCTP".to_string())
}

/// Whose routes are told again.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Soft {
    /// The peer's.
    In,
    /// Ours.
    Out,
}

/// Which way a route goes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Direction {
    /// From the peer.
    Import,
    /// To the peer.
    Export,
}

impl From<Direction> for model::filter::Direction {
    fn from(direction: Direction) -> model::filter::Direction {
        match direction {
            Direction::Import => model::filter::Direction::Import,
            Direction::Export => model::filter::Direction::Export,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// All routes of ours, whether the kernel has them, and why not.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Why packets go the way they go: which path won, which next hop, tunnel or not, installed or not.
    Why {
        /// A prefix or an address.
        prefix: Target,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub enum IpamCommand {
    /// How many addresses are used and free, or who has one.
    Show {
        /// This node's blocks too.
        #[arg(long)]
        show_blocks: bool,
        /// Only the addresses that this node's pods hold in blocks of others.
        #[arg(long)]
        show_borrowed: bool,
        /// Who has this address?
        #[arg(long)]
        ip: Option<IpAddr>,
        #[command(flatten)]
        output: Output,
    },
    /// Take addresses back that blocks say are held on this node, although no pod has them.
    Release {
        /// This address; may be given several times.
        #[arg(long, required_unless_present = "from_report")]
        ip: Vec<IpAddr>,
        /// What `ipam check -o json` wrote: addresses given again since are left alone.
        #[arg(long, conflicts_with = "ip")]
        from_report: Option<PathBuf>,
    },
    /// Hold leases against links, pools and blocks. Exit status 1 if something does not fit.
    Check {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub enum PodCommand {
    /// All pods on this node.
    List {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Which service addresses this node announces over BGP, and why or why not.
    Show {
        /// Only this one: NAMESPACE/NAME.
        service: Option<ServiceRef>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct GetArguments {
    /// Which kind.
    pub kind: Kind,
    /// Only this one.
    pub name: Option<String>,
    #[command(flatten)]
    pub output: Output,
}

/// How to print.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// How to print.
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// The speaker's tables.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Table {
    /// What peers sent, before any filter.
    Received,
    /// What of it was let in, and our own routes.
    Accepted,
    /// The best path of each prefix, and those of equal cost.
    Best,
    /// What is sent to peers.
    Advertised,
}

impl From<Table> for BgpTable {
    fn from(table: Table) -> BgpTable {
        match table {
            Table::Received => BgpTable::Received,
            Table::Accepted => BgpTable::Accepted,
            Table::Best => BgpTable::Best,
            Table::Advertised => BgpTable::Advertised,
        }
    }
}

/// Kinds of objects, with calicoctl's short names.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum Kind {
    /// Peers.
    #[value(aliases = ["bgppeers", "bgpp", "bgpps", "bp", "bps", "BGPPeer"])]
    BgpPeer,
    /// Settings of BGP.
    #[value(aliases = ["bgpconfiguration", "bgpconfigurations", "bgpconfigs", "bgpc", "BGPConfiguration"])]
    BgpConfig,
    /// Pools of addresses.
    #[value(aliases = ["ippools", "ipp", "ipps", "pool", "pools", "IPPool"])]
    IpPool,
    /// Filters of routes.
    #[value(aliases = ["bgpfilters", "bgpf", "bgpfs", "bf", "bfs", "BGPFilter"])]
    BgpFilter,
    /// Nodes.
    #[value(aliases = ["nodes", "no", "nos", "Node"])]
    Node,
}

impl From<Kind> for ObjectKind {
    fn from(kind: Kind) -> ObjectKind {
        match kind {
            Kind::BgpPeer => ObjectKind::BGPPeer,
            Kind::BgpConfig => ObjectKind::BGPConfiguration,
            Kind::BgpFilter => ObjectKind::BGPFilter,
            Kind::IpPool => ObjectKind::IPPool,
            Kind::Node => ObjectKind::Node,
        }
    }
}

/// A prefix, or an address as a prefix of full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(pub Prefix);

impl FromStr for Target {
    type Err = model::prefix::PrefixError;
    fn from_str(text: &str) -> Result<Target, model::prefix::PrefixError> {
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Target(Prefix::host(address))),
            Err(_) => text.parse().map(Target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_matrix_is_of_protocols_with_ports() {
        for (protocols, is_fine) in
            [("TCP,UDP,SCTP", true), ("tcp", true), ("ICMP", false), ("TCP,47", false), ("", false)]
        {
            let arguments = ["margayctl", "policy", "matrix", "--objects", "d", "--protocols", protocols];
            assert_eq!(Arguments::try_parse_from(arguments).is_ok(), is_fine, "{protocols:?}");
        }
    }

    #[test]
    fn calicoctls_short_names_of_kinds_are_understood() {
        for (given, kind) in [
            ("bf", ObjectKind::BGPFilter),
            ("bgpf", ObjectKind::BGPFilter),
            ("bgpp", ObjectKind::BGPPeer),
            ("pools", ObjectKind::IPPool),
            ("no", ObjectKind::Node),
        ] {
            let arguments = Arguments::try_parse_from(["margayctl", "get", given, "-o", "wide"]);
            match arguments.map(|a| a.command) {
                Ok(Command::Get(get)) => assert_eq!(ObjectKind::from(get.kind), kind),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn route_why_takes_an_address_or_a_prefix() {
        let target = |text: &str| text.parse::<Target>().map(|t| t.0.to_string());
        assert_eq!(target("10.1.2.3"), Ok("10.1.2.3/32".into()));
        assert_eq!(target("2001:db8::/64"), Ok("2001:db8::/64".into()));
        assert!(target("10.1.2.3/24").is_err_and(|e| e.to_string().contains("did you mean 10.1.2.0/24")));
    }

    #[test]
    fn a_reset_is_of_the_session_or_soft_in_one_direction_or_hard() {
        let parsed =
            |more: &[&str]| Arguments::try_parse_from([&["margayctl", "bgp", "reset", "10.0.0.1"], more].concat());
        for good in [&[][..], &["--hard"], &["--soft", "in"], &["--soft", "out"]] {
            assert!(parsed(good).is_ok(), "{good:?}");
        }
        for bad in [&["--soft"][..], &["--soft", "up"], &["--soft", "in", "--hard"]] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }
}
