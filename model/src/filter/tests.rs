//! Rules held against routes, from the YAML that a cluster holds to the rule that decided.

use super::*;
use crate::object::{BgpFilter, Document, Object, parse};

struct Attributes {
    communities: Vec<Community>,
    path: Vec<u32>,
    local_pref: Option<u32>,
}

impl RouteAttributes for Attributes {
    fn has_community(&self, community: &Community) -> bool {
        self.communities.contains(community)
    }
    fn path_begins_with(&self, asns: &[Asn]) -> bool {
        self.path.len() >= asns.len() && asns.iter().zip(&self.path).all(|(a, b)| a.value() == *b)
    }
    fn local_pref(&self) -> Option<u32> {
        self.local_pref
    }
}

fn read(name: &str, spec: &str) -> Result<BgpFilter, String> {
    let text =
        format!("apiVersion: projectcalico.org/v3\nkind: BGPFilter\nmetadata: {{name: {name}}}\nspec: {{{spec}}}");
    match parse("f.yaml", &text).documents.pop() {
        Some(Document::Object(found)) => match found.object {
            Object::BgpFilter(filter) => Ok(filter),
            other => panic!("{other:?}"),
        },
        Some(Document::Bad(_, error)) => Err(error.to_string()),
        None => panic!("no document"),
    }
}

fn filter(spec: &str) -> BgpFilter {
    read("f", spec).unwrap()
}

fn matches(list: &str, rule: &str, route: &Route<'_>) -> bool {
    filter(&format!("{list}: [{{action: Accept, {rule}}}]"))
        .rules(List::ALL.into_iter().find(|l| l.name() == list).unwrap())[0]
        .matches(route)
}

fn bare(prefix: &str) -> Route<'static> {
    Route {
        prefix: prefix.parse().unwrap(),
        source: RouteSource::Peer,
        peer_type: PeerType::External,
        interface: None,
        attributes: &NoAttributes,
    }
}

#[test]
fn a_prefix_matches_by_operator_and_length() {
    let lengths = "prefixLength: {min: 24, max: 26}";
    for (rule, prefix, expected) in [
        ("cidr: 10.0.0.0/16, matchOperator: In", "10.0.0.0/16", true),
        ("cidr: 10.0.0.0/16, matchOperator: In", "10.0.5.0/24", true),
        ("cidr: 10.0.0.0/16, matchOperator: In", "10.0.0.0/15", false),
        ("cidr: 10.0.0.0/16, matchOperator: In", "10.1.0.0/16", false),
        ("cidr: 10.0.0.0/16, matchOperator: NotIn", "10.1.0.0/16", true),
        ("cidr: 10.0.0.0/16, matchOperator: NotIn", "10.0.9.9/32", false),
        ("cidr: 10.0.0.0/16, matchOperator: Equal", "10.0.0.0/16", true),
        ("cidr: 10.0.0.0/16, matchOperator: Equal", "10.0.0.0/17", false),
        ("cidr: 10.0.0.0/16, matchOperator: NotEqual", "10.0.0.0/17", true),
        ("cidr: 10.0.0.0/16, matchOperator: NotEqual", "10.0.0.0/16", false),
        ("cidr: 0.0.0.0/0, matchOperator: Equal", "0.0.0.0/0", true),
        ("cidr: 0.0.0.0/0, matchOperator: In, prefixLength: {max: 0}", "0.0.0.0/0", true),
        ("cidr: 0.0.0.0/0, matchOperator: In, prefixLength: {max: 0}", "10.0.0.0/8", false),
        (&format!("cidr: 10.0.0.0/16, matchOperator: In, {lengths}"), "10.0.0.0/23", false),
        (&format!("cidr: 10.0.0.0/16, matchOperator: In, {lengths}"), "10.0.0.0/24", true),
        (&format!("cidr: 10.0.0.0/16, matchOperator: In, {lengths}"), "10.0.0.64/26", true),
        (&format!("cidr: 10.0.0.0/16, matchOperator: In, {lengths}"), "10.0.0.0/27", false),
        (&format!("cidr: 10.0.0.0/16, matchOperator: NotIn, {lengths}"), "10.0.0.0/27", true),
        (&format!("cidr: 10.0.0.0/16, matchOperator: NotIn, {lengths}"), "10.0.0.0/25", false),
        ("cidr: '', matchOperator: ''", "10.0.0.0/25", true),
    ] {
        assert_eq!(matches("importV4", rule, &bare(prefix)), expected, "{rule} {prefix}");
    }
    assert!(matches("exportV6", "cidr: 'fd00::/8', matchOperator: In", &bare("fd00:1::/64")));
    assert!(!matches("exportV6", "cidr: 'fd00::/8', matchOperator: In", &bare("2001:db8::/64")));
}

#[test]
fn everything_that_a_rule_names_must_be_so() {
    let attributes = Attributes {
        communities: vec![Community::Standard(65000, 100), Community::Large(65000, 1, 2)],
        path: vec![64601, 65000],
        local_pref: Some(2_147_483_647 - 512),
    };
    let learned = Route { interface: Some("eth0"), attributes: &attributes, ..bare("192.0.2.0/24") };
    let own = Route { source: RouteSource::Own, peer_type: PeerType::Internal, ..bare("192.0.2.0/24") };
    for (rule, of_learned, of_own) in [
        ("source: RemotePeers", true, false),
        ("interface: eth0", true, false),
        ("interface: 'eth*'", true, false),
        ("interface: '*.calico'", false, false),
        ("peerType: eBGP", true, false),
        ("peerType: iBGP", false, true),
        ("communities: {values: ['65000:100']}", true, false),
        ("communities: {values: ['65000:1:2']}", true, false),
        ("communities: {values: ['65000:101']}", false, false),
        ("asPathPrefix: [64601]", true, false),
        ("asPathPrefix: [64601, 65000]", true, false),
        ("asPathPrefix: [65000]", false, false),
        ("asPathPrefix: [64601, 65000, 1]", false, false),
        ("priority: 512", true, false),
        ("priority: 1024", false, true),
        ("peerType: eBGP, interface: eth1", false, false),
        ("cidr: 192.0.2.0/24, matchOperator: Equal, peerType: eBGP, asPathPrefix: [64601]", true, false),
    ] {
        assert_eq!(matches("exportV4", rule, &learned), of_learned, "learned: {rule}");
        assert_eq!(matches("exportV4", rule, &own), of_own, "own: {rule}");
    }
}

#[test]
fn the_first_rule_that_matches_decides_and_is_named() {
    let tor = read(
        "tor",
        "importV4: [{action: Reject, cidr: 10.1.0.0/16, matchOperator: In}, \
                    {action: Accept, cidr: 10.0.0.0/8, matchOperator: In, operations: [{setPriority: {value: 512}}]}]",
    );
    let rest = read(
        "rest",
        "importV4: [{action: Reject, cidr: 192.0.2.0/24, matchOperator: Equal}], exportV4: [{action: Reject}]",
    );
    let (tor, rest) = (tor.unwrap(), rest.unwrap());
    let filters = Filters::new([("tor", Some(&tor)), ("rest", Some(&rest))].into_iter());
    let chain = filters.chain(Direction::Import, Family::Ipv4);
    for (prefix, passes, words) in [
        ("10.1.2.0/24", Some(false), "rule 1 of importV4 in BGPFilter/tor"),
        ("10.2.0.0/24", Some(true), "rule 2 of importV4 in BGPFilter/tor"),
        ("192.0.2.0/24", Some(false), "rule 1 of importV4 in BGPFilter/rest"),
        ("198.51.100.0/24", None, "no rule matches"),
    ] {
        let decision = chain.judge(&bare(prefix));
        assert_eq!((decision.passes(), chain.words(decision).as_str()), (passes, words), "{prefix}");
    }
    assert_eq!(chain.operations(chain.judge(&bare("10.2.0.0/24"))), [Operation::SetPriority(512)]);
    assert_eq!(chain.operations(chain.judge(&bare("10.1.0.0/24"))), []);
    let ipv6 = filters.chain(Direction::Import, Family::Ipv6);
    assert_eq!(ipv6.judge(&bare("2001:db8::/32")), Decision::NoMatch);
}

#[test]
fn while_a_filter_does_not_exist_nothing_passes() {
    let open = filter("importV4: [{action: Accept}]");
    let filters = Filters::new([("f", Some(&open)), ("gone", None)].into_iter());
    for direction in [Direction::Import, Direction::Export] {
        let chain = filters.chain(direction, Family::Ipv4);
        let decision = chain.judge(&bare("10.0.0.0/8"));
        assert_eq!(decision.passes(), Some(false));
        assert_eq!(chain.words(decision), "BGPFilter/gone, which does not exist: nothing passes until it does");
    }
}

#[test]
fn a_rule_that_cannot_be_meant_names_its_list_number_and_field() {
    for (spec, error) in [
        ("importV4: [{action: accept}]", "spec.importV4[0].action: must be Accept or Reject, not \"accept\""),
        ("importV4: [{action: Accept}, {}]", "spec.importV4[1]: missing field `action`"),
        ("exportV4: [{action: Accept, colour: red}]", "spec.exportV4[0].colour: unknown field `colour`"),
        ("importV5: []", "spec.importV5: unknown field `importV5`"),
        ("importV4: [{action: Accept, cidr: 10.0.0.0/8}]", "spec.importV4[0].matchOperator: is missing"),
        ("importV4: [{action: Accept, matchOperator: In}]", "spec.importV4[0].cidr: is missing"),
        ("importV4: [{action: Accept, prefixLength: {min: 8}}]", "spec.importV4[0].cidr: is missing"),
        (
            "importV4: [{action: Accept, cidr: 10.0.0.0/8, matchOperator: Within}]",
            "spec.importV4[0].matchOperator: must be Equal or NotEqual or In or NotIn, not \"Within\"",
        ),
        (
            "importV4: [{action: Accept, cidr: 'fd00::/8', matchOperator: In}]",
            "spec.importV4[0].cidr: fd00::/8 is not ipv4, as all of importV4 is",
        ),
        (
            "exportV6: [{action: Accept, cidr: 10.0.0.0/8, matchOperator: In}]",
            "spec.exportV6[0].cidr: 10.0.0.0/8 is not ipv6, as all of exportV6 is",
        ),
        ("importV4: [{action: Accept, cidr: 10.0.0.1/8, matchOperator: In}]", "spec.importV4[0].cidr: "),
        (
            "importV4: [{action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {max: 33}}]",
            "spec.importV4[0].prefixLength: 8 to 33 is no range",
        ),
        (
            "importV4: [{action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {min: 24, max: 16}}]",
            "spec.importV4[0].prefixLength: 24 to 16 is no range",
        ),
        ("importV4: [{action: Accept, source: Anybody}]", "spec.importV4[0].source: must be RemotePeers"),
        ("importV4: [{action: Accept, peerType: ebgp}]", "spec.importV4[0].peerType: must be eBGP or iBGP"),
        ("importV4: [{action: Accept, interface: 'a b'}]", "spec.importV4[0].interface: "),
        ("importV4: [{action: Accept, communities: {values: []}}]", "spec.importV4[0].communities.values: "),
        (
            "importV4: [{action: Accept, communities: {values: ['1:70000']}}]",
            "spec.importV4[0].communities.values[0]: ",
        ),
        ("importV4: [{action: Accept, asPathPrefix: [0]}]", "spec.importV4[0].asPathPrefix[0]: "),
        ("importV4: [{action: Accept, priority: 0}]", "spec.importV4[0].priority: "),
        (
            "importV4: [{action: Reject, operations: [{setPriority: {value: 1}}]}]",
            "spec.importV4[0].operations: excludes action Reject",
        ),
        ("importV4: [{action: Accept, operations: [{}]}]", "spec.importV4[0].operations[0]: must be exactly one of"),
        (
            "importV4: [{action: Accept, operations: [{setPriority: {value: 0}}]}]",
            "spec.importV4[0].operations[0].setPriority.value: ",
        ),
        (
            "importV4: [{action: Accept, operations: [{prependASPath: {prefix: []}}]}]",
            "spec.importV4[0].operations[0].prependASPath.prefix: ",
        ),
    ] {
        let said = read("f", spec).unwrap_err();
        assert!(said.starts_with(&format!("f.yaml: BGPFilter/f: {error}")), "{spec}: {said}");
    }
}

#[test]
fn a_priority_and_its_local_pref_are_each_others_complement() {
    assert_eq!(local_pref_for(1024), 2_147_482_623);
    assert_eq!(priority_of(Some(local_pref_for(77))), 77);
    assert_eq!(priority_of(None), NORMAL_PRIORITY);
    assert_eq!(priority_of(Some(u32::MAX)), 0, "a LOCAL_PREF that no priority has");
}
