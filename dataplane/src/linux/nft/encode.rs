//! Writing nftables messages: requests, and the operations of a transaction.

use model::kernel;
use netlink_packet_core::Emitable;

use super::element::{self, CONCATENATION, MAP};
use super::{expression, nfta};
use crate::linux::attribute::Writer;
use crate::linux::netlink::{Batch, NLM_F_APPEND, NLM_F_CREATE};
use crate::ruleset::{COMMENT, Hook, Op, Rule};

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

const GENERIC: [u8; 4] = [libc::NFPROTO_INET as u8, 0, 0, 0];

fn body(write: impl FnOnce(&mut Writer<'_>)) -> Body {
    let mut bytes = GENERIC.to_vec();
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

/// Asks for the rules of a chain.
pub(super) fn of_chain(name: &str) -> Body {
    body(|w| {
        w.text(nfta::TABLE, kernel::NFT_TABLE);
        w.text(nfta::rule::CHAIN, name);
    })
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

/// Operations as one transaction, and which of them each message belongs to; none for the markers.
pub(super) fn transaction(ops: &[Op<'_>]) -> (Batch, Vec<Option<usize>>) {
    let (mut batch, mut of) = (Batch::new(), vec![None]);
    mark(&mut batch, libc::NFNL_MSG_BATCH_BEGIN);
    let mut id = 0;
    for (at, op) in ops.iter().enumerate() {
        write(&mut batch, op, &mut id);
        of.resize(batch.len(), Some(at));
    }
    mark(&mut batch, libc::NFNL_MSG_BATCH_END);
    (batch, of)
}

/// The begin and end of a transaction name the subsystem in `res_id`, big-endian.
fn mark(batch: &mut Batch, message: libc::c_int) {
    let [high, low] = (libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes();
    batch.push_bytes(message as u16, 0, &[libc::AF_UNSPEC as u8, 0, high, low]);
}

/// A message about our table, with what `write` adds.
fn push(batch: &mut Batch, message: libc::c_int, flags: u16, write: impl FnOnce(&mut Writer<'_>)) {
    batch.push_written(kind(message), flags, |bytes| {
        bytes.extend(GENERIC);
        let mut writer = Writer::new(bytes);
        writer.text(nfta::TABLE, kernel::NFT_TABLE);
        write(&mut writer);
    });
}

/// An operation in as many messages as it takes. `id` is the last number given to a set of the transaction.
fn write(batch: &mut Batch, op: &Op<'_>, id: &mut u32) {
    match *op {
        Op::AddTable => push(batch, libc::NFT_MSG_NEWTABLE, NLM_F_CREATE, |_| ()),
        Op::DeleteTable => push(batch, libc::NFT_MSG_DELTABLE, 0, |_| ()),
        Op::AddSet(name, key) => {
            *id += 1;
            add_set(batch, name, *id, &element::fields(key), element::flags(key));
        }
        Op::AddMap(name, key) => {
            *id += 1;
            add_set(batch, name, *id, &element::map_fields(key), MAP);
        }
        Op::AddChain(name, hook) => add_chain(batch, name, hook),
        Op::AddElements(name, keys) => {
            elements(batch, libc::NFT_MSG_NEWSETELEM, name, keys, element::write);
        }
        Op::DeleteElements(name, keys) => {
            elements(batch, libc::NFT_MSG_DELSETELEM, name, keys, element::write);
        }
        Op::AddVerdicts(name, all) => {
            elements(batch, libc::NFT_MSG_NEWSETELEM, name, all, |w, (key, verdict)| {
                element::write_mapped(w, key, verdict);
            });
        }
        Op::DeleteVerdicts(name, all) => {
            elements(batch, libc::NFT_MSG_DELSETELEM, name, all, |w, (key, _)| element::write(w, key));
        }
        Op::Flush(chain) => push(batch, libc::NFT_MSG_DELRULE, 0, |w| w.text(nfta::rule::CHAIN, chain)),
        Op::Fill(name, chain) => chain.rules.iter().for_each(|rule| add_rule(batch, name, rule)),
        Op::DeleteChain(name) => push(batch, libc::NFT_MSG_DELCHAIN, 0, |w| w.text(nfta::chain::NAME, name)),
        Op::DeleteMap(name) | Op::DeleteSet(name) => {
            push(batch, libc::NFT_MSG_DELSET, 0, |w| w.text(nfta::set::NAME, name));
        }
    }
}

/// `NFTNL_UDATA_SET_KEYBYTEORDER`: without it nft lists names of interfaces as empty.
const KEY_ORDER: u8 = 0;
/// nft's own number for a key in the host's byte order.
const HOST_ORDER: u32 = 1;

/// A set, with a number that is its own in the transaction.
fn add_set(batch: &mut Batch, name: &str, id: u32, fields: &[(u32, u32)], flags: u32) {
    push(batch, libc::NFT_MSG_NEWSET, NLM_F_CREATE, |w| {
        w.text(nfta::set::NAME, name);
        w.number(nfta::set::FLAGS, flags);
        w.number(nfta::set::KEY_TYPE, element::type_number(fields));
        w.number(nfta::set::KEY_LENGTH, element::key_length(fields));
        if flags & MAP != 0 {
            w.number(nfta::set::DATA_TYPE, libc::NFT_DATA_VERDICT);
        }
        if fields == [element::INTERFACE] {
            w.octets(nfta::set::USERDATA, &[&[KEY_ORDER, 4], HOST_ORDER.to_ne_bytes().as_slice()].concat());
        }
        if flags & CONCATENATION != 0 {
            w.nested(nfta::set::DESCRIPTION, |w| {
                w.nested(nfta::description::FIELDS, |w| {
                    for (_, octets) in fields {
                        w.nested(nfta::ITEM, |w| w.number(nfta::field::LENGTH, *octets));
                    }
                });
            });
        }
        w.number(nfta::set::ID, id);
    });
}

/// An attribute's length has 16 bits: so many elements of any type fit a message, whatever the names in them.
const ELEMENTS_PER_MESSAGE: usize = 180;

fn elements<T>(
    batch: &mut Batch,
    message: libc::c_int,
    set: &str,
    all: &[T],
    mut write: impl FnMut(&mut Writer<'_>, &T),
) {
    let flags = if message == libc::NFT_MSG_NEWSETELEM { NLM_F_CREATE } else { 0 };
    for some in all.chunks(ELEMENTS_PER_MESSAGE) {
        push(batch, message, flags, |w| {
            w.text(nfta::elements::SET, set);
            w.nested(nfta::elements::ELEMENTS, |w| some.iter().for_each(|one| write(w, one)));
        });
    }
}

fn add_chain(batch: &mut Batch, name: &str, hook: Option<&Hook>) {
    push(batch, libc::NFT_MSG_NEWCHAIN, NLM_F_CREATE, |w| {
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

fn add_rule(batch: &mut Batch, chain: &str, rule: &Rule) {
    push(batch, libc::NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |w| {
        w.text(nfta::rule::CHAIN, chain);
        w.nested(nfta::rule::EXPRESSIONS, |w| {
            for one in &rule.expressions {
                w.nested(nfta::ITEM, |w| expression::write(w, one));
            }
        });
        if let Some(comment) = rule.comment.as_ref().filter(|comment| comment.len() <= COMMENT) {
            w.octets(nfta::rule::USERDATA, &user_data(comment));
        }
    });
}

/// A comment as nft has it (libnftnl/udata.h): kind, length, and the text with a 0 octet.
fn user_data(comment: &str) -> Vec<u8> {
    let length = u8::try_from(comment.len() + 1).unwrap_or_default();
    [&[super::COMMENT_KIND, length], comment.as_bytes(), &[0]].concat()
}
