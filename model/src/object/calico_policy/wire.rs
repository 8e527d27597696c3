//! Calico's policies as they are written, and their checks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rule::Way;
use super::{CalicoPolicy, CalicoRule, Endpoints, HostTraffic, Namespaces, RuleAction, ServiceAccounts};
use crate::object::parse::{Envelope, Invalid, Warnings};
use crate::object::port::CalicoPort;
use crate::object::{Meta, Order, PortMatch, Tier, nets};
use crate::selector::Selector;
use crate::{Prefix, Protocol};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::object) struct CalicoNetworkPolicySpec {
    /// The tier that the policy belongs to.
    #[serde(default)]
    tier: Option<String>,
    /// Where it stands in its tier: lower ones come first, and without one it comes last. Those with the same go by name.
    #[serde(default)]
    order: Option<Order>,
    /// Which pods of the namespace the policy is about. Default: all().
    #[serde(default)]
    selector: Option<Selector>,
    /// Only pods whose ServiceAccount has such labels.
    #[serde(default)]
    service_account_selector: Option<Selector>,
    /// Which ways the policy looks. Default: Egress if there are egress rules, Ingress if there are ingress rules or none
    /// at all.
    #[serde(default)]
    types: Option<Vec<PolicyType>>,
    /// What the pods may be sent: the first rule that matches decides.
    #[serde(default)]
    ingress: Option<Vec<RuleWire>>,
    /// What the pods may send: the first rule that matches decides.
    #[serde(default)]
    egress: Option<Vec<RuleWire>>,
    /// No effect: a node has what its own pods need.
    #[serde(default)]
    performance_hints: Option<Vec<PerformanceHint>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::object) struct GlobalNetworkPolicySpec {
    /// The tier that the policy belongs to.
    #[serde(default)]
    tier: Option<String>,
    /// Where it stands in its tier: lower ones come first, and without one it comes last. Those with the same go by name.
    #[serde(default)]
    order: Option<Order>,
    /// Which pods and host endpoints the policy is about. Default: all().
    #[serde(default)]
    selector: Option<Selector>,
    /// Only pods in such namespaces, and no host endpoints.
    #[serde(default)]
    namespace_selector: Option<Selector>,
    /// Only pods whose ServiceAccount has such labels, and no host endpoints.
    #[serde(default)]
    service_account_selector: Option<Selector>,
    /// Which ways the policy looks. Default: Egress if there are egress rules, Ingress if there are ingress rules or none
    /// at all.
    #[serde(default)]
    types: Option<Vec<PolicyType>>,
    /// What the endpoints may be sent: the first rule that matches decides.
    #[serde(default)]
    ingress: Option<Vec<RuleWire>>,
    /// What the endpoints may send: the first rule that matches decides.
    #[serde(default)]
    egress: Option<Vec<RuleWire>>,
    /// Of host endpoints also what the node forwards. Default: false.
    #[serde(default)]
    apply_on_forward: Option<bool>,
    /// Of host endpoints, before a service's address is translated; needs applyOnForward. Default: false.
    #[serde(default, rename = "preDNAT")]
    pre_dnat: Option<bool>,
    /// Of host endpoints, before connections are tracked; needs applyOnForward. Default: false.
    #[serde(default)]
    do_not_track: Option<bool>,
    /// No effect: a node has what its own pods need.
    #[serde(default)]
    performance_hints: Option<Vec<PerformanceHint>>,
}

#[derive(Deserialize, JsonSchema, PartialEq, Eq)]
enum PolicyType {
    Ingress,
    Egress,
}

#[derive(Deserialize, JsonSchema)]
enum PerformanceHint {
    AssumeNeededOnEveryNode,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RuleWire {
    /// Allow: it may pass. Deny: it is dropped. Log: it is written down, and the next rule decides. Pass: the next tier
    /// decides.
    pub(super) action: RuleAction,
    /// 4 or 6. Default: both, or what the rest says.
    #[schemars(range(min = 4, max = 6))]
    #[serde(default)]
    pub(super) ip_version: Option<u8>,
    /// TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite, or a number.
    #[serde(default)]
    pub(super) protocol: Option<Protocol>,
    /// Any protocol but this one.
    #[serde(default)]
    pub(super) not_protocol: Option<Protocol>,
    /// ICMP of a type, and maybe of a code; needs protocol ICMP or ICMPv6.
    #[serde(default)]
    pub(super) icmp: Option<IcmpWire>,
    /// ICMP of any other type or code; needs protocol ICMP or ICMPv6.
    #[serde(default, rename = "notICMP")]
    pub(super) not_icmp: Option<IcmpWire>,
    /// Where a packet comes from.
    #[serde(default)]
    pub(super) source: Option<EntityWire>,
    /// Where it goes to.
    #[serde(default)]
    pub(super) destination: Option<EntityWire>,
    /// Calico's match of HTTP requests. margay reads no HTTP: a rule that has one matches nothing, and allows nothing.
    #[serde(default)]
    pub(super) http: Option<HttpWire>,
    /// Notes on the rule.
    #[serde(default)]
    pub(super) metadata: Option<RuleMetadata>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IcmpWire {
    /// The type.
    #[schemars(range(max = 254))]
    #[serde(default, rename = "type")]
    pub(super) kind: Option<u8>,
    /// The code; needs a type.
    #[schemars(range(max = 255))]
    #[serde(default)]
    pub(super) code: Option<u8>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpWire {
    /// GET, PUT and so on.
    #[serde(default, rename = "methods")]
    _methods: Option<Vec<String>>,
    /// Paths of requests.
    #[serde(default, rename = "paths")]
    _paths: Option<Vec<HttpPath>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HttpPath {
    /// The whole path.
    #[serde(default, rename = "exact")]
    _exact: Option<String>,
    /// How the path begins.
    #[serde(default, rename = "prefix")]
    _prefix: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleMetadata {
    /// What is to be known about the rule.
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EntityWire {
    /// In any of these prefixes.
    #[serde(default)]
    pub(super) nets: Option<Vec<String>>,
    /// In none of these prefixes.
    #[serde(default)]
    pub(super) not_nets: Option<Vec<String>>,
    /// Pods, host endpoints and network sets with such labels; in a namespace's policy those of its own namespace, unless
    /// namespaceSelector says which.
    #[serde(default)]
    pub(super) selector: Option<Selector>,
    /// Anyone but pods, host endpoints and network sets with such labels.
    #[serde(default)]
    pub(super) not_selector: Option<Selector>,
    /// Only those in such namespaces; global() for those in none: host endpoints and GlobalNetworkSets.
    #[serde(default)]
    pub(super) namespace_selector: Option<Selector>,
    /// Pods that run as such ServiceAccounts.
    #[serde(default)]
    pub(super) service_accounts: Option<ServiceAccountsWire>,
    /// The endpoints of a Service, at its ports: under destination in an egress rule, under source in an ingress rule.
    #[serde(default)]
    pub(super) services: Option<ServiceWire>,
    /// Any of these ports: a number, a range as first:last, or a name that the endpoint gives to one of its ports.
    #[serde(default)]
    pub(super) ports: Option<Vec<CalicoPort>>,
    /// None of these ports.
    #[serde(default)]
    pub(super) not_ports: Option<Vec<CalicoPort>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceAccountsWire {
    /// One of these.
    #[serde(default)]
    names: Option<Vec<String>>,
    /// One that has such labels.
    #[serde(default)]
    selector: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceWire {
    /// Its name.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Its namespace. Default: the policy's own.
    #[serde(default)]
    pub(super) namespace: Option<String>,
}

/// What both kinds of policy have.
struct Spec {
    tier: Option<String>,
    order: Option<Order>,
    subject: Endpoints,
    types: Option<Vec<PolicyType>>,
    ingress: Option<Vec<RuleWire>>,
    egress: Option<Vec<RuleWire>>,
    host_traffic: HostTraffic,
    /// The policy's own.
    namespace: Option<String>,
}

impl Envelope<CalicoNetworkPolicySpec> {
    pub(in crate::object) fn check(self, warnings: &mut Warnings) -> Result<CalicoPolicy, Invalid> {
        self.spec.resolve(&self.metadata)?.check(self.metadata, warnings)
    }
}
impl Envelope<GlobalNetworkPolicySpec> {
    pub(in crate::object) fn check(self, warnings: &mut Warnings) -> Result<CalicoPolicy, Invalid> {
        self.spec.resolve()?.check(self.metadata, warnings)
    }
}

impl CalicoNetworkPolicySpec {
    /// With all that follows from its namespace.
    fn resolve(self, meta: &Meta) -> Result<Spec, Invalid> {
        let namespace = meta.namespace.clone().unwrap_or_else(|| "default".into());
        let _ = self.performance_hints;
        Ok(Spec {
            tier: self.tier,
            order: self.order,
            subject: Endpoints {
                namespaces: Namespaces::Named(namespace.clone()),
                labels: no_global(self.selector, "spec.selector")?.unwrap_or_default(),
                service_accounts: accounts(self.service_account_selector)?,
            },
            types: self.types,
            ingress: self.ingress,
            egress: self.egress,
            host_traffic: HostTraffic::Local,
            namespace: Some(namespace),
        })
    }
}

impl GlobalNetworkPolicySpec {
    fn resolve(self) -> Result<Spec, Invalid> {
        let namespaces = no_global(self.namespace_selector, "spec.namespaceSelector")?;
        let forwarded = self.apply_on_forward == Some(true);
        let egress = self.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let egress = egress || self.types.as_ref().is_some_and(|types| types.contains(&PolicyType::Egress));
        let _ = self.performance_hints;
        let host_traffic = match (self.pre_dnat == Some(true), self.do_not_track == Some(true)) {
            (true, true) => return Err(Invalid::field("spec.preDNAT", "excludes doNotTrack")),
            (true, _) if egress => return Err(Invalid::field("spec.preDNAT", "is for ingress only")),
            (true, _) | (_, true) if !forwarded => {
                return Err(Invalid::field("spec.applyOnForward", "must be true with preDNAT or doNotTrack"));
            }
            (true, _) => HostTraffic::BeforeDnat,
            (_, true) => HostTraffic::Untracked,
            _ if forwarded => HostTraffic::Forwarded,
            _ => HostTraffic::Local,
        };
        Ok(Spec {
            tier: self.tier,
            order: self.order,
            subject: Endpoints {
                namespaces: namespaces.map_or(Namespaces::Any, Namespaces::Chosen),
                labels: no_global(self.selector, "spec.selector")?.unwrap_or_default(),
                service_accounts: accounts(self.service_account_selector)?,
            },
            types: self.types,
            ingress: self.ingress,
            egress: self.egress,
            host_traffic,
            namespace: None,
        })
    }
}

impl Spec {
    fn check(self, meta: Meta, warnings: &mut Warnings) -> Result<CalicoPolicy, Invalid> {
        let namespace = self.namespace.as_deref();
        let mut rules = |wires: Option<Vec<RuleWire>>, way: Way, list: &str| -> Result<Vec<CalicoRule>, Invalid> {
            let wires = wires.unwrap_or_default().into_iter().enumerate();
            wires.map(|(n, wire)| wire.check(way, namespace, &format!("spec.{list}[{n}]"), warnings)).collect()
        };
        let ingress = rules(self.ingress, Way::Ingress, "ingress")?;
        let egress = rules(self.egress, Way::Egress, "egress")?;
        let types = self.types.filter(|types| !types.is_empty());
        let (is_ingress, is_egress) = match &types {
            Some(types) => (types.contains(&PolicyType::Ingress), types.contains(&PolicyType::Egress)),
            None => (!ingress.is_empty() || egress.is_empty(), !egress.is_empty()),
        };
        for (says, rules, name) in [(is_ingress, &ingress, "Ingress"), (is_egress, &egress, "Egress")] {
            if !says && !rules.is_empty() {
                let field = format!("spec.{}", name.to_lowercase());
                warnings.add(field, format!("has no effect: types does not name {name}"));
            }
        }
        Ok(CalicoPolicy {
            meta,
            tier: self.tier.filter(|tier| !tier.is_empty()).unwrap_or_else(|| Tier::DEFAULT.into()),
            order: self.order.unwrap_or(Order::LAST),
            subject: self.subject,
            ingress: is_ingress.then_some(ingress),
            egress: is_egress.then_some(egress),
            host_traffic: self.host_traffic,
        })
    }
}

impl ServiceAccountsWire {
    /// None where it says nothing.
    pub(super) fn check(self, field: &str) -> Result<Option<ServiceAccounts>, Invalid> {
        let labels = no_global(self.selector, &format!("{field}.selector"))?;
        let names = self.names.unwrap_or_default();
        let says = !names.is_empty() || labels.is_some();
        Ok(says.then(|| ServiceAccounts { names, labels: labels.unwrap_or_default() }))
    }
}

/// `serviceAccountSelector`.
fn accounts(selector: Option<Selector>) -> Result<Option<ServiceAccounts>, Invalid> {
    let selector = no_global(selector, "spec.serviceAccountSelector")?;
    Ok(selector.map(|labels| ServiceAccounts { names: Vec::new(), labels }))
}

/// Calico's clients write empty selectors for absent ones.
pub(super) fn given(selector: Option<Selector>) -> Option<Selector> {
    selector.filter(|selector| !selector.is_blank())
}

/// A selector where `global()` means nothing.
pub(super) fn no_global(selector: Option<Selector>, field: &str) -> Result<Option<Selector>, Invalid> {
    let selector = given(selector);
    if selector.as_ref().is_some_and(Selector::names_global) {
        return Err(Invalid::field(
            field,
            "must not hold global(): it is for namespaceSelector of source and destination",
        ));
    }
    Ok(selector)
}

pub(super) fn prefixes(
    texts: Option<Vec<String>>,
    field: &str,
    warnings: &mut Warnings,
) -> Result<Vec<Prefix>, Invalid> {
    let texts = texts.unwrap_or_default().into_iter().enumerate();
    texts.map(|(n, text)| nets::prefix(&text, &format!("{field}[{n}]"), warnings)).collect()
}

pub(super) fn ports(ports: Option<Vec<CalicoPort>>) -> Vec<PortMatch> {
    ports.unwrap_or_default().into_iter().map(|CalicoPort(port)| port).collect()
}
