//! Capabilities: what a speaker can do, as its OPEN announces it (RFC 5492).

use std::fmt;

use bytes::Bytes;
use model::{Asn, Family};

use super::context::FamilySet;
use super::notification::printable;
use super::reader::{Reader, Short};

/// AFI and SAFI as numbers, for families that need not be carried here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AfiSafi {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
}

impl AfiSafi {
    /// The family, if it is one that is carried.
    pub const fn family(self) -> Option<Family> {
        family_of(self.afi, self.safi)
    }
}
impl From<Family> for AfiSafi {
    fn from(family: Family) -> AfiSafi {
        AfiSafi { afi: afi(family), safi: 1 }
    }
}
impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family() {
            Some(family) => family.fmt(f),
            None => write!(f, "AFI {} SAFI {}", self.afi, self.safi),
        }
    }
}

/// The carried family that AFI and SAFI name.
pub(crate) const fn family_of(afi: u16, safi: u8) -> Option<Family> {
    match (afi, safi) {
        (1, 1) => Some(Family::Ipv4),
        (2, 1) => Some(Family::Ipv6),
        _ => None,
    }
}

pub(crate) const fn afi(family: Family) -> u16 {
    match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    }
}

/// AFI, an octet between, SAFI: how families are written in most places.
pub(crate) fn put_family(family: Family, between: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&afi(family).to_be_bytes());
    out.extend_from_slice(&[between, 1]);
}

/// A BGP role (RFC 9234 §4.1): what the sender is to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// 0
    Provider,
    /// 1
    RouteServer,
    /// 2
    RouteServerClient,
    /// 3
    Customer,
    /// 4
    Peer,
    /// Not assigned.
    Unknown(u8),
}

impl Role {
    const fn from_value(value: u8) -> Role {
        match value {
            0 => Role::Provider,
            1 => Role::RouteServer,
            2 => Role::RouteServerClient,
            3 => Role::Customer,
            4 => Role::Peer,
            other => Role::Unknown(other),
        }
    }
    const fn value(self) -> u8 {
        match self {
            Role::Provider => 0,
            Role::RouteServer => 1,
            Role::RouteServerClient => 2,
            Role::Customer => 3,
            Role::Peer => 4,
            Role::Unknown(other) => other,
        }
    }
}

/// As people write it: `route server client`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Provider => "provider",
            Role::RouteServer => "route server",
            Role::RouteServerClient => "route server client",
            Role::Customer => "customer",
            Role::Peer => "peer",
            Role::Unknown(value) => return write!(f, "role {value}"),
        })
    }
}

/// The graceful restart capability (RFC 4724 §3, RFC 8538 §2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct GracefulRestart {
    /// R bit: the sender has just restarted.
    pub restarting: bool,
    /// N bit: a NOTIFICATION or an expired hold timer is survived too (RFC 8538).
    pub notification: bool,
    /// How long after a loss the session should be back, in seconds, 0 to 4095.
    pub restart_seconds: u16,
    /// Families that are kept over a restart.
    pub families: Vec<GracefulFamily>,
}

/// A family in the graceful restart capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GracefulFamily {
    /// Which.
    pub family: AfiSafi,
    /// F bit: forwarding went on during the restart that is just over.
    pub forwarding_kept: bool,
}

/// A family in the long-lived graceful restart capability (RFC 9494 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LongLivedFamily {
    /// Which.
    pub family: AfiSafi,
    /// F bit: forwarding went on during the restart that is just over.
    pub forwarding_kept: bool,
    /// How long stale routes may live, in seconds, 0 to 2^24 - 1.
    pub stale_seconds: u32,
}

/// Which way path identifiers may go in a family (RFC 7911 §4), seen from the sender of the capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddPath {
    /// Which family.
    pub family: AfiSafi,
    /// The sender can receive several paths.
    pub receive: bool,
    /// The sender wants to send several paths.
    pub send: bool,
}

/// A capability.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Capability {
    /// 1: a family (RFC 4760 §8).
    Multiprotocol(AfiSafi),
    /// 2: route refresh (RFC 2918).
    RouteRefresh,
    /// 5: families and the AFI that their next hop may have (RFC 8950 §4).
    ExtendedNextHop(Vec<(AfiSafi, u16)>),
    /// 6: messages of up to 65535 octets (RFC 8654).
    ExtendedMessage,
    /// 9: a role (RFC 9234).
    Role(Role),
    /// 64: graceful restart (RFC 4724).
    GracefulRestart(GracefulRestart),
    /// 65: 4-octet AS numbers, with the sender's own; nothing where it claims AS 0 (RFC 7607).
    FourOctetAs(Option<Asn>),
    /// 69: several paths per prefix (RFC 7911).
    AddPath(Vec<AddPath>),
    /// 70: enhanced route refresh (RFC 7313).
    EnhancedRouteRefresh,
    /// 71: long-lived graceful restart (RFC 9494).
    LongLivedGracefulRestart(Vec<LongLivedFamily>),
    /// 73: host and domain name (draft-walton-bgp-hostname-capability), printable.
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name.
        domain: String,
    },
    /// 75: software version (draft-ietf-idr-software-version), printable.
    SoftwareVersion(String),
    /// Any other, as it came.
    Unknown(u8, Bytes),
}

/// A known capability whose value has not the form its RFC gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("capability {0} is malformed")]
pub struct Malformed(pub u8);

impl Capability {
    /// The capability code.
    pub fn code(&self) -> u8 {
        match self {
            Capability::Multiprotocol(_) => 1,
            Capability::RouteRefresh => 2,
            Capability::ExtendedNextHop(_) => 5,
            Capability::ExtendedMessage => 6,
            Capability::Role(_) => 9,
            Capability::GracefulRestart(_) => 64,
            Capability::FourOctetAs(_) => 65,
            Capability::AddPath(_) => 69,
            Capability::EnhancedRouteRefresh => 70,
            Capability::LongLivedGracefulRestart(_) => 71,
            Capability::Fqdn { .. } => 73,
            Capability::SoftwareVersion(_) => 75,
            Capability::Unknown(code, _) => *code,
        }
    }

    /// Decodes one value, which `value` bounds: nothing behind it can be reached.
    pub fn decode(code: u8, value: &[u8]) -> Result<Capability, Malformed> {
        let mut reader = Reader::new(value);
        let capability = decode_value(code, &mut reader).map_err(|Short| Malformed(code))?;
        // Flags-only capabilities and all the others have one length; a surplus is as malformed as a lack.
        if reader.is_empty() { Ok(capability) } else { Err(Malformed(code)) }
    }

    /// Appends code, length and value to `out`. A value is cut to what its length octet can say.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        self.put_value(&mut value);
        value.truncate(255);
        out.extend_from_slice(&[self.code(), u8::try_from(value.len()).unwrap_or(u8::MAX)]);
        out.extend_from_slice(&value);
    }

    fn put_value(&self, out: &mut Vec<u8>) {
        match self {
            Capability::Multiprotocol(f) => {
                out.extend_from_slice(&f.afi.to_be_bytes());
                out.extend_from_slice(&[0, f.safi]);
            }
            Capability::RouteRefresh | Capability::ExtendedMessage | Capability::EnhancedRouteRefresh => {}
            Capability::ExtendedNextHop(families) => {
                for (f, next_hop_afi) in families {
                    out.extend_from_slice(&f.afi.to_be_bytes());
                    out.extend_from_slice(&[0, f.safi]);
                    out.extend_from_slice(&next_hop_afi.to_be_bytes());
                }
            }
            Capability::Role(role) => out.push(role.value()),
            Capability::GracefulRestart(gr) => {
                let flags = u16::from(gr.restarting) << 15 | u16::from(gr.notification) << 14;
                out.extend_from_slice(&(flags | gr.restart_seconds.min(0xfff)).to_be_bytes());
                for f in &gr.families {
                    put_flagged(f.family, f.forwarding_kept, out);
                }
            }
            Capability::FourOctetAs(asn) => {
                out.extend_from_slice(&asn.map_or(0, Asn::value).to_be_bytes());
            }
            Capability::AddPath(families) => {
                for f in families {
                    out.extend_from_slice(&f.family.afi.to_be_bytes());
                    out.extend_from_slice(&[f.family.safi, u8::from(f.receive) | u8::from(f.send) << 1]);
                }
            }
            Capability::LongLivedGracefulRestart(families) => {
                for f in families {
                    put_flagged(f.family, f.forwarding_kept, out);
                    out.extend(f.stale_seconds.min(0xff_ffff).to_be_bytes().iter().skip(1));
                }
            }
            Capability::Fqdn { host, domain } => {
                put_text(host, 126, out);
                put_text(domain, 126, out);
            }
            Capability::SoftwareVersion(text) => put_text(text, 64, out),
            Capability::Unknown(_, value) => out.extend_from_slice(value),
        }
    }
}

/// AFI, SAFI, and an octet whose highest bit is the flag.
fn put_flagged(f: AfiSafi, flag: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&f.afi.to_be_bytes());
    out.extend_from_slice(&[f.safi, u8::from(flag) << 7]);
}

/// A text with its length in one octet, cut between characters.
fn put_text(text: &str, longest: usize, out: &mut Vec<u8>) {
    let text = text.get(..text.floor_char_boundary(longest)).unwrap_or_default();
    out.push(u8::try_from(text.len()).unwrap_or(0));
    out.extend_from_slice(text.as_bytes());
}

fn decode_value(code: u8, r: &mut Reader<'_>) -> Result<Capability, Short> {
    Ok(match code {
        1 => {
            let afi = r.u16()?;
            r.u8()?;
            Capability::Multiprotocol(AfiSafi { afi, safi: r.u8()? })
        }
        2 => Capability::RouteRefresh,
        5 => Capability::ExtendedNextHop(all(r, |r| {
            let afi = r.u16()?;
            let [_, safi] = r.u16()?.to_be_bytes();
            Ok((AfiSafi { afi, safi }, r.u16()?))
        })?),
        6 => Capability::ExtendedMessage,
        9 => Capability::Role(Role::from_value(r.u8()?)),
        64 => {
            let head = r.u16()?;
            Capability::GracefulRestart(GracefulRestart {
                restarting: head & 0x8000 != 0,
                notification: head & 0x4000 != 0,
                restart_seconds: head & 0xfff,
                families: all(r, |r| {
                    let (family, forwarding_kept) = flagged(r)?;
                    Ok(GracefulFamily { family, forwarding_kept })
                })?,
            })
        }
        65 => Capability::FourOctetAs(Asn::new(r.u32()?)),
        69 => Capability::AddPath(all(r, |r| {
            let family = AfiSafi { afi: r.u16()?, safi: r.u8()? };
            // A value other than 1, 2 and 3 is ignored (RFC 7911 §4).
            let direction = Some(r.u8()?).filter(|d| *d <= 3).unwrap_or(0);
            Ok(AddPath { family, receive: direction & 1 != 0, send: direction & 2 != 0 })
        })?),
        70 => Capability::EnhancedRouteRefresh,
        71 => Capability::LongLivedGracefulRestart(all(r, |r| {
            let (family, forwarding_kept) = flagged(r)?;
            let [a, b, c] = r.array()?;
            Ok(LongLivedFamily { family, forwarding_kept, stale_seconds: u32::from_be_bytes([0, a, b, c]) })
        })?),
        73 => {
            let host = text(r)?;
            // Some speakers leave an empty domain out altogether.
            let domain = if r.is_empty() { String::new() } else { text(r)? };
            Capability::Fqdn { host, domain }
        }
        75 => Capability::SoftwareVersion(text(r)?),
        other => Capability::Unknown(other, Bytes::copy_from_slice(r.take(r.len())?)),
    })
}

/// As many entries as there are, each whole.
fn all<'a, T>(r: &mut Reader<'a>, one: impl Fn(&mut Reader<'a>) -> Result<T, Short>) -> Result<Vec<T>, Short> {
    let mut entries = Vec::new();
    while !r.is_empty() {
        entries.push(one(r)?);
    }
    Ok(entries)
}

fn flagged(r: &mut Reader<'_>) -> Result<(AfiSafi, bool), Short> {
    let family = AfiSafi { afi: r.u16()?, safi: r.u8()? };
    Ok((family, r.u8()? & 0x80 != 0))
}

fn text(r: &mut Reader<'_>) -> Result<String, Short> {
    let length = usize::from(r.u8()?);
    Ok(printable(&String::from_utf8_lossy(r.take(length)?)))
}

/// Questions that a session asks of the capabilities of an OPEN.
pub trait Capabilities {
    /// All of them, in order.
    fn all(&self) -> &[Capability];

    /// The 4-octet AS number, if announced and not 0.
    fn four_octet_as(&self) -> Option<Asn> {
        self.all().iter().find_map(|c| if let Capability::FourOctetAs(asn) = c { *asn } else { None })
    }
    /// The families announced; IPv4 alone if none is named at all (RFC 4760 §8).
    fn families(&self) -> FamilySet {
        let mut named = false;
        let mut set = FamilySet::NONE;
        for c in self.all() {
            if let Capability::Multiprotocol(f) = c {
                named = true;
                set = f.family().map_or(set, |family| set.with(family));
            }
        }
        if named { set } else { FamilySet::of(Family::Ipv4) }
    }
    /// Families in which the sender can receive several paths.
    fn add_path_receive(&self) -> FamilySet {
        add_path(self.all(), |a| a.receive)
    }
    /// Families in which the sender wants to send several paths.
    fn add_path_send(&self) -> FamilySet {
        add_path(self.all(), |a| a.send)
    }
    /// Families whose prefixes may come with an IPv6 next hop (RFC 8950).
    fn extended_next_hop(&self) -> FamilySet {
        let lists = self.all().iter().filter_map(|c| match c {
            Capability::ExtendedNextHop(list) => Some(list),
            _ => None,
        });
        lists.flatten().filter(|(_, next_hop)| *next_hop == 2).filter_map(|(f, _)| f.family()).collect()
    }
    /// Graceful restart; the last one counts (RFC 4724 §3).
    fn graceful_restart(&self) -> Option<&GracefulRestart> {
        self.all().iter().rev().find_map(|c| if let Capability::GracefulRestart(gr) = c { Some(gr) } else { None })
    }
    /// Long-lived graceful restart.
    fn long_lived(&self) -> Option<&[LongLivedFamily]> {
        self.all().iter().rev().find_map(|c| match c {
            Capability::LongLivedGracefulRestart(families) => Some(families.as_slice()),
            _ => None,
        })
    }
    /// The role (RFC 9234).
    fn role(&self) -> Option<Role> {
        self.all().iter().find_map(|c| if let Capability::Role(role) = c { Some(*role) } else { None })
    }
    /// Whether this very capability is announced: for those without a value.
    fn announces(&self, capability: &Capability) -> bool {
        self.all().contains(capability)
    }
}

fn add_path(all: &[Capability], which: impl Fn(&AddPath) -> bool) -> FamilySet {
    let lists = all.iter().filter_map(|c| if let Capability::AddPath(list) = c { Some(list) } else { None });
    lists.flatten().filter(|a| which(a)).filter_map(|a| a.family.family()).collect()
}

impl Capabilities for [Capability] {
    fn all(&self) -> &[Capability] {
        self
    }
}
impl Capabilities for Vec<Capability> {
    fn all(&self) -> &[Capability] {
        self
    }
}
