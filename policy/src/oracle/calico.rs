//! Rules of Calico's kinds.

use std::net::IpAddr;

use model::Family;
use model::object::{
    CalicoRule, EndpointSlice, Endpoints, Entity, IcmpMatch, Namespaces, Object, PortMatch, ServiceName,
};
use model::selector::Labels;

use super::{Oracle, Thing, own, ports};
use crate::decide::{Head, Packet};
use crate::rules::Direction;

impl<'a> Oracle<'a> {
    pub(super) fn calico_rule(&self, rule: &CalicoRule, direction: Direction, packet: &Packet) -> bool {
        let is = |icmp: &IcmpMatch| match packet.head {
            Head::Icmp { kind, code } => icmp.kind == kind && icmp.code.is_none_or(|wanted| wanted == code),
            _ => false,
        };
        let (source_port, destination_port) = ports(packet).unzip();
        let of_services = match direction {
            Direction::Ingress => rule.source.service.as_ref().is_none_or(|of| self.is_from(of, packet)),
            Direction::Egress => rule.destination.service.as_ref().is_none_or(|of| self.is_to(of, packet)),
        };
        rule.family.is_none_or(|family| family == Family::of(packet.from))
            && rule.protocol.is_none_or(|protocol| protocol == packet.protocol)
            && rule.not_protocol.is_none_or(|protocol| protocol != packet.protocol)
            && rule.icmp.as_ref().is_none_or(is)
            && rule.not_icmp.as_ref().is_none_or(|icmp| !is(icmp))
            && self.is_entity(&rule.source, packet.from, source_port, packet)
            && self.is_entity(&rule.destination, packet.to, destination_port, packet)
            && of_services
            && !rule.reads_http
    }

    fn is_entity(&self, entity: &Entity, address: IpAddr, port: Option<u16>, packet: &Packet) -> bool {
        let is_port = |wanted: &PortMatch| match (wanted, port) {
            (PortMatch::Numbers(range), Some(port)) => range.contains(&port),
            (PortMatch::Name(name), Some(port)) => self.calls(address, name, packet.protocol, port),
            (_, None) => false,
        };
        let anywhere = |labels| Endpoints { namespaces: Namespaces::Any, labels, service_accounts: None };
        (entity.nets.is_empty() || entity.nets.iter().any(|net| net.contains(address)))
            && !entity.not_nets.iter().any(|net| net.contains(address))
            && entity.endpoints.as_ref().is_none_or(|endpoints| self.is_any_at(address, endpoints))
            && !entity.not_endpoints.clone().is_some_and(|labels| self.is_any_at(address, &anywhere(labels)))
            && (entity.ports.is_empty() || entity.ports.iter().any(is_port))
            && !entity.not_ports.iter().any(is_port)
    }

    fn is_from(&self, service: &ServiceName, packet: &Packet) -> bool {
        self.slices(service).any(|slice| slice.addresses.contains(&packet.from))
    }

    fn is_to(&self, service: &ServiceName, packet: &Packet) -> bool {
        let port = ports(packet).map(|(_, port)| port);
        let mut sockets = self.slices(service).flat_map(|slice| &slice.sockets);
        sockets.any(|one| (one.address, one.protocol, Some(one.port)) == (packet.to, packet.protocol, port))
    }

    fn slices(&self, service: &ServiceName) -> impl Iterator<Item = &'a EndpointSlice> {
        self.0.iter().filter_map(move |object| match object {
            Object::EndpointSlice(slice) => {
                let namespace = slice.meta.namespace.as_deref();
                let is = (namespace, slice.service.as_deref()) == (Some(&*service.namespace), Some(&*service.name));
                is.then_some(slice)
            }
            _ => None,
        })
    }

    fn is_any_at(&self, address: IpAddr, endpoints: &Endpoints) -> bool {
        let pods = self.pods().filter(|pod| pod.addresses.contains(&address)).map(Thing::Pod);
        let hosts = self.hosts().filter(|host| host.addresses.contains(&address)).map(Thing::Host);
        let sets = self.0.iter().filter_map(|object| match object {
            Object::NetworkSet(set) | Object::GlobalNetworkSet(set) => Some(set),
            _ => None,
        });
        let sets = sets.filter(|set| set.nets.iter().any(|net| net.contains(address))).map(Thing::Nets);
        pods.chain(hosts).chain(sets).any(|thing| self.is_chosen(thing, endpoints))
    }

    pub(super) fn is_chosen(&self, thing: Thing<'a>, endpoints: &Endpoints) -> bool {
        let (meta, namespace, account) = match thing {
            Thing::Pod(pod) => (&pod.meta, Some(pod.reference().namespace), Some(pod.service_account.as_str())),
            Thing::Host(host) => (&host.meta, None, None),
            Thing::Nets(set) => (&set.meta, set.meta.namespace.clone(), None),
        };
        let of_namespace = namespace.as_deref().and_then(|name| self.namespace(name));
        let of_namespace = of_namespace.map(|namespace| namespace.meta.labels.clone()).unwrap_or_default();
        let of_account = account.map(|name| self.account(namespace.as_deref(), name)).unwrap_or_default();
        let mut labels = own(&meta.labels);
        let mut add = |label: String, value: &str| _ = labels.insert(label, value.to_string());
        if let Some(name) = &namespace {
            of_namespace.iter().for_each(|(label, value)| add(format!("{}{label}", Endpoints::OF_NAMESPACE), value));
            add(format!("{}{}", Endpoints::OF_NAMESPACE, Endpoints::NAME), name);
            add(Endpoints::NAMESPACE.into(), name);
        }
        if let Some(name) = account {
            of_account
                .iter()
                .for_each(|(label, value)| add(format!("{}{label}", Endpoints::OF_SERVICE_ACCOUNT), value));
            add(format!("{}{}", Endpoints::OF_SERVICE_ACCOUNT, Endpoints::NAME), name);
            add(Endpoints::SERVICE_ACCOUNT.into(), name);
            add(Endpoints::ORCHESTRATOR.into(), Endpoints::KUBERNETES);
        }
        let account = account.map(|name| (name, &of_account));
        endpoints.namespaces.chooses(namespace.as_deref().map(|name| (name, &of_namespace)))
            && endpoints.labels.chooses(&labels)
            && endpoints.service_accounts.as_ref().is_none_or(|accounts| accounts.chooses(account))
    }

    fn account(&self, namespace: Option<&str>, name: &str) -> Labels {
        let of = |object: &Object| match object {
            Object::ServiceAccount(one) if one.meta.namespace.as_deref() == namespace && one.meta.name == name => {
                Some(one.meta.labels.clone())
            }
            _ => None,
        };
        self.0.iter().find_map(of).unwrap_or_default()
    }
}
