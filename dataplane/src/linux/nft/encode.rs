//! Writing nftables messages.

use model::{Family, kernel};
use netlink_packet_core::Emitable;

use super::{nfta, octets};
use crate::linux::attribute::Writer;
use crate::linux::netlink::{Batch, NLM_F_APPEND, NLM_F_CREATE};
use crate::ruleset::{Expression, Hook, Range, Set, successor};

/// The one register that our rules use.
pub(super) const REGISTER: u32 = libc::NFT_REG_1 as u32;

/// A message's body: `struct nfgenmsg` and attributes.
pub(super) struct Body(Vec<u8>);

impl Emitable for Body {
    fn buffer_len(&self) -> usize {
        self.0.len()
    }
    fn emit(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0);
    }
}

fn body(write: impl FnOnce(&mut Writer<'_>)) -> Body {
    let mut bytes = vec![libc::NFPROTO_INET as u8, 0, 0, 0];
    write(&mut Writer::new(&mut bytes));
    Body(bytes)
}

/// Asks for what belongs to family inet.
pub(super) fn of_family() -> Body {
    body(|_| ())
}

/// Asks for what belongs to our table.
pub(super) fn of_table() -> Body {
    body(|w| w.text(nfta::TABLE, kernel::NFT_TABLE))
}

/// Asks for the elements of a set.
pub(super) fn of_set(name: &str) -> Body {
    body(|w| {
        w.text(nfta::TABLE, kernel::NFT_TABLE);
        w.text(nfta::elements::SET, name);
    })
}

/// The type of a message of nftables.
pub(super) fn kind(message: libc::c_int) -> u16 {
    ((libc::NFNL_SUBSYS_NFTABLES << 8) | message) as u16
}

/// A batch that begins a transaction.
pub(super) fn begin() -> Batch {
    let mut batch = Batch::new();
    mark(&mut batch, libc::NFNL_MSG_BATCH_BEGIN);
    batch
}

/// Ends the transaction.
pub(super) fn end(batch: &mut Batch) {
    mark(batch, libc::NFNL_MSG_BATCH_END);
}

/// The begin and end of a transaction name the subsystem in `res_id`, big-endian.
fn mark(batch: &mut Batch, message: libc::c_int) {
    let [high, low] = (libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes();
    batch.push_bytes(message as u16, 0, &[libc::AF_UNSPEC as u8, 0, high, low]);
}

fn push(batch: &mut Batch, message: libc::c_int, flags: u16, write: impl FnOnce(&mut Writer<'_>)) {
    batch.push(kind(message), flags, &body(write));
}

pub(super) fn table(batch: &mut Batch, message: libc::c_int) {
    let flags = if message == libc::NFT_MSG_NEWTABLE { NLM_F_CREATE } else { 0 };
    push(batch, message, flags, |w| w.text(nfta::TABLE, kernel::NFT_TABLE));
}

/// nft's own numbers for types of data, by which it lists a set; the kernel takes any.
pub(super) fn key_type(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 7,
        Family::Ipv6 => 8,
    }
}

/// A set, with a number that is its own in the transaction.
pub(super) fn set(batch: &mut Batch, id: u32, name: &str, set: &Set) {
    push(batch, libc::NFT_MSG_NEWSET, NLM_F_CREATE, |w| {
        w.text(nfta::TABLE, kernel::NFT_TABLE);
        w.text(nfta::set::NAME, name);
        w.number(nfta::set::FLAGS, libc::NFT_SET_INTERVAL as u32);
        w.number(nfta::set::KEY_TYPE, key_type(set.family));
        w.number(nfta::set::KEY_LENGTH, u32::from(set.family.bits()) / 8);
        w.number(nfta::set::ID, id);
    });
}

/// An attribute's length has 16 bits: so many ranges fit a message with room to spare.
const RANGES_PER_MESSAGE: usize = 400;

/// The ranges of a set, each as the element that begins it and the one that ends it.
pub(super) fn elements(batch: &mut Batch, name: &str, set: &Set) {
    for ranges in set.ranges.chunks(RANGES_PER_MESSAGE) {
        push(batch, libc::NFT_MSG_NEWSETELEM, NLM_F_CREATE, |w| {
            w.text(nfta::TABLE, kernel::NFT_TABLE);
            w.text(nfta::elements::SET, name);
            w.nested(nfta::elements::ELEMENTS, |w| {
                for Range { first, last } in ranges {
                    w.nested(nfta::ITEM, |w| key(w, &octets(*first)));
                    // The end is the first address after the range; a range to the last of all needs none.
                    if let Some(after) = successor(*last) {
                        w.nested(nfta::ITEM, |w| {
                            w.number(nfta::element::FLAGS, libc::NFT_SET_ELEM_INTERVAL_END as u32);
                            key(w, &octets(after));
                        });
                    }
                }
            });
        });
    }
}

fn key(w: &mut Writer<'_>, octets: &[u8]) {
    w.nested(nfta::element::KEY, |w| w.octets(nfta::VALUE, octets));
}

pub(super) fn chain(batch: &mut Batch, name: &str, hook: Option<&Hook>) {
    push(batch, libc::NFT_MSG_NEWCHAIN, NLM_F_CREATE, |w| {
        w.text(nfta::TABLE, kernel::NFT_TABLE);
        w.text(nfta::chain::NAME, name);
        let Some(hook) = hook else { return };
        w.text(nfta::chain::TYPE, &hook.kind);
        w.number(nfta::chain::POLICY, hook.policy);
        w.nested(nfta::chain::HOOK, |w| {
            w.number(nfta::hook::NUMBER, hook.number);
            w.number(nfta::hook::PRIORITY, hook.priority as u32);
        });
    });
}

pub(super) fn rule(batch: &mut Batch, chain: &str, rule: &[Expression]) {
    push(batch, libc::NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |w| {
        w.text(nfta::TABLE, kernel::NFT_TABLE);
        w.text(nfta::rule::CHAIN, chain);
        w.nested(nfta::rule::EXPRESSIONS, |w| {
            for one in rule {
                w.nested(nfta::ITEM, |w| expression(w, one));
            }
        });
    });
}

fn expression(w: &mut Writer<'_>, expression: &Expression) {
    let mut named = |name: &str, data: &dyn Fn(&mut Writer<'_>)| {
        w.text(nfta::expression::NAME, name);
        w.nested(nfta::expression::DATA, data);
    };
    match expression {
        Expression::LoadFamily => named("meta", &|w| {
            w.number(nfta::meta::DESTINATION, REGISTER);
            w.number(nfta::meta::KEY, libc::NFT_META_NFPROTO as u32);
        }),
        Expression::Equals(value) => named("cmp", &|w| {
            w.number(nfta::compare::SOURCE, REGISTER);
            w.number(nfta::compare::OPERATION, libc::NFT_CMP_EQ as u32);
            w.nested(nfta::compare::DATA, |w| w.octets(nfta::VALUE, value));
        }),
        Expression::LoadNetworkHeader { offset, length } => named("payload", &|w| {
            w.number(nfta::payload::DESTINATION, REGISTER);
            w.number(nfta::payload::BASE, libc::NFT_PAYLOAD_NETWORK_HEADER as u32);
            w.number(nfta::payload::OFFSET, *offset);
            w.number(nfta::payload::LENGTH, *length);
        }),
        Expression::In(set) => named("lookup", &|w| lookup(w, set, 0)),
        Expression::NotIn(set) => named("lookup", &|w| lookup(w, set, libc::NFT_LOOKUP_F_INV as u32)),
        Expression::Masquerade { flags } => named("masq", &|w| w.number(nfta::masquerade::FLAGS, *flags)),
        Expression::Drop => named("immediate", &|w| {
            w.number(nfta::immediate::DESTINATION, libc::NFT_REG_VERDICT as u32);
            w.nested(nfta::immediate::DATA, |w| {
                w.nested(nfta::VERDICT, |w| w.number(nfta::verdict::CODE, libc::NF_DROP as u32));
            });
        }),
        Expression::Reject { code } => named("reject", &|w| {
            w.number(nfta::reject::TYPE, libc::NFT_REJECT_ICMPX_UNREACH as u32);
            w.octets(nfta::reject::CODE, &[*code]);
        }),
        Expression::Other(name) => named(name, &|_| ()),
    }
}

fn lookup(w: &mut Writer<'_>, set: &str, flags: u32) {
    w.text(nfta::lookup::SET, set);
    w.number(nfta::lookup::SOURCE, REGISTER);
    w.number(nfta::lookup::FLAGS, flags);
}
