//! A rule of Calico's policies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Entity;
use super::wire::{IcmpWire, RuleWire};
use crate::object::parse::{Invalid, Warnings};
use crate::{Family, Protocol};

/// What is done with a packet that all parts of it match. Calico `api/pkg/apis/projectcalico/v3/policy_common.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalicoRule {
    /// `action`.
    pub action: RuleAction,
    /// The only family that it is about, whether `ipVersion` says so, ICMP or the prefixes. None: both.
    pub family: Option<Family>,
    /// `protocol`; None: all.
    pub protocol: Option<Protocol>,
    /// `notProtocol`.
    pub not_protocol: Option<Protocol>,
    /// `icmp`.
    pub icmp: Option<IcmpMatch>,
    /// `notICMP`.
    pub not_icmp: Option<IcmpMatch>,
    /// `source`.
    pub source: Entity,
    /// `destination`.
    pub destination: Entity,
    /// `http` is given. margay reads no HTTP: the rule matches nothing, so that it never allows more than was meant.
    pub reads_http: bool,
    /// `metadata.annotations`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What is done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RuleAction {
    /// It may pass, whatever comes later.
    Allow,
    /// It is dropped.
    Deny,
    /// It is written down; the next rule decides.
    Log,
    /// The next tier decides.
    Pass,
}

/// ICMP of a type, and maybe of a code. Of which family says the rule's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IcmpMatch {
    /// `type`.
    #[serde(rename = "type")]
    pub kind: u8,
    /// `code`; None: all.
    pub code: Option<u8>,
}

/// Which way a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Ingress,
    Egress,
}

impl RuleWire {
    pub(super) fn check(
        self,
        way: Way,
        namespace: Option<&str>,
        place: &str,
        warnings: &mut Warnings,
    ) -> Result<CalicoRule, Invalid> {
        let wrong = |name: &str, message: String| Invalid::field(format!("{place}.{name}"), message);
        let RuleWire { action, ip_version, protocol, not_protocol, icmp, not_icmp, http, metadata, .. } = self;
        let source = self.source.unwrap_or_default();
        let source = source.check(namespace, &format!("{place}.source"), warnings)?;
        let destination = self.destination.unwrap_or_default();
        let destination = destination.check(namespace, &format!("{place}.destination"), warnings)?;
        for (name, side) in [("source", &source), ("destination", &destination)] {
            if side.has_ports() && !protocol.is_some_and(Protocol::has_ports) {
                return Err(wrong(name, "ports need protocol TCP, UDP or SCTP".into()));
            }
        }
        match way {
            Way::Ingress if destination.service.is_some() => {
                return Err(wrong("destination.services", "must be under source in an ingress rule".into()));
            }
            Way::Egress if source.service.is_some() => {
                return Err(wrong("source.services", "must be under destination in an egress rule".into()));
            }
            Way::Egress if destination.service.is_some() && destination.has_ports() => {
                return Err(wrong("destination.ports", "excludes services: a Service has ports of its own".into()));
            }
            _ => {}
        }
        let is_icmp = protocol.is_some_and(|p| p == Protocol::ICMP || p == Protocol::ICMPV6);
        for (name, given) in [("icmp", &icmp), ("notICMP", &not_icmp)] {
            if given.is_some() && !is_icmp {
                return Err(wrong(name, "needs protocol ICMP or ICMPv6".into()));
            }
        }
        let family = match ip_version {
            None => None,
            Some(4) => Some(Family::Ipv4),
            Some(6) => Some(Family::Ipv6),
            Some(other) => return Err(wrong("ipVersion", format!("must be 4 or 6, not {other}"))),
        };
        for (name, given) in [("protocol", protocol), ("notProtocol", not_protocol)] {
            if let Some((protocol, own)) = given.and_then(|p| Some((p, p.family()?)))
                && family.is_some_and(|family| family != own)
            {
                return Err(wrong(name, format!("{protocol} is of {own}, and ipVersion of another")));
            }
        }
        let family = families(family.or(protocol.and_then(Protocol::family)), &source, &destination)
            .map_err(|message| Invalid::field(place, message))?;
        if http.is_some() {
            if action != RuleAction::Allow || way == Way::Egress {
                return Err(wrong("http", "is for ingress rules with action Allow only".into()));
            }
            if protocol.is_some_and(|protocol| protocol != Protocol::TCP) {
                return Err(wrong("http", "needs protocol TCP, or none".into()));
            }
            let message = "is not looked at, as margay reads no HTTP: the rule matches nothing and allows nothing";
            warnings.add(format!("{place}.http"), message);
        }
        Ok(CalicoRule {
            action,
            family,
            protocol,
            not_protocol,
            icmp: icmp.map(|icmp| icmp.check(&format!("{place}.icmp"))).transpose()?.flatten(),
            not_icmp: not_icmp.map(|icmp| icmp.check(&format!("{place}.notICMP"))).transpose()?.flatten(),
            source,
            destination,
            reads_http: http.is_some(),
            annotations: metadata.and_then(|metadata| metadata.annotations).unwrap_or_default(),
        })
    }
}

/// The one family that all prefixes and `given` are of.
fn families(given: Option<Family>, source: &Entity, destination: &Entity) -> Result<Option<Family>, &'static str> {
    let mut family = given;
    for of_net in source.families().chain(destination.families()) {
        match family {
            Some(family) if family != of_net => {
                return Err("names both IPv4 and IPv6 (nets, notNets, ipVersion, protocol): make two rules of it");
            }
            _ => family = Some(of_net),
        }
    }
    Ok(family)
}

impl IcmpWire {
    /// None: any type.
    fn check(self, field: &str) -> Result<Option<IcmpMatch>, Invalid> {
        match (self.kind, self.code) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Invalid::field(format!("{field}.code"), "needs a type")),
            (Some(255), _) => Err(Invalid::field(format!("{field}.type"), "must be 0 to 254")),
            (Some(kind), code) => Ok(Some(IcmpMatch { kind, code })),
        }
    }
}
