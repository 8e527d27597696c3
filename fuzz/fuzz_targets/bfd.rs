//! Datagrams to a BFD session, with pauses between them: no panic, no babble, and what is taken comes back the same.
#![no_main]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bgp::bfd::{Arrival, Config, Distance, Output, Packet, Sessions};
use libfuzzer_sys::fuzz_target;
use model::Time;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

// One datagram after another: a pause in tens of milliseconds, whether it names our discriminator, a length, octets.
fuzz_target!(|octets: &[u8]| {
    let mut sessions = Sessions::new(1);
    let mut now = Time::START;
    sessions.configure(now, &BTreeMap::from([(PEER, Config::default())]));
    let (mut own, mut sent, mut heard) = (0_u32, 0_usize, 0_usize);
    let mut rest = octets;
    while let Some((&[pause, ours, length], tail)) = rest.split_first_chunk::<3>() {
        let (datagram, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        let mut datagram = datagram.to_vec();
        if ours & 1 == 1
            && let Some(yours) = datagram.get_mut(8..12)
        {
            yours.copy_from_slice(&own.to_be_bytes());
        }
        if let Ok(packet) = Packet::decode(&datagram) {
            assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
        now = now + Duration::from_millis(10) * u32::from(pause);
        heard += 1;
        let _ = sessions.receive(now, Arrival { from: PEER, distance: Distance::SingleHop, ttl: 255 }, &datagram);
        sessions.tick(now);
        while let Some(output) = sessions.poll() {
            match output {
                Output::Transmit { .. } => sent += 1,
                Output::Changed { view, .. } => own = view.discriminator,
                Output::Fell { .. } | Output::Gone { .. } => {}
            }
        }
        assert!(sessions.deadline().is_none_or(|at| at > now));
        // At once, an answer, and what a timer wanted.
        assert!(sent <= 1 + 3 * heard);
    }
});
