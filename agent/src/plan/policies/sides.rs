//! Who decides about a connection: the policies of its two sides, as far as they are decided on this node.

use model::PodRef;
use model::api::show::{Between, JudgedView, PolicyTestView, PolicyVerdict};
use policy::program::{EndpointKey, Program};
use policy::{Direction, Packet};

use crate::plan::ends::{self, Who};
use crate::plan::judged::{judge, packet, plain};
use crate::world::World;

/// What both sides say of a connection; or why it can't be said.
pub fn test(world: &World, program: &Program, asked: &Between) -> Result<PolicyTestView, String> {
    let (from, to) = (ends::named(world, &asked.from)?, ends::named(world, &asked.to)?);
    if let Who::Service(namespace, name) = &to.who {
        return Err(format!(
            "policies see the address that kube-proxy translates {namespace}/{name} to, not the Service's: ask about one \
             of its pods"
        ));
    }
    let (source, destination) = ends::common(&from, &to)
        .ok_or_else(|| format!("{} and {} have no addresses of the same family", asked.from, asked.to))?;
    let packet = packet(source, destination, asked.connection);
    let nobody = |what: &str| plain(PolicyVerdict::Allowed, format!("{what} is no pod: it has no policies here"));
    let egress = egress(world, program, &from.who, &packet).unwrap_or_else(|| nobody("the sender"));
    let ingress = ingress(world, program, [&from.who, &to.who], &packet).unwrap_or_else(|| nobody("the receiver"));
    let verdict = egress.verdict.and(ingress.verdict);
    let (from, to) = (from.view(source), to.view(destination));
    Ok(PolicyTestView { from, to, connection: asked.connection, egress, ingress, verdict })
}

/// By the sender's policies; none if it has none anywhere.
pub fn egress(world: &World, program: &Program, sender: &Who, packet: &Packet) -> Option<JudgedView> {
    match sender {
        Who::Pod(pod, node) => Some(of_pod(world, program, (pod, node), Direction::Egress, packet)),
        Who::Node(_) | Who::Service(..) | Who::Address => None,
    }
}

/// By the receiver's policies; none if it has none anywhere.
pub fn ingress(world: &World, program: &Program, ends: [&Who; 2], packet: &Packet) -> Option<JudgedView> {
    let [sender, receiver] = ends;
    let Who::Pod(pod, node) = receiver else { return None };
    let from_here = matches!(sender, Who::Node(name) if name == world.node.as_str());
    if from_here && node == world.node.as_str() {
        let reason = "what the node itself sends to its own pods is never cut";
        return Some(plain(PolicyVerdict::Allowed, reason));
    }
    Some(of_pod(world, program, (pod, node), Direction::Ingress, packet))
}

fn of_pod(
    world: &World,
    program: &Program,
    (pod, node): (&PodRef, &str),
    direction: Direction,
    packet: &Packet,
) -> JudgedView {
    match node {
        node if node == world.node.as_str() => judge(program, &EndpointKey::Pod(pod.clone()), direction, packet),
        "" => plain(PolicyVerdict::Elsewhere, "decided on the pod's node: ask its agent"),
        node => plain(PolicyVerdict::Elsewhere, format!("decided on node {node}: ask its agent")),
    }
}
