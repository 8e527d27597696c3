//! UPDATE: routes that come and go, with what RFC 7606 makes of those that are not right.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use model::Family;
use smallvec::SmallVec;

use super::attr::collect::Collected;
use super::attr::{AttrError, Attributes, Fault, NextHop, Verdict, code};
use super::context::{Context, FirstAs, PeerKind};
use super::nlri::{NlriBlock, NlriError, PathIds};
use super::notification::{self, Notification};
use super::reader::{Reader, Short};

/// A decoded UPDATE. Only families that were agreed on are in it.
///
/// Take the withdrawn ones first: a prefix in both lists is reachable (RFC 4271 §4.3).
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Prefixes that are gone, and those of routes that RFC 7606 treats as withdrawn.
    pub withdrawn: SmallVec<[NlriBlock; 2]>,
    /// Prefixes that can be reached.
    pub reachable: SmallVec<[Reachable; 1]>,
    /// The peer has sent all that it has in this family (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    /// What was wrong and what came of it, for the log; at most 32.
    pub errors: Vec<AttrError>,
}

/// Prefixes of one family and how to reach them.
#[derive(Debug, Clone)]
pub struct Reachable {
    /// The prefixes.
    pub nlri: NlriBlock,
    /// Their attributes, next hop included.
    pub attributes: Arc<Attributes>,
}

/// Prefixes with the next hop that their place in the message gives them.
struct Offer {
    nlri: NlriBlock,
    /// Nothing if it was missing or wrong.
    next_hop: Option<NextHop>,
    /// The attribute that holds it.
    from: u8,
}

impl Update {
    /// The body of the message.
    ///
    /// An error ends the session: what is wrong leaves in doubt which prefixes are meant (RFC 7606 §3j, §5).
    pub fn decode(body: &Bytes, context: &Context) -> Result<Update, Notification> {
        let mut r = Reader::new(body);
        let withdrawn = counted(&mut r)?;
        let attributes = counted(&mut r)?;
        let nlri = r.rest();

        let mut update = Update::default();
        let gone = block(body, Family::Ipv4, withdrawn, context).map_err(|e| bad_prefix(e, withdrawn))?;
        let classic = block(body, Family::Ipv4, nlri, context).map_err(|e| bad_prefix(e, nlri))?;
        let mut all = Collected::read(attributes, context);
        refuse(&all, Verdict::Reset)?;

        update.withdraw(gone, context);
        if let Some(unreach) = all.unreach
            && let Some(family) = unreach.family
        {
            let nlri = block(body, family, unreach.nlri, context).map_err(|e| bad_prefix(e, unreach.nlri))?;
            update.withdraw(nlri, context);
        }
        let offers = offers(body, classic, &mut all, context)?;
        if !offers.any && all.has_more_than_unreach() {
            // Without a reachable prefix we cannot be sure to have found those that are meant (RFC 7606 §5.2).
            refuse(&all, Verdict::Withdraw)?;
        }
        if body.len() == 4 {
            update.end_of_rib = Some(Family::Ipv4);
        } else if let Some(unreach) = all.unreach
            && unreach.nlri.is_empty()
            && withdrawn.is_empty()
            && nlri.is_empty()
            && !all.has_more_than_unreach()
        {
            update.end_of_rib = unreach.family;
        }
        update.end_of_rib = update.end_of_rib.filter(|family| context.families.contains(*family));
        update.take(offers.blocks, all, context);
        Ok(update)
    }

    fn withdraw(&mut self, nlri: NlriBlock, context: &Context) {
        if !nlri.is_empty() && context.families.contains(nlri.family()) {
            self.withdrawn.push(nlri);
        }
    }

    /// Sorts what is offered into reachable and, for any fault that is worse than a discarded attribute, withdrawn.
    fn take(&mut self, offers: SmallVec<[Offer; 2]>, mut all: Collected<'_>, context: &Context) {
        if !offers.is_empty() {
            all.require(&[code::ORIGIN, code::AS_PATH]);
        }
        let attributes = if offers.is_empty() { None } else { all.attributes(context) };
        if let Some(attributes) = &attributes
            && context.kind == PeerKind::External
            && context.first_as == FirstAs::Enforce
            && attributes.neighbor_as() != Some(context.peer_as)
        {
            all.route_fault(code::AS_PATH, Fault::FirstAs);
        }
        let sound = all.verdict() < Some(Verdict::Withdraw);
        let mut attributes = attributes.filter(|_| sound);
        let mut left = offers.len();
        for offer in offers {
            left -= 1;
            let next_hop = match offer.next_hop {
                Some(next_hop) if next_hop.is_another_host(&context.own_addresses) => Some(next_hop),
                Some(_) => {
                    // RFC 4271 §6.3: only the routes that it is the next hop of.
                    all.route_fault(offer.from, Fault::NotAHost);
                    None
                }
                None => None,
            };
            let set = match left {
                0 => attributes.take(),
                _ => attributes.clone(),
            };
            match (set, next_hop) {
                (Some(mut set), Some(next_hop)) => {
                    set.next_hop = next_hop;
                    self.reachable.push(Reachable { nlri: offer.nlri, attributes: Arc::new(set) });
                }
                _ => self.withdraw(offer.nlri, context),
            }
        }
        self.errors = all.errors;
    }

    /// The worst that came of this message's attributes.
    pub fn verdict(&self) -> Option<Verdict> {
        self.errors.iter().map(|e| e.verdict).max()
    }
    /// How many prefixes can be reached.
    pub fn reachable_prefixes(&self) -> usize {
        self.reachable.iter().map(|r| r.nlri.len()).sum()
    }
    /// How many prefixes are gone.
    pub fn withdrawn_prefixes(&self) -> usize {
        self.withdrawn.iter().map(NlriBlock::len).sum()
    }
}

/// What a message offers.
struct Offers {
    blocks: SmallVec<[Offer; 2]>,
    /// Whether it encodes any reachable prefix, also of a family that is ignored.
    any: bool,
}

fn offers(
    body: &Bytes,
    classic: NlriBlock,
    all: &mut Collected<'_>,
    context: &Context,
) -> Result<Offers, Notification> {
    let mut blocks = SmallVec::new();
    let mut any = !classic.is_empty();
    if let Some(reach) = all.reach {
        any |= !reach.nlri.is_empty();
        if let Some((family, next_hop)) = reach.carried {
            let nlri = block(body, family, reach.nlri, context).map_err(|e| bad_prefix(e, reach.nlri))?;
            if !nlri.is_empty() && context.families.contains(family) {
                blocks.push(Offer { nlri, next_hop: Some(next_hop), from: code::MP_REACH_NLRI });
            }
        }
    }
    if !classic.is_empty() {
        all.require(&[code::NEXT_HOP]);
        if context.families.contains(Family::Ipv4) {
            let next_hop = all.next_hop.map(NextHop::V4);
            blocks.push(Offer { nlri: classic, next_hop, from: code::NEXT_HOP });
        }
    }
    Ok(Offers { blocks, any })
}

/// Ends the session if a fault is at least so bad.
fn refuse(all: &Collected<'_>, from: Verdict) -> Result<(), Notification> {
    match all.worst {
        Some((error, octets)) if error.verdict >= from => {
            Err(Notification::with_data(error.notification_code(), octets))
        }
        _ => Ok(()),
    }
}

/// Octets that are preceded by their number, in two octets.
fn counted<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Notification> {
    let malformed = |Short| Notification::new(notification::update::MALFORMED_ATTRIBUTE_LIST);
    let length = r.u16().map_err(malformed)?;
    r.take(length.into()).map_err(malformed)
}

fn block(body: &Bytes, family: Family, octets: &[u8], context: &Context) -> Result<NlriBlock, NlriError> {
    let path_ids = if context.add_path.contains(family) { PathIds::Present } else { PathIds::Absent };
    NlriBlock::new(family, path_ids, body.slice_ref(octets))
}

/// RFC 4271 §6.3, RFC 7606 §5.3.
fn bad_prefix(_: NlriError, octets: &[u8]) -> Notification {
    Notification::with_data(notification::update::INVALID_NETWORK, octets)
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(family) = self.end_of_rib {
            return write!(f, "end of RIB for {family}");
        }
        write!(f, "{} reachable, {} withdrawn", self.reachable_prefixes(), self.withdrawn_prefixes())?;
        for r in &self.reachable {
            write!(f, "; {}", r.attributes)?;
        }
        self.errors.iter().try_for_each(|e| write!(f, "; {e}"))
    }
}
