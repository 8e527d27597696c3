//! `bgp peers`.

use model::api::show::{PeerView, mesh_advice};

use super::when;
use crate::output::{Detail, column, columns, joined, optional, wide};

/// The list.
pub fn list(peers: &[PeerView], detail: Detail) -> String {
    if peers.is_empty() {
        return "No peers.\n".to_string();
    }
    let table = columns(
        peers,
        detail,
        &[
            column("PEER", PeerView::address),
            column("AS", |p: &PeerView| peer_as(p)),
            wide("LOCAL-AS", |p: &PeerView| p.local_as.to_string()),
            wide("LOCAL", |p: &PeerView| optional(&p.local_address)),
            wide("ROUTER-ID", |p: &PeerView| optional(&p.router_id)),
            column("NAME", name),
            column("STATE", |p: &PeerView| p.state.name().to_string()),
            column("SINCE", |p: &PeerView| when(&p.since)),
            column("RECEIVED", received),
            column("ACCEPTED", |p: &PeerView| p.accepted.to_string()),
            column("ADVERTISED", |p: &PeerView| p.advertised.to_string()),
            wide("STALE", stale),
            wide("FAMILIES", |p: &PeerView| joined(&p.families)),
            wide("HOLD", |p: &PeerView| optional(&p.hold_time)),
            wide("BFD", bfd),
            wide("UPS", |p: &PeerView| p.established_count.to_string()),
            wide("MAX-PREFIXES", |p: &PeerView| optional(&p.max_prefixes)),
            wide("FAULTS", |p: &PeerView| p.faults.to_string()),
            wide("LAST-FAULT", |p: &PeerView| optional(&p.last_fault)),
            wide("CAPABILITIES", |p: &PeerView| joined(&p.capabilities)),
            wide("LAST-ERROR", |p: &PeerView| optional(&p.last_error)),
            column("REASON", |p: &PeerView| p.reason.clone()),
        ],
    );
    mesh_advice(peers).map_or(table.clone(), |advice| format!("{table}\n{advice}\n"))
}

/// Of a dynamic peer with the range that it came from.
fn name(peer: &PeerView) -> String {
    match peer.range {
        Some(range) => format!("{} (dynamic, {range})", peer.name),
        None => peer.name.clone(),
    }
}

fn peer_as(peer: &PeerView) -> String {
    peer.peer_as.map_or("external".to_string(), |asn| asn.to_string())
}

/// With what was not kept: `128 (72 ignored)`.
fn received(peer: &PeerView) -> String {
    match peer.ignored {
        0 => peer.received.to_string(),
        ignored => format!("{} ({ignored} ignored)", peer.received),
    }
}

/// Routes kept from a session before: `3`, or `3 (2 long-lived)`.
fn stale(peer: &PeerView) -> String {
    match peer.long_lived_stale {
        0 => peer.stale.to_string(),
        long_lived => format!("{} ({long_lived} long-lived)", peer.stale),
    }
}

/// State and detection time of the BFD session, where one is wanted: `Up 900ms`.
fn bfd(peer: &PeerView) -> String {
    match &peer.bfd {
        None => String::new(),
        Some(bfd) => match bfd.detection_time {
            Some(time) => format!("{} {time}", bfd.state.name()),
            None => bfd.state.name().to_string(),
        },
    }
}
