//! `filter test`: which rule of which filter decides, asked of the agent or of a directory of objects.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use model::api::Show;
use model::api::show::{FilterTest, FilterTestView, Judged};
use model::filter::{Direction, Filters, List, NoAttributes, PeerType, Route, RouteSource};
use model::object::{self, BgpPeer, Document, Node, Object};
use model::{Asn, Prefix};

use crate::args::FilterTestArguments;
use crate::client::Client;
use crate::{Verdict, check, show, view};

/// Answers, and says whether the route passes in every direction that was asked for.
pub fn test(client: &mut Client, arguments: &FilterTestArguments) -> anyhow::Result<Verdict> {
    let FilterTestArguments { peer, prefix, direction, .. } = arguments;
    let question = FilterTest { peer: peer.clone(), prefix: prefix.0, direction: direction.map(Direction::from) };
    let views = match (&arguments.objects, &arguments.node) {
        (Some(directory), Some(node)) => offline(&read(directory)?, node, &question)?,
        _ => client.show(Show::FilterTest(question))?,
    };
    if views.is_empty() {
        bail!("there is no peer {peer}; `margayctl bgp peers` lists addresses and names");
    }
    show(&views, arguments.output.format, |detail| view::filter::tests(&views, detail))?;
    let refused = views.iter().any(|view| view.passes == Some(false));
    Ok(if refused { Verdict::Problems } else { Verdict::Fine })
}

/// Every good object of a directory, or of one file.
fn read(directory: &Path) -> anyhow::Result<Vec<Object>> {
    let mut objects = Vec::new();
    for file in check::files(directory)? {
        let name = file.display().to_string();
        let text = fs::read_to_string(&file).with_context(|| name.clone())?;
        for document in object::parse(&name, &text).documents {
            match document {
                Document::Object(found) => objects.push(found.object),
                Document::Bad(_, error) => bail!("{error}"),
            }
        }
    }
    Ok(objects)
}

/// What the objects say of a route of which nothing but the prefix is known.
fn offline(objects: &[Object], node: &str, question: &FilterTest) -> anyhow::Result<Vec<FilterTestView>> {
    let nodes = objects.iter().filter_map(|o| if let Object::Node(node) = o { Some(node) } else { None });
    let Some(node) = nodes.into_iter().find(|n| n.name.as_str() == node) else { bail!("there is no Node {node}") };
    let Some(peer) = peer_of(objects, node, &question.peer) else { return Ok(Vec::new()) };
    let of_name = |name: &str| {
        objects.iter().find_map(|o| match o {
            Object::BgpFilter(filter) if filter.meta.name == name => Some(filter),
            _ => None,
        })
    };
    let filters = Filters::new(peer.filters.iter().map(|name| (name.as_str(), of_name(name))));
    let local_as = peer.local_as_number.or(node.asn).or_else(|| default_as(objects)).unwrap_or(Asn::CALICO_DEFAULT);
    let internal = peer.as_number.is_none_or(|asn| asn == local_as);
    let told = if internal { PeerType::Internal } else { PeerType::External };
    let peer_type = peer.peer_type.unwrap_or(told);
    let directions = [Direction::Import, Direction::Export].into_iter();
    let directions = directions.filter(|one| question.direction.is_none_or(|wanted| wanted == *one));
    Ok(directions.map(|direction| judge(peer, node, &filters, peer_type, direction, question.prefix)).collect())
}

/// The BGPPeer of this name, or the one that rules for this address: one for some nodes comes before one for all.
fn peer_of<'a>(objects: &'a [Object], node: &Node, name: &str) -> Option<&'a BgpPeer> {
    let peers = objects.iter().filter_map(|o| if let Object::BgpPeer(peer) = o { Some(&**peer) } else { None });
    let asked = |peer: &&BgpPeer| {
        peer.meta.name == name || peer.whom.address().is_some_and(|address| address.to_string() == name)
    };
    let mut found: Vec<&BgpPeer> = peers.filter(asked).filter(|peer| peer.is_for(node)).collect();
    found.sort_by_key(|peer| (peer.node.is_none() && peer.node_selector.is_none(), &peer.meta.name));
    found.first().copied()
}

fn default_as(objects: &[Object]) -> Option<Asn> {
    objects.iter().find_map(|o| match o {
        Object::BgpConfiguration(configuration) if configuration.meta.name == "default" => configuration.as_number,
        _ => None,
    })
}

fn judge(
    peer: &BgpPeer,
    node: &Node,
    filters: &Filters,
    peer_type: PeerType,
    direction: Direction,
    prefix: Prefix,
) -> FilterTestView {
    let own = direction == Direction::Export && node.pod_cidrs.contains(&prefix);
    let source = if own { RouteSource::Own } else { RouteSource::Peer };
    let chain = filters.chain(direction, prefix.family());
    let decision = chain.judge(&Route { prefix, source, peer_type, interface: None, attributes: &NoAttributes });
    let words = chain.words(decision);
    let (filter, rule) = chain.name_of(decision).map_or((None, None), |(name, rule)| (Some(name), rule));
    FilterTestView {
        name: peer.meta.name.clone(),
        peer: peer.whom.address(),
        direction,
        list: List::of(direction, prefix.family()),
        prefix,
        judged: Judged::PrefixAlone,
        filter: filter.map(str::to_string),
        rule,
        passes: decision.passes(),
        reason: match decision.passes() {
            Some(true) => format!("accepted by {words}"),
            Some(false) => format!("refused by {words}"),
            None => format!("{words}; the default policy decides"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: &str = "\
apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {rack: a}}\nspec: {podCIDRs: [10.244.1.0/24]}\n---\n\
apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: all}\nspec: {peerIP: 10.0.0.254, asNumber: 65000}\n---\n\
apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: rack}\n\
spec: {peerIP: 10.0.0.254, asNumber: 65000, nodeSelector: \"rack == 'a'\", filters: [tor]}\n---\n\
apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: other}\n\
spec: {peerIP: 10.0.0.253, asNumber: 64512, nodeSelector: \"rack == 'b'\"}\n---\n\
apiVersion: projectcalico.org/v3\nkind: BGPFilter\nmetadata: {name: tor}\n\
spec: {importV4: [{action: Reject, cidr: 10.0.0.0/8, matchOperator: In, peerType: eBGP}], \
exportV4: [{action: Reject, source: RemotePeers}, {action: Accept}]}\n";

    fn tested(peer: &str, prefix: &str) -> Vec<(String, Option<bool>, String)> {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("a.yaml"), OBJECTS).expect("written");
        let objects = read(directory.path()).expect("good objects");
        let question = FilterTest { peer: peer.into(), prefix: prefix.parse().expect("a prefix"), direction: None };
        let views = offline(&objects, "n1", &question).expect("a node");
        views.into_iter().map(|view| (view.name, view.passes, view.reason)).collect()
    }

    #[test]
    fn objects_alone_say_which_rule_decides() {
        let row = |passes, reason: &str| ("rack".to_string(), passes, reason.to_string());
        assert_eq!(
            tested("10.0.0.254", "10.244.1.0/24"),
            [
                row(Some(false), "refused by rule 1 of importV4 in BGPFilter/tor"),
                row(Some(true), "accepted by rule 2 of exportV4 in BGPFilter/tor"),
            ]
        );
        assert_eq!(
            tested("rack", "192.0.2.0/24"),
            [
                row(None, "no rule matches; the default policy decides"),
                row(Some(false), "refused by rule 1 of exportV4 in BGPFilter/tor"),
            ]
        );
        assert!(tested("10.0.0.253", "192.0.2.0/24").is_empty(), "that peer is another node's");
    }
}
