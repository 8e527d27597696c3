//! The attributes that margay knows, a row each: flags, what a fault leads to (RFC 7606 §7), how to read, how to write.

use std::net::Ipv4Addr;

use super::super::context::{AsWidth, Context, Transmit};
use super::mp::{self, MpReach, MpUnreach};
use super::values::Value;
use super::{Attributes, Fault, Origin, Verdict, as_path, code, flag};

const WELL_KNOWN: u8 = flag::TRANSITIVE;
const TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;
const NON_TRANSITIVE: u8 = flag::OPTIONAL;

/// What one attribute is.
pub(crate) struct Row {
    pub code: u8,
    /// As its RFC spells it.
    pub name: &'static str,
    /// The Optional and Transitive bits it must have.
    pub flags: u8,
    /// From whom it is taken at all.
    pub from: From,
    /// What a value that cannot be read leads to.
    pub malformed: Verdict,
    /// Reads a value.
    pub decode: for<'a> fn(&'a [u8], &Context) -> Result<Parsed<'a>, Fault>,
    /// Writes the attribute if the set has it; the stored value is at hand.
    pub encode: fn(Output<'_>, &mut Vec<u8>),
}

/// From whom an attribute is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// From every peer.
    All,
    /// From internal peers; from others it is discarded if its flags are right (RFC 7606 §7.5, §7.9, §7.10).
    Internal,
    /// From peers with 2-octet AS numbers; from others it is discarded whatever it looks like (RFC 6793 §4.1).
    TwoOctet,
    /// From none: not used here, and not for others to get, whatever its flags say (RFC 7311 §3.3, RFC 9552 §5.3).
    Nobody,
}

/// What encoding a row may look at.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    pub set: &'a Attributes,
    /// The value with the row's code in the set's store.
    pub value: Option<Value<'a>>,
    pub transmit: &'a Transmit,
    /// Whether NEXT_HOP goes out: only with prefixes outside MP_REACH_NLRI (RFC 4760 §3).
    pub next_hop: Option<Ipv4Addr>,
}

/// What a value says.
pub(crate) enum Parsed<'a> {
    Origin(Origin),
    NextHop(Ipv4Addr),
    Med(u32),
    LocalPref(u32),
    /// To be stored as it is.
    Stored,
    /// To be stored with 4-octet AS numbers.
    AsPath,
    Aggregator,
    As4Path,
    As4Aggregator,
    Reach(MpReach<'a>),
    Unreach(MpUnreach<'a>),
}

/// The row of an attribute, if it is known.
#[inline]
pub(crate) fn row(code: u8) -> Option<&'static Row> {
    let place = INDEX.get(usize::from(code))?;
    TABLE.get(usize::from(*place))
}

/// Sorted by code.
pub(crate) static TABLE: &[Row] = &[
    Row {
        code: code::ORIGIN,
        name: "ORIGIN",
        flags: WELL_KNOWN,
        from: From::All,
        malformed: Verdict::Withdraw,
        decode: |v, _| match v {
            [value] => Origin::from_value(*value).map(Parsed::Origin).ok_or(Fault::Value(*value)),
            _ => Err(Fault::Length(v.len())),
        },
        encode: |o, out| put(out, WELL_KNOWN, code::ORIGIN, &[o.set.origin.value()]),
    },
    Row {
        code: code::AS_PATH,
        name: "AS_PATH",
        flags: WELL_KNOWN,
        from: From::All,
        malformed: Verdict::Withdraw,
        decode: |v, context| as_path::check(v, context.as_width).map(|()| Parsed::AsPath),
        encode: put_as_path,
    },
    Row {
        code: code::NEXT_HOP,
        name: "NEXT_HOP",
        flags: WELL_KNOWN,
        from: From::All,
        malformed: Verdict::Withdraw,
        decode: |v, _| exactly::<4>(v).map(|a| Parsed::NextHop(Ipv4Addr::from(a))),
        encode: |o, out| {
            if let Some(address) = o.next_hop {
                put(out, WELL_KNOWN, code::NEXT_HOP, &address.octets());
            }
        },
    },
    Row {
        code: code::MULTI_EXIT_DISC,
        name: "MULTI_EXIT_DISC",
        flags: NON_TRANSITIVE,
        from: From::All,
        malformed: Verdict::Withdraw,
        decode: |v, _| exactly(v).map(|n| Parsed::Med(u32::from_be_bytes(n))),
        encode: |o, out| put_number(out, NON_TRANSITIVE, code::MULTI_EXIT_DISC, o.set.med),
    },
    Row {
        code: code::LOCAL_PREF,
        name: "LOCAL_PREF",
        flags: WELL_KNOWN,
        from: From::Internal,
        malformed: Verdict::Withdraw,
        decode: |v, _| exactly(v).map(|n| Parsed::LocalPref(u32::from_be_bytes(n))),
        encode: |o, out| put_number(out, WELL_KNOWN, code::LOCAL_PREF, o.set.local_pref),
    },
    Row {
        code: code::ATOMIC_AGGREGATE,
        name: "ATOMIC_AGGREGATE",
        flags: WELL_KNOWN,
        from: From::All,
        malformed: Verdict::Discard,
        decode: |v, _| exactly::<0>(v).map(|_| Parsed::Stored),
        encode: put_stored,
    },
    Row {
        code: code::AGGREGATOR,
        name: "AGGREGATOR",
        flags: TRANSITIVE,
        from: From::All,
        malformed: Verdict::Discard,
        decode: |v, context| aggregator(v, context.as_width).map(|()| Parsed::Aggregator),
        encode: put_aggregator,
    },
    Row { decode: |v, _| list::<4>(v), ..stored(code::COMMUNITIES, "COMMUNITIES", TRANSITIVE) },
    Row {
        from: From::Internal,
        decode: |v, _| exactly::<4>(v).map(|_| Parsed::Stored),
        ..stored(code::ORIGINATOR_ID, "ORIGINATOR_ID", NON_TRANSITIVE)
    },
    Row {
        from: From::Internal,
        decode: |v, _| list::<4>(v),
        ..stored(code::CLUSTER_LIST, "CLUSTER_LIST", NON_TRANSITIVE)
    },
    Row {
        code: code::MP_REACH_NLRI,
        name: "MP_REACH_NLRI",
        flags: NON_TRANSITIVE,
        from: From::All,
        malformed: Verdict::Reset,
        decode: |v, context| mp::reach(v, context).map(Parsed::Reach),
        encode: nothing, // holds prefixes: written before all others, per message
    },
    Row {
        code: code::MP_UNREACH_NLRI,
        name: "MP_UNREACH_NLRI",
        flags: NON_TRANSITIVE,
        from: From::All,
        malformed: Verdict::Reset,
        decode: |v, _| mp::unreach(v).map(Parsed::Unreach),
        encode: nothing, // likewise
    },
    Row { decode: |v, _| list::<8>(v), ..stored(code::EXTENDED_COMMUNITIES, "EXTENDED COMMUNITIES", TRANSITIVE) },
    Row {
        code: code::AS4_PATH,
        name: "AS4_PATH",
        flags: TRANSITIVE,
        from: From::TwoOctet,
        malformed: Verdict::Discard,
        decode: |v, _| match v.len() {
            0..6 => Err(Fault::Length(v.len())), // RFC 6793 §6
            _ => as_path::check(v, AsWidth::Four).map(|()| Parsed::As4Path),
        },
        encode: put_as4_path,
    },
    Row {
        code: code::AS4_AGGREGATOR,
        name: "AS4_AGGREGATOR",
        flags: TRANSITIVE,
        from: From::TwoOctet,
        malformed: Verdict::Discard,
        decode: |v, _| aggregator(v, AsWidth::Four).map(|()| Parsed::As4Aggregator),
        encode: put_as4_aggregator,
    },
    Row {
        decode: |v, _| list::<20>(v),
        ..stored(code::IPV6_EXTENDED_COMMUNITIES, "IPv6 EXTENDED COMMUNITIES", TRANSITIVE)
    },
    Row { from: From::Nobody, malformed: Verdict::Discard, ..stored(code::AIGP, "AIGP", NON_TRANSITIVE) },
    Row { from: From::Nobody, malformed: Verdict::Discard, ..stored(code::BGP_LS, "BGP-LS", NON_TRANSITIVE) },
    Row { decode: |v, _| list::<12>(v), ..stored(code::LARGE_COMMUNITIES, "LARGE_COMMUNITY", TRANSITIVE) },
    Row { decode: |v, _| exactly::<4>(v).map(|_| Parsed::Stored), ..stored(code::ONLY_TO_CUSTOMER, "OTC", TRANSITIVE) },
];

/// A row whose value is stored and sent as it is; for the rest of its columns to differ from.
const fn stored(code: u8, name: &'static str, flags: u8) -> Row {
    Row {
        code,
        name,
        flags,
        from: From::All,
        malformed: Verdict::Withdraw,
        decode: |_, _| Ok(Parsed::Stored),
        encode: put_stored,
    }
}

/// Where in [`TABLE`] each code is; past its end for those that are not.
static INDEX: [u8; 256] = {
    let mut index = [u8::MAX; 256];
    let mut i = 0;
    while i < TABLE.len() {
        index[TABLE[i].code as usize] = i as u8;
        i += 1;
    }
    index
};

fn exactly<const N: usize>(v: &[u8]) -> Result<[u8; N], Fault> {
    v.try_into().map_err(|_| Fault::Length(v.len()))
}

/// One or more entries of `N` octets.
fn list<const N: usize>(v: &[u8]) -> Result<Parsed<'_>, Fault> {
    if v.is_empty() || !v.len().is_multiple_of(N) { Err(Fault::Length(v.len())) } else { Ok(Parsed::Stored) }
}

fn aggregator(v: &[u8], width: AsWidth) -> Result<(), Fault> {
    if v.len() != width.octets() + 4 {
        return Err(Fault::Length(v.len()));
    }
    match v.iter().take(width.octets()).all(|octet| *octet == 0) {
        true => Err(Fault::AsZero),
        false => Ok(()),
    }
}

/// Appends an attribute. The low four flag bits are 0 but for the extended length, which is used where needed.
pub(crate) fn put(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    put_head(out, flags, code, value.len());
    out.extend_from_slice(value);
}

/// Appends flags, code and length. A length beyond two octets is cut: such a set does not fit any message and is refused.
pub(crate) fn put_head(out: &mut Vec<u8>, flags: u8, code: u8, length: usize) {
    let flags = flags & (flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL);
    match u8::try_from(length) {
        Ok(length) => out.extend_from_slice(&[flags, code, length]),
        Err(_) => {
            out.extend_from_slice(&[flags | flag::EXTENDED_LENGTH, code]);
            out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
}

fn put_number(out: &mut Vec<u8>, flags: u8, code: u8, number: Option<u32>) {
    if let Some(n) = number {
        put(out, flags, code, &n.to_be_bytes());
    }
}

fn put_stored(o: Output<'_>, out: &mut Vec<u8>) {
    if let Some(v) = o.value {
        put(out, v.flags, v.code, v.octets);
    }
}

fn nothing(_: Output<'_>, _: &mut Vec<u8>) {}

/// Mandatory, if only to say that it is empty.
fn put_as_path(o: Output<'_>, out: &mut Vec<u8>) {
    let path = o.set.as_path();
    match o.transmit.as_width {
        AsWidth::Four => put(out, WELL_KNOWN, code::AS_PATH, path.octets()),
        AsWidth::Two => {
            let mut narrow = Vec::with_capacity(path.octets().len());
            path.put_two_octets(&mut narrow);
            put(out, WELL_KNOWN, code::AS_PATH, &narrow);
        }
    }
}

/// What did not fit into AS_PATH goes round a 2-octet speaker in here (RFC 6793 §4.2.2).
fn put_as4_path(o: Output<'_>, out: &mut Vec<u8>) {
    let path = o.set.as_path();
    if o.transmit.as_width == AsWidth::Two && path.needs_four_octets() {
        put(out, TRANSITIVE, code::AS4_PATH, path.octets());
    }
}

fn put_aggregator(o: Output<'_>, out: &mut Vec<u8>) {
    match (o.transmit.as_width, o.value, o.set.aggregator()) {
        (AsWidth::Two, Some(v), Some(a)) => {
            let mut narrow = a.asn.two_octet().to_be_bytes().to_vec();
            narrow.extend_from_slice(&a.address.octets());
            put(out, v.flags, v.code, &narrow);
        }
        _ => put_stored(o, out),
    }
}

fn put_as4_aggregator(o: Output<'_>, out: &mut Vec<u8>) {
    let Some(a) = o.set.aggregator() else {
        return;
    };
    if o.transmit.as_width == AsWidth::Two && a.asn.value() > u32::from(u16::MAX) {
        let mut value = a.asn.value().to_be_bytes().to_vec();
        value.extend_from_slice(&a.address.octets());
        put(out, TRANSITIVE, code::AS4_AGGREGATOR, &value);
    }
}

/// Appends all attributes of a set but those that hold prefixes, in the order of their codes.
pub(crate) fn put_all(set: &Attributes, next_hop: Option<Ipv4Addr>, transmit: &Transmit, out: &mut Vec<u8>) {
    let mut stored = super::values::iter(set.store()).peekable();
    for row in TABLE {
        while let Some(v) = stored.next_if(|v| v.code < row.code) {
            put(out, v.flags, v.code, v.octets);
        }
        let value = stored.next_if(|v| v.code == row.code);
        (row.encode)(Output { set, value, transmit, next_hop }, out);
    }
    for v in stored {
        put(out, v.flags, v.code, v.octets);
    }
}
