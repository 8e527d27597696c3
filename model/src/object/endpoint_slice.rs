//! `discovery.k8s.io/v1` EndpointSlice: where a Service has endpoints, and on which nodes they are ready.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Meta;
use crate::{Family, NodeName, Protocol};

/// What margay reads of a `discovery.k8s.io/v1` EndpointSlice.
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
    /// `endpoints[].addresses[]`, ready or not, ports or none: whom a policy means that lets a Service's endpoints in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<IpAddr>,
    /// The same with each of `ports[]`: whom a policy means that lets out to a Service.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sockets: BTreeSet<Socket>,
}

/// An address, a protocol and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Socket {
    /// The address.
    pub address: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

/// The label that names a slice's Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl EndpointSlice {
    /// Forgets every node but one.
    pub fn keep_only(&mut self, node: &NodeName) {
        self.ready_on.retain(|ready| ready == node);
    }

    /// Whether its Service is announced as by the other: whatever addresses its endpoints have.
    pub fn is_announced_like(&self, other: &EndpointSlice) -> bool {
        (&self.service, self.family, &self.ready_on) == (&other.service, other.family, &other.ready_on)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSliceWire {
    metadata: Meta,
    address_type: AddressType,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}
#[derive(Deserialize)]
struct Port {
    #[serde(default)]
    protocol: Option<Protocol>,
    #[serde(default)]
    port: Option<u16>,
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
    addresses: Vec<String>,
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
        let EndpointSliceWire { mut metadata, address_type, endpoints, ports } = wire;
        let endpoints = endpoints.unwrap_or_default();
        // Names (`FQDN`) are no addresses.
        let addresses = endpoints.iter().flat_map(|one| &one.addresses).filter_map(|text| text.parse::<IpAddr>().ok());
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        let ports: Vec<(Protocol, u16)> = ports
            .into_iter()
            .flatten()
            .filter_map(|port| Some((port.protocol.unwrap_or(Protocol::TCP), port.port?)))
            .collect();
        let sockets = addresses.iter().flat_map(|address| {
            ports.iter().map(move |(protocol, port)| Socket { address: *address, protocol: *protocol, port: *port })
        });
        let sockets = sockets.collect();
        let ready = endpoints.into_iter().filter(|one| one.conditions.ready.unwrap_or(true));
        EndpointSlice {
            service: metadata.labels.remove(SERVICE_NAME),
            family: match address_type {
                AddressType::IPv4 => Some(Family::Ipv4),
                AddressType::IPv6 => Some(Family::Ipv6),
                AddressType::Other => None,
            },
            addresses,
            sockets,
            ready_on: ready.filter_map(|one| one.node_name).collect(),
            meta: Meta { name: metadata.name, namespace: metadata.namespace, ..Meta::default() },
        }
    }
}
