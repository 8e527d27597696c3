//! What nodes stand in: one subnet with a top-of-rack router, a host behind the router, and the control plane's machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use e2e::ip;
use e2e::netns::Netns;
use e2e::process::Process;

use crate::plan::{CONTROL_PLANE, OUTSIDE, Plan, ROUTER, ROUTER_AS, ROUTER_OUTSIDE, UNDERLAY};

/// The AS of the nodes, as Calico has it by default.
const NODES_AS: u32 = 64512;
const BIRD: &str = "/usr/sbin/bird";

/// Makes namespaces and links, and starts the router.
pub fn build(plan: &Plan) -> Result<()> {
    let (tor, cp, outside) = (plan.router(), plan.control_plane(), plan.outside());
    let add = [&tor, &cp, &outside].map(|netns| format!("netns add {}", netns.name()));
    ip::batch(&add)?;
    let router = [
        "link set lo up".into(),
        // Else it takes its lowest port's, and changes it when a node goes.
        "link add rack address 02:00:c0:a8:4d:01 type bridge".into(),
        format!("addr add {ROUTER}/24 dev rack"),
        "link set rack up".into(),
        format!("link add cp type veth peer name eth0 netns {}", cp.name()),
        "link set cp master rack up".into(),
        format!("link add outside type veth peer name eth0 netns {}", outside.name()),
        format!("addr add {ROUTER_OUTSIDE}/24 dev outside"),
        "link set outside up".into(),
    ];
    ip::batch_in(&tor, &router)?;
    // Nodes are each other's neighbours: a router that tells them so for every packet is noise.
    tor.sysctl(&[
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/rack/send_redirects", "0"),
    ])?;
    for (netns, address, gateway) in [(&cp, CONTROL_PLANE, ROUTER), (&outside, OUTSIDE, ROUTER_OUTSIDE)] {
        machine(netns, &format!("{address}/24"), &gateway.to_string())?;
    }
    for node in &plan.nodes {
        attach(plan, node)?;
    }
    start_router(plan)
}

/// The machine of one node, with its link to the router.
pub fn attach(plan: &Plan, node: &str) -> Result<()> {
    let netns = plan.node(node);
    ip::batch(&[format!("netns add {}", netns.name())])?;
    let link = [
        format!("link add {node} type veth peer name eth0 netns {}", netns.name()),
        format!("link set {node} master rack up"),
    ];
    ip::batch_in(&plan.router(), &link)?;
    machine(&netns, &format!("{}/24", plan.node_ip(node)?), &ROUTER.to_string())?;
    netns.sysctl(&[("ipv4/ip_forward", "1")])
}

/// Takes one node's machine away.
pub fn detach(plan: &Plan, node: &str) -> Result<()> {
    let netns = plan.node(node);
    if netns.exists() {
        ip::batch(&[format!("netns del {}", netns.name())])?;
    }
    Ok(())
}

fn machine(netns: &Netns, address: &str, gateway: &str) -> Result<()> {
    let lines = [
        "link set lo up".into(),
        format!("addr add {address} dev eth0"),
        "link set eth0 up".into(),
        format!("route add default via {gateway}"),
    ];
    ip::batch_in(netns, &lines)
}

/// Starts BIRD, which takes a session from any node and knows the network behind it.
pub fn start_router(plan: &Plan) -> Result<()> {
    write_router_config(plan, None)?;
    let log = plan.logs().join("bird.log");
    let mut bird = Command::new(BIRD);
    bird.arg("-f").arg("-c").arg(router_config(plan)).arg("-s").arg(router_socket(plan));
    Process::start(&plan.processes(), "bird", &plan.router(), &log, &mut bird)?;
    Ok(())
}

/// Tells the running router that sessions of nodes have this password from now on, or none.
pub fn set_router_password(plan: &Plan, password: Option<&str>) -> Result<()> {
    write_router_config(plan, password)?;
    birdc(plan, "configure").map(|_| ())
}

fn write_router_config(plan: &Plan, password: Option<&str>) -> Result<()> {
    let password = password.map(|password| format!("  password \"{password}\";\n")).unwrap_or_default();
    let text = format!(
        "log stderr all;\nrouter id {ROUTER};\nprotocol device {{}}\n\
         protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; merge paths on; }}\n\
         protocol direct {{ ipv4; interface \"outside\"; }}\n\
         protocol bgp nodes {{\n  local {ROUTER} as {ROUTER_AS}; neighbor range {UNDERLAY} as {NODES_AS}; dynamic name \"node\";\n{password}  \
         graceful restart on; graceful restart time 120;\n  \
         ipv4 {{ import all; export where source ~ [ RTS_DEVICE, RTS_STATIC, RTS_BGP ]; }};\n}}\n"
    );
    let config = router_config(plan);
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))
}

/// What BIRD answers to a line of its command language.
pub fn birdc(plan: &Plan, line: &str) -> Result<String> {
    let socket = router_socket(plan).display().to_string();
    let words = ["-s", &socket].into_iter().chain(line.split(' ')).collect::<Vec<_>>();
    plan.router().stdout("/usr/sbin/birdc", &words)
}

/// How many nodes have a session with the router.
pub fn sessions(plan: &Plan) -> Result<usize> {
    Ok(birdc(plan, "show protocols")?.matches("Established").count())
}

fn router_config(plan: &Plan) -> PathBuf {
    plan.folder().join("bird.conf")
}

fn router_socket(plan: &Plan) -> PathBuf {
    plan.folder().join("bird.ctl")
}
