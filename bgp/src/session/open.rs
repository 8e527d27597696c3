//! OPEN: what we say, and what we make of what the peer says (RFC 4271 §4.2, §6.2).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{Asn, Family};

use super::{
    Agreed, Forwarding, Local, NotificationMeans, PeerRestart, Restarting, RouteRefreshSupport, Why, long_lived,
};
use crate::config::{AddPath, ExtendedNextHop, PeerConfig, PeerKey};
use crate::role::agree;
use crate::wire::capability::{self, Capabilities, GracefulFamily, GracefulRestart, Role, afi};
use crate::wire::{
    AsWidth, Capability, Context, FamilySet, FirstAs, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Notification, Open, PeerKind,
    notification,
};

/// The AS that we are in towards this peer (RFC 7705 §3).
pub(crate) fn local_as(local: &Local, peer: &PeerConfig) -> Asn {
    peer.local_as.unwrap_or(local.local_as)
}

/// Internal if the peer's AS is ours.
pub(crate) fn kind(local: &Local, peer: &PeerConfig) -> PeerKind {
    peer.remote_as.kind(local_as(local, peer))
}

/// The families that can be carried to this peer: those wished for which there is a next hop to tell.
///
/// IPv4 over an IPv6 session needs RFC 8950.
pub(crate) fn offered(local: &Local, key: PeerKey, peer: &PeerConfig) -> FamilySet {
    let over = Family::of(key.address);
    let carried = |family| match family {
        Family::Ipv4 => over == family || peer.extended_next_hop == ExtendedNextHop::Offered,
        Family::Ipv6 => over == family || local.ipv6.is_some(),
    };
    peer.families.iter().copied().filter(|&family| carried(family)).collect()
}

fn seconds(time: Duration, most: u16) -> u16 {
    u16::try_from(time.as_secs()).unwrap_or(u16::MAX).min(most)
}

/// The hold time to offer: one or two seconds are not allowed (RFC 4271 §4.2).
fn hold_seconds(peer: &PeerConfig) -> u16 {
    match seconds(peer.hold_time, u16::MAX) {
        1 | 2 => 3,
        other => other,
    }
}

/// Our role, which is announced to external peers only (RFC 9234 §4.1).
fn role(local: &Local, peer: &PeerConfig) -> Option<Role> {
    peer.role.filter(|_| kind(local, peer) == PeerKind::External)
}

/// Our OPEN.
pub(crate) fn ours(local: &Local, key: PeerKey, peer: &PeerConfig) -> Open {
    let families = offered(local, key, peer);
    let mut capabilities: Vec<Capability> =
        families.iter().map(|family| Capability::Multiprotocol(family.into())).collect();
    capabilities.push(Capability::RouteRefresh);
    capabilities.push(Capability::EnhancedRouteRefresh);
    capabilities.push(Capability::ExtendedMessage);
    capabilities.extend(role(local, peer).map(Capability::Role));
    if over_ipv6(key) && families.contains(Family::Ipv4) {
        let with_ipv6 = vec![(Family::Ipv4.into(), afi(Family::Ipv6))];
        capabilities.push(Capability::ExtendedNextHop(with_ipv6));
    }
    let forwarding_kept = local.forwarding == Forwarding::Kept;
    capabilities.push(Capability::GracefulRestart(GracefulRestart {
        restarting: local.restarting == Restarting::JustRestarted,
        notification: true,
        restart_seconds: seconds(peer.max_restart_time.unwrap_or(local.restart_time), 4095),
        families: families.iter().map(|f| GracefulFamily { family: f.into(), forwarding_kept }).collect(),
    }));
    capabilities.push(long_lived::offer(peer, families, forwarding_kept));
    if peer.add_path != AddPath::Disabled {
        let (receive, send) = (peer.add_path.receives(), peer.add_path.sends());
        let entries = families.iter().map(|family| capability::AddPath { family: family.into(), receive, send });
        capabilities.push(Capability::AddPath(entries.collect()));
    }
    let asn = local_as(local, peer);
    capabilities.push(Capability::FourOctetAs(Some(asn)));
    Open { asn, hold_seconds: hold_seconds(peer), router_id: local.router_id, capabilities }
}

/// What both sides agree on, or the NOTIFICATION that ends it and the reason for people.
pub(crate) fn judge(
    local: &Local,
    key: PeerKey,
    peer: &PeerConfig,
    theirs: &Open,
) -> Result<Agreed, (Notification, Why)> {
    if !peer.remote_as.admits(theirs.asn, local_as(local, peer)) {
        let data = theirs.asn.two_octet().to_be_bytes();
        return Err((
            Notification::with_data(notification::open::BAD_PEER_AS, &data),
            Why::WrongAs { expected: peer.remote_as, told: theirs.asn },
        ));
    }
    let kind = kind(local, peer);
    if kind == PeerKind::Internal && theirs.router_id == local.router_id {
        let data = theirs.router_id.bits().to_be_bytes();
        return Err((
            Notification::with_data(notification::open::BAD_IDENTIFIER, &data),
            Why::DuplicateRouterId(theirs.router_id),
        ));
    }
    let role = role(local, peer);
    let their_role = match role.map(|role| agree(role, peer.role_check, &theirs.capabilities)) {
        Some(Err(mismatch)) => {
            return Err((Notification::new(notification::open::ROLE_MISMATCH), Why::RoleMismatch(mismatch)));
        }
        Some(Ok(theirs)) => theirs,
        None => None,
    };
    let offered = offered(local, key, peer);
    let announced = theirs.capabilities.families();
    let mut families = offered.and(announced);
    let extended_next_hop = over_ipv6(key) && families.contains(Family::Ipv4) && takes_ipv6_next_hops(theirs);
    if over_ipv6(key) && !extended_next_hop {
        // It says that it can do IPv4, but not by which next hops (RFC 8950 §4).
        families = families.and(FamilySet::of(Family::Ipv6));
    }
    if families.is_empty() {
        let mut data = Vec::new();
        offered.iter().for_each(|family| Capability::Multiprotocol(family.into()).encode(&mut data));
        return Err((
            Notification::with_data(notification::open::UNSUPPORTED_CAPABILITY, &data),
            Why::NoCommonFamily { ours: offered, theirs: announced },
        ));
    }
    let hold = Duration::from_secs(u64::from(theirs.hold_seconds.min(hold_seconds(peer))));
    let third = hold / 3;
    let as_width = if theirs.has_four_octet_as() { AsWidth::Four } else { AsWidth::Two };
    let route_refresh = if theirs.capabilities.announces(&Capability::EnhancedRouteRefresh) {
        RouteRefreshSupport::Enhanced // which says RFC 2918 as well (RFC 7313 §3.1)
    } else if theirs.capabilities.announces(&Capability::RouteRefresh) {
        RouteRefreshSupport::Announced
    } else {
        RouteRefreshSupport::Absent
    };
    // We always announce it; a peer that does not gets no longer messages and may send none (RFC 8654 §4).
    let extended = theirs.capabilities.announces(&Capability::ExtendedMessage);
    let long_lived = theirs.capabilities.long_lived().map(|told| long_lived::agree(told, peer, families));
    let graceful_restart =
        theirs.capabilities.graceful_restart().map(|gr| PeerRestart { long_lived, ..restart(gr, peer, families) });
    let survives = graceful_restart.as_ref().is_some_and(|gr| gr.notification == NotificationMeans::Restart);
    // RFC 7911 §4: a direction is open where one side can send and the other can receive.
    let either = |open: bool, theirs: FamilySet| if open { theirs.and(families) } else { FamilySet::NONE };
    let add_path_receive = either(peer.add_path.receives(), theirs.capabilities.add_path_send());
    let add_path_send = either(peer.add_path.sends(), theirs.capabilities.add_path_receive());
    let mut capabilities: Vec<String> = families.iter().map(|family| family.to_string()).collect();
    for (present, name) in [
        (as_width == AsWidth::Four, "4-octet AS"),
        (route_refresh != RouteRefreshSupport::Absent, "route refresh"),
        (route_refresh == RouteRefreshSupport::Enhanced, "enhanced route refresh"),
        (extended, "extended messages"),
        (extended_next_hop, "extended next hop"),
        (graceful_restart.is_some(), "graceful restart"),
        (survives, "graceful restart after notification"),
        (graceful_restart.as_ref().is_some_and(|gr| gr.long_lived.is_some()), "long-lived graceful restart"),
        (!add_path_receive.is_empty(), "ADD-PATH receive"),
        (!add_path_send.is_empty(), "ADD-PATH send"),
    ] {
        capabilities.extend(present.then(|| name.to_string()));
    }
    if let (Some(ours), Some(theirs)) = (role, their_role) {
        capabilities.push(format!("role {ours} of a {theirs}"));
    }
    Ok(Agreed {
        kind,
        peer_as: theirs.asn,
        peer_id: theirs.router_id,
        as_width,
        families,
        extended_next_hop: if extended_next_hop { FamilySet::of(Family::Ipv4) } else { FamilySet::NONE },
        hold,
        keepalive: peer.keepalive_time.map_or(third, |wish| wish.max(Duration::from_secs(1)).min(third)),
        max_message: if extended { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE },
        route_refresh,
        add_path_receive,
        add_path_send,
        graceful_restart,
        role,
        capabilities,
    })
}

fn over_ipv6(key: PeerKey) -> bool {
    Family::of(key.address) == Family::Ipv6
}

/// Whether the peer takes IPv4 routes with IPv6 next hops (RFC 8950 §4).
fn takes_ipv6_next_hops(theirs: &Open) -> bool {
    let ipv4_by_ipv6 = (Family::Ipv4.into(), afi(Family::Ipv6));
    theirs.capabilities.iter().any(|capability| match capability {
        Capability::ExtendedNextHop(families) => families.contains(&ipv4_by_ipv6),
        _ => false,
    })
}

fn restart(told: &GracefulRestart, peer: &PeerConfig, agreed: FamilySet) -> PeerRestart {
    let time = Duration::from_secs(u64::from(told.restart_seconds));
    let all = || told.families.iter().filter_map(|f| f.family.family().map(|family| (family, f.forwarding_kept)));
    PeerRestart {
        time: peer.max_restart_time.map_or(time, |most| most.min(time)),
        families: all().map(|(family, _)| family).collect::<FamilySet>().and(agreed),
        forwarding_kept: all().filter(|(_, kept)| *kept).map(|(family, _)| family).collect::<FamilySet>().and(agreed),
        long_lived: None,
        restarting: if told.restarting { Restarting::JustRestarted } else { Restarting::No },
        // We always set our N bit (RFC 8538 §2).
        notification: if told.notification { NotificationMeans::Restart } else { NotificationMeans::End },
    }
}

/// How to decode what the peer will send.
pub(crate) fn context(local: &Local, agreed: &Agreed, our_end: SocketAddr) -> Context {
    let mut context = Context::new(agreed.kind, agreed.peer_as);
    context.as_width = agreed.as_width;
    context.families = agreed.families;
    context.extended_next_hop = agreed.extended_next_hop;
    context.max_message = agreed.max_message;
    context.add_path = agreed.add_path_receive;
    context.first_as = FirstAs::Enforce;
    let own = [Some(our_end.ip()), local.ipv4.map(IpAddr::V4), local.ipv6.map(IpAddr::V6)];
    for address in own.into_iter().flatten() {
        if !context.own_addresses.contains(&address) {
            context.own_addresses.push(address);
        }
    }
    context
}
