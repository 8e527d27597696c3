//! What can be explained: the way of a packet, and what policies say.

use std::collections::BTreeMap;

use model::PodRef;
use model::api::show::{Between, DenialView, PolicyPodView, PolicyView, Show};
use model::api::{RefusalCode, Reply};
use policy::Program;
use policy::program::{ChainKey, Chains, EndpointKey};

use super::Reconciler;
use super::refuse;
use super::show::answer;
use crate::plan::firewall::Way;
use crate::plan::policies::counted::{Counted, Counts, Used, counted};
use crate::plan::policies::denials::{Noted, named};
use crate::plan::policies::{self, sides};
use crate::plan::trace::{Picture, trace};

impl Reconciler {
    /// Questions about connections and policies, as far as the kernel need not be asked.
    pub(super) fn explain(&self, show: Show) -> Reply {
        match show {
            Show::Trace(asked) => self.trace(&asked),
            Show::PolicyPods => answer(&self.policy_pods()),
            Show::PolicyTest(asked) => match sides::test(&self.world, self.program(), &asked) {
                Ok(view) => answer(&view),
                Err(message) => refuse(RefusalCode::Invalid, message),
            },
            _ => refuse(RefusalCode::Internal, "this is not for the reconcile loop alone to answer"),
        }
    }

    /// The chains of one endpoint, with the way that each is about.
    pub fn chains_of(&self, endpoint: &str) -> Result<Vec<Used>, String> {
        Ok(self.used_by(&self.endpoint(endpoint)?).collect())
    }

    /// Every chain that an endpoint of this node has, once for each way.
    pub fn chains_used(&self) -> Vec<Used> {
        let program = self.program();
        let of_hosts = program.endpoints.values().flat_map(further).filter_map(|(way, key)| {
            let chain = program.chains.get(key)?.clone();
            Some((way, key.clone(), chain))
        });
        let all = program.endpoints.keys().flat_map(|endpoint| self.used_by(endpoint)).chain(of_hosts);
        let each: BTreeMap<_, _> = all.map(|(way, key, chain)| ((way, key), chain)).collect();
        each.into_iter().map(|((way, key), chain)| (way, key, chain)).collect()
    }

    /// The policies of one endpoint, with what was counted.
    pub fn policy_view(&self, endpoint: &str, counts: &Counts) -> Result<PolicyView, String> {
        let endpoint = self.endpoint(endpoint)?;
        let mut tallies = [Counted::default(), Counted::default()];
        for used in self.used_by(&endpoint) {
            let [ingress, egress] = &mut tallies;
            let tally = if used.0 == Way::Ingress { ingress } else { egress };
            *tally = counted(&used, counts);
        }
        let [ingress, egress] = &tallies;
        Ok(policies::view(self.program(), &endpoint, self.addresses_of(&endpoint), [ingress, egress]))
    }

    /// Packets that rules of the table have logged, with names.
    pub fn denials(&self, noted: impl Iterator<Item = Noted>, at: &str) -> Vec<DenialView> {
        noted.map(|noted| named(&self.world, self.program(), &noted, at.to_string())).collect()
    }

    fn used_by(&self, endpoint: &EndpointKey) -> impl Iterator<Item = Used> {
        let chains = self.program().endpoints.get(endpoint);
        let keys = chains.into_iter().flat_map(|chains| {
            let ingress = chains.ingress.iter().map(|key| (Way::Ingress, key));
            ingress.chain(chains.egress.iter().map(|key| (Way::Egress, key)))
        });
        keys.filter_map(|(way, key)| Some((way, key.clone(), self.program().chains.get(key)?.clone())))
    }

    /// A pod of this node by its name, or a HostEndpoint.
    fn endpoint(&self, text: &str) -> Result<EndpointKey, String> {
        if let Some(name) = text.strip_prefix("HostEndpoint/") {
            let endpoint = EndpointKey::Host(name.to_string());
            let known = self.program().endpoints.contains_key(&endpoint);
            return known.then_some(endpoint).ok_or_else(|| format!("no policy is about a HostEndpoint {name} here"));
        }
        let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
        let pod = PodRef { namespace: namespace.into(), name: name.into() };
        let is_here = self.world.endpoints.interfaces_of(&pod).next().is_some();
        is_here.then_some(EndpointKey::Pod(pod.clone())).ok_or_else(|| {
            let node = self.world.objects.pod(&pod).and_then(|object| object.node.clone());
            match node.filter(|node| *node != self.world.node) {
                Some(node) => format!("pod {pod} is on node {node}: ask its agent"),
                None => {
                    format!("there is no pod {pod} on this node: `margayctl policy show` lists those that there are")
                }
            }
        })
    }

    fn trace(&self, asked: &Between) -> Reply {
        let refused = |place: &dataplane::want::RouteKey| self.bench.reason(place).map(str::to_string);
        let (world, desired) = (&self.world, &self.desired);
        match trace(Picture { world, desired, refused: &refused }, asked) {
            Ok(view) => answer(&view),
            Err(message) => refuse(RefusalCode::Invalid, message),
        }
    }

    fn program(&self) -> &Program {
        self.world.policies.program()
    }

    /// Every pod of this node, and every HostEndpoint that is about it.
    fn policy_pods(&self) -> Vec<PolicyPodView> {
        let mut endpoints: std::collections::BTreeSet<EndpointKey> = self.program().endpoints.keys().cloned().collect();
        endpoints.extend(self.world.leases.iter().filter_map(|lease| lease.pod.clone()).map(EndpointKey::Pod));
        let view = |endpoint: &EndpointKey| policies::count(self.program(), endpoint, self.addresses_of(endpoint));
        endpoints.iter().map(view).collect()
    }

    fn addresses_of(&self, endpoint: &EndpointKey) -> Vec<std::net::IpAddr> {
        match endpoint {
            EndpointKey::Pod(pod) => self.world.endpoints.addresses_of(pod),
            EndpointKey::Host(_) => Vec::new(),
        }
    }
}

/// The chains of a HostEndpoint for what is forwarded, or not translated or tracked yet.
fn further(chains: &Chains) -> impl Iterator<Item = (Way, &ChainKey)> {
    let host = &chains.host;
    let all = [
        (Way::Through, &host.forward_ingress),
        (Way::Egress, &host.forward_egress),
        (Way::First, &host.pre_dnat),
        (Way::UntrackedIn, &host.untracked_ingress),
        (Way::UntrackedOut, &host.untracked_egress),
    ];
    all.into_iter().filter_map(|(way, key)| Some((way, key.as_ref()?)))
}
