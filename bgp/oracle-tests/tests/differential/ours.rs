//! What we see.

use bgp::wire::{Context, Framer, Message, PeerKind};
use model::Asn;

use crate::View;

pub fn decode(octets: &[u8]) -> View {
    let context = Context::new(PeerKind::Internal, Asn::new(65000).unwrap());
    let mut framer = Framer::new();
    framer.push(octets);
    let frame = framer.next_frame().unwrap().unwrap();
    let Ok(Message::Update(update)) = Message::decode(frame, &context) else { panic!("not an UPDATE") };
    assert_eq!(update.errors, []);
    let mut view = View::default();
    for withdrawn in &update.withdrawn {
        view.withdrawn.extend(withdrawn.iter().map(|n| n.to_string()));
    }
    for r in &update.reachable {
        view.reachable.extend(r.nlri.iter().map(|n| n.to_string()));
        let a = &r.attributes;
        view.origin = a.origin.to_string();
        view.path = a.as_path().asns().map(Asn::value).collect();
        view.next_hop = a.next_hop.to_string();
        view.med = a.med;
        view.local_pref = a.local_pref;
        view.atomic_aggregate = a.is_atomic_aggregate();
        view.aggregator = a.aggregator().map(|a| format!("{} {}", a.asn, a.address)).unwrap_or_default();
        view.originator = a.originator_id().map(|id| id.to_string()).unwrap_or_default();
        view.clusters = a.cluster_list().map(|id| id.0).collect();
        view.communities = a.communities().map(|c| c.0).collect();
        view.extended = a.extended_communities().map(|c| c.0).collect();
        view.large = a.large_communities().map(|c| [c.global, c.first, c.second]).collect();
    }
    view
}
