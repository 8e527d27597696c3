//! The way of a connection's first packet, hop by hop, from the agent's own picture: in the order in which the kernel
//! comes by them, each with its reason.

mod hosts;
mod route;

use std::net::IpAddr;

use dataplane::want::{RouteKey, Strays};
use model::api::show::{
    Between, Connection, Effect, HopView, OuterView, PolicyVerdict, TraceOutcome, TraceStep, TraceView,
};
use model::object::EndpointToHost;
use model::{Family, PodRef, kernel};

use self::route::{Out, Way};
use super::desired::Desired;
use super::ends::{self, Who};
use super::judged::packet;
use super::own;
use super::policies::sides;
use crate::world::World;

/// What the way is read from.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// What is true.
    pub world: &'a World,
    /// What should be.
    pub desired: &'a Desired,
    /// Why a place in the kernel's table could not be filled.
    pub refused: &'a dyn Fn(&RouteKey) -> Option<String>,
}

/// The end of the way: what became of the packet, and the sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    outcome: TraceOutcome,
    verdict: String,
}

impl End {
    fn dropped(verdict: impl Into<String>) -> End {
        End { outcome: TraceOutcome::Dropped, verdict: verdict.into() }
    }
}

/// The way from one end to another; or why it can't be said.
pub fn trace(picture: Picture<'_>, asked: &Between) -> Result<TraceView, String> {
    let world = picture.world;
    let (from, to) = (ends::named(world, &asked.from)?, ends::named(world, &asked.to)?);
    let (source, destination) = ends::common(&from, &to)
        .ok_or_else(|| format!("{} and {} have no addresses of the same family", asked.from, asked.to))?;
    let (from_view, to_view) = (from.view(source), to.view(destination));
    let (sender, receiver) = (from.who, to.who);
    let connection = asked.connection;
    let mut walk = Walk { picture, sender, receiver, source, destination, connection, hops: Vec::new() };
    let End { outcome, verdict } = walk.go();
    Ok(TraceView { from: from_view, to: to_view, connection, hops: walk.hops, outcome, verdict })
}

/// The packet on its way.
struct Walk<'a> {
    picture: Picture<'a>,
    sender: Who,
    receiver: Who,
    source: IpAddr,
    /// Another after a Service's address is translated.
    destination: IpAddr,
    connection: Connection,
    hops: Vec<HopView>,
}

impl Walk<'_> {
    /// In the kernel's order: prerouting, the table, forward or input, postrouting, the device. What HostEndpoints' policies
    /// say in prerouting is told with the rest of what they say, once the links are known.
    fn go(&mut self) -> End {
        if let Some(end) = self.origin().or_else(|| self.service()) {
            return end;
        }
        let (hop, way) = route::look_up(self.picture, self.destination);
        self.hops.push(hop);
        let way = match way {
            Ok(way) => way,
            Err(end) => return end,
        };
        if let Some(end) = self.stray(&way).or_else(|| self.policies()).or_else(|| self.host_endpoints(&way)) {
            return end;
        }
        if let Way::Out(out) = &way {
            self.masquerade(out);
            self.tunnel(out);
        }
        self.arrive(&way)
    }

    fn hop(&mut self, step: TraceStep, effect: Effect, what: impl Into<String>, reason: impl Into<String>) {
        self.hops.push(HopView::new(step, effect, what, reason));
    }

    fn is_from_node(&self) -> bool {
        matches!(&self.sender, Who::Node(name) if name == self.picture.world.node.as_str())
    }

    /// The pod of this node that sends.
    fn own_sender(&self) -> Option<PodRef> {
        own_pod(self.picture.world, &self.sender)
    }

    fn origin(&mut self) -> Option<End> {
        if let Some(pod) = self.own_sender() {
            return self.leave_pod(&pod);
        }
        if self.is_from_node() {
            self.hop(TraceStep::Origin, Effect::Passes, "this node itself", "");
            return None;
        }
        // Which way it comes in is not known; the way back to it says what is to be expected.
        let (_, back) = route::look_up(self.picture, self.source);
        let what = match back {
            Ok(Way::Out(out)) if out.by_tunnel() => {
                format!("comes in by {}, from node {}", kernel::TUNNEL, joined(&out.gateways))
            }
            Ok(Way::Out(out)) => format!("comes in by {}", out.interfaces.join(" or ")),
            Ok(Way::Pod(link)) => format!("comes in by {link}"),
            Ok(Way::Host) => "this node itself".to_string(),
            Err(_) => "comes in from outside".to_string(),
        };
        self.hop(TraceStep::Origin, Effect::Passes, what, "supposing that it comes by the way that leads back to it");
        None
    }

    fn leave_pod(&mut self, pod: &PodRef) -> Option<End> {
        let world = self.picture.world;
        let lease = world.leases.holder(self.source);
        let Some(lease) = lease else {
            self.hop(TraceStep::Origin, Effect::Elsewhere, format!("pod {pod}"), "its link is another plugin's");
            return None;
        };
        let name = lease.host_interface.clone();
        let end = match world.kernel.link(&name) {
            Some(link) if link.up && link.carrier => {
                let mtu = link.mtu;
                let mut hop = HopView::new(TraceStep::Origin, Effect::Passes, format!("{name}, mtu {mtu}"), "");
                hop.reason = format!("the link of pod {pod}");
                hop.interfaces = vec![name.clone()];
                self.hops.push(hop);
                None
            }
            Some(_) => Some(format!("link {name} is down")),
            None if lease.plumbed.is_none() => Some(format!("link {name} is being made: pod {pod} is not plumbed yet")),
            None => Some(format!("link {name} is gone: pod {pod} is cut off, delete it so that it is made anew")),
        };
        if let Some(reason) = end {
            self.hop(TraceStep::Origin, Effect::Drops, name, reason.clone());
            return Some(End::dropped(reason));
        }
        let own = format!("{} is an address of the pod", self.source);
        self.hop(TraceStep::Source, Effect::Passes, own, "another source address would be dropped as spoofed");
        None
    }

    /// What kube-proxy makes of a Service's address. Who it will choose is not known here.
    fn service(&mut self) -> Option<End> {
        let Who::Service(namespace, name) = self.receiver.clone() else { return None };
        let what = format!("kube-proxy translates {} to an endpoint of {namespace}/{name}", self.destination);
        let next = format!(
            "ask about one of them: `kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}`"
        );
        let mut hop = HopView::new(TraceStep::Service, Effect::Changes, what, "");
        hop.reason = match self.ready_here(&namespace, &name) {
            Readiness::Here => format!("an endpoint on this node is ready; {next}"),
            Readiness::NotHere => format!("no endpoint on this node is ready; {next}"),
        };
        self.hops.push(hop);
        Some(End { outcome: TraceOutcome::Unknown, verdict: format!("kube-proxy chooses the endpoint: {next}") })
    }

    fn ready_here(&self, namespace: &str, name: &str) -> Readiness {
        let world = self.picture.world;
        let of_service = |slice: &&model::object::EndpointSlice| {
            slice.meta.namespace.as_deref().unwrap_or("default") == namespace && slice.service.as_deref() == Some(name)
        };
        let mut slices = world.objects.endpoint_slices().filter(of_service);
        if slices.any(|slice| slice.ready_on.contains(&world.node)) { Readiness::Here } else { Readiness::NotHere }
    }

    /// A service address that no Service has: what kube-proxy did not translate goes no further.
    fn stray(&mut self, way: &Way) -> Option<End> {
        if !matches!(way, Way::Out(_)) || self.is_from_node() {
            return None;
        }
        let nat = &self.picture.desired.nat;
        let inside = nat.inside.iter().any(|prefix| prefix.contains(self.destination));
        let block = nat.services.iter().find(|block| block.contains(self.destination)).filter(|_| !inside)?;
        let does = match nat.strays {
            Strays::Drop => "dropped",
            Strays::Reject => "rejected",
        };
        let reason = format!("in service addresses {block}, and no Service has it: kube-proxy did not translate it");
        let verdict = format!("{does}: {} is {reason}", self.destination);
        self.hop(TraceStep::Service, Effect::Drops, does, reason);
        Some(End::dropped(verdict))
    }

    /// Both sides' policies, as far as they are decided here. Both are shown, even if the first refuses.
    fn policies(&mut self) -> Option<End> {
        let world = self.picture.world;
        let program = world.policies.program();
        let packet = packet(self.source, self.destination, self.connection);
        let egress = sides::egress(world, program, &self.sender, &packet);
        let ingress = sides::ingress(world, program, [&self.sender, &self.receiver], &packet);
        let refused = [(TraceStep::Egress, egress), (TraceStep::Ingress, ingress)];
        let mut ends = Vec::new();
        for (step, judged) in refused {
            let Some(judged) = judged else { continue };
            let effect = match judged.verdict {
                PolicyVerdict::Allowed => Effect::Passes,
                PolicyVerdict::Denied => Effect::Drops,
                PolicyVerdict::Elsewhere => Effect::Elsewhere,
            };
            if effect == Effect::Drops {
                ends.push(format!("{} policy: {}", step.word(), judged.reason));
            }
            let mut hop = HopView::new(step, effect, judged.verdict.word(), judged.reason.clone());
            hop.judged = Some(judged);
            self.hops.push(hop);
        }
        (!ends.is_empty()).then(|| End::dropped(format!("dropped by {}", ends.join("; and by "))))
    }

    /// Only what comes from a pool and goes to none: the plan for the kernel's rules says which.
    fn masquerade(&mut self, out: &Out) {
        let nat = &self.picture.desired.nat;
        let Some(from) = nat.masquerade.iter().find(|pool| pool.contains(self.source)) else {
            if self.own_sender().is_some() {
                let reason = format!("no pool with natOutgoing has {}", self.source);
                self.hop(TraceStep::Masquerade, Effect::Passes, "no", reason);
            }
            return;
        };
        match nat.inside.iter().find(|prefix| prefix.contains(self.destination)) {
            Some(inside) => {
                let reason = format!("{} is in {inside}, which is not outside", self.destination);
                self.hop(TraceStep::Masquerade, Effect::Passes, "no", reason);
            }
            None => {
                let what = format!("leaves with the address of {}", out.interfaces.join(" or "));
                let reason = format!("pool {from} has natOutgoing, and {} is in no pool", self.destination);
                self.hop(TraceStep::Masquerade, Effect::Changes, what, reason);
            }
        }
    }

    fn tunnel(&mut self, out: &Out) {
        let plan = self.picture.desired.routes.get(&out.prefix);
        let reasons: Vec<String> = plan.iter().flat_map(|plan| plan.encap.iter().map(|(_, e)| e.reason())).collect();
        let reason = reasons.join("; ");
        if !out.by_tunnel() {
            if !reason.is_empty() {
                self.hop(TraceStep::Tunnel, Effect::Passes, "no", reason);
            }
            return;
        }
        let source = own::addresses(self.picture.world).of(Family::Ipv4).map(|own| own.address.address);
        let outer = out.gateways.first().map(|destination| OuterView { source, destination: *destination });
        let from = source.map_or("this node".to_string(), |address| address.to_string());
        let what = format!("{}: {from} to {} (IP in IP)", kernel::TUNNEL, joined(&out.gateways));
        let mut hop = HopView::new(TraceStep::Tunnel, Effect::Changes, what, reason);
        hop.outer = outer;
        self.hops.push(hop);
    }

    fn arrive(&mut self, way: &Way) -> End {
        let world = self.picture.world;
        match way {
            Way::Host => {
                let what = format!("node {} itself", world.node);
                let to_host = world.objects.felix(&world.node).default_endpoint_to_host_action;
                if self.own_sender().is_some() && to_host == Some(EndpointToHost::Drop) {
                    let reason = "FelixConfiguration says defaultEndpointToHostAction: Drop";
                    self.hop(TraceStep::Destination, Effect::Drops, what, reason);
                    return End::dropped(format!("dropped: {reason}"));
                }
                self.hop(TraceStep::Destination, Effect::Passes, what.clone(), "");
                End { outcome: TraceOutcome::Delivered, verdict: format!("delivered to {what}") }
            }
            Way::Pod(link) => self.enter_pod(link),
            Way::Out(out) => {
                let whom = match &self.receiver {
                    Who::Pod(pod, node) if !node.is_empty() => format!("pod {pod} on node {node}"),
                    Who::Pod(pod, _) => format!("pod {pod}"),
                    Who::Node(name) => format!("node {name}"),
                    Who::Service(..) | Who::Address => self.destination.to_string(),
                };
                let by = match out.gateways.as_slice() {
                    [] => "on the link".to_string(),
                    gateways => format!("by {}", joined(gateways)),
                };
                let by = format!("{by}, {}", out.interfaces.join(" or "));
                if own_pod(world, &self.receiver).is_some() {
                    self.hop(
                        TraceStep::Destination,
                        Effect::Elsewhere,
                        whom.clone(),
                        format!("{by}, another plugin's"),
                    );
                    let verdict = format!("goes to {whom}, this one, {by}");
                    return End { outcome: TraceOutcome::Sent, verdict };
                }
                self.hop(TraceStep::Destination, Effect::Elsewhere, whom.clone(), by.clone());
                End { outcome: TraceOutcome::Sent, verdict: format!("leaves this node for {whom} {by}") }
            }
        }
    }

    fn enter_pod(&mut self, name: &str) -> End {
        let holder = self.picture.world.leases.holder(self.destination).and_then(|lease| lease.pod.as_ref());
        let whose = holder.map_or("a pod".to_string(), |pod| format!("pod {pod}"));
        let up = self.picture.world.kernel.link(name).is_some_and(|link| link.up && link.carrier);
        let effect = if up { Effect::Passes } else { Effect::Drops };
        let mut hop = HopView::new(TraceStep::Destination, effect, name, format!("the link of {whose}"));
        hop.interfaces = vec![name.to_string()];
        self.hops.push(hop);
        if up {
            End { outcome: TraceOutcome::Delivered, verdict: format!("delivered to {whose}") }
        } else {
            End::dropped(format!("link {name} of {whose} is down or has no carrier"))
        }
    }
}

/// Whether a Service is served by an endpoint of this node.
enum Readiness {
    Here,
    NotHere,
}

/// The pod, if it is one of this node.
fn own_pod(world: &World, who: &Who) -> Option<PodRef> {
    match who {
        Who::Pod(pod, node) if node == world.node.as_str() => Some(pod.clone()),
        _ => None,
    }
}

fn joined(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" or ")
}
