//! The expressions of a rule, of those that we use; the kernel works through them from left to right.

use std::fmt;

use model::Family;

/// One step of a rule: it loads something, goes on or not, or ends the rule with a verdict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expression {
    /// Puts a value into a register.
    Load(Load, Register),
    /// Keeps the bits of a register's value that the mask has.
    Mask(Register, Vec<u8>),
    /// Sets the bits of a register's value that this has.
    Raise(Register, Vec<u8>),
    /// Goes on if the register begins with this value, or if it does not.
    Compare(Register, Sense, Vec<u8>),
    /// Goes on if the register's value lies between two of equal length, or if it does not.
    Between(Register, Sense, Vec<u8>, Vec<u8>),
    /// Goes on if the registers from this one on are an element of the set, or if they are not.
    Lookup(Register, Sense, String),
    /// Does what the verdict map has for the registers from this one on; goes on if it has nothing.
    Dispatch(Register, String),
    /// Counts packets and octets. The values are not part of what is compared.
    Counter,
    /// Goes on as long as packets come slower than this (or only for those beyond).
    Limit(Limit),
    /// Copies the packet to whoever listens at an NFLOG group.
    Log(Log),
    /// Gives the packet the address of the interface it leaves by.
    Masquerade {
        /// `NF_NAT_RANGE_…`.
        flags: u32,
    },
    /// Ends the packet and tells its sender: ICMP of either family with this code of nftables' (`NFT_REJECT_ICMPX_…`).
    Reject {
        /// Which.
        code: u8,
    },
    /// Makes a register's value the packet's mark, as long as the node has it.
    SetMark(Register),
    /// Keeps the packet from connection tracking: before that only.
    NoTrack,
    /// Ends the rule.
    Verdict(Verdict),
    /// Something that we never write, by its name.
    Other(String),
}

/// Where a rule goes on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The packet passes this hook's chain.
    Accept,
    /// The packet ends.
    Drop,
    /// With the next rule.
    Continue,
    /// Behind the jump that led here.
    Return,
    /// In another chain, which may return.
    Jump(String),
    /// In another chain, which returns behind the jump that led here.
    Goto(String),
}

/// Whether a test holds if something is so, or if it is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sense {
    /// It is so.
    Is,
    /// It is not so.
    IsNot,
}

/// What can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Load {
    /// `meta nfproto`: one octet.
    Family,
    /// `meta l4proto`: one octet; behind IPv6's extension headers.
    Protocol,
    /// `meta iifname`: 16 octets.
    InputInterface,
    /// `meta oifname`: 16 octets.
    OutputInterface,
    /// `meta mark`: a number of bits in host order.
    Mark,
    /// `ct state`: a number of bits in host order.
    ConnectionState,
    /// Octets of a header.
    Payload {
        /// Which header.
        base: Base,
        /// Of the first octet.
        offset: u32,
        /// Number of octets.
        length: u32,
    },
}

/// A header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// IPv4's or IPv6's.
    Network,
    /// That of TCP, UDP, ICMP and so on.
    Transport,
}

/// One of the 16 registers of 4 octets; a longer value goes on in those that follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register(pub u8);

/// A rate of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// Packets per second.
    pub rate: u64,
    /// Packets at once.
    pub burst: u32,
    /// [`Sense::Is`] for packets within the rate, [`Sense::IsNot`] for those beyond (`limit rate over`).
    pub within: Sense,
}

/// Where and how a packet is logged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    /// NFLOG group.
    pub group: u16,
    /// Handed on as it is: at most 127 octets; empty for none.
    pub prefix: String,
    /// Octets of each packet.
    pub octets: u32,
}

/// Which end of a packet's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

impl Load {
    /// An address of the network header.
    pub fn address(family: Family, end: End) -> Load {
        let (offset, length) = match (family, end) {
            (Family::Ipv4, End::Source) => (12, 4),
            (Family::Ipv4, End::Destination) => (16, 4),
            (Family::Ipv6, End::Source) => (8, 16),
            (Family::Ipv6, End::Destination) => (24, 16),
        };
        Load::Payload { base: Base::Network, offset, length }
    }

    /// A port, of TCP, UDP, SCTP or UDP-Lite.
    pub fn port(end: End) -> Load {
        let offset = if end == End::Source { 0 } else { 2 };
        Load::Payload { base: Base::Transport, offset, length: 2 }
    }

    /// How many octets are loaded.
    pub fn octets(self) -> u32 {
        match self {
            Load::Family | Load::Protocol => 1,
            Load::InputInterface | Load::OutputInterface => 16,
            Load::Mark | Load::ConnectionState => 4,
            Load::Payload { length, .. } => length,
        }
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sense::Is => "==",
            Sense::IsNot => "!=",
        })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Load::Family => f.write_str("meta nfproto"),
            Load::Protocol => f.write_str("meta l4proto"),
            Load::InputInterface => f.write_str("iifname"),
            Load::OutputInterface => f.write_str("oifname"),
            Load::Mark => f.write_str("meta mark"),
            Load::ConnectionState => f.write_str("ct state"),
            Load::Payload { base, offset, length } => {
                let header = match base {
                    Base::Network => "nh",
                    Base::Transport => "th",
                };
                write!(f, "@{header},{},{}", offset * 8, length * 8)
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Continue => f.write_str("continue"),
            Verdict::Return => f.write_str("return"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

/// Much as `nft` prints it.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Load(load, _) => write!(f, "{load}"),
            Expression::Mask(_, mask) => write!(f, "& {mask:?}"),
            Expression::Raise(_, bits) => write!(f, "| {bits:?}"),
            Expression::SetMark(_) => f.write_str("set meta mark"),
            Expression::NoTrack => f.write_str("notrack"),
            Expression::Compare(_, sense, value) => write!(f, "{sense} {value:?}"),
            Expression::Between(_, sense, first, last) => write!(f, "{sense} {first:?}-{last:?}"),
            Expression::Lookup(_, Sense::Is, set) => write!(f, "@{set}"),
            Expression::Lookup(_, Sense::IsNot, set) => write!(f, "!= @{set}"),
            Expression::Dispatch(_, map) => write!(f, "vmap @{map}"),
            Expression::Counter => f.write_str("counter"),
            Expression::Limit(Limit { rate, burst, within }) => {
                let over = if *within == Sense::Is { "" } else { "over " };
                write!(f, "limit rate {over}{rate}/second burst {burst} packets")
            }
            Expression::Log(Log { group, prefix, octets }) => {
                write!(f, "log prefix \"{prefix}\" group {group} snaplen {octets}")
            }
            Expression::Masquerade { .. } => f.write_str("masquerade fully-random"),
            Expression::Reject { code } => write!(f, "reject with icmpx {code}"),
            Expression::Verdict(verdict) => write!(f, "{verdict}"),
            Expression::Other(name) => write!(f, "({name})"),
        }
    }
}
