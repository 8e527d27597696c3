//! `margayctl`: shows and explains what the agent of this node knows.

mod args;
mod check;
mod client;
mod diags;
mod drain;
mod dump;
mod explain;
mod filter;
mod output;
mod plan;
mod policy;
mod release;
mod reset;
mod view;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use model::api::Show;
use model::api::show::{
    AddressView, BgpRoutes, ChangeView, IpamCheckView, IpamView, NodeStatusView, ObjectErrorView, ObjectView, PeerView,
    PodView, RouteWhyView, ServicesView, StationView,
};

use self::args::{
    Arguments, BgpCommand, Command, FilterCommand, GetArguments, IpamCommand, NodeCommand, PodCommand, RouteCommand,
    ServiceCommand,
};
use self::client::Client;
use self::output::{Detail, Format, print, print_structured};

/// What a question is about that has an answer of yes or no, such as `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Problems,
    /// Something would change.
    Changes,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::Problems) => ExitCode::FAILURE,
        Ok(Verdict::Changes) => ExitCode::from(2),
        Err(error) => {
            eprintln!("margayctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<Verdict> {
    let mut client = Client::new(&arguments.socket);
    match arguments.command {
        Command::Node(NodeCommand::Status { output }) => {
            let status: NodeStatusView = client.show(Show::NodeStatus)?;
            show(&status, output.format, |_| view::node::status(&status))?;
        }
        Command::Node(NodeCommand::Drain { message, no_wait, timeout }) => {
            let patience = (!no_wait).then_some(timeout.0);
            return drain::drain(&mut client, message, patience);
        }
        Command::Node(NodeCommand::Undrain) => drain::undrain(&mut client)?,
        Command::Bgp(command) => bgp(&mut client, command)?,
        Command::Filter(FilterCommand::Test(arguments)) => return filter::test(&mut client, &arguments),
        Command::Route(command) => route(&mut client, command)?,
        Command::Policy(command) => return explain::policy(&mut client, command),
        Command::Trace(arguments) => return explain::trace(&mut client, arguments),
        Command::Ipam(command) => return ipam(&mut client, command),
        Command::Pod(PodCommand::List { output }) => {
            let pods: Vec<PodView> = client.show(Show::Pods)?;
            show(&pods, output.format, |detail| view::pod::list(&pods, detail))?;
        }
        Command::Service(ServiceCommand::Show { service, output }) => {
            let services: ServicesView = client.show(Show::Services { of: service.clone() })?;
            if let Some(service) = service.filter(|_| services.services.is_empty()) {
                anyhow::bail!("no Service {service} with addresses is known here: {}", view::service::NOT_KNOWN);
            }
            show(&services, output.format, |_| view::service::show(&services))?;
        }
        Command::Get(get) => get_objects(&mut client, get)?,
        Command::Plan { path, output } => return plan::plan(&mut client, &path, output.format),
        Command::Check { directory, output } => return check::check(&directory, output.format),
        Command::History { of, output } => {
            let changes: Vec<ChangeView> = client.show(Show::History { of })?;
            show(&changes, output.format, |_| view::history::list(&changes))?;
        }
        Command::Diags { file } => diags::diags(&mut client, file.as_deref())?,
        Command::Version => print(&version(&mut client))?,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "margayctl", &mut script);
            print(&String::from_utf8_lossy(&script))?;
        }
        Command::Man { directory } => man(&directory)?,
    }
    Ok(Verdict::Fine)
}

fn bgp(client: &mut Client, command: BgpCommand) -> anyhow::Result<()> {
    match command {
        BgpCommand::Peers { output } => {
            let peers: Vec<PeerView> = client.show(Show::BgpPeers)?;
            show(&peers, output.format, |detail| view::peer::list(&peers, detail))
        }
        BgpCommand::Dump { mrt } => dump::dump(client, &mrt),
        BgpCommand::Stations { output } => {
            let stations: Vec<StationView> = client.show(Show::BgpStations)?;
            show(&stations, output.format, |detail| view::station::list(&stations, detail))
        }
        BgpCommand::Reset { peer, soft, hard } => reset::reset(client, peer, soft, hard),
        BgpCommand::Routes { table, peer, prefix, output } => {
            let question = BgpRoutes { table: table.into(), peer, within: prefix.map(|p| p.0), after: None };
            let routes = client.routes(question)?;
            show(&routes, output.format, |detail| view::bgp_route::list(&routes, detail))
        }
    }
}

fn route(client: &mut Client, command: RouteCommand) -> anyhow::Result<()> {
    match command {
        RouteCommand::List { output } => {
            let routes = client.installed()?;
            show(&routes, output.format, |detail| view::route::list(&routes, detail))
        }
        RouteCommand::Why { prefix, output } => {
            let why: RouteWhyView = client.show(Show::RouteWhy { prefix: prefix.0 })?;
            show(&why, output.format, |detail| view::route::why(&why, detail))
        }
    }
}

fn ipam(client: &mut Client, command: IpamCommand) -> anyhow::Result<Verdict> {
    match command {
        IpamCommand::Show { ip: Some(ip), output, .. } => {
            let address: AddressView = client.show(Show::IpamAddress { ip })?;
            show(&address, output.format, |_| view::ipam::address(&address))?;
        }
        IpamCommand::Show { show_borrowed: true, output, .. } => {
            let ipam: IpamView = client.show(Show::Ipam)?;
            show(&ipam.borrowed, output.format, |_| view::ipam::borrowed(&ipam.borrowed))?;
        }
        IpamCommand::Release { ip, from_report } => return release::release(client, ip, from_report.as_deref()),
        IpamCommand::Show { ip: None, show_blocks, output, .. } => {
            let ipam: IpamView = client.show(Show::Ipam)?;
            let rows = if show_blocks { view::ipam::Rows::Blocks } else { view::ipam::Rows::Pools };
            show(&ipam, output.format, |detail| view::ipam::usage(&ipam, rows, detail))?;
        }
        IpamCommand::Check { output } => {
            let check: IpamCheckView = client.show(Show::IpamCheck)?;
            show(&check, output.format, |_| view::ipam::check(&check))?;
            return Ok(if check.problems.is_empty() { Verdict::Fine } else { Verdict::Problems });
        }
    }
    Ok(Verdict::Fine)
}

fn get_objects(client: &mut Client, get: GetArguments) -> anyhow::Result<()> {
    let kind = get.kind.into();
    let objects: Vec<ObjectView> = client.show(Show::Objects { kind, name: get.name.clone() })?;
    if let Some(name) = get.name.as_ref().filter(|_| objects.is_empty()) {
        anyhow::bail!(
            "there is no {kind} {name}; `margayctl get {}` lists what there is",
            kind.to_string().to_lowercase()
        );
    }
    let document = view::object::document(kind, get.name.is_some(), &objects);
    let errors: Vec<ObjectErrorView> = client.show(Show::ObjectErrors)?;
    show(&document, get.output.format, |detail| {
        view::object::list(kind, &objects, detail) + &view::object::not_in_force(kind, &errors)
    })
}

/// Prints a view as the user asked for it.
fn show<T: serde::Serialize>(view: &T, format: Format, text: impl FnOnce(Detail) -> String) -> anyhow::Result<()> {
    match format {
        Format::Table => print(&text(Detail::Normal)),
        Format::Wide => print(&text(Detail::Wide)),
        Format::Json | Format::Yaml => print_structured(view, format),
    }
}

/// Ours, and the agent's if there is one.
fn version(client: &mut Client) -> String {
    let agent = match client.show::<NodeStatusView>(Show::NodeStatus) {
        Ok(status) => status.version,
        Err(_) => "not reached".to_string(),
    };
    format!("margayctl {}\nmargay-agent {agent}\n", env!("CARGO_PKG_VERSION"))
}

/// One page for the program and one for each command: `margayctl.1`, `margayctl-node-status.1`, ...
fn man(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    clap_mangen::generate_to(Arguments::command(), directory).with_context(|| directory.display().to_string())
}
