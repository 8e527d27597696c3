//! MRT: the table as a file that other tools read, TABLE_DUMP_V2 (RFC 6396 §4.3, RFC 8050 §4.1).

use std::net::{IpAddr, Ipv4Addr};

use model::{Family, Prefix};

use crate::wire::attr::table::{put_all, put_head};
use crate::wire::attr::{code, flag};
use crate::wire::{Attributes, NextHop, Transmit, WirePrefix};

/// TABLE_DUMP_V2 (RFC 6396 §4).
const TABLE_DUMP_V2: u16 = 13;
/// PEER_INDEX_TABLE (RFC 6396 §4.3.1).
const PEER_INDEX_TABLE: u16 = 1;
/// The name of the only view there is.
const VIEW: &[u8] = b"margay";

/// A peer of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Zero if it is not known.
    pub bgp_id: u32,
    pub address: IpAddr,
    /// Zero if it is not known.
    pub asn: u32,
}

impl Peer {
    /// For a number that no peer has.
    pub(crate) const NOBODY: Peer = Peer { bgp_id: 0, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), asn: 0 };
}

/// One path of a prefix.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The peer's place in the index.
    pub peer: u16,
    /// RFC 7911; 0 where not used.
    pub path_id: u32,
    pub attributes: &'a Attributes,
}

/// Appends the record that numbers the peers, in order from 0. `time` is in seconds since 1970.
pub(crate) fn put_peers(time: u32, collector: u32, peers: impl ExactSizeIterator<Item = Peer>, out: &mut Vec<u8>) {
    let start = begin(time, PEER_INDEX_TABLE, out);
    out.extend_from_slice(&collector.to_be_bytes());
    put_u16(VIEW.len(), out);
    out.extend_from_slice(VIEW);
    put_u16(peers.len(), out);
    for peer in peers {
        // Bit 0 says IPv6, bit 1 an AS number of four octets.
        match peer.address {
            IpAddr::V4(address) => {
                out.push(2);
                out.extend_from_slice(&peer.bgp_id.to_be_bytes());
                out.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                out.push(3);
                out.extend_from_slice(&peer.bgp_id.to_be_bytes());
                out.extend_from_slice(&address.octets());
            }
        }
        out.extend_from_slice(&peer.asn.to_be_bytes());
    }
    end(start, out);
}

/// Appends the record of a prefix. With a path identifier among its entries it is one of RFC 8050.
pub(crate) fn put_prefix(time: u32, sequence: u32, prefix: Prefix, entries: &[Entry<'_>], out: &mut Vec<u8>) {
    let identified = entries.iter().any(|entry| entry.path_id != 0);
    let subtype = match (prefix.family(), identified) {
        (Family::Ipv4, false) => 2,
        (Family::Ipv6, false) => 4,
        (Family::Ipv4, true) => 8,
        (Family::Ipv6, true) => 10,
    };
    let start = begin(time, subtype, out);
    out.extend_from_slice(&sequence.to_be_bytes());
    prefix.put(out);
    put_u16(entries.len(), out);
    for entry in entries {
        out.extend_from_slice(&entry.peer.to_be_bytes());
        // When a path came is not kept: the time of the dump stands for it.
        out.extend_from_slice(&time.to_be_bytes());
        if identified {
            out.extend_from_slice(&entry.path_id.to_be_bytes());
        }
        let mut attributes = Vec::with_capacity(64);
        put_attributes(prefix.family(), entry.attributes, &mut attributes);
        put_u16(attributes.len(), out);
        out.extend_from_slice(&attributes);
    }
    end(start, out);
}

/// AS numbers have four octets; of MP_REACH_NLRI there is only the next hop (RFC 6396 §4.3.4).
fn put_attributes(family: Family, attributes: &Attributes, out: &mut Vec<u8>) {
    let classic = match (family, attributes.next_hop) {
        (Family::Ipv4, NextHop::V4(address)) => Some(address),
        _ => None,
    };
    put_all(attributes, classic, &Transmit::PLAIN, out);
    let hop: Vec<u8> = match attributes.next_hop {
        NextHop::V4(_) if classic.is_some() => return,
        NextHop::V4(address) => address.octets().into(),
        NextHop::V6(address) => address.octets().into(),
        NextHop::V6WithLinkLocal(global, local) => [global.octets(), local.octets()].concat(),
    };
    put_head(out, flag::OPTIONAL, code::MP_REACH_NLRI, hop.len() + 1);
    out.push(u8::try_from(hop.len()).unwrap_or_default());
    out.extend_from_slice(&hop);
}

fn put_u16(number: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
}

/// The MRT header (RFC 6396 §2), with room for the length.
fn begin(time: u32, subtype: u16, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&time.to_be_bytes());
    out.extend_from_slice(&TABLE_DUMP_V2.to_be_bytes());
    out.extend_from_slice(&subtype.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.len()
}

/// `start` is where the body begins.
fn end(start: usize, out: &mut [u8]) {
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start - 4..start) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
