//! Expressions and verdicts as nftables messages have them, written and read.

use super::nfta;
use crate::linux::attribute::{Writer, attributes, find, long_number, number, text};
use crate::ruleset::{Base, Expression, Limit, Load, Log, Register, Sense, Verdict};

/// `NFT_REG32_00`.
const FIRST_SHORT_REGISTER: u32 = libc::NFT_REG32_00 as u32;
/// `NFT_LIMIT_F_INV`.
const LIMIT_INVERTED: u32 = 1;
/// Log every packet by itself: whoever waits for it waits for one.
const AT_ONCE: u16 = 1;
const VERDICT_REGISTER: u32 = libc::NFT_REG_VERDICT as u32;

/// Writes one of a rule's list.
pub(super) fn write(w: &mut Writer<'_>, expression: &Expression) {
    let mut named = |name: &str, data: &dyn Fn(&mut Writer<'_>)| {
        w.text(nfta::expression::NAME, name);
        w.nested(nfta::expression::DATA, data);
    };
    match expression {
        Expression::Load(load, to) => named(kind(*load), &|w| write_load(w, *load, *to)),
        Expression::Mask(at, mask) => named("bitwise", &|w| {
            w.number(nfta::bitwise::SOURCE, register(*at));
            w.number(nfta::bitwise::DESTINATION, register(*at));
            w.number(nfta::bitwise::LENGTH, mask.len() as u32);
            value(w, nfta::bitwise::MASK, mask);
            value(w, nfta::bitwise::XOR, &vec![0; mask.len()]);
        }),
        Expression::Raise(at, bits) => named("bitwise", &|w| {
            let kept: Vec<u8> = bits.iter().map(|octet| !octet).collect();
            w.number(nfta::bitwise::SOURCE, register(*at));
            w.number(nfta::bitwise::DESTINATION, register(*at));
            w.number(nfta::bitwise::LENGTH, bits.len() as u32);
            value(w, nfta::bitwise::MASK, &kept);
            value(w, nfta::bitwise::XOR, bits);
        }),
        Expression::SetMark(from) => named("meta", &|w| {
            w.number(nfta::meta::KEY, libc::NFT_META_MARK as u32);
            w.number(nfta::meta::SOURCE, register(*from));
        }),
        Expression::NoTrack => named("notrack", &|_| ()),
        Expression::Compare(at, sense, with) => named("cmp", &|w| {
            w.number(nfta::compare::SOURCE, register(*at));
            w.number(nfta::compare::OPERATION, of_sense(*sense));
            value(w, nfta::compare::DATA, with);
        }),
        Expression::Between(at, sense, first, last) => named("range", &|w| {
            w.number(nfta::range::SOURCE, register(*at));
            w.number(nfta::range::OPERATION, of_sense(*sense));
            value(w, nfta::range::FROM, first);
            value(w, nfta::range::TO, last);
        }),
        Expression::Lookup(at, sense, set) => named("lookup", &|w| {
            w.text(nfta::lookup::SET, set);
            w.number(nfta::lookup::SOURCE, register(*at));
            w.number(nfta::lookup::FLAGS, of_sense(*sense));
        }),
        Expression::Dispatch(at, map) => named("lookup", &|w| {
            w.text(nfta::lookup::SET, map);
            w.number(nfta::lookup::SOURCE, register(*at));
            w.number(nfta::lookup::DESTINATION, VERDICT_REGISTER);
        }),
        Expression::Counter => named("counter", &|_| ()),
        Expression::Limit(limit) => named("limit", &|w| {
            w.long_number(nfta::limit::RATE, limit.rate);
            w.long_number(nfta::limit::UNIT, 1);
            w.number(nfta::limit::BURST, limit.burst);
            w.number(nfta::limit::TYPE, libc::NFT_LIMIT_PKTS as u32);
            w.number(nfta::limit::FLAGS, of_sense(limit.within) * LIMIT_INVERTED);
        }),
        Expression::Log(log) => named("log", &|w| {
            w.short_number(nfta::log::GROUP, log.group);
            if !log.prefix.is_empty() {
                w.text(nfta::log::PREFIX, &log.prefix);
            }
            w.number(nfta::log::OCTETS, log.octets);
            w.short_number(nfta::log::THRESHOLD, AT_ONCE);
        }),
        Expression::Masquerade { flags } => named("masq", &|w| w.number(nfta::masquerade::FLAGS, *flags)),
        Expression::Reject { code } => named("reject", &|w| {
            w.number(nfta::reject::TYPE, libc::NFT_REJECT_ICMPX_UNREACH as u32);
            w.octets(nfta::reject::CODE, &[*code]);
        }),
        Expression::Verdict(verdict) => named("immediate", &|w| {
            w.number(nfta::immediate::DESTINATION, VERDICT_REGISTER);
            w.nested(nfta::immediate::DATA, |w| write_verdict(w, verdict));
        }),
        Expression::Other(name) => named(name, &|_| ()),
    }
}

/// Writes a verdict into an attribute for data.
pub(super) fn write_verdict(w: &mut Writer<'_>, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Accept => (libc::NF_ACCEPT, None),
        Verdict::Drop => (libc::NF_DROP, None),
        Verdict::Continue => (libc::NFT_CONTINUE, None),
        Verdict::Return => (libc::NFT_RETURN, None),
        Verdict::Jump(chain) => (libc::NFT_JUMP, Some(chain)),
        Verdict::Goto(chain) => (libc::NFT_GOTO, Some(chain)),
    };
    w.nested(nfta::VERDICT, |w| {
        w.number(nfta::verdict::CODE, code as u32);
        if let Some(chain) = chain {
            w.text(nfta::verdict::CHAIN, chain);
        }
    });
}

/// Reads the verdict in an attribute for data.
pub(super) fn read_verdict(data: &[u8]) -> Option<Verdict> {
    let verdict = find(data, nfta::VERDICT)?;
    let chain = || find(verdict, nfta::verdict::CHAIN).map(text);
    match number(verdict, nfta::verdict::CODE)? as i32 {
        libc::NF_ACCEPT => Some(Verdict::Accept),
        libc::NF_DROP => Some(Verdict::Drop),
        libc::NFT_CONTINUE => Some(Verdict::Continue),
        libc::NFT_RETURN => Some(Verdict::Return),
        libc::NFT_JUMP => chain().map(Verdict::Jump),
        libc::NFT_GOTO => chain().map(Verdict::Goto),
        _ => None,
    }
}

/// Reads one of a rule's list, down to every value that we write.
pub(super) fn read(item: &[u8]) -> Expression {
    let name = find(item, nfta::expression::NAME).map(text).unwrap_or_default();
    let data = find(item, nfta::expression::DATA).unwrap_or_default();
    known(&name, data).unwrap_or(Expression::Other(name))
}

/// An expression of those that we write; none if any value in it is another.
pub(super) fn known(name: &str, data: &[u8]) -> Option<Expression> {
    let at = |attribute: u16| number(data, attribute).and_then(known_register);
    match name {
        "meta" if find(data, nfta::meta::SOURCE).is_some() => {
            let is_mark = number(data, nfta::meta::KEY)? == libc::NFT_META_MARK as u32;
            is_mark.then_some(Expression::SetMark(at(nfta::meta::SOURCE)?))
        }
        "notrack" => Some(Expression::NoTrack),
        "meta" | "ct" | "payload" => read_load(name, data),
        "bitwise" => {
            let (from, to) = (at(nfta::bitwise::SOURCE)?, at(nfta::bitwise::DESTINATION)?);
            let masks = number(data, nfta::bitwise::OPERATION).unwrap_or_default() == 0;
            let (mask, flips) = (read_value(data, nfta::bitwise::MASK)?, read_value(data, nfta::bitwise::XOR)?);
            let raises = mask.len() == flips.len() && mask.iter().zip(&flips).all(|(kept, flipped)| *kept == !flipped);
            let bits = match flips.iter().all(|octet| *octet == 0) {
                true => Expression::Mask(to, mask),
                false if raises => Expression::Raise(to, flips),
                false => return None,
            };
            (from == to && masks).then_some(bits)
        }
        "cmp" => {
            let sense = read_sense(number(data, nfta::compare::OPERATION)?)?;
            Some(Expression::Compare(at(nfta::compare::SOURCE)?, sense, read_value(data, nfta::compare::DATA)?))
        }
        "range" => {
            let sense = read_sense(number(data, nfta::range::OPERATION)?)?;
            let (first, last) = (read_value(data, nfta::range::FROM)?, read_value(data, nfta::range::TO)?);
            Some(Expression::Between(at(nfta::range::SOURCE)?, sense, first, last))
        }
        "lookup" => {
            let (set, from) = (find(data, nfta::lookup::SET).map(text)?, at(nfta::lookup::SOURCE)?);
            let sense = read_sense(number(data, nfta::lookup::FLAGS).unwrap_or_default())?;
            match (number(data, nfta::lookup::DESTINATION), sense) {
                (None, sense) => Some(Expression::Lookup(from, sense, set)),
                (Some(VERDICT_REGISTER), Sense::Is) => Some(Expression::Dispatch(from, set)),
                _ => None,
            }
        }
        "counter" => Some(Expression::Counter),
        "limit" => read_limit(data),
        "log" => read_log(data),
        "masq" => {
            // With any other attribute it maps ports to a range too.
            let only = attributes(data).all(|(kind, _)| kind == nfta::masquerade::FLAGS);
            let flags = number(data, nfta::masquerade::FLAGS).unwrap_or_default();
            only.then_some(Expression::Masquerade { flags })
        }
        "immediate" if number(data, nfta::immediate::DESTINATION)? == VERDICT_REGISTER => {
            read_verdict(find(data, nfta::immediate::DATA)?).map(Expression::Verdict)
        }
        "reject" => match find(data, nfta::reject::CODE)? {
            [code] if number(data, nfta::reject::TYPE)? == libc::NFT_REJECT_ICMPX_UNREACH as u32 => {
                Some(Expression::Reject { code: *code })
            }
            _ => None,
        },
        _ => None,
    }
}

/// Which of the kernel's expressions loads it.
fn kind(load: Load) -> &'static str {
    match load {
        Load::Family | Load::Protocol | Load::InputInterface | Load::OutputInterface | Load::Mark => "meta",
        Load::ConnectionState => "ct",
        Load::Payload { .. } => "payload",
    }
}

const META: [(Load, libc::c_int); 5] = [
    (Load::Family, libc::NFT_META_NFPROTO),
    (Load::Protocol, libc::NFT_META_L4PROTO),
    (Load::InputInterface, libc::NFT_META_IIFNAME),
    (Load::OutputInterface, libc::NFT_META_OIFNAME),
    (Load::Mark, libc::NFT_META_MARK),
];
const BASES: [(Base, libc::c_int); 2] =
    [(Base::Network, libc::NFT_PAYLOAD_NETWORK_HEADER), (Base::Transport, libc::NFT_PAYLOAD_TRANSPORT_HEADER)];

fn write_load(w: &mut Writer<'_>, load: Load, to: Register) {
    w.number(nfta::DESTINATION, register(to));
    match load {
        Load::ConnectionState => w.number(nfta::connection::KEY, libc::NFT_CT_STATE as u32),
        Load::Payload { base, offset, length } => {
            for (_, number) in BASES.iter().filter(|(one, _)| *one == base) {
                w.number(nfta::payload::BASE, *number as u32);
            }
            w.number(nfta::payload::OFFSET, offset);
            w.number(nfta::payload::LENGTH, length);
        }
        Load::Family | Load::Protocol | Load::InputInterface | Load::OutputInterface | Load::Mark => {
            for (_, number) in META.iter().filter(|(one, _)| *one == load) {
                w.number(nfta::meta::KEY, *number as u32);
            }
        }
    }
}

fn read_load(name: &str, data: &[u8]) -> Option<Expression> {
    let load = match name {
        "meta" => {
            let key = number(data, nfta::meta::KEY)?;
            META.iter().find(|(_, number)| *number as u32 == key)?.0
        }
        "ct" => {
            let is_state = number(data, nfta::connection::KEY)? == libc::NFT_CT_STATE as u32;
            is_state.then_some(Load::ConnectionState)?
        }
        _ => {
            let number_of_base = number(data, nfta::payload::BASE)?;
            let (base, _) = *BASES.iter().find(|(_, number)| *number as u32 == number_of_base)?;
            let (offset, length) = (number(data, nfta::payload::OFFSET)?, number(data, nfta::payload::LENGTH)?);
            Load::Payload { base, offset, length }
        }
    };
    // An expression that sets something has a source instead.
    Some(Expression::Load(load, known_register(number(data, nfta::DESTINATION)?)?))
}

fn read_limit(data: &[u8]) -> Option<Expression> {
    let of_packets = number(data, nfta::limit::TYPE).unwrap_or_default() == libc::NFT_LIMIT_PKTS as u32;
    let per_second = long_number(data, nfta::limit::UNIT)? == 1;
    let limit = Limit {
        rate: long_number(data, nfta::limit::RATE)?,
        burst: number(data, nfta::limit::BURST).unwrap_or_default(),
        within: read_sense(number(data, nfta::limit::FLAGS).unwrap_or_default())?,
    };
    (of_packets && per_second).then_some(Expression::Limit(limit))
}

fn read_log(data: &[u8]) -> Option<Expression> {
    let short = |attribute: u16| find(data, attribute).and_then(|value| value.try_into().ok()).map(u16::from_be_bytes);
    let at_once = short(nfta::log::THRESHOLD) == Some(AT_ONCE);
    let log = Log {
        group: short(nfta::log::GROUP)?,
        prefix: find(data, nfta::log::PREFIX).map(text).unwrap_or_default(),
        octets: number(data, nfta::log::OCTETS).unwrap_or_default(),
    };
    at_once.then_some(Expression::Log(log))
}

/// `NFT_CMP_EQ` and `_NEQ`, `NFT_RANGE_EQ` and `_NEQ`, and nothing or `NFT_LOOKUP_F_INV` are all 0 and 1.
fn of_sense(sense: Sense) -> u32 {
    match sense {
        Sense::Is => 0,
        Sense::IsNot => 1,
    }
}

fn read_sense(number: u32) -> Option<Sense> {
    match number {
        0 => Some(Sense::Is),
        1 => Some(Sense::IsNot),
        _ => None,
    }
}

/// Registers by the number that the kernel tells them by: of 16 octets where one begins there, else of 4.
fn register(register: Register) -> u32 {
    let slot = u32::from(register.0);
    if slot.is_multiple_of(4) { libc::NFT_REG_1 as u32 + slot / 4 } else { FIRST_SHORT_REGISTER + slot }
}

fn known_register(number: u32) -> Option<Register> {
    const LONG: std::ops::RangeInclusive<u32> = libc::NFT_REG_1 as u32..=libc::NFT_REG_4 as u32;
    let slot = match number {
        long if LONG.contains(&long) => (long - libc::NFT_REG_1 as u32) * 4,
        short => short.checked_sub(FIRST_SHORT_REGISTER).filter(|slot| *slot < 16)?,
    };
    u8::try_from(slot).ok().map(Register)
}

fn value(w: &mut Writer<'_>, attribute: u16, octets: &[u8]) {
    w.nested(attribute, |w| w.octets(nfta::VALUE, octets));
}

fn read_value(data: &[u8], attribute: u16) -> Option<Vec<u8>> {
    find(find(data, attribute)?, nfta::VALUE).map(<[u8]>::to_vec)
}
