//! One pass over the attributes of an UPDATE: each is read by its row, faults are judged, the worst is remembered (RFC 7606 §3).

use std::net::Ipv4Addr;

use smallvec::SmallVec;

use super::super::context::{AsWidth, Context, PeerKind};
use super::super::reader::{Reader, Short};
use super::mp::{MpReach, MpUnreach};
use super::table::{self, From, Parsed, Row};
use super::values::{self, Value};
use super::{AsPath, AttrError, Attributes, Fault, NextHop, Origin, Verdict, as_path, code, flag};

/// Faults that are reported of one message; more are judged, but not told.
const REPORTED: usize = 32;

/// LOCAL_PREF of a route from an internal peer that sends none.
const DEFAULT_LOCAL_PREF: u32 = 100;

/// What the attributes of a message say.
#[derive(Default)]
pub(crate) struct Collected<'a> {
    pub origin: Option<Origin>,
    pub next_hop: Option<Ipv4Addr>,
    med: Option<u32>,
    local_pref: Option<u32>,
    as_path: Option<&'a [u8]>,
    aggregator: Option<Value<'a>>,
    as4_path: Option<&'a [u8]>,
    as4_aggregator: Option<&'a [u8]>,
    /// Values to store as they are, in the order they came.
    stored: SmallVec<[Value<'a>; 8]>,
    pub reach: Option<MpReach<'a>>,
    pub unreach: Option<MpUnreach<'a>>,
    /// Which codes came, right or wrong.
    seen: Codes,
    /// What was wrong.
    pub errors: Vec<AttrError>,
    /// The worst of it, with the octets of the attribute.
    pub worst: Option<(AttrError, &'a [u8])>,
}

/// A set of type codes.
#[derive(Default, Clone, Copy)]
struct Codes([u128; 2]);

impl Codes {
    /// Adds a code; whether it was there.
    #[inline]
    fn insert(&mut self, code: u8) -> bool {
        let Codes([low, high]) = self;
        let half = if code < 128 { low } else { high };
        let bit = 1u128 << (code % 128);
        let was = *half & bit != 0;
        *half |= bit;
        was
    }
    fn contains(mut self, code: u8) -> bool {
        self.insert(code)
    }
    /// Whether anything but this code is in the set.
    fn has_other_than(self, code: u8) -> bool {
        let mut only = Codes::default();
        only.insert(code);
        let (Codes([low, high]), Codes([l, h])) = (self, only);
        low & !l != 0 || high & !h != 0
    }
}

/// An attribute as it lies in the message.
struct Attribute<'a> {
    flags: u8,
    code: u8,
    value: &'a [u8],
    /// Header and value.
    whole: &'a [u8],
}

impl<'a> Collected<'a> {
    /// Reads all attributes.
    pub(crate) fn read(octets: &'a [u8], context: &Context) -> Collected<'a> {
        let mut all = Collected::default();
        let mut rest = Reader::new(octets);
        while !rest.is_empty() {
            let start = rest.rest();
            match attribute(&mut rest) {
                Ok(attribute) => all.take(attribute, context),
                Err(code) => {
                    all.overrun(code, start);
                    break;
                }
            }
        }
        all
    }

    /// The attributes end within one of them. Prefixes outside are still found by the total length, those inside an MP
    /// attribute are not (RFC 7606 §4, §3j).
    fn overrun(&mut self, code: Option<u8>, octets: &'a [u8]) {
        let verdict = match code {
            Some(code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) => Verdict::Reset,
            _ => Verdict::Withdraw,
        };
        let attribute = code.unwrap_or(0);
        self.seen.insert(attribute);
        self.fail(AttrError { attribute, verdict, reason: Fault::Overrun }, octets);
    }

    fn take(&mut self, a: Attribute<'a>, context: &Context) {
        if self.seen.insert(a.code) {
            let verdict = match a.code {
                code::MP_REACH_NLRI | code::MP_UNREACH_NLRI => Verdict::Reset,
                _ => Verdict::Discard,
            };
            return self.fault(&a, verdict, Fault::Repeated);
        }
        match table::row(a.code) {
            Some(row) => self.known(a, row, context),
            None => self.unknown(&a),
        }
    }

    fn known(&mut self, a: Attribute<'a>, row: &Row, context: &Context) {
        match row.from {
            From::Nobody => return,
            From::TwoOctet if context.as_width == AsWidth::Four => {
                return self.fault(&a, Verdict::Discard, Fault::FromFourOctet);
            }
            _ => {}
        }
        let conflict = (a.flags ^ row.flags) & (flag::OPTIONAL | flag::TRANSITIVE) != 0;
        if conflict {
            // RFC 7606 §3c. Prefixes inside are read all the same, for it is them that are withdrawn.
            self.fault(&a, Verdict::Withdraw, Fault::Flags(a.flags));
            if !matches!(row.code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                return;
            }
        } else if row.from == From::Internal && context.kind == PeerKind::External {
            return self.fault(&a, Verdict::Discard, Fault::FromExternal);
        }
        match (row.decode)(a.value, context) {
            Ok(parsed) => self.keep(parsed, &a, row),
            Err(reason) => self.fault(&a, row.malformed, reason),
        }
    }

    fn keep(&mut self, parsed: Parsed<'a>, a: &Attribute<'a>, row: &Row) {
        // Someone on the way did not know it: that stays true (RFC 4271 §5).
        let partial = if row.flags & flag::OPTIONAL != 0 { a.flags & flag::PARTIAL } else { 0 };
        let value = Value { code: a.code, flags: row.flags | partial, octets: a.value };
        match parsed {
            Parsed::Origin(origin) => self.origin = Some(origin),
            Parsed::NextHop(address) => self.next_hop = Some(address),
            Parsed::Med(n) => self.med = Some(n),
            Parsed::LocalPref(n) => self.local_pref = Some(n),
            Parsed::Stored => self.stored.push(value),
            Parsed::AsPath => self.as_path = Some(a.value),
            Parsed::Aggregator => self.aggregator = Some(value),
            Parsed::As4Path => self.as4_path = Some(a.value),
            Parsed::As4Aggregator => self.as4_aggregator = Some(a.value),
            Parsed::Reach(reach) => self.reach = Some(reach),
            Parsed::Unreach(unreach) => self.unreach = Some(unreach),
        }
    }

    /// RFC 4271 §5: passed on if transitive, else quietly ignored. One that claims to be well-known cannot be understood by
    /// passing it on; RFC 4271 §6.3 would end the session for it, which RFC 7606 teaches not to do for one route's sake.
    fn unknown(&mut self, a: &Attribute<'a>) {
        if a.flags & flag::OPTIONAL == 0 {
            return self.fault(a, Verdict::Withdraw, Fault::UnknownWellKnown);
        }
        if a.flags & flag::TRANSITIVE != 0 {
            let flags = flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL;
            self.stored.push(Value { code: a.code, flags, octets: a.value });
        }
    }

    fn fault(&mut self, a: &Attribute<'a>, verdict: Verdict, reason: Fault) {
        self.fail(AttrError { attribute: a.code, verdict, reason }, a.whole);
    }

    fn fail(&mut self, error: AttrError, octets: &'a [u8]) {
        if self.worst.is_none_or(|(worst, _)| error.verdict > worst.verdict) {
            self.worst = Some((error, octets));
        }
        if self.errors.len() < REPORTED {
            self.errors.push(error);
        }
    }

    /// The worst verdict so far.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.worst.map(|(error, _)| error.verdict)
    }

    /// Whether there is any attribute but MP_UNREACH_NLRI (RFC 7606 §5.2).
    pub(crate) fn has_more_than_unreach(&self) -> bool {
        self.seen.has_other_than(code::MP_UNREACH_NLRI)
    }

    /// A fault that shows only now that all attributes are known.
    pub(crate) fn route_fault(&mut self, attribute: u8, reason: Fault) {
        self.fail(AttrError { attribute, verdict: Verdict::Withdraw, reason }, &[]);
    }

    /// Reports mandatory attributes that did not come at all (RFC 7606 §3d); those that came wrong are reported already.
    pub(crate) fn require(&mut self, mandatory: &[u8]) {
        for code in mandatory {
            if !self.seen.contains(*code) {
                self.route_fault(*code, Fault::Missing);
            }
        }
    }

    /// The set of attributes, if all that is mandatory is right. The next hop is to be replaced.
    pub(crate) fn attributes(&self, context: &Context) -> Option<Attributes> {
        let origin = self.origin?;
        let wire = self.as_path?;
        let as4 = As4::read(self, wire, context);
        let mut stored: SmallVec<[Value<'_>; 10]> = self.stored.iter().copied().collect();
        let path = as4.path.as_deref().unwrap_or(wire);
        if !path.is_empty() {
            stored.push(Value { code: code::AS_PATH, flags: flag::TRANSITIVE, octets: path });
        }
        if let Some(v) = self.aggregator {
            stored.push(Value { octets: as4.aggregator.as_deref().unwrap_or(v.octets), ..v });
        }
        stored.sort_unstable_by_key(|v| v.code);
        let mut store = Vec::with_capacity(stored.iter().map(|v| values::room(v.octets.len())).sum());
        stored.iter().for_each(|v| values::push(&mut store, *v));
        let local_pref = match context.kind {
            PeerKind::Internal => Some(self.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)),
            PeerKind::External => None,
        };
        let next_hop = NextHop::V4(self.next_hop.unwrap_or(Ipv4Addr::UNSPECIFIED));
        Some(Attributes::of_parts(origin, next_hop, self.med, local_pref, store.into_boxed_slice()))
    }
}

/// What a 2-octet peer's attributes become with 4-octet numbers; nothing to change for other peers.
#[derive(Default)]
struct As4 {
    path: Option<Vec<u8>>,
    aggregator: Option<Vec<u8>>,
}

impl As4 {
    /// RFC 6793 §4.2.3.
    fn read(all: &Collected<'_>, wire: &[u8], context: &Context) -> As4 {
        if context.as_width == AsWidth::Four {
            return As4::default();
        }
        let path = as_path::widen(wire);
        // An AGGREGATOR that is not AS_TRANS was written by someone who did not keep the AS4 attributes up: they are stale.
        let (aggregator, stale) = match all.aggregator.map(|v| v.octets) {
            Some([high, low, address @ ..]) => {
                let trans = u16::from_be_bytes([*high, *low]) == model::Asn::TRANS.two_octet();
                let wide = match all.as4_aggregator {
                    Some(four) if trans => four.to_vec(),
                    _ => [&[0, 0, *high, *low], address].concat(),
                };
                (Some(wide), !trans && all.as4_aggregator.is_some())
            }
            _ => (None, false),
        };
        let merged = match all.as4_path {
            Some(four) if !stale => as_path::merge(AsPath::trusted(&path), AsPath::trusted(four)),
            _ => path,
        };
        As4 { path: Some(merged), aggregator }
    }
}

/// The next attribute; on failure its code, as far as there is one.
fn attribute<'a>(r: &mut Reader<'a>) -> Result<Attribute<'a>, Option<u8>> {
    let start = r.rest();
    let flags = r.u8().map_err(|Short| None)?;
    let code = r.u8().map_err(|Short| None)?;
    let overrun = |Short| Some(code);
    let length = match flags & flag::EXTENDED_LENGTH {
        0 => r.u8().map_err(overrun)?.into(),
        _ => r.u16().map_err(overrun)?.into(),
    };
    let value = r.take(length).map_err(overrun)?;
    let whole = start.get(..start.len() - r.len()).unwrap_or(start);
    Ok(Attribute { flags, code, value, whole })
}
