//! What bgpkit-parser sees.

use bgpkit_parser::models::{
    AsPathSegment, AsnLength, AttributeValue, BgpMessage, Community, ExtendedCommunity, NextHopAddress, Origin,
};
use bgpkit_parser::parser::bgp::messages::parse_bgp_message;

use crate::View;
use crate::sample::Sample;

/// It takes a prefix of length 0 for the beginning of a path identifier.
pub fn can_read(sample: &Sample) -> bool {
    sample.four.iter().all(|n| n.prefix.length() > 0) && sample.six.iter().all(|n| n.prefix.length() > 0)
}

pub fn decode(octets: &[u8]) -> View {
    let mut input = octets.to_vec().into();
    let message = parse_bgp_message(&mut input, false, &AsnLength::Bits32).expect("it reads what we write");
    let BgpMessage::Update(update) = message else { panic!("not an UPDATE") };
    let mut view = View::default();
    view.reachable.extend(update.announced_prefixes.iter().map(|n| n.prefix.to_string()));
    view.withdrawn.extend(update.withdrawn_prefixes.iter().map(|n| n.prefix.to_string()));
    for attribute in update.attributes {
        match attribute {
            AttributeValue::Origin(origin) => {
                let name = match origin {
                    Origin::IGP => "igp",
                    Origin::EGP => "egp",
                    Origin::INCOMPLETE => "incomplete",
                };
                view.origin = name.to_string();
            }
            AttributeValue::AsPath(path) => {
                view.path = path
                    .segments
                    .iter()
                    .flat_map(|s| match s {
                        AsPathSegment::AsSequence(asns) => asns.iter().map(|a| a.to_u32()).collect::<Vec<_>>(),
                        other => panic!("unexpected: {other:?}"),
                    })
                    .collect();
            }
            AttributeValue::NextHop(address) => view.next_hop = address.to_string(),
            AttributeValue::MultiExitDiscriminator(n) => view.med = Some(n),
            AttributeValue::LocalPreference(n) => view.local_pref = Some(n),
            AttributeValue::AtomicAggregate => view.atomic_aggregate = true,
            AttributeValue::Aggregator { asn, id } => view.aggregator = format!("{} {id}", asn.to_u32()),
            AttributeValue::OriginatorId(id) => view.originator = id.to_string(),
            AttributeValue::Clusters(list) => view.clusters = list,
            AttributeValue::Communities(all) => view.communities = all.into_iter().map(community).collect(),
            AttributeValue::ExtendedCommunities(all) => view.extended = all.into_iter().map(extended).collect(),
            AttributeValue::LargeCommunities(all) => {
                let parts = |[first, second]: [u32; 2], global| [global, first, second];
                view.large = all.into_iter().map(|c| parts(c.local_data, c.global_admin)).collect();
            }
            AttributeValue::MpReachNlri(nlri) => {
                view.next_hop = match nlri.next_hop {
                    Some(NextHopAddress::Ipv6(address)) => address.to_string(),
                    other => panic!("unexpected: {other:?}"),
                };
                view.reachable.extend(nlri.prefixes.iter().map(|n| n.prefix.to_string()));
            }
            AttributeValue::MpUnreachNlri(nlri) => {
                view.withdrawn.extend(nlri.prefixes.iter().map(|n| n.prefix.to_string()));
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    view
}

fn community(c: Community) -> u32 {
    match c {
        Community::NoExport => 0xffff_ff01,
        Community::NoAdvertise => 0xffff_ff02,
        Community::NoExportSubConfed => 0xffff_ff03,
        Community::Custom(asn, value) => asn.to_u32() << 16 | u32::from(value),
    }
}

fn extended(c: ExtendedCommunity) -> [u8; 8] {
    match c {
        ExtendedCommunity::TransitiveTwoOctetAs(c) => {
            let [a, b] = u16::try_from(c.global_admin.to_u32()).unwrap().to_be_bytes();
            let [w, x, y, z] = c.local_admin;
            [0, c.subtype, a, b, w, x, y, z]
        }
        other => panic!("unexpected: {other:?}"),
    }
}
