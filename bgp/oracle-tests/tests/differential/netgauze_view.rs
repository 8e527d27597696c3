//! What netgauze-bgp-pkt sees, and what it writes.

use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::path_attribute::{Aggregator, AsPath, MpReach, MpUnreach, Origin, PathAttributeValue};
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;

use crate::View;

fn parse(octets: &[u8]) -> BgpMessage {
    let mut context = BgpParsingContext::asn2_default();
    context.set_asn4(true);
    let mut reader = SliceReader::new(octets);
    let message = BgpMessage::parse(&mut reader, &mut context).expect("it reads what we write");
    assert!(reader.is_empty());
    message
}

pub fn encode(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    parse(octets).write(&mut out).expect("it writes what it read");
    out
}

pub fn decode(octets: &[u8]) -> View {
    let BgpMessage::Update(update) = parse(octets) else { panic!("not an UPDATE") };
    let mut view = View::default();
    view.reachable.extend(update.nlri().iter().map(|n| n.network().to_string()));
    view.withdrawn.extend(update.withdraw_routes().iter().map(|n| n.network().to_string()));
    for attribute in update.path_attributes() {
        match attribute.value() {
            PathAttributeValue::Origin(origin) => {
                let name = match origin {
                    Origin::IGP => "igp",
                    Origin::EGP => "egp",
                    Origin::Incomplete => "incomplete",
                };
                view.origin = name.to_string();
            }
            PathAttributeValue::AsPath(AsPath::As4PathSegments(segments)) => {
                view.path = segments.iter().flat_map(|s| s.as_numbers().to_vec()).collect();
            }
            PathAttributeValue::NextHop(next_hop) => view.next_hop = next_hop.next_hop().to_string(),
            PathAttributeValue::MultiExitDiscriminator(n) => view.med = Some(n.metric()),
            PathAttributeValue::LocalPreference(n) => view.local_pref = Some(n.metric()),
            PathAttributeValue::AtomicAggregate(_) => view.atomic_aggregate = true,
            PathAttributeValue::Aggregator(Aggregator::As4Aggregator(a)) => {
                view.aggregator = format!("{} {}", a.asn(), a.origin());
            }
            PathAttributeValue::Originator(id) => view.originator = id.id().to_string(),
            PathAttributeValue::ClusterList(list) => {
                view.clusters = list.cluster_list().iter().map(|id| id.id().to_bits()).collect();
            }
            PathAttributeValue::Communities(all) => {
                view.communities = all.communities().iter().map(|c| c.value()).collect();
            }
            PathAttributeValue::ExtendedCommunities(all) => {
                view.extended = all
                    .communities()
                    .iter()
                    .map(|c| {
                        let mut octets = Vec::new();
                        c.write(&mut octets).unwrap();
                        octets.try_into().expect("eight octets")
                    })
                    .collect();
            }
            PathAttributeValue::LargeCommunities(all) => {
                let parts = all.communities().iter();
                view.large = parts.map(|c| [c.global_admin(), c.local_data1(), c.local_data2()]).collect();
            }
            PathAttributeValue::MpReach(MpReach::Ipv6Unicast { next_hop_global, next_hop_local: None, nlri }) => {
                view.next_hop = next_hop_global.to_string();
                view.reachable.extend(nlri.iter().map(|n| n.network().to_string()));
            }
            PathAttributeValue::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => {
                view.withdrawn.extend(nlri.iter().map(|n| n.network().to_string()));
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    view
}
