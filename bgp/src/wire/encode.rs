//! Packs routes into UPDATE messages: the attributes once, and as many prefixes as fit, message after message.

use std::net::Ipv4Addr;

use model::Family;

use super::attr::table::{put_all, put_head};
use super::attr::{Attributes, NextHop, code, flag};
use super::capability::afi;
use super::context::Transmit;
use super::framer::{HEADER, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, MessageType, begin_message, end_message, patch_u16};
use super::nlri::{Nlri, PathIds, WirePrefix, octets};

/// Why a set of attributes cannot be sent: the caller withdraws its routes instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// With these attributes not even one prefix fits into a message.
    #[error("{octets} octets of attributes leave no room for a prefix in a message of {bound}")]
    TooLong {
        /// Octets that the attributes need.
        octets: usize,
        /// Octets that a message may have.
        bound: usize,
    },
    /// IPv6 prefixes need an IPv6 next hop.
    #[error("IPv6 prefixes cannot have the IPv4 next hop {0}")]
    NextHopFamily(Ipv4Addr),
}

/// Octets of the longest prefix with its path identifier.
const fn longest(family: Family) -> usize {
    4 + 1 + family.bits() as usize / 8
}

/// Octets that a message may have: never so few that a prefix would not fit, never more than its length can say.
fn bound(transmit: &Transmit) -> usize {
    transmit.max_message.clamp(MAX_MESSAGE, MAX_EXTENDED_MESSAGE)
}

/// Appends UPDATE messages that announce the prefixes, all of the given family, with these attributes. Returns how many messages.
///
/// IPv4 with an IPv4 next hop goes out in the fields of RFC 4271, all else in MP_REACH_NLRI: for IPv4 with an IPv6 next hop
/// the peer must have announced RFC 8950, which is the caller's to know. Prefixes of another family are left out.
/// On error nothing was appended.
pub fn updates<P: WirePrefix>(
    family: Family,
    attributes: &Attributes,
    prefixes: impl IntoIterator<Item = Nlri<P>>,
    transmit: &Transmit,
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError> {
    let form = match (family, attributes.next_hop) {
        (Family::Ipv4, NextHop::V4(address)) => Form::Classic(address),
        (Family::Ipv6, NextHop::V4(address)) => return Err(EncodeError::NextHopFamily(address)),
        _ => Form::Multiprotocol,
    };
    let mut head = Vec::with_capacity(128);
    if form == Form::Multiprotocol {
        put_head(&mut head, flag::OPTIONAL | flag::EXTENDED_LENGTH, code::MP_REACH_NLRI, usize::from(u16::MAX));
        put_family_and_next_hop(family, attributes.next_hop, &mut head);
    }
    let mut rest = Vec::with_capacity(128);
    let classic = if let Form::Classic(address) = form { Some(address) } else { None };
    put_all(attributes, classic, transmit, &mut rest);

    let needed = head.len() + rest.len();
    let bound = bound(transmit);
    // Header, the two length fields, and one prefix.
    if HEADER + 4 + needed + longest(family) > bound {
        return Err(EncodeError::TooLong { octets: needed, bound });
    }
    let room = bound - rest_of_message(form, &rest);
    let mut prefixes = Packer::new(family, transmit, prefixes);
    let mut messages = 0;
    while prefixes.has_more() {
        let start = begin_message(MessageType::Update, out);
        out.extend_from_slice(&[0, 0, 0, 0]);
        let attributes_at = out.len();
        match form {
            Form::Classic(_) => {
                out.extend_from_slice(&rest);
                patch_length(attributes_at - 2, attributes_at, out);
                prefixes.fill(start + room, out);
            }
            Form::Multiprotocol => {
                out.extend_from_slice(&head);
                prefixes.fill(start + room, out);
                patch_length(attributes_at + 2, attributes_at + 4, out);
                out.extend_from_slice(&rest);
                patch_length(attributes_at - 2, attributes_at, out);
            }
        }
        end_message(start, out);
        messages += 1;
    }
    Ok(messages)
}

/// Where the prefixes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// At the end of the message, next hop in NEXT_HOP.
    Classic(Ipv4Addr),
    /// In MP_REACH_NLRI, next hop too.
    Multiprotocol,
}

/// Octets that must stay free behind the prefixes.
fn rest_of_message(form: Form, rest: &[u8]) -> usize {
    match form {
        Form::Classic(_) => 0,
        Form::Multiprotocol => rest.len(),
    }
}

/// Writes how many octets there are from `from` to the end into the two octets at `at`.
fn patch_length(at: usize, from: usize, out: &mut [u8]) {
    let length = u16::try_from(out.len() - from).unwrap_or(u16::MAX);
    patch_u16(at, length, out);
}

/// MP_REACH_NLRI up to its prefixes (RFC 4760 §3, RFC 2545 §3).
fn put_family_and_next_hop(family: Family, next_hop: NextHop, out: &mut Vec<u8>) {
    out.extend_from_slice(&afi(family).to_be_bytes());
    out.push(1);
    match next_hop {
        NextHop::V4(a) => {
            out.push(4);
            out.extend_from_slice(&a.octets());
        }
        NextHop::V6(a) => {
            out.push(16);
            out.extend_from_slice(&a.octets());
        }
        NextHop::V6WithLinkLocal(global, local) => {
            out.push(32);
            out.extend_from_slice(&global.octets());
            out.extend_from_slice(&local.octets());
        }
    }
    out.push(0);
}

/// Appends UPDATE messages that withdraw the prefixes, all of the given family. Returns how many messages.
pub fn withdrawals<P: WirePrefix>(
    family: Family,
    prefixes: impl IntoIterator<Item = Nlri<P>>,
    transmit: &Transmit,
    out: &mut Vec<u8>,
) -> usize {
    let mut prefixes = Packer::new(family, transmit, prefixes);
    let mut messages = 0;
    while prefixes.has_more() {
        let start = begin_message(MessageType::Update, out);
        let end = start + bound(transmit);
        match family {
            Family::Ipv4 => {
                out.extend_from_slice(&[0, 0]);
                let from = out.len();
                prefixes.fill(end - 2, out);
                patch_length(from - 2, from, out);
                out.extend_from_slice(&[0, 0]);
            }
            Family::Ipv6 => {
                out.extend_from_slice(&[0, 0, 0, 0]);
                let from = out.len();
                let flags = flag::OPTIONAL;
                put_head(out, flags, code::MP_UNREACH_NLRI, usize::from(u16::MAX));
                let value = out.len();
                out.extend_from_slice(&afi(family).to_be_bytes());
                out.push(1);
                prefixes.fill(end, out);
                patch_length(value - 2, value, out);
                patch_length(from - 2, from, out);
            }
        }
        end_message(start, out);
        messages += 1;
    }
    messages
}

/// Appends the End-of-RIB marker of a family (RFC 4724 §2).
pub fn end_of_rib(family: Family, out: &mut Vec<u8>) {
    let start = begin_message(MessageType::Update, out);
    match family {
        Family::Ipv4 => out.extend_from_slice(&[0, 0, 0, 0]),
        Family::Ipv6 => {
            out.extend_from_slice(&[0, 0, 0, 6]);
            put_head(out, flag::OPTIONAL, code::MP_UNREACH_NLRI, 3);
            out.extend_from_slice(&[0, 2, 1]);
        }
    }
    end_message(start, out);
}

/// Prefixes of one family on their way into messages.
struct Packer<P, I> {
    family: Family,
    path_ids: PathIds,
    next: Option<Nlri<P>>,
    rest: I,
}

impl<P: WirePrefix, I: Iterator<Item = Nlri<P>>> Packer<P, I> {
    fn new(family: Family, transmit: &Transmit, prefixes: impl IntoIterator<IntoIter = I>) -> Packer<P, I> {
        let path_ids = if transmit.add_path.contains(family) { PathIds::Present } else { PathIds::Absent };
        let mut packer = Packer { family, path_ids, next: None, rest: prefixes.into_iter() };
        packer.advance();
        packer
    }
    fn has_more(&self) -> bool {
        self.next.is_some()
    }
    fn advance(&mut self) {
        let family = self.family;
        self.next = self.rest.find(|n| n.prefix.family() == family);
    }
    /// Appends prefixes while `out` stays within `end` octets.
    fn fill(&mut self, end: usize, out: &mut Vec<u8>) {
        while let Some(Nlri { prefix, path_id }) = self.next {
            let id = if self.path_ids == PathIds::Present { 4 } else { 0 };
            if out.len() + id + 1 + octets(prefix.bit_length()) > end {
                break;
            }
            if self.path_ids == PathIds::Present {
                out.extend_from_slice(&path_id.to_be_bytes());
            }
            prefix.put(out);
            self.advance();
        }
    }
}
