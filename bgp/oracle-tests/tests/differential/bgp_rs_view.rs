//! What bgp-rs sees, where it can be asked: it guesses the width of AS numbers and the presence of path identifiers from the
//! octets, and leaves out what it does not know.

use bgp_rs::{ASPath, Capabilities, Message, NLRIEncoding, Origin, PathAttribute, Reader, Segment};

use crate::View;
use crate::sample::Sample;

/// No octet of the path may look like a segment of 2-octet numbers, no prefix like a path identifier.
pub fn can_read(sample: &Sample) -> bool {
    !sample.path.is_empty()
        && sample.path.iter().all(|n| *n > 0xffff)
        && sample.four.iter().all(|n| n.prefix.length() >= 16)
        && sample.six.iter().all(|n| n.prefix.length() >= 16)
        && sample.attributes.extended_communities().count() == 0
        && sample.attributes.aggregator().is_none()
}

pub fn decode(octets: &[u8]) -> View {
    let capabilities = Capabilities { FOUR_OCTET_ASN_SUPPORT: true, ..Capabilities::default() };
    let mut reader = Reader { stream: octets, capabilities };
    let (_, message) = reader.read().expect("it reads what we write");
    let Message::Update(update) = message else { panic!("not an UPDATE") };
    let mut view = View::default();
    view.reachable.extend(update.announced_routes.iter().map(prefix));
    view.withdrawn.extend(update.withdrawn_routes.iter().map(prefix));
    for attribute in &update.attributes {
        match attribute {
            PathAttribute::ORIGIN(origin) => {
                let name = match origin {
                    Origin::IGP => "igp",
                    Origin::EGP => "egp",
                    Origin::INCOMPLETE => "incomplete",
                };
                view.origin = name.to_string();
            }
            PathAttribute::AS_PATH(ASPath { segments }) => {
                view.path = segments
                    .iter()
                    .flat_map(|s| match s {
                        Segment::AS_SEQUENCE(asns) => asns.clone(),
                        Segment::AS_SET(_) => panic!("unexpected: {s:?}"),
                    })
                    .collect();
            }
            PathAttribute::NEXT_HOP(address) => view.next_hop = address.to_string(),
            PathAttribute::MULTI_EXIT_DISC(n) => view.med = Some(*n),
            PathAttribute::LOCAL_PREF(n) => view.local_pref = Some(*n),
            PathAttribute::ORIGINATOR_ID(id) => view.originator = std::net::Ipv4Addr::from_bits(*id).to_string(),
            PathAttribute::CLUSTER_LIST(list) => view.clusters.clone_from(list),
            PathAttribute::COMMUNITY(all) => view.communities.clone_from(all),
            PathAttribute::LARGE_COMMUNITY(all) => {
                view.large = all.iter().map(|(global, first, second)| [*global, *first, *second]).collect();
            }
            PathAttribute::MP_REACH_NLRI(reach) => {
                let octets: [u8; 16] = reach.next_hop.clone().try_into().expect("an IPv6 address");
                view.next_hop = std::net::Ipv6Addr::from(octets).to_string();
                view.reachable.extend(reach.announced_routes.iter().map(prefix));
            }
            PathAttribute::MP_UNREACH_NLRI(unreach) => {
                view.withdrawn.extend(unreach.withdrawn_routes.iter().map(prefix));
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    view
}

fn prefix(route: &NLRIEncoding) -> String {
    let NLRIEncoding::IP(prefix) = route else { panic!("unexpected: {route:?}") };
    format!("{}/{}", std::net::IpAddr::from(prefix), prefix.length)
}
