//! Wireshark reads every kind of message that our encoder can make, as one more opinion on the codec: nothing is malformed.
//!
//! What live agents send to live peers is read the same way at the end of the interop matrix.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use bgp::wire::attr::{Aggregator, Draft, ExtendedCommunity};
use bgp::wire::capability::{AddPath, AfiSafi, GracefulFamily, GracefulRestart, LongLivedFamily, Role};
use bgp::wire::notification::{cease, fsm, open, route_refresh, update};
use bgp::wire::{
    AsWidth, Attributes, Capability, Community, FamilySet, LargeCommunity, MAX_MESSAGE, NextHop, Nlri, Notification,
    Open, Origin, Prefix4, Prefix6, RefreshKind, RouteRefresh, Transmit, encode, message, notification,
};
use e2e::tshark::{Reading, Written, read};
use model::{Asn, ClusterId, Family, RouterId};

type Octets = Vec<u8>;

const V4: NextHop = NextHop::V4(Ipv4Addr::new(10, 0, 0, 1));
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const FAMILIES: [Family; 2] = Family::ALL;

fn asn(number: u32) -> Asn {
    Asn::new(number).unwrap_or(Asn::TRANS)
}

/// What both sides of a session have said they can do.
fn agreed(transmit: &Transmit, extended_next_hop: bool) -> Vec<Capability> {
    let mut all: Vec<Capability> = FAMILIES.map(|family| Capability::Multiprotocol(family.into())).into();
    all.push(Capability::RouteRefresh);
    all.push(Capability::EnhancedRouteRefresh);
    if transmit.as_width == AsWidth::Four {
        all.push(Capability::FourOctetAs(Asn::new(4_200_000_001)));
    }
    let families: Vec<Family> = transmit.add_path.iter().collect();
    if !families.is_empty() {
        let both = |family: Family| AddPath { family: family.into(), receive: true, send: true };
        all.push(Capability::AddPath(families.into_iter().map(both).collect()));
    }
    if extended_next_hop {
        all.push(Capability::ExtendedNextHop(vec![(Family::Ipv4.into(), 2)]));
    }
    all
}

fn an_open(capabilities: Vec<Capability>) -> Octets {
    let mut out = Vec::new();
    if let Some(router_id) = RouterId::new(0x0a00_0001) {
        Open { asn: asn(4_200_000_001), hold_seconds: 90, router_id, capabilities }.encode(&mut out);
    }
    out
}

fn keepalive() -> Octets {
    let mut out = Vec::new();
    message::encode_keepalive(&mut out);
    out
}

/// Every capability that we can say, in many forms.
fn opens() -> Vec<Octets> {
    let families = || FAMILIES.map(AfiSafi::from);
    let graceful = |restarting, notification, restart_seconds, kept: &[bool]| {
        let kept =
            families().into_iter().zip(kept).map(|(family, kept)| GracefulFamily { family, forwarding_kept: *kept });
        Capability::GracefulRestart(GracefulRestart {
            restarting,
            notification,
            restart_seconds,
            families: kept.collect(),
        })
    };
    let long_lived =
        families().map(|family| LongLivedFamily { family, forwarding_kept: true, stale_seconds: 0xff_ffff });
    let ways = [(true, false), (false, true), (true, true)];
    let add_path = ways
        .map(|(receive, send)| Capability::AddPath(families().map(|family| AddPath { family, receive, send }).into()));
    let mut all = vec![
        vec![],
        vec![Capability::FourOctetAs(Asn::new(4_200_000_001))],
        families().map(Capability::Multiprotocol).into(),
        vec![Capability::RouteRefresh, Capability::EnhancedRouteRefresh, Capability::ExtendedMessage],
        vec![graceful(true, true, 120, &[true, true]), Capability::LongLivedGracefulRestart(long_lived.into())],
        vec![graceful(false, false, 4095, &[])],
        vec![graceful(true, false, 0, &[false, true])],
        vec![Capability::ExtendedNextHop(vec![(Family::Ipv4.into(), 2)])],
        vec![Capability::Fqdn { host: "n1".into(), domain: "example.net".into() }],
        vec![Capability::SoftwareVersion("margay".into())],
    ];
    all.extend(add_path.map(|one| vec![one]));
    all.extend(
        [Role::Provider, Role::RouteServer, Role::RouteServerClient, Role::Customer, Role::Peer]
            .map(|role| vec![Capability::Role(role)]),
    );
    // More than 255 octets of them go out in the extended form (RFC 9072).
    let long = Capability::Fqdn { host: "h".repeat(100), domain: "d".repeat(100) };
    all.push([agreed(&FOUR, true), vec![long.clone(), long]].concat());
    all.into_iter().map(an_open).collect()
}

const FOUR: Transmit = Transmit { as_width: AsWidth::Four, add_path: FamilySet::NONE, max_message: MAX_MESSAGE };

/// Sets of attributes: each attribute alone and all at once.
fn attributes(next_hop: NextHop) -> Vec<Attributes> {
    let plain = Attributes::new(Origin::Igp, next_hop);
    let changes: [fn(&mut Draft); 10] = [
        |draft| draft.med = Some(u32::MAX),
        |draft| draft.local_pref = Some(100),
        |draft| draft.origin = Origin::Incomplete,
        |draft| {
            draft.prepend(asn(64512), 3).prepend(asn(4_200_000_002), 300);
        },
        |draft| {
            draft.set_communities([Community(0xfc00_0064), Community::NO_EXPORT, Community::GRACEFUL_SHUTDOWN]);
        },
        |draft| {
            draft.set_large_communities([LargeCommunity { global: u32::MAX, first: 0, second: 1 }]);
        },
        |draft| {
            draft.set_extended_communities([ExtendedCommunity([0, 2, 0xfc, 0, 0, 0, 0, 9])]);
        },
        |draft| {
            let aggregator = Aggregator { asn: asn(4_200_000_002), address: Ipv4Addr::new(10, 0, 0, 1) };
            draft.set_aggregator(aggregator).set_atomic_aggregate();
        },
        |draft| {
            let originator = RouterId::new(0x0a00_0002);
            originator
                .map(|id| draft.set_originator_id(id).prepend_cluster(ClusterId(1)).prepend_cluster(ClusterId(2)));
        },
        |draft| {
            draft.set_only_to_customer(asn(64512));
        },
    ];
    let mut sets = vec![plain.clone()];
    let mut all = plain.edit();
    for change in changes {
        let mut draft = plain.edit();
        change(&mut draft);
        change(&mut all);
        sets.push(draft.build());
    }
    sets.push(all.build());
    sets
}

/// Prefixes of many lengths, and then so many of one. The default route stands alone: before others, tshark takes its octet
/// for the first of a path identifier.
fn prefixes4(count: u32) -> Vec<Nlri<Prefix4>> {
    let odd = [1_u8, 7, 9, 15, 17, 31, 32].map(|length| (0xaaaa_aaaa, length));
    let many = (0..count).map(|n| (0x0a00_0000 | n << 8, 24));
    let all = if count == 0 { vec![(0, 0)] } else { odd.into_iter().chain(many).collect() };
    let prefix = |(bits, length)| Some(Nlri { prefix: Prefix4::new(bits, length)?, path_id: 0x0102_0304 });
    all.into_iter().filter_map(prefix).collect()
}

fn prefixes6(count: u32) -> Vec<Nlri<Prefix6>> {
    let odd = [1_u8, 7, 63, 65, 127, 128].map(|length| (u128::from_be_bytes([0xaa; 16]), length));
    let many = (0..count).map(|n| (0xfd00 << 112 | u128::from(n) << 64, 64));
    let all = if count == 0 { vec![(0, 0)] } else { odd.into_iter().chain(many).collect() };
    let prefix = |(bits, length)| Some(Nlri { prefix: Prefix6::new(bits, length)?, path_id: 0x0102_0304 });
    all.into_iter().filter_map(prefix).collect()
}

/// All that is told of routes in one session.
fn updates(transmit: &Transmit, extended_next_hop: bool) -> Result<Vec<Octets>> {
    let mut told = Vec::new();
    let both = NextHop::V6WithLinkLocal(GLOBAL, LOCAL);
    for count in [0, 5, 2000] {
        for (number, set) in attributes(V4).iter().enumerate().filter(|(number, _)| count < 10 || *number == 0) {
            let mut out = Vec::new();
            let sent = encode::updates(Family::Ipv4, set, prefixes4(count), transmit, &mut out)?;
            ensure!(sent > 0, "nothing was encoded of set {number}");
            told.push(out);
        }
        for next_hop in [NextHop::V6(GLOBAL), both] {
            for set in attributes(next_hop).iter().take(if count < 10 { 12 } else { 1 }) {
                let mut out = Vec::new();
                encode::updates(Family::Ipv6, set, prefixes6(count), transmit, &mut out)?;
                if extended_next_hop {
                    encode::updates(Family::Ipv4, set, prefixes4(count), transmit, &mut out)?;
                }
                told.push(out);
            }
        }
        let mut out = Vec::new();
        encode::withdrawals(Family::Ipv4, prefixes4(count), transmit, &mut out);
        encode::withdrawals(Family::Ipv6, prefixes6(count), transmit, &mut out);
        for family in FAMILIES {
            encode::end_of_rib(family, &mut out);
        }
        told.push(out);
    }
    Ok(told)
}

fn notifications() -> Vec<Octets> {
    let plain = [
        open::BAD_PEER_AS,
        open::BAD_IDENTIFIER,
        open::UNSPECIFIC,
        open::ROLE_MISMATCH,
        update::MALFORMED_ATTRIBUTE_LIST,
        update::INVALID_NETWORK,
        fsm::UNSPECIFIC,
        fsm::IN_OPEN_SENT,
        fsm::IN_OPEN_CONFIRM,
        fsm::IN_ESTABLISHED,
        cease::PEER_DECONFIGURED,
        cease::CONNECTION_REJECTED,
        cease::OTHER_CONFIGURATION_CHANGE,
        cease::COLLISION,
        cease::OUT_OF_RESOURCES,
        cease::BFD_DOWN,
        route_refresh::BAD_LENGTH,
        // Not SEND_HOLD_TIMER_EXPIRED: this tshark is older than RFC 9687.
        notification::HOLD_TIMER_EXPIRED,
    ];
    let mut all: Vec<Notification> = plain.map(Notification::new).into();
    all.push(Notification::with_data(cease::MAXIMUM_PREFIXES, &[0, 1, 1, 0, 0, 0, 100]));
    for words in ["", "the rack is moved, back at nine", &"é".repeat(127)] {
        all.push(Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, words));
        all.push(Notification::shutdown(cease::ADMINISTRATIVE_RESET, words));
        all.push(Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, words).hard_reset());
    }
    let encoded = |told: Notification| {
        let mut out = Vec::new();
        told.encode(&mut out);
        out
    };
    all.into_iter().map(encoded).collect()
}

fn refreshes() -> Octets {
    let mut out = Vec::new();
    for family in FAMILIES {
        for kind in [RefreshKind::Request, RefreshKind::Begin, RefreshKind::End] {
            RouteRefresh { family: Some(family), kind }.encode(&mut out);
        }
    }
    out
}

fn opinion(written: &Written) -> Result<Reading> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("written.pcap");
    written.save(&file)?;
    read(&[file], "tcp")
}

#[test]
fn tshark_finds_nothing_malformed_in_any_message_that_we_can_encode() -> Result<()> {
    let mut written = Written::default();
    for told in opens() {
        written.session(&[(true, told)]);
    }
    for told in notifications() {
        written.session(&[(true, an_open(agreed(&FOUR, false))), (true, told)]);
    }
    for as_width in [AsWidth::Four, AsWidth::Two] {
        for add_path in [FamilySet::NONE, FamilySet::ALL] {
            for extended_next_hop in [false, true] {
                // Not longer: this tshark is older than RFC 8654.
                let transmit = Transmit { as_width, add_path, max_message: MAX_MESSAGE };
                let hello = an_open(agreed(&transmit, extended_next_hop));
                let mut session =
                    vec![(true, hello.clone()), (false, hello), (true, keepalive()), (false, keepalive())];
                session.extend(updates(&transmit, extended_next_hop)?.into_iter().map(|told| (true, told)));
                session.push((true, refreshes()));
                written.session(&session);
            }
        }
    }
    let reading = opinion(&written)?;
    ensure!(reading.complaints.is_empty(), "tshark complains:\n{}", reading.complaints.join("\n"));
    let [_, open, update, notification, keepalive, refresh] = reading.messages;
    ensure!(open >= 40 && update >= 300 && notification >= 25, "of {:?} messages", reading.messages);
    ensure!(keepalive == 16 && refresh == 48, "of {:?} messages", reading.messages);
    Ok(())
}

#[test]
fn tshark_is_heard_when_it_complains() -> Result<()> {
    let mut broken = Vec::new();
    encode::updates(Family::Ipv4, &Attributes::new(Origin::Igp, V4), prefixes4(0), &FOUR, &mut broken)?;
    // The total length of the attributes, far beyond the end of the message.
    if let Some(length) = broken.get_mut(21..23) {
        length.copy_from_slice(&[0x0f, 0xff]);
    }
    let mut written = Written::default();
    let hello = an_open(agreed(&FOUR, false));
    written.session(&[(true, hello.clone()), (false, hello), (true, broken)]);
    let reading = opinion(&written)?;
    ensure!(!reading.complaints.is_empty(), "not a word about a broken message: {reading:?}");
    Ok(())
}
