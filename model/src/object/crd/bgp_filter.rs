//! BGPFilter, as Calico's `api/pkg/apis/projectcalico/v3/bgpfilter.go` has it.

use super::status::Status;
use super::{Definition, Keyword, Rule, keyword, rule, schema};
use crate::Family;
use crate::filter::List;
use crate::object::bgp_filter::{BgpFilterSpec, OPERATIONS, RULES};

pub(super) fn definition() -> Definition {
    Definition {
        status: Some(schema::<Status>()),
        rules: List::ALL.into_iter().flat_map(rules).collect(),
        keywords: List::ALL.into_iter().flat_map(keywords).collect(),
        ..Definition::new::<BgpFilterSpec>(
            "BGPFilter",
            "bgpfilters",
            &["bgpf"],
            "Which routes are taken from a peer and told to it; a BGPPeer names it under filters.",
            &[],
        )
    }
}

/// Rules of each item of a list.
fn rules(list: List) -> Vec<Rule> {
    let of_family = match list.family() {
        Family::Ipv4 => rule(
            "cidr",
            "self == '' || (isCIDR(self) && cidr(self).ip().family() == 4 && cidr(self).masked() == cidr(self))",
            "must be an IPv4 prefix without host bits, such as 10.244.0.0/16",
        ),
        Family::Ipv6 => rule(
            "cidr",
            "self == '' || (isCIDR(self) && cidr(self).ip().family() == 6 && cidr(self).masked() == cidr(self))",
            "must be an IPv6 prefix without host bits, such as fd00:10:244::/48",
        ),
    };
    let mut rules = vec![
        of_family,
        rule(
            "",
            "(has(self.cidr) && self.cidr != '') == (has(self.matchOperator) && self.matchOperator != '')",
            "cidr and matchOperator need each other",
        ),
        rule("", "!has(self.prefixLength) || (has(self.cidr) && self.cidr != '')", "prefixLength needs cidr"),
        rule(
            "prefixLength",
            "!has(self.min) || !has(self.max) || self.min <= self.max",
            "min must not be larger than max",
        ),
        rule(
            "",
            "self.action == 'Accept' || !has(self.operations) || self.operations.size() == 0",
            "operations are for action Accept only",
        ),
        rule(
            "operations[]",
            "[has(self.addCommunity), has(self.prependASPath), has(self.setPriority)].filter(given, given).size() == 1",
            "must be exactly one of addCommunity, prependASPath, setPriority",
        ),
    ];
    for rule in &mut rules {
        let inner = if rule.at.is_empty() { String::new() } else { format!(".{}", rule.at) };
        rule.at = format!("spec.{list}[]{inner}").into();
    }
    rules
}

fn keywords(list: List) -> Vec<Keyword> {
    let bits = list.family().bits();
    vec![
        keyword(format!("spec.{list}"), "maxItems", RULES),
        keyword(format!("spec.{list}[].cidr"), "maxLength", 49),
        keyword(format!("spec.{list}[].interface"), "maxLength", 64),
        keyword(format!("spec.{list}[].prefixLength.min"), "maximum", bits),
        keyword(format!("spec.{list}[].prefixLength.max"), "maximum", bits),
        keyword(format!("spec.{list}[].operations"), "maxItems", OPERATIONS),
        keyword(format!("spec.{list}[].communities.values"), "minItems", 1),
        keyword(format!("spec.{list}[].communities.values"), "maxItems", 1),
    ]
}
