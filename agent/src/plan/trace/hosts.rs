//! What the policies of this node's HostEndpoints say of the packet: of the link that it comes by, and of the one that it
//! leaves by.

use model::api::show::{Effect, HopView, PolicyVerdict, TraceStep};
use model::object::EndpointToHost;

use super::route::{self, Way};
use super::{End, Walk};
use crate::plan::ends::Who;
use crate::plan::firewall::{Answer, Passage, hosts, on};
use crate::plan::judged::packet;

impl Walk<'_> {
    /// Each link whose policies are asked is a hop; the first that refuses is the end.
    pub(super) fn host_endpoints(&mut self, way: &Way) -> Option<End> {
        let world = self.picture.world;
        let program = world.policies.program();
        let hosts = hosts(world, program, self.picture.desired.bgp.as_ref());
        if hosts.is_empty() {
            return None;
        }
        let (by, out) = (self.comes_by(), leaves_by(way));
        let passage = match (&by, out) {
            (Some(by), None) if self.has_the_last_word() => Passage::InUnasked(by),
            (Some(by), None) => Passage::In(by),
            (Some(by), Some(out)) => Passage::Through(by, out),
            (None, Some(out)) if matches!(way, Way::Out(_)) => Passage::Out(out),
            // To itself, or to a pod of its own.
            (None, _) => return None,
        };
        let packet = packet(self.source, self.destination, self.connection);
        let mut end = None;
        for Answer { link, judged } in hosts.ask(program, &packet, passage) {
            let endpoint = on(world, &link).map(|endpoint| endpoint.meta.name.as_str()).unwrap_or_default();
            let reason = format!("HostEndpoint {endpoint} on {link}: {}", judged.reason);
            let effect = match judged.verdict {
                PolicyVerdict::Denied => Effect::Drops,
                PolicyVerdict::Allowed | PolicyVerdict::Elsewhere => Effect::Passes,
            };
            if effect == Effect::Drops {
                end = Some(End::dropped(format!("dropped by the policies of {reason}")));
            }
            let mut hop = HopView::new(TraceStep::Host, effect, judged.verdict.word(), reason);
            hop.interfaces = vec![link];
            hop.judged = Some(judged);
            self.hops.push(hop);
        }
        end
    }

    /// The link by which it comes, supposing that it is the one that leads back; none from the node itself.
    fn comes_by(&self) -> Option<String> {
        let world = self.picture.world;
        if matches!(&self.sender, Who::Node(name) if name == world.node.as_str()) {
            return None;
        }
        let (_, back) = route::look_up(self.picture, self.source);
        Some(back.ok().and_then(|back| leaves_by(&back).map(str::to_string)).unwrap_or_default())
    }

    /// Whether a pod's own policies alone say what it may send to its node.
    fn has_the_last_word(&self) -> bool {
        let world = self.picture.world;
        let action = world.objects.felix(&world.node).default_endpoint_to_host_action.unwrap_or_default();
        self.own_sender().is_some() && action == EndpointToHost::Accept
    }
}

fn leaves_by(way: &Way) -> Option<&str> {
    match way {
        Way::Host => None,
        Way::Pod(link) => Some(link),
        Way::Out(out) => out.interfaces.first().map(String::as_str),
    }
}
