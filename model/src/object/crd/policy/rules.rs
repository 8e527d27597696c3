//! What a server checks of Calico's policies beyond their types.

use super::super::{Rule, rule};

/// The lists of rules of a policy.
pub(super) const LISTS: [&str; 2] = ["spec.ingress", "spec.egress"];
/// The most rules in one list (Calico's bound).
pub(super) const MOST: usize = 1024;

/// A prefix or an address.
pub(super) fn prefix(at: &'static str) -> Rule {
    rule(at, "isCIDR(self) || isIP(self)", "must be a prefix in CIDR notation, or an address")
}

/// Of a policy whose selectors are these fields.
pub(super) fn of_policy(selectors: &[&str]) -> Vec<Rule> {
    let mut all: Vec<Rule> = selectors
        .iter()
        .map(|name| Rule {
            at: format!("spec.{name}").into(),
            rule: "!self.contains('global(')".into(),
            message: "global() is for namespaceSelector of source and destination",
        })
        .collect();
    for list in LISTS {
        all.extend(of_rules(list));
    }
    all
}

pub(super) fn of_global_policy() -> Vec<Rule> {
    let mut all = vec![
        rule(
            "spec",
            "!(has(self.doNotTrack) && self.doNotTrack && has(self.preDNAT) && self.preDNAT)",
            "preDNAT and doNotTrack exclude each other",
        ),
        rule(
            "spec",
            "!has(self.preDNAT) || !self.preDNAT || ((!has(self.egress) || self.egress.size() == 0) && \
             (!has(self.types) || !self.types.exists(type, type == 'Egress')))",
            "preDNAT is for ingress only",
        ),
        rule(
            "spec",
            "(has(self.applyOnForward) && self.applyOnForward) || \
             !((has(self.preDNAT) && self.preDNAT) || (has(self.doNotTrack) && self.doNotTrack))",
            "preDNAT and doNotTrack need applyOnForward",
        ),
    ];
    all.extend(of_policy(&["selector", "namespaceSelector", "serviceAccountSelector"]));
    all.extend(LISTS.map(|list| {
        Rule {
            at: format!("{list}[]").into(),
            rule: "(!has(self.source) || !has(self.source.services) || has(self.source.services.namespace)) && \
               (!has(self.destination) || !has(self.destination.services) || has(self.destination.services.namespace))"
                .into(),
            message: "services.namespace is missing: the policy has none",
        }
    }));
    all
}

/// Whether a protocol is one of some, by name or number. In CEL.
fn is_one_of(field: &str, names: &str) -> String {
    format!("(has(self.{field}) && string(self.{field}) in [{names}])")
}

fn of_rules(list: &str) -> Vec<Rule> {
    let with_ports = is_one_of("protocol", "'TCP', 'UDP', 'SCTP', '6', '17', '132'");
    let icmp = is_one_of("protocol", "'ICMP', 'ICMPv6', '1', '58'");
    let of_family = |field: &str, names: &str, family: u8| {
        format!("!{} || !has(self.ipVersion) || self.ipVersion == {family}", is_one_of(field, names))
    };
    let ports = |side: &str| {
        format!(
            "(!has(self.{side}) || ((!has(self.{side}.ports) || self.{side}.ports.size() == 0) && \
             (!has(self.{side}.notPorts) || self.{side}.notPorts.size() == 0)))"
        )
    };
    let (here, elsewhere) = if list == "spec.ingress" { ("source", "destination") } else { ("destination", "source") };
    let mut all = vec![
        (
            format!("{with_ports} || ({} && {})", ports("source"), ports("destination")),
            "ports need protocol TCP, UDP or SCTP",
        ),
        (format!("(!has(self.icmp) && !has(self.notICMP)) || {icmp}"), "icmp and notICMP need protocol ICMP or ICMPv6"),
        (of_family("protocol", "'ICMP', '1'", 4), "protocol ICMP is of ipVersion 4"),
        (of_family("protocol", "'ICMPv6', '58'", 6), "protocol ICMPv6 is of ipVersion 6"),
        (of_family("notProtocol", "'ICMP', '1'", 4), "protocol ICMP is of ipVersion 4"),
        (of_family("notProtocol", "'ICMPv6', '58'", 6), "protocol ICMPv6 is of ipVersion 6"),
        (
            format!("!has(self.{elsewhere}) || !has(self.{elsewhere}.services)"),
            match here {
                "source" => "services must be under source in an ingress rule",
                _ => "services must be under destination in an egress rule",
            },
        ),
    ];
    if list == "spec.egress" {
        all.push((
            format!("!has(self.destination) || !has(self.destination.services) || {}", ports("destination")),
            "services exclude ports: a Service has ports of its own",
        ));
        all.push(("!has(self.http)".into(), "http is for ingress rules with action Allow only"));
    } else {
        all.push((
            format!(
                "!has(self.http) || (self.action == 'Allow' && (!has(self.protocol) || {}))",
                is_one_of("protocol", "'TCP', '6'")
            ),
            "http is for ingress rules with action Allow and protocol TCP, or none, only",
        ));
    }
    let mut rules: Vec<Rule> = all
        .into_iter()
        .map(|(rule, message)| Rule { at: format!("{list}[]").into(), rule: rule.into(), message })
        .collect();
    for side in ["source", "destination"] {
        rules.extend(of_entity(&format!("{list}[].{side}")));
    }
    for icmp in ["icmp", "notICMP"] {
        rules.push(Rule {
            at: format!("{list}[].{icmp}").into(),
            rule: "!has(self.code) || has(self.type)".into(),
            message: "code needs a type",
        });
    }
    rules
}

fn of_entity(at: &str) -> Vec<Rule> {
    let empty = |field: &str| format!("(!has(self.{field}) || self.{field}.size() == 0)");
    let beside = ["selector", "notSelector", "namespaceSelector", "nets", "notNets"].map(empty).join(" && ");
    let mut rules = vec![
        Rule {
            at: at.to_string().into(),
            rule: format!("!has(self.services) || ({beside} && !has(self.serviceAccounts))").into(),
            message: "services exclude selectors, nets and serviceAccounts",
        },
        Rule {
            at: format!("{at}.services").into(),
            rule: "has(self.name) && self.name != ''".into(),
            message: "name is missing",
        },
        Rule {
            at: format!("{at}.namespaceSelector").into(),
            rule: r"!self.contains('global(') || self.matches('^[ \t]*global\\([ \t]*\\)[ \t]*$')".into(),
            message: "global() must stand alone",
        },
    ];
    for selector in ["selector", "notSelector"] {
        rules.push(Rule {
            at: format!("{at}.{selector}").into(),
            rule: "!self.contains('global(')".into(),
            message: "global() is for namespaceSelector of source and destination",
        });
    }
    rules
}
