//! Endpoints of Services, as EndpointSlices tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::object::{EndpointSlice, ServiceName};

use crate::program::Socket;

/// What a slice has.
#[derive(Debug, Clone, Default, PartialEq)]
struct Endpoints {
    addresses: BTreeSet<IpAddr>,
    sockets: BTreeSet<Socket>,
}

/// Slices by Service and name.
#[derive(Debug, Clone, Default)]
pub struct Services {
    slices: BTreeMap<ServiceName, BTreeMap<String, Endpoints>>,
    /// Of which Service a slice is, by namespace and name.
    of: BTreeMap<(String, String), ServiceName>,
}

impl Services {
    /// Sets a slice, or takes it away. Returns the Services whose endpoints changed.
    pub fn set(&mut self, namespace: &str, name: &str, slice: Option<&EndpointSlice>) -> Vec<ServiceName> {
        let place = (namespace.to_string(), name.to_string());
        let service = slice.and_then(|slice| slice.service.clone());
        let service = service.map(|service| ServiceName { namespace: namespace.into(), name: service });
        let socket = |of: &model::object::Socket| (of.address, of.protocol, of.port);
        let new = slice.map(|slice| Endpoints {
            addresses: slice.addresses.clone(),
            sockets: slice.sockets.iter().map(socket).collect(),
        });
        let mut changed = Vec::new();
        let before = self.of.remove(&place);
        if let Some(before) = before.filter(|before| Some(before) != service.as_ref()) {
            if let Some(slices) = self.slices.get_mut(&before) {
                slices.remove(name);
                if slices.is_empty() {
                    self.slices.remove(&before);
                }
            }
            changed.push(before);
        }
        if let (Some(service), Some(new)) = (service, new) {
            let slices = self.slices.entry(service.clone()).or_default();
            if slices.get(name) != Some(&new) {
                slices.insert(name.to_string(), new);
                changed.push(service.clone());
            }
            self.of.insert(place, service);
        }
        changed
    }

    /// The addresses of a Service's endpoints, also of those without ports.
    pub fn addresses(&self, service: &ServiceName) -> BTreeSet<IpAddr> {
        self.of_service(service).flat_map(|slice| &slice.addresses).copied().collect()
    }

    /// The addresses of a Service's endpoints, each with every port of its slice.
    pub fn sockets(&self, service: &ServiceName) -> BTreeSet<Socket> {
        self.of_service(service).flat_map(|slice| &slice.sockets).copied().collect()
    }

    fn of_service(&self, service: &ServiceName) -> impl Iterator<Item = &Endpoints> {
        self.slices.get(service).into_iter().flat_map(BTreeMap::values)
    }
}
