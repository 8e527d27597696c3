//! The settings that are about policy: what holds for pods and their nodes beside all policies.

use serde::{Deserialize, Deserializer, Serialize};

use super::FelixSettings;
use crate::{Prefix, Protocol};

/// `defaultEndpointToHostAction`: what becomes of packets of a pod to its own node that the pod's policies let pass.
/// Written in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum EndpointToHost {
    /// They are dropped.
    Drop,
    /// They pass, as Calico's manifests have it.
    #[default]
    Accept,
    /// Rules of others decide.
    Return,
}

impl TryFrom<String> for EndpointToHost {
    type Error = String;
    fn try_from(text: String) -> Result<EndpointToHost, String> {
        match text.to_lowercase().as_str() {
            "drop" => Ok(EndpointToHost::Drop),
            "accept" => Ok(EndpointToHost::Accept),
            "return" => Ok(EndpointToHost::Return),
            _ => Err(format!("{text:?} is none of Drop, Accept and Return")),
        }
    }
}

/// `workloadSourceSpoofing`: whether pods may send from addresses that are not theirs. Written in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum SourceSpoofing {
    /// They may not.
    #[default]
    Disabled,
    /// They may from what their annotation allows ([`ALLOWED_SOURCES`](crate::object::ALLOWED_SOURCES)).
    Any,
}

impl TryFrom<String> for SourceSpoofing {
    type Error = String;
    fn try_from(text: String) -> Result<SourceSpoofing, String> {
        match text.to_lowercase().as_str() {
            "disabled" => Ok(SourceSpoofing::Disabled),
            "any" => Ok(SourceSpoofing::Any),
            _ => Err(format!("{text:?} is neither Disabled nor Any")),
        }
    }
}

/// A port of a node that no policy of a host endpoint closes: on a node that comes in, from a node that goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailsafePort {
    /// `protocol`; TCP where it is left out.
    #[serde(default = "tcp")]
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
    /// `net`: of the other side; None: any.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "net")]
    pub net: Option<Prefix>,
}

fn tcp() -> Protocol {
    Protocol::TCP
}

/// A prefix, an address or an empty text.
pub(super) fn net<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Prefix>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    prefix(&text).map(Some).map_err(serde::de::Error::custom)
}

fn prefix(text: &str) -> Result<Prefix, String> {
    match text.parse() {
        Ok(address) => Ok(Prefix::host(address)),
        Err(_) => text.parse::<Prefix>().map_err(|error| error.to_string()),
    }
}

/// Prefixes and addresses.
pub(super) fn nets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Prefix>>, D::Error> {
    let texts = Option::<Vec<String>>::deserialize(deserializer)?;
    let read = |texts: Vec<String>| texts.iter().map(|text| prefix(text)).collect::<Result<_, _>>();
    texts.map(read).transpose().map_err(serde::de::Error::custom)
}

const fn failsafe(protocol: Protocol, port: u16) -> FailsafePort {
    FailsafePort { protocol, port, net: None }
}

/// SSH, DHCP, BGP, etcd, Typha, the API server.
const INBOUND: &[FailsafePort] = &[
    failsafe(Protocol::TCP, 22),
    failsafe(Protocol::UDP, 68),
    failsafe(Protocol::TCP, 179),
    failsafe(Protocol::TCP, 2379),
    failsafe(Protocol::TCP, 2380),
    failsafe(Protocol::TCP, 5473),
    failsafe(Protocol::TCP, 6443),
    failsafe(Protocol::TCP, 6666),
    failsafe(Protocol::TCP, 6667),
];
/// DNS and DHCP, and the same.
const OUTBOUND: &[FailsafePort] = &[
    failsafe(Protocol::UDP, 53),
    failsafe(Protocol::UDP, 67),
    failsafe(Protocol::TCP, 179),
    failsafe(Protocol::TCP, 2379),
    failsafe(Protocol::TCP, 2380),
    failsafe(Protocol::TCP, 5473),
    failsafe(Protocol::TCP, 6443),
    failsafe(Protocol::TCP, 6666),
    failsafe(Protocol::TCP, 6667),
];

impl FelixSettings {
    /// Ports of the node that host endpoints' policies never close to what comes in; Calico's where nothing is said.
    pub fn failsafe_inbound(&self) -> &[FailsafePort] {
        self.failsafe_inbound_host_ports.as_deref().unwrap_or(INBOUND)
    }

    /// Ports of others that host endpoints' policies never close to what the node sends.
    pub fn failsafe_outbound(&self) -> &[FailsafePort] {
        self.failsafe_outbound_host_ports.as_deref().unwrap_or(OUTBOUND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<FelixSettings, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn failsafe_ports_are_calicos_unless_a_list_says_otherwise() -> Result<(), String> {
        let none = settings("{}")?;
        assert_eq!((none.failsafe_inbound().len(), none.failsafe_outbound().len()), (9, 9));
        assert!(none.failsafe_inbound().contains(&failsafe(Protocol::TCP, 22)));
        assert!(!none.failsafe_outbound().contains(&failsafe(Protocol::TCP, 22)));
        let text = r#"{"failsafeInboundHostPorts": [{"protocol": "udp", "port": 5, "net": "10.0.0.0/8"}, {"port": 6}],
            "failsafeOutboundHostPorts": []}"#;
        let said = settings(text)?;
        let first = FailsafePort { net: "10.0.0.0/8".parse().ok(), ..failsafe(Protocol::UDP, 5) };
        assert_eq!(said.failsafe_inbound(), [first, failsafe(Protocol::TCP, 6)]);
        assert!(said.failsafe_outbound().is_empty());
        assert!(settings(r#"{"failsafeInboundHostPorts": [{"protocol": "tcp"}]}"#).is_err());
        Ok(())
    }

    #[test]
    fn words_are_taken_in_any_case_and_nodes_outside_by_address_or_prefix() -> Result<(), String> {
        let text = r#"{"defaultEndpointToHostAction": "ACCEPT", "workloadSourceSpoofing": "any",
            "externalNodesList": ["10.0.0.1", "10.1.0.0/24"], "disableConntrackInvalidCheck": true,
            "allowIPIPPacketsFromWorkloads": true}"#;
        let said = settings(text)?;
        assert_eq!(said.default_endpoint_to_host_action, Some(EndpointToHost::Accept));
        assert_eq!(said.workload_source_spoofing, Some(SourceSpoofing::Any));
        assert_eq!(said.external_nodes_list.map(|nets| nets.len()), Some(2));
        assert_eq!(
            (said.disable_conntrack_invalid_check, said.allow_ipip_packets_from_workloads),
            (Some(true), Some(true))
        );
        assert!(settings(r#"{"defaultEndpointToHostAction": "Reject"}"#).is_err());
        assert!(settings(r#"{"externalNodesList": ["here"]}"#).is_err());
        Ok(())
    }
}
