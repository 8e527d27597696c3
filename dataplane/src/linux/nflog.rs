//! A reader of what rules log to an NFLOG group (nfnetlink_log): the head of each packet, decoded.
//!
//! The kernel keeps what nobody has read up to a bound and drops the rest; that some were dropped is told.

use std::net::IpAddr;
use std::time::Duration;

use super::attribute::{Message, Writer, address, find, messages, number, text, u8_at};
use super::netlink::{Batch, Netlink, NetlinkError};
use super::socket::Protocol;

/// Octets of packets that wait to be read.
const BUFFER: i32 = 1 << 20;
/// Octets of each packet: IPv6's header, some extensions and the ports.
const COPIED: u32 = 128;
/// The type of a message that tells a packet, and of one that configures a group (linux/netfilter/nfnetlink_log.h).
const PACKET: u16 = (libc::NFNL_SUBSYS_ULOG << 8) as u16;
const CONFIGURE: u16 = (libc::NFNL_SUBSYS_ULOG << 8) as u16 | 1;

/// Attributes of a configuration.
mod config {
    pub const COMMAND: u16 = 1;
    pub const MODE: u16 = 2;
    pub const THRESHOLD: u16 = 5;
    /// `NFULNL_CFG_CMD_BIND`.
    pub const BIND: u8 = 1;
    /// `NFULNL_COPY_PACKET`.
    pub const COPY_PACKET: u8 = 2;
}

/// Attributes of a packet.
mod packet {
    pub const HEADER: u16 = 1;
    pub const INPUT: u16 = 4;
    pub const OUTPUT: u16 = 5;
    pub const PAYLOAD: u16 = 9;
    pub const PREFIX: u16 = 10;
}

/// A packet that a rule has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The rule's text.
    pub prefix: String,
    /// `NF_INET_…`.
    pub hook: u8,
    /// Index of the interface that it came by, if it came by any.
    pub input: Option<u32>,
    /// Index of the interface that it was to leave by, where that is known.
    pub output: Option<u32>,
    /// None for what is no IP packet, or cut within its header.
    pub flow: Option<Flow>,
}

/// From where to where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// IANA's number, behind IPv6's extension headers.
    pub protocol: u8,
    /// What follows, where the packet has it.
    pub transport: Transport,
}

/// What the transport header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Of TCP, UDP, SCTP and the like.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// Of ICMP and ICMPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Another protocol, or a fragment that is not the first.
    None,
}

/// What came since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// In their order.
    pub packets: Vec<Logged>,
    /// Whether there were more than the buffer could hold.
    pub lost: bool,
}

/// Bound to a group in one network namespace.
#[derive(Debug)]
pub struct Reader(Netlink);

impl Reader {
    /// Binds a group in the calling thread's network namespace. Refused with EPERM while another socket has it.
    pub fn open(group: u16) -> Result<Reader, NetlinkError> {
        let mut netlink = Netlink::open(Protocol::Netfilter, BUFFER)?;
        let mut batch = Batch::new();
        let mut configure = |attribute: u16, value: &[u8]| {
            batch.push_written(CONFIGURE, 0, |bytes| {
                // `struct nfgenmsg`, whose `res_id` is the group, big-endian.
                let [high, low] = group.to_be_bytes();
                bytes.extend([libc::AF_UNSPEC as u8, 0, high, low]);
                Writer::new(bytes).octets(attribute, value);
            });
        };
        configure(config::COMMAND, &[config::BIND]);
        configure(config::MODE, &[COPIED.to_be_bytes().as_slice(), &[config::COPY_PACKET, 0]].concat());
        // Each packet at once: they are few, as rules log no more than a rate.
        configure(config::THRESHOLD, &1u32.to_be_bytes());
        netlink.run(&mut batch)?.all()?;
        Ok(Reader(netlink))
    }

    /// Waits for packets, but not longer than this; nothing when the time is up.
    pub fn wait(&mut self, at_most: Duration) -> Result<Heard, NetlinkError> {
        self.0.answer_within(at_most)?;
        match self.0.receive() {
            Ok(datagram) => Ok(Heard { packets: messages(datagram).filter_map(|m| read(&m)).collect(), lost: false }),
            Err(NetlinkError::Timeout) => Ok(Heard::default()),
            Err(NetlinkError::Overrun) => Ok(Heard { packets: vec![], lost: true }),
            Err(error) => Err(error),
        }
    }
}

fn read(message: &Message<'_>) -> Option<Logged> {
    if message.kind != PACKET {
        return None;
    }
    let bytes = message.payload.get(4..)?;
    Some(Logged {
        prefix: find(bytes, packet::PREFIX).map(text).unwrap_or_default(),
        // Behind the number of the protocol.
        hook: u8_at(find(bytes, packet::HEADER)?, 2)?,
        input: number(bytes, packet::INPUT),
        output: number(bytes, packet::OUTPUT),
        flow: find(bytes, packet::PAYLOAD).and_then(flow),
    })
}

/// Reads the head of an IP packet.
pub fn flow(packet: &[u8]) -> Option<Flow> {
    match u8_at(packet, 0)? >> 4 {
        4 => flow_v4(packet),
        6 => flow_v6(packet),
        _ => None,
    }
}

fn flow_v4(packet: &[u8]) -> Option<Flow> {
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    let words = usize::from(u8_at(packet, 0)? & 0xf);
    let protocol = u8_at(packet, 9)?;
    let first = u16_at(packet, 6)? & FRAGMENT_OFFSET == 0;
    Some(Flow {
        source: address(packet.get(12..16)?)?,
        destination: address(packet.get(16..20)?)?,
        protocol,
        transport: if first { transport(protocol, packet.get(words * 4..)) } else { Transport::None },
    })
}

fn flow_v6(packet: &[u8]) -> Option<Flow> {
    const HEADER: usize = 40;
    let (protocol, rest) = behind_extensions(u8_at(packet, 6)?, packet.get(HEADER..)?);
    Some(Flow {
        source: address(packet.get(8..24)?)?,
        destination: address(packet.get(24..40)?)?,
        protocol,
        transport: transport(protocol, rest),
    })
}

/// The protocol behind IPv6's extension headers (RFC 8200 §4), and what of it the packet has.
fn behind_extensions(mut protocol: u8, mut rest: &[u8]) -> (u8, Option<&[u8]>) {
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    /// Hop-by-hop options, routing, destination options.
    const OTHERS: [u8; 3] = [0, 43, 60];
    loop {
        let (Some(next), Some(length)) = (u8_at(rest, 0), u8_at(rest, 1)) else { return (protocol, None) };
        let octets = match protocol {
            FRAGMENT if u16_at(rest, 2).is_none_or(|offset| offset >> 3 != 0) => return (next, None),
            FRAGMENT => 8,
            // Of an authentication header: in units of 4 octets, less 2.
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            other if OTHERS.contains(&other) => (usize::from(length) + 1) * 8,
            _ => return (protocol, Some(rest)),
        };
        protocol = next;
        let Some(behind) = rest.get(octets..) else { return (protocol, None) };
        rest = behind;
    }
}

fn transport(protocol: u8, header: Option<&[u8]>) -> Transport {
    /// TCP, UDP, DCCP, SCTP, UDP-Lite.
    const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];
    const ICMP: [u8; 2] = [1, 58];
    let header = header.unwrap_or_default();
    let ports = || Some(Transport::Ports { source: u16_at(header, 0)?, destination: u16_at(header, 2)? });
    let icmp = || Some(Transport::Icmp { kind: u8_at(header, 0)?, code: u8_at(header, 1)? });
    let found = match protocol {
        known if WITH_PORTS.contains(&known) => ports(),
        known if ICMP.contains(&known) => icmp(),
        _ => None,
    };
    found.unwrap_or(Transport::None)
}

/// The big-endian number at an offset.
fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv6 packet from ::1 to ::2 whose first next header is this.
    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        (packet[0], packet[6], packet[23], packet[39]) = (0x60, next, 1, 2);
        packet.extend(rest);
        packet
    }

    /// An IPv4 packet from 10.1.0.5 to 10.1.0.6.
    fn v4(protocol: u8, rest: &[u8]) -> Vec<u8> {
        let head = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 1, 0, 5, 10, 1, 0, 6];
        [head.as_slice(), rest].concat()
    }

    const PORTS: [u8; 4] = [0x1f, 0x90, 0, 53];
    const READ: Transport = Transport::Ports { source: 8080, destination: 53 };

    #[test]
    fn addresses_protocol_and_ports_are_read() {
        let read = flow(&v4(17, &PORTS)).unwrap();
        let [source, destination] = [[10, 1, 0, 5], [10, 1, 0, 6]].map(IpAddr::from);
        assert_eq!(read, Flow { source, destination, protocol: 17, transport: READ });
        assert_eq!(flow(&v4(1, &[8, 0])).unwrap().transport, Transport::Icmp { kind: 8, code: 0 });
        let read = flow(&v6(6, &PORTS)).unwrap();
        let [source, destination] = ["::1", "::2"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(read, Flow { source, destination, protocol: 6, transport: READ });
    }

    #[test]
    fn a_later_fragment_and_a_packet_cut_short_have_no_ports() {
        let mut fragment = v4(17, &PORTS);
        fragment[7] = 1;
        assert_eq!(flow(&fragment).unwrap().transport, Transport::None);
        assert_eq!(flow(&v4(17, &PORTS[..3])).unwrap().transport, Transport::None);
        let later = flow(&v6(44, &[&[17, 0, 0, 8, 0, 0, 0, 0], PORTS.as_slice()].concat())).unwrap();
        assert_eq!((later.protocol, later.transport), (17, Transport::None));
        assert_eq!(flow(&v4(17, &[])[..19]), None);
        assert_eq!(flow(&[]), None);
    }

    #[test]
    fn ports_are_found_behind_extension_headers() {
        let extensions = [[60, 0, 0, 0, 0, 0, 0, 0], [44, 0, 0, 0, 0, 0, 0, 0], [17, 0, 0, 1, 0, 0, 0, 0]].concat();
        let read = flow(&v6(0, &[extensions.as_slice(), &PORTS].concat())).unwrap();
        assert_eq!((read.protocol, read.transport), (17, READ));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reading_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..160)) {
            _ = flow(&bytes);
            for version in [0x45, 0x4f, 0x60] {
                _ = flow(&[&[version], bytes.as_slice()].concat());
                _ = flow(&v6(bytes.first().copied().unwrap_or_default(), &bytes));
            }
            _ = read(&Message { kind: PACKET, flags: 0, sequence: 0, payload: &bytes });
        }
    }
}
