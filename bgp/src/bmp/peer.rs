//! The per-peer header: of whom a message speaks, and of which of its tables (RFC 7854 §4.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use model::Family;

use crate::wire::reader::{Reader, Short};

/// Peer Type (RFC 7854 §4.2, RFC 9069 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 0: a peer of the one instance there is.
    Global,
    /// 1: a peer inside a VRF.
    Distinguished,
    /// 2: a peer of a local instance.
    Local,
    /// 3: no peer, but the Loc-RIB.
    LocRib,
}

impl Kind {
    pub(super) const fn value(self) -> u8 {
        match self {
            Kind::Global => 0,
            Kind::Distinguished => 1,
            Kind::Local => 2,
            Kind::LocRib => 3,
        }
    }
    const fn from_value(value: u8) -> Option<Kind> {
        Some(match value {
            0 => Kind::Global,
            1 => Kind::Distinguished,
            2 => Kind::Local,
            3 => Kind::LocRib,
            _ => return None,
        })
    }
}

/// Peer Flags. The V flag is not among them: it follows from the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    /// V: the address is IPv6.
    const V: u8 = 0x80;
    /// L: after the policy (RFC 7854 §4.2).
    pub const POST_POLICY: Flags = Flags(0x40);
    /// A: AS_PATH has 2-octet numbers (RFC 7854 §4.2).
    pub const LEGACY_AS_PATH: Flags = Flags(0x20);
    /// O: Adj-RIB-Out (RFC 8671 §4).
    pub const ADJ_RIB_OUT: Flags = Flags(0x10);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
    /// Whether all of those are among these.
    pub const fn contain(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Of whom a message speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHeader {
    /// Whether it is a peer.
    pub kind: Kind,
    /// Which of its tables.
    pub flags: Flags,
    /// Route distinguisher or instance; zero for the global one.
    pub distinguisher: u64,
    /// Its address; unspecified for the Loc-RIB (RFC 9069 §4.2).
    pub address: IpAddr,
    /// Its AS.
    pub asn: u32,
    /// Its BGP identifier.
    pub bgp_id: u32,
    /// When the message's content came to be, since 1970; zero if not known. Whole microseconds count.
    pub time: Duration,
}

impl PeerHeader {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let version = match self.address {
            IpAddr::V6(_) if self.kind != Kind::LocRib => Flags::V,
            _ => 0,
        };
        out.extend_from_slice(&[self.kind.value(), self.flags.0 | version]);
        out.extend_from_slice(&self.distinguisher.to_be_bytes());
        put_address(self.address, out);
        out.extend_from_slice(&self.asn.to_be_bytes());
        out.extend_from_slice(&self.bgp_id.to_be_bytes());
        out.extend_from_slice(&u32::try_from(self.time.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&self.time.subsec_micros().to_be_bytes());
    }

    /// Nothing for a peer type that is not known.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Option<PeerHeader>, Short> {
        let [kind, flags] = r.array()?;
        let distinguisher = u64::from_be_bytes(r.array()?);
        let octets: [u8; 16] = r.array()?;
        let (asn, bgp_id, seconds, micros) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        let Some(kind) = Kind::from_value(kind) else { return Ok(None) };
        // Of the Loc-RIB the bit is another flag and there is no address (RFC 9069 §4.2).
        let (family, flags) = match kind {
            Kind::LocRib => (Family::Ipv4, flags),
            _ if flags & Flags::V != 0 => (Family::Ipv6, flags & !Flags::V),
            _ => (Family::Ipv4, flags),
        };
        let time = Duration::from_secs(seconds.into()) + Duration::from_micros(micros.min(999_999).into());
        let address = address(family, octets);
        Ok(Some(PeerHeader { kind, flags: Flags(flags), distinguisher, address, asn, bgp_id, time }))
    }

    /// Of the addresses of its session.
    pub(super) fn family(&self) -> Family {
        Family::of(self.address)
    }
}

/// 16 octets; an IPv4 address in the last four (RFC 7854 §4.2).
pub(super) fn put_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            out.extend_from_slice(&[0; 12]);
            out.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
}

/// The address in 16 octets.
pub(super) fn address(family: Family, octets: [u8; 16]) -> IpAddr {
    let [.., a, b, c, d] = octets;
    match family {
        Family::Ipv4 => Ipv4Addr::new(a, b, c, d).into(),
        Family::Ipv6 => Ipv6Addr::from(octets).into(),
    }
}
