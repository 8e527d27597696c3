//! `node status`, in calicoctl's shape.

use model::Family;
use model::api::show::{ApiServerView, DrainState, NodeStatusView, PeerView, ReportState, ReportView, SessionState};

use super::when;
use crate::output::{framed, joined};

/// The node and its peers.
pub fn status(status: &NodeStatusView) -> String {
    let mut text = format!("margay-agent {} is running on node {}", status.version, status.node);
    if let (Some(asn), Some(id)) = (status.asn, status.router_id) {
        text += &format!(" (AS {asn}, router id {id}, addresses {})", joined(&status.addresses));
    }
    text += &format!(" since {}.\n", when(&status.since));
    for own in &status.own_addresses {
        text += &format!("Its address {} is on {}: {}.\n", own.address, own.subnet, own.reason);
    }
    text += match (status.ready, status.policy_only) {
        (true, false) => "It is ready for pods.\n",
        (true, true) => "It enforces policies alone: another plugin wires the pods.\n",
        (false, false) => "It is not ready for pods.\n",
        (false, true) => "It does not enforce policies yet; another plugin wires the pods.\n",
    };
    text += &status.api_server.as_ref().map(api_server).unwrap_or_default();
    if let Some(drain) = &status.drain {
        let state = match drain.state {
            DrainState::Draining => "It is being drained",
            DrainState::Drained => "It is drained: its sessions are down on purpose",
        };
        text += &format!("{state} ({}).\n", drain.reason);
    }
    if !status.problems.is_empty() {
        text += "\nProblems\n";
    }
    for problem in &status.problems {
        text += &format!("  * {problem}\n");
    }
    if !status.advice.is_empty() {
        text += "\nAdvice\n";
    }
    for advice in &status.advice {
        text += &format!("  * {advice}\n");
    }
    let families = [(Family::Ipv4, "IPv4"), (Family::Ipv6, "IPv6")];
    for (family, name) in families.into_iter().filter(|_| !status.policy_only) {
        text += &format!("\n{name} BGP status\n");
        let peers: Vec<&PeerView> = status.peers.iter().filter(|p| Family::of(p.peer_address) == family).collect();
        text += &match peers.as_slice() {
            [] => format!("No {name} peers found.\n"),
            peers => framed(
                &["PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"],
                &peers.iter().map(|p| row(p)).collect::<Vec<_>>(),
            ),
        };
    }
    if !status.reports.is_empty() {
        text += "\nReports to the API\n";
        let rows: Vec<Vec<String>> = status.reports.iter().map(report).collect();
        text += &framed(&["ABOUT", "STATE", "SINCE", "INFO"], &rows);
    }
    text
}

fn api_server(server: &ApiServerView) -> String {
    let (address, since) = (&server.address, when(&server.since));
    let mut text = match server.connected {
        true => format!("Its objects come from {address}, which answers since {since}.\n"),
        false => format!(
            "Its objects come from {address}, which is away since {since} ({}); they stay as they are.\n",
            server.reason
        ),
    };
    if !server.unlisted.is_empty() {
        text += &format!("Not listed yet: {}.\n", server.unlisted.join(", "));
    }
    if !server.absent.is_empty() {
        text += &format!("Kinds that the cluster does not have: {}.\n", server.absent.join(", "));
    }
    text
}

fn report(view: &ReportView) -> Vec<String> {
    let state = match view.state {
        ReportState::Pending => "pending",
        ReportState::Said => "said",
        ReportState::Anothers => "another's",
        ReportState::Failed => "failed",
    };
    vec![view.report.clone(), state.to_string(), when(&view.since), view.info.clone()]
}

fn row(view: &PeerView) -> Vec<String> {
    let state = match view.state {
        SessionState::Established => "up",
        SessionState::Idle => "down",
        _ => "start",
    };
    let info = match view.state {
        SessionState::Established => view.state.name().to_string(),
        state => format!("{}: {}", state.name(), view.reason),
    };
    vec![view.address(), view.kind.words().to_string(), state.to_string(), when(&view.since), info]
}
