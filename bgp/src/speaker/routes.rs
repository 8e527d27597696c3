//! What a speaker shows of its tables: pages of routes, and why a path was chosen.

use std::collections::BinaryHeap;
use std::net::IpAddr;

use model::api::show::{AsPathItem, BgpRoutes, BgpTable, PAGE, RoutePage, RouteView};
use model::{Family, Prefix};

use super::Speaker;
use super::view::Why;
use crate::config::PeerKey;
use crate::filter::Refusal;
use crate::rib::best::ranking;
use crate::rib::{
    Age, Choice, Dest, Group, OWN, Path, RibPrefix, Telling, Unicast, is_leaving, outgoing, reason_against,
};
use crate::wire::attr::SegmentKind;
use crate::wire::{Attributes, Community};

impl Speaker {
    /// One page of routes in order of prefix: whole prefixes, some [`PAGE`] routes.
    ///
    /// It looks at every prefix of the family once, which takes some milliseconds per million.
    pub fn routes(&self, question: &BgpRoutes) -> RoutePage {
        let mut page = RoutePage::default();
        let mut after = question.after;
        // A prefix that looked as if it had an answer may have none: go on until there is something to show.
        while page.routes.is_empty() {
            let mut prefixes = self.next_prefixes(question, after);
            let more = prefixes.len() > PAGE;
            prefixes.truncate(PAGE);
            let mut last = None;
            let mut full = false;
            for prefix in prefixes {
                if page.routes.len() >= PAGE {
                    full = true;
                    break;
                }
                page.routes.extend(self.rows(question, prefix));
                last = Some(prefix);
            }
            if !more && !full {
                page.next = None;
                break;
            }
            page.next = last;
            after = last;
        }
        page
    }

    /// The first prefixes after one, one more than fits a page.
    fn next_prefixes(&self, question: &BgpRoutes, after: Option<Prefix>) -> Vec<Prefix> {
        let mut found = BinaryHeap::new();
        self.scan(&self.ipv4, question, after, &mut found);
        self.scan(&self.ipv6, question, after, &mut found);
        found.into_sorted_vec()
    }

    fn scan<P: RibPrefix>(
        &self,
        tables: &Unicast<P>,
        question: &BgpRoutes,
        after: Option<Prefix>,
        found: &mut BinaryHeap<Prefix>,
    ) {
        for (id, dest) in tables.table.iter() {
            if !self.may_answer(tables, id, dest, question) {
                continue;
            }
            let prefix: Prefix = dest.prefix.into();
            let wanted = after.is_none_or(|after| prefix > after)
                && question.within.is_none_or(|within| within.covers(&prefix))
                && (found.len() <= PAGE || found.peek().is_some_and(|greatest| prefix < *greatest));
            if wanted {
                found.push(prefix);
                if found.len() > PAGE + 1 {
                    found.pop();
                }
            }
        }
    }

    fn may_answer<P: RibPrefix>(&self, tables: &Unicast<P>, id: u32, dest: &Dest<P>, question: &BgpRoutes) -> bool {
        let from = |path: &Path| question.peer.is_none_or(|peer| self.address(path.source) == Some(peer));
        let mut paths = dest.paths.as_slice().iter();
        match question.table {
            BgpTable::Received => paths.any(|path| path.source != OWN && from(path)),
            BgpTable::Accepted | BgpTable::Best => paths.any(|path| path.refusal.is_none() && from(path)),
            BgpTable::Advertised => tables.tellings(id, dest).next().is_some(),
        }
    }

    fn address(&self, source: u16) -> Option<IpAddr> {
        self.shared.source(source).map(|info| info.key.address)
    }

    fn rows(&self, question: &BgpRoutes, prefix: Prefix) -> Vec<RouteView> {
        match prefix.family() {
            Family::Ipv4 => self.rows_in(&self.ipv4, question, prefix),
            Family::Ipv6 => self.rows_in(&self.ipv6, question, prefix),
        }
    }

    fn rows_in<P: RibPrefix>(&self, tables: &Unicast<P>, question: &BgpRoutes, prefix: Prefix) -> Vec<RouteView> {
        let Some(id) = P::try_from(prefix).ok().and_then(|prefix| tables.table.find(&prefix)) else {
            return Vec::new();
        };
        let Some(dest) = tables.table.dest(id) else { return Vec::new() };
        if question.table == BgpTable::Advertised {
            let of_peer = |row: &RouteView| question.peer.is_none_or(|peer| row.peer == Some(peer));
            let best = tables.choice(&self.shared, id).map(|(choice, _)| choice.path);
            let told = tables.tellings(id, dest);
            let rows = told.flat_map(|(group, told)| {
                let is_best = best.is_some_and(|best| (best.attrs, best.source) == (told.attrs, told.source));
                let mut rows = self.told_rows(group, prefix, &told);
                rows.iter_mut().for_each(|row| row.best = is_best);
                rows
            });
            return rows.filter(of_peer).collect();
        }
        let mut rows = self.path_rows(tables, id, dest);
        rows.retain(|(path, row)| {
            let from = question.peer.is_none_or(|peer| row.peer == Some(peer));
            from && match question.table {
                BgpTable::Received => path.source != OWN,
                BgpTable::Accepted => path.refusal.is_none(),
                BgpTable::Best => row.best || row.multipath,
                BgpTable::Advertised => false,
            }
        });
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// All paths of a prefix, the best first, refused ones last.
    fn path_rows<P: RibPrefix>(&self, tables: &Unicast<P>, id: u32, dest: &Dest<P>) -> Vec<(Path, RouteView)> {
        let chosen = tables.choice(&self.shared, id);
        let paths = dest.paths.as_slice().iter().enumerate();
        let rows: Vec<(Path, RouteView)> = paths
            .filter_map(|(index, path)| {
                let attrs = self.shared.attrs.value(path.attrs)?;
                let mut row = row(dest.prefix.into(), &attrs.attributes);
                if path.source == OWN {
                    row.next_hop = None;
                    row.local_pref = Some(attrs.rank.local_pref);
                } else {
                    row.peer = self.address(path.source);
                    row.local_pref = Some(attrs.rank.local_pref);
                }
                let numbered = self.shared.source(path.source).is_some_and(|info| info.add_path.contains(P::FAMILY));
                row.path_id = (numbered || path.path_id != 0).then_some(path.path_id);
                row.stale = matches!(path.age, Age::Stale | Age::LongLived);
                row.long_lived_stale = attrs.rank.long_lived_stale;
                row.best = chosen.as_ref().is_some_and(|(choice, _)| choice.best == index);
                row.multipath = !row.best && chosen.as_ref().is_some_and(|(choice, _)| choice.used.contains(&index));
                row.reason = self.reason(path, &row, chosen.as_ref());
                if let Some(formed) = tables.aggregates.iter().find(|formed| formed.prefix == row.prefix)
                    && path.source == OWN
                {
                    row.reason += &format!("; aggregate of {} more specific routes", formed.contributors());
                }
                if self.shared.source(path.source).is_some_and(|info| is_leaving(&attrs.attributes, info.kind)) {
                    row.reason += "; its sender says that it goes away soon: local preference 0 (graceful shutdown)";
                }
                Some((*path, row))
            })
            .collect();
        // No comparison of two orders three paths with MEDs: the ranking does.
        let candidates = rows.iter().map_while(|(path, _)| self.shared.candidate(path)).collect::<Vec<_>>();
        let mut places = vec![usize::MAX; rows.len()];
        for (place, index) in ranking(&candidates).into_iter().enumerate() {
            places.get_mut(index).into_iter().for_each(|at| *at = place);
        }
        let mut placed: Vec<_> = places.into_iter().zip(rows).collect();
        placed.sort_by_key(|(place, (path, row))| (!row.best, !row.multipath, path.refusal.is_some(), *place));
        placed.into_iter().map(|(_, row)| row).collect()
    }

    fn reason(&self, path: &Path, row: &RouteView, chosen: Option<&(Choice, crate::rib::Reason)>) -> String {
        if path.refusal == Some(Refusal::Filtered)
            && let Some((chain, decision)) = self.shared.import_decision(row.prefix, path)
        {
            return format!("refused by {}", chain.words(decision));
        }
        if let Some(refusal) = path.refusal {
            return refusal.words().into();
        }
        let Some((choice, reason)) = chosen else {
            return "waits for the end of the initial exchange (graceful restart)".into();
        };
        if row.best {
            return format!("best: {reason}");
        }
        match reason_against(&self.shared, path, choice) {
            Some(reason) if row.multipath => format!("used beside the best, which has the {reason}"),
            Some(reason) => format!("not best: another path has the {reason}"),
            None => String::new(),
        }
    }

    fn told_rows(&self, group: &Group, prefix: Prefix, told: &Telling) -> Vec<RouteView> {
        let decision = self.shared.export_decision(&group.key, told.attrs, told.source, prefix);
        let operations = group.key.filters.operations(decision);
        let Some(attributes) = outgoing(&self.shared, &group.key, told.attrs, told.source, operations) else {
            return Vec::new();
        };
        let mut row = row(prefix, &attributes);
        row.path_id = (told.path_id != 0).then_some(told.path_id);
        row.reason = match self.address(told.source) {
            Some(peer) => format!("learned from {peer}"),
            None => "originated by this node".into(),
        };
        if decision.passes() == Some(true) {
            row.reason += &format!(", accepted by {}", group.key.filters.words(decision));
        }
        let members = group.members().filter(|member| *member != told.source);
        let mut rows: Vec<RouteView> =
            members.map(|member| RouteView { peer: self.address(member), ..row.clone() }).collect();
        rows.sort_by_key(|row| row.peer);
        rows
    }

    /// The paths of exactly this prefix; `None` if no peer has any and this node does not originate it.
    pub fn why(&self, prefix: Prefix) -> Option<Why> {
        match prefix.family() {
            Family::Ipv4 => self.why_in(&self.ipv4, prefix),
            Family::Ipv6 => self.why_in(&self.ipv6, prefix),
        }
    }

    fn why_in<P: RibPrefix>(&self, tables: &Unicast<P>, prefix: Prefix) -> Option<Why> {
        let id = tables.table.find(&P::try_from(prefix).ok()?)?;
        let dest = tables.table.dest(id)?;
        let paths: Vec<RouteView> = self.path_rows(tables, id, dest).into_iter().map(|(_, row)| row).collect();
        let mut advertised_to: Vec<PeerKey> = Vec::new();
        for (group, told) in tables.tellings(id, dest) {
            let members = group.members().filter(|member| *member != told.source);
            advertised_to.extend(members.filter_map(|member| self.shared.source(member).map(|info| info.key)));
        }
        advertised_to.sort();
        advertised_to.dedup();
        let verdict = match paths.first() {
            Some(best) if best.best => {
                let beside = paths.iter().filter(|path| path.multipath).count();
                let whose = best.peer.map_or("this node".into(), |peer| peer.to_string());
                let shared = if beside > 0 { format!(", shared with {beside} of equal cost") } else { String::new() };
                format!("of {} paths the one from {whose} is {}{shared}", paths.len(), best.reason)
            }
            Some(first) => format!("no path is usable: {}", first.reason),
            None => "no path".into(),
        };
        Some(Why { paths, advertised_to, verdict })
    }

    /// The longest prefix with a best path that covers this one.
    pub fn covering(&self, prefix: Prefix) -> Option<Prefix> {
        let lengths = (0..=prefix.length()).rev();
        let mut wider = lengths.filter_map(|length| Prefix::masked(prefix.address(), length).ok());
        wider.find(|wide| match wide.family() {
            Family::Ipv4 => self.has_best(&self.ipv4, *wide),
            Family::Ipv6 => self.has_best(&self.ipv6, *wide),
        })
    }

    fn has_best<P: RibPrefix>(&self, tables: &Unicast<P>, prefix: Prefix) -> bool {
        let id = P::try_from(prefix).ok().and_then(|prefix| tables.table.find(&prefix));
        id.and_then(|id| tables.choice(&self.shared, id)).is_some()
    }
}

/// A row with what the attributes say.
fn row(prefix: Prefix, attributes: &Attributes) -> RouteView {
    let as_path = attributes.as_path().segments().flat_map(|segment| match segment.kind {
        SegmentKind::Sequence => segment.asns().map(AsPathItem::As).collect(),
        SegmentKind::Set => vec![AsPathItem::Set(segment.asns().collect())],
    });
    let other = attributes.unknown().map(|raw| format!("type {} ({} octets)", raw.code, raw.value.len()));
    RouteView {
        prefix,
        next_hop: Some(attributes.next_hop.address()),
        peer: None,
        as_path: as_path.collect(),
        origin: attributes.origin.to_string(),
        local_pref: attributes.local_pref,
        med: attributes.med,
        communities: attributes.communities().map(community).collect(),
        extended_communities: attributes.extended_communities().map(|community| community.to_string()).collect(),
        large_communities: attributes.large_communities().map(|community| community.to_string()).collect(),
        path_id: None,
        best: false,
        multipath: false,
        stale: false,
        long_lived_stale: attributes.has_community(Community::LLGR_STALE),
        reason: String::new(),
        originator_id: attributes.originator_id(),
        cluster_list: attributes.cluster_list().collect(),
        only_to_customer: attributes.only_to_customer(),
        other_attributes: other.collect(),
    }
}

/// By name where it is a well-known one.
fn community(community: Community) -> String {
    match community {
        Community::NO_EXPORT => "no-export".into(),
        Community::NO_ADVERTISE => "no-advertise".into(),
        Community::NO_EXPORT_SUBCONFED => "no-export-subconfed".into(),
        Community::GRACEFUL_SHUTDOWN => "graceful-shutdown".into(),
        Community::LLGR_STALE => "llgr-stale".into(),
        Community::NO_LLGR => "no-llgr".into(),
        Community::BLACKHOLE => "blackhole".into(),
        other => other.to_string(),
    }
}
