//! BGPPeer, as Calico's `api/pkg/apis/projectcalico/v3/bgppeer.go` has it, with margay's own fields.

use super::Shown::{Always, Wide};
use super::status::Status;
use super::{Column, Definition, Rule, column, keyword, rule, schema};
use crate::object::bgp_peer::BgpPeerSpec;

pub(super) fn definition() -> Definition {
    Definition {
        status: Some(schema::<Status>()),
        rules: rules(),
        keywords: vec![
            keyword("spec.node", "maxLength", 253),
            keyword("spec.nodeSelector", "maxLength", 4096),
            keyword("spec.peerSelector", "maxLength", 4096),
            keyword("spec.localWorkloadSelector", "maxLength", 4096),
            keyword("spec.peerIP", "maxLength", 80),
            keyword("spec.peerInterface", "maxLength", 15),
            keyword("spec.reachableBy", "maxLength", 45),
            keyword("spec.filters", "x-kubernetes-list-type", "atomic"),
            keyword("spec.ttlSecurity", "minimum", 1),
            keyword("spec.numAllowedLocalASNumbers", "minimum", 0),
            keyword("spec.numAllowedLocalASNumbers", "maximum", 255),
            keyword("spec.maxPrefixes", "minimum", 1),
            keyword("spec.maxPrefixesWarning", "minimum", 1),
            keyword("spec.maxPrefixesWarning", "maximum", 100),
            keyword("spec.maxDynamicPeers", "minimum", 1),
            keyword("spec.addPathLimit", "minimum", 1),
            keyword("spec.addPathLimit", "maximum", 128),
            keyword("spec.bfd.multiplier", "minimum", 1),
        ],
        ..Definition::new::<BgpPeerSpec>(
            "BGPPeer",
            "bgppeers",
            &["bgpp"],
            "Whom to peer with, and from which nodes.",
            COLUMNS,
        )
    }
}

const COLUMNS: &[Column] = &[
    column("PeerIP", "string", ".spec.peerIP", Always),
    column("PeerSelector", "string", ".spec.peerSelector", Always),
    column("Interface", "string", ".spec.peerInterface", Wide),
    column("ListenRange", "string", ".spec.listenRange", Wide),
    column("ASN", "string", ".spec.asNumber", Always),
    column("Node", "string", ".spec.node", Always),
    column("NodeSelector", "string", ".spec.nodeSelector", Always),
    column("Filters", "string", ".spec.filters", Wide),
];

/// Whether a text is a duration as Go and [`crate::object::GoDuration`] read it.
pub(super) const DURATION: &str = r"self.matches('^(0|([0-9]+(\\.[0-9]*)?(h|m|s|ms|us|µs|ns))+)$')";

/// A bound on a duration; what is no duration is [`DURATION`]'s to say.
pub(super) fn duration(at: &'static str, least: &str, most: &str, message: &'static str) -> Rule {
    let not_one = DURATION.replacen("self", "!self", 1);
    let expression =
        format!("{not_one} || (duration(self) >= duration('{least}') && duration(self) <= duration('{most}'))");
    Rule { rule: expression.into(), ..rule(at, "", message) }
}

/// An AS number: plain, or dotted as RFC 5396 has it.
pub(super) const fn as_number(at: &'static str) -> Rule {
    rule(
        at,
        "type(self) == int ? (self >= 1 && self <= 4294967295) : \
         (self.matches('^[1-9][0-9]{0,9}$') && int(self) <= 4294967295) || \
         (self.matches('^[0-9]{1,5}[.][0-9]{1,5}$') && self != '0.0' && \
         int(self.split('.')[0]) <= 65535 && int(self.split('.')[1]) <= 65535)",
        "must be an AS number: 1 to 4294967295, or dotted as \"1.10\"",
    )
}

const EXCLUSIVE: &[Rule] = &[
    rule(
        "spec",
        "!has(self.node) || self.node == '' || !has(self.nodeSelector) || self.nodeSelector == ''",
        "node and nodeSelector exclude each other",
    ),
    rule(
        "spec",
        "[(has(self.peerIP) && self.peerIP != '') || (has(self.peerInterface) && self.peerInterface != ''), \
         has(self.peerSelector) && self.peerSelector != '', has(self.listenRange) && self.listenRange != '', \
         has(self.localWorkloadSelector) && self.localWorkloadSelector != ''].filter(given, given).size() == 1",
        "say whom to peer with: exactly one of peerIP, peerSelector, listenRange, peerInterface, localWorkloadSelector \
         (peerInterface may go with a link-local peerIP)",
    ),
    rule(
        "spec",
        "!has(self.peerSelector) || self.peerSelector == '' || (!has(self.asNumber) && !has(self.peerType))",
        "asNumber and peerType exclude peerSelector: nodes have their own AS",
    ),
    rule(
        "spec",
        "(has(self.peerSelector) && self.peerSelector != '') || has(self.asNumber) || has(self.peerType)",
        "asNumber is missing (or peerType: eBGP or iBGP)",
    ),
    rule("spec", "!has(self.asNumber) || !has(self.peerType)", "asNumber and peerType exclude each other"),
    rule(
        "spec",
        "!has(self.localWorkloadSelector) || self.localWorkloadSelector == '' || has(self.asNumber)",
        "localWorkloadSelector needs asNumber",
    ),
    rule(
        "spec",
        "!has(self.reachableBy) || self.reachableBy == '' || (has(self.peerIP) && self.peerIP != '') || \
         (has(self.peerSelector) && self.peerSelector != '')",
        "reachableBy is for a peerIP or peerSelector only",
    ),
    rule("spec", "!has(self.maxDynamicPeers) || has(self.listenRange)", "maxDynamicPeers needs listenRange"),
    rule("spec", "!has(self.roleStrict) || !self.roleStrict || has(self.role)", "roleStrict needs role"),
    rule(
        "spec",
        "has(self.maxPrefixes) || \
         !(has(self.maxPrefixesAction) || has(self.maxPrefixesRestartTime) || has(self.maxPrefixesWarning))",
        "maxPrefixesAction, maxPrefixesRestartTime and maxPrefixesWarning need maxPrefixes",
    ),
    rule(
        "spec",
        "!has(self.maxPrefixesRestartTime) || !has(self.maxPrefixesAction) || self.maxPrefixesAction == 'Restart'",
        "maxPrefixesRestartTime is for maxPrefixesAction: Restart",
    ),
];

const FIELDS: &[Rule] = &[
    as_number("spec.asNumber"),
    as_number("spec.localASNumber"),
    rule(
        "spec.peerIP",
        "self == '' || (self.matches('^[0-9a-fA-F:.]+(%[^%/: ]{1,15})?$') && isIP(self.split('%')[0])) || \
         (self.matches('^[0-9.]+:[0-9]{1,5}$') && isIP(self.split(':')[0]) && \
         int(self.split(':')[1]) >= 1 && int(self.split(':')[1]) <= 65535) || \
         (self.matches('^[[][0-9a-fA-F:.]+(%[^%/: ]{1,15})?[]]:[0-9]{1,5}$') && \
         isIP(self.substring(1, self.indexOf(']')).split('%')[0]) && \
         int(self.substring(self.indexOf(']:') + 2)) >= 1 && int(self.substring(self.indexOf(']:') + 2)) <= 65535)",
        "must be an address, IPv4:port or [IPv6]:port; a link-local one as fe80::1%eth0",
    ),
    rule(
        "spec.listenRange",
        "isCIDR(self) && cidr(self).masked() == cidr(self)",
        "must be a prefix in CIDR notation without host bits, such as 10.0.0.0/16",
    ),
    rule("spec.reachableBy", "self == '' || isIP(self)", "must be the address of a gateway"),
    rule(
        "spec.sourceAddress",
        "self == '' || self == 'UseNodeIP' || self == 'None' || isIP(self)",
        "must be UseNodeIP, None or an address of the node",
    ),
];

fn rules() -> Vec<Rule> {
    let mut rules = [EXCLUSIVE, FIELDS].concat();
    for (at, least, most, message) in [
        ("spec.maxRestartTime", "0s", "4095s", "must be at most 4095s (RFC 4724 §3)"),
        ("spec.longLivedRestartTime", "0s", "16777215s", "must be at most 16777215s (RFC 9494 §3.1)"),
        ("spec.keepaliveTime", "1s", "65535s", "must be at least 1s"),
        ("spec.maxPrefixesRestartTime", "1s", "24h", "must be 1s to 24h"),
        ("spec.bfd.minTxInterval", "10ms", "60s", "must be 10ms to 60s"),
        ("spec.bfd.minRxInterval", "10ms", "60s", "must be 10ms to 60s"),
        ("spec.holdTime", "0s", "65535s", "must be 0s, or 3s to 65535s (RFC 4271 §4.2)"),
    ] {
        rules.push(rule(at, DURATION, "must be a duration such as 90s or 1m30s"));
        rules.push(duration(at, least, most, message));
    }
    let not_one = |field: &str| DURATION.replacen("self", &format!("!self{field}"), 1);
    let hold = Rule {
        rule: format!("{} || duration(self) >= duration('3s') || duration(self) == duration('0s')", not_one("")).into(),
        ..rule("spec.holdTime", "", "must be 0s, or 3s to 65535s (RFC 4271 §4.2)")
    };
    let keepalive = Rule {
        rule: format!(
            "!has(self.keepaliveTime) || {} || (has(self.holdTime) && {}) || duration(self.keepaliveTime) <= \
             (has(self.holdTime) && duration(self.holdTime) > duration('3s') ? duration(self.holdTime) : \
             duration(has(self.holdTime) ? '3s' : '90s'))",
            not_one(".keepaliveTime"),
            not_one(".holdTime"),
        )
        .into(),
        ..rule("spec", "", "keepaliveTime must be at most holdTime (90s where not given)")
    };
    rules.extend([hold, keepalive]);
    rules
}
