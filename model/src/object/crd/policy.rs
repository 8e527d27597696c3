//! The kinds of policy, as Calico's `api/pkg/apis/projectcalico/v3` has them.

mod rules;

use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::Shown::{Always, Wide};
use super::{Column, Definition, Keyword, Rule, column, keyword, rule};
use crate::object::Scope;
use crate::object::calico_policy::{CalicoNetworkPolicySpec, GlobalNetworkPolicySpec};
use crate::object::host_endpoint::HostEndpointSpec;
use crate::object::network_policy::NetworkPolicySpec;
use crate::object::network_set::NetworkSetSpec;
use crate::object::tier::TierSpec;

pub(super) fn definitions() -> Vec<Definition> {
    vec![
        network_policy(),
        global_network_policy(),
        tier(),
        sets::<NetworkSetSpec>("NetworkSet", "networksets", &["netsets"], Scope::Namespaced),
        sets::<NetworkSetSpec>("GlobalNetworkSet", "globalnetworksets", &["gns"], Scope::Cluster),
        host_endpoint(),
        staged_network_policy(),
        staged_global_network_policy(),
        staged_kubernetes_network_policy(),
    ]
}

const COLUMNS: &[Column] = &[
    column("Tier", "string", ".spec.tier", Always),
    column("Order", "number", ".spec.order", Always),
    column("Selector", "string", ".spec.selector", Wide),
];

fn network_policy() -> Definition {
    Definition {
        scope: Scope::Namespaced,
        rules: rules::of_policy(&["selector", "serviceAccountSelector"]),
        keywords: keywords(),
        ..Definition::new::<CalicoNetworkPolicySpec>(
            "NetworkPolicy",
            "networkpolicies",
            &["cnp", "caliconetworkpolicy"],
            "Who may reach pods of a namespace, and whom they may reach: Calico's rules, with order, tiers and denials.",
            COLUMNS,
        )
    }
}

fn global_network_policy() -> Definition {
    Definition {
        rules: rules::of_global_policy(),
        keywords: keywords(),
        ..Definition::new::<GlobalNetworkPolicySpec>(
            "GlobalNetworkPolicy",
            "globalnetworkpolicies",
            &["gnp", "cgnp"],
            "Who may reach pods of all namespaces and host endpoints, and whom they may reach.",
            COLUMNS,
        )
    }
}

fn staged_network_policy() -> Definition {
    staged(
        network_policy(),
        "StagedNetworkPolicy",
        "stagednetworkpolicies",
        &["snp"],
        "A NetworkPolicy of Calico's that is tried out: it is counted what it would do, and nothing is done.",
    )
}

fn staged_global_network_policy() -> Definition {
    staged(
        global_network_policy(),
        "StagedGlobalNetworkPolicy",
        "stagedglobalnetworkpolicies",
        &["sgnp"],
        "A GlobalNetworkPolicy that is tried out: it is counted what it would do, and nothing is done.",
    )
}

fn staged_kubernetes_network_policy() -> Definition {
    let of_kubernetes = Definition {
        scope: Scope::Namespaced,
        keywords: vec![keyword("spec.policyTypes", "maxItems", 2)],
        ..Definition::new::<NetworkPolicySpec>("", "", &[], "", &[])
    };
    staged(
        of_kubernetes,
        "StagedKubernetesNetworkPolicy",
        "stagedkubernetesnetworkpolicies",
        &["sknp"],
        "A NetworkPolicy of Kubernetes' that is tried out: it is counted what it would do, and nothing is done.",
    )
}

/// A kind with `stagedAction` beside the fields of another.
fn staged(
    of: Definition,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    about: &'static str,
) -> Definition {
    let action = json!({
        "type": "string", "enum": ["Set", "Delete", "Learn", "Ignore"],
        "description": "What would become of the policy of the same name: only what would be Set is counted.",
    });
    let mut spec = of.spec.as_value().clone();
    if let Some(fields) = spec.get_mut("properties").and_then(Value::as_object_mut) {
        fields.insert("stagedAction".into(), action);
    }
    let mut keywords = of.keywords;
    keywords.push(keyword("spec.stagedAction", "default", "Set"));
    // An object is always a schema.
    let spec = Schema::try_from(spec).unwrap_or_default();
    let like = Some(of.kind).filter(|kind| !kind.is_empty());
    Definition { kind, like, plural, short_names, about, spec, keywords, ..of }
}

fn tier() -> Definition {
    let known = [("default", "1000000", "Deny"), ("kube-admin", "1000", "Pass"), ("kube-baseline", "10000000", "Pass")];
    let fixed = known.map(|(name, order, action)| Rule {
        at: "".into(),
        rule: format!(
            "self.metadata.name != '{name}' || (has(self.spec.order) && self.spec.order == {order}.0 && \
             (!has(self.spec.defaultAction) || self.spec.defaultAction == '{action}'))"
        )
        .into(),
        message: match name {
            "default" => "tier default must have order 1000000 and defaultAction Deny",
            "kube-admin" => "tier kube-admin must have order 1000 and defaultAction Pass",
            _ => "tier kube-baseline must have order 10000000 and defaultAction Pass",
        },
    });
    Definition {
        rules: fixed.to_vec(),
        ..Definition::new::<TierSpec>(
            "Tier",
            "tiers",
            &[],
            "Policies that are looked at before or after those of other tiers. The tiers default, kube-admin and \
             kube-baseline are always there.",
            &[
                column("Order", "number", ".spec.order", Always),
                column("DefaultAction", "string", ".spec.defaultAction", Always),
            ],
        )
    }
}

fn sets<Spec: JsonSchema>(
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    scope: Scope,
) -> Definition {
    let about = match scope {
        Scope::Namespaced => "Prefixes with labels, which selectors of rules find as they find pods of the namespace.",
        Scope::Cluster => "Prefixes with labels, which selectors of rules find as they find pods.",
    };
    Definition {
        scope,
        rules: vec![rules::prefix("spec.nets[]")],
        keywords: vec![keyword("spec.nets", "maxItems", 10_000), keyword("spec.nets[]", "maxLength", 49)],
        ..Definition::new::<Spec>(kind, plural, short_names, about, &[])
    }
}

fn host_endpoint() -> Definition {
    Definition {
        rules: vec![
            rule("spec", "has(self.node) && self.node != ''", "node is missing"),
            rule(
                "spec",
                "(has(self.interfaceName) && self.interfaceName != '') || \
                 (has(self.expectedIPs) && self.expectedIPs.size() > 0)",
                "say which link: interfaceName (a name, or *), or expectedIPs",
            ),
            rule("spec.expectedIPs[]", "isIP(self)", "must be an address"),
            rule(
                "spec.ports[].protocol",
                "string(self) in ['TCP', 'UDP', 'SCTP', '6', '17', '132']",
                "must be TCP, UDP or SCTP",
            ),
        ],
        keywords: vec![
            keyword("spec.interfaceName", "pattern", r"^(\*|[a-zA-Z0-9_.-]{0,15})$"),
            keyword("spec.expectedIPs", "maxItems", 64),
            keyword("spec.expectedIPs[]", "maxLength", 45),
            keyword("spec.profiles", "maxItems", 64),
            keyword("spec.ports", "maxItems", 256),
            keyword("spec.ports[].protocol", "maxLength", 4),
        ],
        ..Definition::new::<HostEndpointSpec>(
            "HostEndpoint",
            "hostendpoints",
            &["hep", "heps"],
            "A node's own link, or all of them, that GlobalNetworkPolicies can be about.",
            &[
                column("Node", "string", ".spec.node", Always),
                column("Interface", "string", ".spec.interfaceName", Always),
            ],
        )
    }
}

/// Texts of protocols, of ports and of prefixes: rules in CEL for each of so many would cost a server too much.
const PROTOCOL: &str = "^(TCP|UDP|SCTP|ICMP|ICMPv6|UDPLite)$";
const PORT: &str = "^([0-9]+:[0-9]+|[a-zA-Z0-9_.-]{1,128})$";
const NET: &str = "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$";

/// Bounds, and what a server writes where nothing is.
fn keywords() -> Vec<Keyword> {
    let mut all = vec![keyword("spec.tier", "default", "default"), keyword("spec.types", "maxItems", 2)];
    for list in rules::LISTS {
        all.push(keyword(list, "maxItems", rules::MOST));
        all.push(keyword(format!("{list}[].ipVersion"), "enum", vec![4, 6]));
        all.push(keyword(format!("{list}[].http.methods"), "maxItems", 20));
        all.push(keyword(format!("{list}[].http.paths"), "maxItems", 20));
        for name in ["protocol", "notProtocol"] {
            all.extend(int_or_text(&format!("{list}[].{name}"), PROTOCOL, 255, 7));
        }
        for side in ["source", "destination"] {
            all.extend(of_entity(&format!("{list}[].{side}")));
        }
    }
    all
}

fn of_entity(at: &str) -> Vec<Keyword> {
    let mut all = Vec::new();
    for name in ["nets", "notNets"] {
        all.push(keyword(format!("{at}.{name}"), "maxItems", 256));
        all.push(keyword(format!("{at}.{name}[]"), "maxLength", 49));
        all.push(keyword(format!("{at}.{name}[]"), "pattern", NET));
    }
    for name in ["ports", "notPorts"] {
        all.push(keyword(format!("{at}.{name}"), "maxItems", 50));
        all.extend(int_or_text(&format!("{at}.{name}[]"), PORT, 65535, 128));
    }
    for name in ["selector", "notSelector", "namespaceSelector"] {
        all.push(keyword(format!("{at}.{name}"), "maxLength", 1024));
    }
    all.push(keyword(format!("{at}.services.name"), "maxLength", 253));
    all.push(keyword(format!("{at}.services.namespace"), "maxLength", 253));
    all
}

/// A number from 1, or a text like this.
fn int_or_text(at: &str, pattern: &str, most: u32, longest: u32) -> [Keyword; 4] {
    [
        keyword(at.to_string(), "pattern", pattern),
        keyword(at.to_string(), "maxLength", longest),
        keyword(at.to_string(), "minimum", 1),
        keyword(at.to_string(), "maximum", most),
    ]
}
