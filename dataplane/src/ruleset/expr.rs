//! Parts of rules, to be put together with [`Rule::of`](super::Rule::of): each loads what it needs and tests it.
//!
//! What looks at an address or at ICMP belongs behind a test of the family, what looks at ports or ICMP behind one of
//! the protocol (but for [`socket_in`], whose set holds the protocol): other packets have other octets in that place.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use model::{Family, Prefix};

use super::expression::{Base, End, Expression, Limit, Load, Log, Register, Sense, Verdict};

/// Some expressions in a row.
pub type Part = Vec<Expression>;

/// `NFPROTO_IPV4`, as `meta nfproto` loads it.
const NFPROTO_IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
const NFPROTO_IPV6: u8 = 10;
/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`: two connections that begin at once don't race for one port.
const FULLY_RANDOM: u32 = 1 << 4;
/// `NFT_REJECT_ICMPX_ADMIN_PROHIBITED`.
const ADMIN_PROHIBITED: u8 = 3;
/// `NF_CT_STATE_INVALID_BIT`, and `NF_CT_STATE_BIT` of established and related.
const INVALID: u32 = 1;
const ESTABLISHED: u32 = 1 << 1;
const RELATED: u32 = 1 << 2;
/// `NF_CT_STATE_UNTRACKED_BIT`.
const UNTRACKED: u32 = 1 << 6;
/// Octets of a logged packet: IPv6's header, some extensions and the ports.
const LOGGED: u32 = 128;
const FIRST: Register = Register(0);

/// Packets of a family.
pub fn family(family: Family) -> Part {
    let number = match family {
        Family::Ipv4 => NFPROTO_IPV4,
        Family::Ipv6 => NFPROTO_IPV6,
    };
    compare(Load::Family, Sense::Is, vec![number])
}

/// Packets of a protocol by IANA's number, behind all of IPv6's extension headers.
pub fn protocol(number: u8, sense: Sense) -> Part {
    compare(Load::Protocol, sense, vec![number])
}

/// Packets that came by an interface.
pub fn iifname(name: &str, sense: Sense) -> Part {
    compare(Load::InputInterface, sense, whole_name(name))
}

/// Packets that came by an interface whose name begins so.
pub fn iifname_prefix(begin: &str, sense: Sense) -> Part {
    compare(Load::InputInterface, sense, begin.as_bytes().to_vec())
}

/// Packets that leave by an interface.
pub fn oifname(name: &str, sense: Sense) -> Part {
    compare(Load::OutputInterface, sense, whole_name(name))
}

/// Packets that leave by an interface whose name begins so.
pub fn oifname_prefix(begin: &str, sense: Sense) -> Part {
    compare(Load::OutputInterface, sense, begin.as_bytes().to_vec())
}

/// Packets of connections that have been seen both ways, and what belongs to them (ICMP errors).
pub fn ct_established() -> Part {
    ct_state(ESTABLISHED | RELATED, Sense::Is)
}

/// Packets that belong to no connection and cannot begin one.
pub fn ct_invalid() -> Part {
    ct_state(INVALID, Sense::Is)
}

/// Packets that are kept from connection tracking; those of neighbour discovery always are.
pub fn ct_untracked(sense: Sense) -> Part {
    ct_state(UNTRACKED, sense)
}

fn ct_state(bits: u32, sense: Sense) -> Part {
    any_bit(Load::ConnectionState, bits, sense)
}

/// Packets whose mark has one of these bits.
pub fn marked(bits: u32, sense: Sense) -> Part {
    any_bit(Load::Mark, bits, sense)
}

/// Sets these bits of the packet's mark.
pub fn mark(bits: u32) -> Part {
    let raise = Expression::Raise(FIRST, bits.to_ne_bytes().to_vec());
    vec![Expression::Load(Load::Mark, FIRST), raise, Expression::SetMark(FIRST)]
}

/// Keeps the packet from connection tracking.
pub fn no_track() -> Part {
    vec![Expression::NoTrack]
}

fn any_bit(load: Load, bits: u32, sense: Sense) -> Part {
    let none = match sense {
        Sense::Is => Sense::IsNot,
        Sense::IsNot => Sense::Is,
    };
    vec![
        Expression::Load(load, FIRST),
        Expression::Mask(FIRST, bits.to_ne_bytes().to_vec()),
        Expression::Compare(FIRST, none, vec![0; 4]),
    ]
}

/// An address of a prefix; needs its family tested before.
pub fn in_prefix(end: End, prefix: Prefix, sense: Sense) -> Part {
    let mut part = vec![Expression::Load(Load::address(prefix.family(), end), FIRST)];
    if prefix.length() < prefix.family().bits() {
        let last = octets(prefix.last());
        let mask = octets(prefix.address()).iter().zip(&last).map(|(first, last)| !(first ^ last)).collect();
        part.push(Expression::Mask(FIRST, mask));
    }
    part.push(Expression::Compare(FIRST, sense, octets(prefix.address())));
    part
}

/// An address that is in a set of addresses or of ranges; needs the family tested before.
pub fn address_in(family: Family, end: End, set: &str, sense: Sense) -> Part {
    lookup([Load::address(family, end)], sense, set)
}

/// `iifname . saddr` in a set; needs the family tested before.
pub fn interface_address_in(family: Family, set: &str, sense: Sense) -> Part {
    lookup([Load::InputInterface, Load::address(family, End::Source)], sense, set)
}

/// `saddr . daddr` in a set; needs the family tested before.
pub fn pair_in(family: Family, set: &str, sense: Sense) -> Part {
    lookup([Load::address(family, End::Source), Load::address(family, End::Destination)], sense, set)
}

/// Address, protocol and port of an end in a set; needs the family tested before.
///
/// A packet without a transport header (a later fragment) ends the rule, whatever the sense.
pub fn socket_in(family: Family, end: End, set: &str, sense: Sense) -> Part {
    lookup([Load::address(family, end), Load::Protocol, Load::port(end)], sense, set)
}

/// A port that is in a set of ports; needs the protocol tested before.
pub fn port_in(end: End, set: &str, sense: Sense) -> Part {
    lookup([Load::port(end)], sense, set)
}

/// A port from a range; needs the protocol tested before.
pub fn port_between(end: End, ports: RangeInclusive<u16>, sense: Sense) -> Part {
    let octets = |port: u16| port.to_be_bytes().to_vec();
    let (first, last) = ports.into_inner();
    let test = if first == last {
        Expression::Compare(FIRST, sense, octets(first))
    } else {
        Expression::Between(FIRST, sense, octets(first), octets(last))
    };
    vec![Expression::Load(Load::port(end), FIRST), test]
}

/// An ICMP or ICMPv6 message of a type, and code where one is given; needs the protocol tested before.
pub fn icmp(kind: u8, code: Option<u8>, sense: Sense) -> Part {
    let value: Vec<u8> = [kind].into_iter().chain(code).collect();
    compare(Load::Payload { base: Base::Transport, offset: 0, length: value.len() as u32 }, sense, value)
}

/// Goes where a verdict map has it for the interface that the packet came by.
pub fn iifname_vmap(map: &str) -> Part {
    dispatch(Load::InputInterface, map)
}

/// Goes where a verdict map has it for the interface that the packet leaves by.
pub fn oifname_vmap(map: &str) -> Part {
    dispatch(Load::OutputInterface, map)
}

/// Goes where a verdict map has it for an address; needs the family tested before.
pub fn address_vmap(family: Family, end: End, map: &str) -> Part {
    dispatch(Load::address(family, end), map)
}

/// Counts.
pub fn counter() -> Part {
    vec![Expression::Counter]
}

/// The first packets of each second, and no more.
pub fn within(rate_per_second: u64, burst: u32) -> Part {
    vec![Expression::Limit(Limit { rate: rate_per_second, burst, within: Sense::Is })]
}

/// The packets beyond so many in each second.
pub fn beyond(rate_per_second: u64, burst: u32) -> Part {
    vec![Expression::Limit(Limit { rate: rate_per_second, burst, within: Sense::IsNot })]
}

/// Copies the head of the packet to an NFLOG group, with a text that is cut to [`COMMENT`](super::COMMENT) octets.
pub fn log(group: u16, prefix: &str) -> Part {
    vec![Expression::Log(Log { group, prefix: super::cut(prefix).into(), octets: LOGGED })]
}

/// The source becomes that of the interface which the packet leaves by, the port a random one.
pub fn masquerade() -> Part {
    vec![Expression::Masquerade { flags: FULLY_RANDOM }]
}

/// Ends the packet and tells its sender that it is administratively prohibited.
pub fn reject() -> Part {
    vec![Expression::Reject { code: ADMIN_PROHIBITED }]
}

/// Lets the packet pass this hook's chain.
pub fn accept() -> Part {
    verdict(Verdict::Accept)
}

/// Ends the packet.
pub fn drop() -> Part {
    verdict(Verdict::Drop)
}

/// Goes on behind the jump that led here.
pub fn ret() -> Part {
    verdict(Verdict::Return)
}

/// Goes on in another chain, and behind this rule when that returns.
pub fn jump(chain: &str) -> Part {
    verdict(Verdict::Jump(chain.into()))
}

/// Goes on in another chain.
pub fn goto(chain: &str) -> Part {
    verdict(Verdict::Goto(chain.into()))
}

/// Any verdict.
pub fn verdict(verdict: Verdict) -> Part {
    vec![Expression::Verdict(verdict)]
}

fn compare(load: Load, sense: Sense, value: Vec<u8>) -> Part {
    vec![Expression::Load(load, FIRST), Expression::Compare(FIRST, sense, value)]
}

fn dispatch(load: Load, map: &str) -> Part {
    vec![Expression::Load(load, FIRST), Expression::Dispatch(FIRST, map.into())]
}

/// Each value begins in a register of its own.
fn lookup<const N: usize>(loads: [Load; N], sense: Sense, set: &str) -> Part {
    let mut next = FIRST;
    let mut part = Vec::with_capacity(N + 1);
    for load in loads {
        part.push(Expression::Load(load, next));
        next.0 += load.octets().div_ceil(4) as u8;
    }
    part.push(Expression::Lookup(FIRST, sense, set.into()));
    part
}

/// A name with the 0 octets that follow it, so that no longer name equals it.
fn whole_name(name: &str) -> Vec<u8> {
    let mut octets = name.as_bytes().to_vec();
    octets.resize(octets.len().max(16), 0);
    octets
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
