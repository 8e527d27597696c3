//! `discovery.k8s.io/v1` EndpointSlice: on which nodes a Service has endpoints that are ready.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Meta;
use crate::{Family, NodeName};

/// What margay reads of a `discovery.k8s.io/v1` EndpointSlice: no addresses, only where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSlice {
    /// `metadata`, its name and namespace only.
    pub meta: Meta,
    /// Label `kubernetes.io/service-name`: the Service of the same namespace.
    pub service: Option<String>,
    /// `addressType`; none for names (`FQDN`).
    pub family: Option<Family>,
    /// `endpoints[].nodeName` of those with `conditions.ready`, which counts as true where it is not said.
    pub ready_on: BTreeSet<NodeName>,
}

/// The label that names a slice's Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl EndpointSlice {
    /// Forgets every node but one.
    pub fn keep_only(&mut self, node: &NodeName) {
        self.ready_on.retain(|ready| ready == node);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSliceWire {
    metadata: Meta,
    address_type: AddressType,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
}
#[derive(Deserialize)]
enum AddressType {
    IPv4,
    IPv6,
    #[serde(other)]
    Other,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    #[serde(default)]
    node_name: Option<NodeName>,
    #[serde(default)]
    conditions: Conditions,
}
/// `ready` is never true of an endpoint that terminates (unless its Service publishes what is not ready), `serving` may
/// be: who serves its last is not to be sent new connections from afar.
#[derive(Deserialize, Default)]
struct Conditions {
    #[serde(default)]
    ready: Option<bool>,
}

impl From<EndpointSliceWire> for EndpointSlice {
    fn from(wire: EndpointSliceWire) -> EndpointSlice {
        let EndpointSliceWire { mut metadata, address_type, endpoints } = wire;
        let ready = endpoints.unwrap_or_default().into_iter().filter(|one| one.conditions.ready.unwrap_or(true));
        EndpointSlice {
            service: metadata.labels.remove(SERVICE_NAME),
            family: match address_type {
                AddressType::IPv4 => Some(Family::Ipv4),
                AddressType::IPv6 => Some(Family::Ipv6),
                AddressType::Other => None,
            },
            ready_on: ready.filter_map(|one| one.node_name).collect(),
            meta: Meta { name: metadata.name, namespace: metadata.namespace, ..Meta::default() },
        }
    }
}
