//! Which rule of a peer's filters decides on a route, and what comes of it.

use model::Family;
use model::api::show::{FilterTest, FilterTestView, Judged};
use model::filter::{Chain, Decision, Direction, List, NoAttributes, Route, RouteSource};

use super::Speaker;
use super::peer::Peer;
use crate::filter::Refusal;
use crate::rib::{OWN, RibPrefix, Source, Unicast};
use crate::session::kind;
use crate::wire::PeerKind;

/// What comes of a route: whether it passes, and why.
struct Outcome {
    judged: Judged,
    decision: Decision,
    passes: bool,
    reason: String,
}

impl Speaker {
    /// Holds a route against the filters of every session with a peer. Empty if there is no such peer.
    pub fn filter_test(&self, question: &FilterTest) -> Vec<FilterTestView> {
        let asked = |peer: &Peer| peer.config.name == question.peer || peer.key.address.to_string() == question.peer;
        let peers = self.by_key.values().filter_map(|source| Some((*source, self.peer(*source)?)));
        let directions = [Direction::Import, Direction::Export].into_iter();
        let directions = directions.filter(|one| question.direction.is_none_or(|wanted| wanted == *one));
        peers
            .filter(|(_, peer)| asked(peer))
            .flat_map(|(source, peer)| {
                let views = directions.clone().filter_map(move |direction| match question.prefix.family() {
                    Family::Ipv4 => self.outcome(&self.ipv4, source, peer, direction, question),
                    Family::Ipv6 => self.outcome(&self.ipv6, source, peer, direction, question),
                });
                views.collect::<Vec<_>>()
            })
            .collect()
    }

    fn outcome<P: RibPrefix>(
        &self,
        tables: &Unicast<P>,
        source: Source,
        peer: &Peer,
        direction: Direction,
        question: &FilterTest,
    ) -> Option<FilterTestView> {
        let prefix = P::try_from(question.prefix).ok()?;
        let chain = peer.config.filters.chain(direction, P::FAMILY);
        let outcome = match direction {
            Direction::Import => self.import(tables, source, peer, chain, prefix),
            Direction::Export => self.export(tables, source, peer, chain, prefix),
        };
        let (filter, rule) = chain.name_of(outcome.decision).map_or((None, None), |(name, rule)| (Some(name), rule));
        Some(FilterTestView {
            name: peer.config.name.clone(),
            peer: Some(peer.key.address),
            direction,
            list: List::of(direction, P::FAMILY),
            prefix: question.prefix,
            judged: outcome.judged,
            filter: filter.map(str::to_string),
            rule,
            passes: Some(outcome.passes),
            reason: outcome.reason,
        })
    }

    fn kind(&self, peer: &Peer) -> PeerKind {
        kind(&self.local, &peer.config)
    }

    fn import<P: RibPrefix>(
        &self,
        tables: &Unicast<P>,
        source: Source,
        peer: &Peer,
        chain: &Chain,
        prefix: P,
    ) -> Outcome {
        let id = tables.table.find(&prefix);
        let paths = id.and_then(|id| tables.table.dest(id)).map(|dest| dest.paths.as_slice()).unwrap_or_default();
        let received = paths.iter().find(|path| path.source == source);
        let received = received.and_then(|path| self.shared.attrs.value(path.attrs)).map(|value| value.received());
        let known = received.and_then(|received| tables.judged(&self.shared, chain, prefix, source, received));
        let (judged, (decision, refusal)) = match known {
            Some(known) => (Judged::Route, known),
            None => {
                let decision = chain.judge(&bare(prefix, self.kind(peer)));
                (
                    Judged::PrefixAlone,
                    (decision, tables.refuses_after(decision, prefix, self.kind(peer), peer.config.import)),
                )
            }
        };
        let words = chain.words(decision);
        let reason = match (refusal, decision.passes()) {
            (Some(Refusal::Filtered), _) => format!("refused by {words}"),
            (Some(refusal), Some(true)) => format!("{words} accepts it, but it is {}", refusal.words()),
            (Some(refusal), _) => format!("{words}; {}", refusal.words()),
            (None, Some(_)) => format!("accepted by {words}"),
            (None, None) => format!("{words}; the default policy accepts it"),
        };
        Outcome { judged, decision, passes: refusal.is_none(), reason }
    }

    fn export<P: RibPrefix>(
        &self,
        tables: &Unicast<P>,
        source: Source,
        peer: &Peer,
        chain: &Chain,
        prefix: P,
    ) -> Outcome {
        let best = tables.table.find(&prefix).and_then(|id| tables.choice(&self.shared, id));
        let group = tables.group_of(source).map(|(_, group)| &group.key);
        let (Some((best, _)), Some(group)) = (best, group) else {
            let decision = chain.judge(&bare(prefix, self.kind(peer)));
            let words = chain.words(decision);
            let reason = match decision.passes() {
                Some(true) => format!("{words} accepts it, but"),
                Some(false) => format!("refused by {words}, and"),
                None => format!("{words}, and"),
            };
            let missing = if group.is_none() { "the session is not up" } else { "there is no such route" };
            return Outcome {
                judged: Judged::PrefixAlone,
                decision,
                passes: false,
                reason: format!("{reason} {missing}"),
            };
        };
        let path = &best.path;
        let decision = self.shared.export_decision(group, path.attrs, path.source, prefix.into());
        let withheld = tables.withheld(&self.shared, group, path, prefix.into());
        let passes = withheld.is_none() && path.source != source;
        let words = chain.words(decision);
        let reason = match (withheld, decision.passes()) {
            (_, Some(false)) => format!("refused by {words}"),
            _ if path.source == source => format!("{words}; it is the peer's own route"),
            (Some(withheld), Some(true)) => format!("{words} accepts it, but {}", withheld.words()),
            (Some(withheld), None) => format!("{words}; {}", withheld.words()),
            (None, Some(true)) => format!("accepted by {words}"),
            (None, None) if path.source == OWN => {
                format!("{words}; the default policy tells what this node originates")
            }
            (None, None) => format!("{words}; the default policy tells it"),
        };
        Outcome { judged: Judged::Route, decision, passes, reason }
    }
}

/// A learned route of which nothing but the prefix is known.
fn bare<P: RibPrefix>(prefix: P, kind: PeerKind) -> Route<'static> {
    Route {
        prefix: prefix.into(),
        source: RouteSource::Peer,
        peer_type: kind.into(),
        interface: None,
        attributes: &NoAttributes,
    }
}
