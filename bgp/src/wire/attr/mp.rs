//! MP_REACH_NLRI and MP_UNREACH_NLRI: prefixes inside attributes (RFC 4760, RFC 8950).

use std::net::{Ipv4Addr, Ipv6Addr};

use model::Family;

use super::super::capability::family_of;
use super::super::context::Context;
use super::super::reader::{Reader, Short};
use super::{Fault, NextHop};

/// MP_REACH_NLRI up to its prefixes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MpReach<'a> {
    /// Family and next hop; nothing if it is not a family that margay can carry.
    pub carried: Option<(Family, NextHop)>,
    /// The prefixes, not looked at yet.
    pub nlri: &'a [u8],
}

/// MP_UNREACH_NLRI up to its prefixes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MpUnreach<'a> {
    /// Nothing if it is not a family that margay can carry.
    pub family: Option<Family>,
    /// The prefixes, not looked at yet.
    pub nlri: &'a [u8],
}

/// A next hop that reaches past the attribute is wrong in any family, since no prefix can be found (RFC 7606 §7.11). A family
/// that we can read is read even if it was not agreed on, for a peer that sends octets it did not mean is not to be believed.
pub(crate) fn reach<'a>(value: &'a [u8], context: &Context) -> Result<MpReach<'a>, Fault> {
    let short = |Short| Fault::Length(value.len());
    let mut r = Reader::new(value);
    let (afi, safi) = (r.u16().map_err(short)?, r.u8().map_err(short)?);
    let length = r.u8().map_err(short)?;
    let octets = r.take(length.into()).map_err(|Short| Fault::NextHopLength(length))?;
    r.u8().map_err(short)?; // reserved (RFC 4760 §3)
    let carried = match family_of(afi, safi) {
        Some(family) => Some((family, next_hop(family, octets, context).ok_or(Fault::NextHopLength(length))?)),
        None => None,
    };
    Ok(MpReach { carried, nlri: r.rest() })
}

/// The forms that RFC 2545 §3, RFC 4760 §3 and RFC 8950 §3 give.
fn next_hop(family: Family, octets: &[u8], context: &Context) -> Option<NextHop> {
    let v6 = family == Family::Ipv6 || context.extended_next_hop.contains(family);
    if let (Family::Ipv4, Ok(a)) = (family, <[u8; 4]>::try_from(octets)) {
        return Some(NextHop::V4(Ipv4Addr::from(a)));
    }
    if !v6 {
        return None;
    }
    let mut r = Reader::new(octets);
    let first = Ipv6Addr::from(r.array::<16>().ok()?);
    if r.is_empty() {
        return Some(NextHop::V6(first));
    }
    let second = Ipv6Addr::from(r.array::<16>().ok()?);
    if !r.is_empty() {
        return None;
    }
    Some(match (is_usable(first), second.is_unicast_link_local()) {
        (true, true) => NextHop::V6WithLinkLocal(first, second),
        // Some routers have no global address and say so with ::, or with the link-local one twice.
        (false, true) => NextHop::V6(second),
        (_, false) => NextHop::V6(first),
    })
}

fn is_usable(global: Ipv6Addr) -> bool {
    !global.is_unspecified() && !global.is_unicast_link_local()
}

/// The same holds here: whether the family was agreed on is asked later.
pub(crate) fn unreach(value: &[u8]) -> Result<MpUnreach<'_>, Fault> {
    let short = |Short| Fault::Length(value.len());
    let mut r = Reader::new(value);
    let (afi, safi) = (r.u16().map_err(short)?, r.u8().map_err(short)?);
    Ok(MpUnreach { family: family_of(afi, safi), nlri: r.rest() })
}
