//! OPEN, NOTIFICATION, ROUTE-REFRESH and KEEPALIVE: netgauze reads what we write, we read what it writes of it.

use bgp::wire::capability::{AddPath, GracefulFamily, GracefulRestart, Role};
use bgp::wire::notification::{self, cease};
use bgp::wire::{Capability, Context, Framer, Message, Notification, Open, PeerKind, RouteRefresh, message};
use model::{Asn, Family, RouterId};

use crate::netgauze_view;

fn ours(octets: &[u8]) -> Message {
    let context = Context::new(PeerKind::Internal, Asn::new(65000).unwrap());
    let mut framer = Framer::new();
    framer.push(octets);
    Message::decode(framer.next_frame().unwrap().unwrap(), &context).unwrap()
}

/// By way of netgauze, a message is the same to us.
fn survives(octets: &[u8]) {
    let again = netgauze_view::encode(octets);
    assert_eq!(format!("{:?}", ours(&again)), format!("{:?}", ours(octets)));
}

#[test]
fn an_open_with_every_capability_survives_netgauze() {
    let asn = Asn::new(4_200_000_001).unwrap();
    let capabilities = vec![
        Capability::Multiprotocol(Family::Ipv4.into()),
        Capability::Multiprotocol(Family::Ipv6.into()),
        Capability::RouteRefresh,
        Capability::ExtendedNextHop(vec![(Family::Ipv4.into(), 2)]),
        Capability::ExtendedMessage,
        Capability::Role(Role::Peer),
        Capability::GracefulRestart(GracefulRestart {
            restarting: true,
            notification: false,
            restart_seconds: 120,
            families: vec![GracefulFamily { family: Family::Ipv4.into(), forwarding_kept: true }],
        }),
        Capability::FourOctetAs(Some(asn)),
        Capability::AddPath(vec![AddPath { family: Family::Ipv4.into(), receive: true, send: true }]),
        Capability::EnhancedRouteRefresh,
        Capability::Fqdn { host: "node-1".into(), domain: "example.org".into() },
        Capability::SoftwareVersion("margay/0.1.0".into()),
    ];
    for count in 0..=capabilities.len() {
        let capabilities = capabilities.get(..count).unwrap().to_vec();
        let open = Open { asn, hold_seconds: 90, router_id: RouterId::new(7).unwrap(), capabilities };
        let mut octets = Vec::new();
        open.encode(&mut octets);
        survives(&octets);
    }
}

#[test]
fn the_small_messages_survive_netgauze() {
    let mut all = vec![Vec::new(); 6];
    let [keepalive, refresh4, refresh6, hold, shutdown, prefix] = all.as_mut_slice() else { unreachable!() };
    message::encode_keepalive(keepalive);
    RouteRefresh::request(Family::Ipv4).encode(refresh4);
    RouteRefresh::request(Family::Ipv6).encode(refresh6);
    Notification::new(notification::HOLD_TIMER_EXPIRED).encode(hold);
    Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, "bye").encode(shutdown);
    Notification::with_data(notification::update::INVALID_NETWORK, &[33, 1, 2]).encode(prefix);
    all.iter().for_each(|octets| survives(octets));
}
