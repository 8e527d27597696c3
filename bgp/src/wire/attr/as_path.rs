//! AS_PATH: the autonomous systems that a route came through (RFC 4271 §4.3, RFC 6793).

use std::fmt;

use model::Asn;

use super::super::context::AsWidth;
use super::super::reader::{Reader, Short};
use super::Fault;

const AS_SET: u8 = 1;
const AS_SEQUENCE: u8 = 2;
/// A segment counts its numbers in one octet.
const SEGMENT: usize = 255;

/// An AS_PATH with 4-octet numbers, known to be well-formed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AsPath<'a>(&'a [u8]);

/// A part of an AS_PATH.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Whether the order of the numbers means something.
    pub kind: SegmentKind,
    octets: &'a [u8],
}

/// The kinds of segments that are believed; those of confederations are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentKind {
    /// Unordered.
    Set,
    /// Ordered, latest first.
    Sequence,
}

impl<'a> Segment<'a> {
    /// The numbers.
    pub fn asns(&self) -> impl Iterator<Item = Asn> + use<'a> {
        self.octets.as_chunks::<4>().0.iter().filter_map(|n| Asn::new(u32::from_be_bytes(*n)))
    }
    /// How many numbers.
    pub fn len(&self) -> usize {
        self.octets.len() / 4
    }
    /// Whether there is no number: never, in a well-formed path.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

impl<'a> AsPath<'a> {
    /// A path without segments: that of a route from within the AS.
    pub const EMPTY: AsPath<'static> = AsPath(&[]);

    /// A path whose octets were checked before.
    pub(crate) const fn trusted(octets: &'a [u8]) -> AsPath<'a> {
        AsPath(octets)
    }
    /// As the wire has it, with 4-octet numbers.
    pub(crate) const fn octets(&self) -> &'a [u8] {
        self.0
    }
    /// The segments, latest first.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            let [kind, count] = reader.array().ok()?;
            let octets = reader.take(4 * usize::from(count)).ok()?;
            let kind = if kind == AS_SET { SegmentKind::Set } else { SegmentKind::Sequence };
            Some(Segment { kind, octets })
        })
    }
    /// All numbers, latest first; a set's in the order they came.
    pub fn asns(&self) -> impl Iterator<Item = Asn> + use<'a> {
        self.segments().flat_map(|s| s.asns())
    }
    /// Whether the path has no segments.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The length that counts in route selection: a set counts as one (RFC 4271 §9.1.2.2 a).
    pub fn length(&self) -> u32 {
        self.segments().fold(0, |sum, s| sum.saturating_add(s.weight()))
    }
    /// The leftmost number, if the path begins with a sequence: the neighbouring AS (RFC 4271 §9.1.2.2 c).
    pub fn first(&self) -> Option<Asn> {
        self.segments().next().filter(|s| s.kind == SegmentKind::Sequence)?.asns().next()
    }
    /// The rightmost number, if the path ends with a sequence: who originated the route.
    pub fn origin(&self) -> Option<Asn> {
        self.segments().last().filter(|s| s.kind == SegmentKind::Sequence)?.asns().last()
    }
    /// Whether the number is anywhere in the path.
    pub fn contains(&self, asn: Asn) -> bool {
        self.asns().any(|a| a == asn)
    }
    /// How often the number is in the path.
    pub fn occurrences(&self, asn: Asn) -> usize {
        self.asns().filter(|a| *a == asn).count()
    }
    /// Whether there is a set, which RFC 9774 deprecates.
    pub fn has_set(&self) -> bool {
        self.segments().any(|s| s.kind == SegmentKind::Set)
    }
    /// Whether some number needs four octets.
    pub(crate) fn needs_four_octets(&self) -> bool {
        self.asns().any(|a| a.value() > u32::from(u16::MAX))
    }

    /// The path with a number in front, as often as `count` says. A full segment gets another before it.
    pub(crate) fn prepended(&self, asn: Asn, count: usize) -> Vec<u8> {
        let mut rest = self.0;
        let mut numbers = vec![asn; count];
        if let Some(s) = self.segments().next()
            && s.kind == SegmentKind::Sequence
            && s.len() + count <= SEGMENT
        {
            numbers.extend(s.asns());
            let mut reader = Reader::new(self.0);
            rest = reader.take(2 + s.octets.len()).map_or(rest, |_| reader.rest());
        }
        let mut out = Vec::with_capacity(self.0.len() + 6 * count.max(1));
        put_sequence(&numbers, &mut out);
        out.extend_from_slice(rest);
        out
    }

    /// Appends the path with 2-octet numbers; those that do not fit become AS_TRANS (RFC 6793 §4.2.2).
    pub(crate) fn put_two_octets(&self, out: &mut Vec<u8>) {
        for s in self.segments() {
            out.extend_from_slice(&[s.kind.value(), u8::try_from(s.len()).unwrap_or(u8::MAX)]);
            s.asns().for_each(|a| out.extend_from_slice(&a.two_octet().to_be_bytes()));
        }
    }
}

impl Segment<'_> {
    fn weight(&self) -> u32 {
        match self.kind {
            SegmentKind::Set => 1,
            SegmentKind::Sequence => u32::try_from(self.len()).unwrap_or(u32::MAX),
        }
    }
}

impl SegmentKind {
    const fn value(self) -> u8 {
        match self {
            SegmentKind::Set => AS_SET,
            SegmentKind::Sequence => AS_SEQUENCE,
        }
    }
}

/// The path that is one sequence of these numbers, in as many segments as they need.
pub(crate) fn sequence(numbers: &[Asn]) -> Vec<u8> {
    let mut out = Vec::with_capacity(numbers.len() * 4 + 2);
    put_sequence(numbers, &mut out);
    out
}

/// Appends sequences of at most 255 numbers each; the short one comes first.
fn put_sequence(numbers: &[Asn], out: &mut Vec<u8>) {
    let (head, whole) = numbers.split_at(numbers.len() % SEGMENT);
    for segment in std::iter::once(head).chain(whole.chunks(SEGMENT)).filter(|s| !s.is_empty()) {
        out.extend_from_slice(&[AS_SEQUENCE, u8::try_from(segment.len()).unwrap_or(u8::MAX)]);
        segment.iter().for_each(|a| out.extend_from_slice(&a.value().to_be_bytes()));
    }
}

/// Whether the octets are a path (RFC 7606 §7.2, RFC 7607). Segments of confederations are for their members, which we never
/// are (RFC 5065 §5).
pub(crate) fn check(octets: &[u8], width: AsWidth) -> Result<(), Fault> {
    let mut reader = Reader::new(octets);
    while !reader.is_empty() {
        let [kind, count] = reader.array().map_err(|Short| Fault::SegmentLength)?;
        if kind != AS_SET && kind != AS_SEQUENCE {
            return Err(Fault::SegmentType(kind));
        }
        if count == 0 {
            return Err(Fault::EmptySegment);
        }
        let numbers = reader.take(usize::from(count) * width.octets()).map_err(|Short| Fault::SegmentLength)?;
        let zero = match width {
            AsWidth::Two => numbers.as_chunks::<2>().0.contains(&[0; 2]),
            AsWidth::Four => numbers.as_chunks::<4>().0.contains(&[0; 4]),
        };
        if zero {
            return Err(Fault::AsZero);
        }
    }
    Ok(())
}

/// Makes 4-octet numbers of 2-octet ones, in a path that was checked.
pub(crate) fn widen(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() * 2);
    let mut reader = Reader::new(octets);
    while let Ok([kind, count]) = reader.array() {
        out.extend_from_slice(&[kind, count]);
        let numbers = reader.take(2 * usize::from(count)).unwrap_or_default();
        for [high, low] in numbers.as_chunks::<2>().0 {
            out.extend_from_slice(&[0, 0, *high, *low]);
        }
    }
    out
}

/// The whole path from a 2-octet speaker's AS_PATH (widened) and the AS4_PATH it passed on (RFC 6793 §4.2.3).
pub(crate) fn merge(path: AsPath<'_>, four: AsPath<'_>) -> Vec<u8> {
    // An AS4_PATH longer than the AS_PATH was not kept up: it is ignored.
    let Some(mut missing) = path.length().checked_sub(four.length()) else {
        return path.octets().to_vec();
    };
    let mut leading = Vec::with_capacity(path.octets().len());
    for s in path.segments() {
        if missing == 0 {
            break;
        }
        let taken = match s.kind {
            SegmentKind::Set => s.len(),
            SegmentKind::Sequence => s.len().min(missing as usize),
        };
        missing = missing.saturating_sub(s.weight());
        leading.extend_from_slice(&[s.kind.value(), u8::try_from(taken).unwrap_or(u8::MAX)]);
        s.asns().take(taken).for_each(|a| leading.extend_from_slice(&a.value().to_be_bytes()));
    }
    join(AsPath(&leading), four)
}

/// One path after the other. Two sequences that meet become one where they fit into it.
fn join(left: AsPath<'_>, right: AsPath<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(left.octets().len() + right.octets().len());
    let mut open: Vec<Asn> = Vec::new();
    for s in left.segments().chain(right.segments()) {
        if s.kind == SegmentKind::Sequence && open.len() + s.len() <= SEGMENT {
            open.extend(s.asns());
            continue;
        }
        put_sequence(&open, &mut out);
        open.clear();
        match s.kind {
            SegmentKind::Sequence => open.extend(s.asns()),
            SegmentKind::Set => {
                out.extend_from_slice(&[AS_SET, u8::try_from(s.len()).unwrap_or(u8::MAX)]);
                out.extend_from_slice(s.octets);
            }
        }
    }
    put_sequence(&open, &mut out);
    out
}

impl fmt::Display for AsPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, s) in self.segments().enumerate() {
            let (open, close) = if s.kind == SegmentKind::Set { ("{", "}") } else { ("", "") };
            write!(f, "{}{open}", if i > 0 { " " } else { "" })?;
            for (i, asn) in s.asns().enumerate() {
                write!(f, "{}{asn}", if i > 0 { " " } else { "" })?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}
impl fmt::Debug for AsPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}
