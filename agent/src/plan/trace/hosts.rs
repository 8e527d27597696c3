//! What the policies of this node's HostEndpoints say of the packet: of the link that it comes by, and of the one that it
//! leaves by.

use model::api::show::{Effect, HopView, PolicyVerdict, TraceOutcome, TraceStep};
use model::object::EndpointToHost;
use model::pod_link::is_pod_link;

use super::route::{self, Way};
use super::{End, Walk};
use crate::plan::firewall::{Answer, Passage, hosts, on};
use crate::plan::judged::packet;
use crate::world::Mode;

impl Walk<'_> {
    /// Each link whose policies are asked is a hop. Of several links that the packet may take, all are asked.
    pub(super) fn host_endpoints(&mut self, way: &Way) -> Option<End> {
        let world = self.picture.world;
        let program = world.policies.program();
        let hosts = hosts(world, program, self.picture.desired.bgp.as_ref());
        if hosts.is_empty() || (self.is_from_node() && self.is_to_own(way)) {
            return None;
        }
        let (by, out) = (self.comes_by(), leaves_by(way));
        let passages: Vec<Passage<'_>> = match (&by, way) {
            (Some(by), _) if by.is_empty() => {
                let reason = "by which link it comes is not known, nor what the policies of HostEndpoints say there";
                self.hop(TraceStep::Host, Effect::Elsewhere, "elsewhere", reason);
                return None;
            }
            (Some(by), Way::Host) if self.has_the_last_word(by) => by.iter().map(|by| Passage::InUnasked(by)).collect(),
            (Some(by), Way::Host) => by.iter().map(|by| Passage::In(by)).collect(),
            (Some(by), _) => by.iter().flat_map(|by| out.iter().map(move |out| Passage::Through(by, out))).collect(),
            (None, _) => out.iter().map(|out| Passage::Out(out)).collect(),
        };
        let packet = packet(self.source, self.destination, self.connection);
        let asked: Vec<_> = passages.into_iter().map(|passage| hosts.ask(program, &packet, passage)).collect();
        let refusals = asked.iter().filter_map(|answers| answers.iter().find(|answer| is_refusal(answer)));
        let refusals: Vec<String> = refusals.map(|answer| self.reason(answer)).collect();
        let all = refusals.len() == asked.len();
        let mut shown: Vec<Answer> = Vec::new();
        for answer in asked.into_iter().flatten() {
            if !shown.contains(&answer) {
                self.hops.push(self.judged_hop(&answer));
                shown.push(answer);
            }
        }
        let refusal = refusals.into_iter().next()?;
        Some(match all {
            true => End::dropped(format!("dropped by the policies of {refusal}")),
            false => End {
                outcome: TraceOutcome::Unknown,
                verdict: format!("the kernel chooses the link, and one is closed by the policies of {refusal}"),
            },
        })
    }

    fn reason(&self, answer: &Answer) -> String {
        let endpoint = on(self.picture.world, &answer.link).map(|endpoint| endpoint.meta.name.as_str());
        format!("HostEndpoint {} on {}: {}", endpoint.unwrap_or_default(), answer.link, answer.judged.reason)
    }

    fn judged_hop(&self, answer: &Answer) -> HopView {
        let effect = if is_refusal(answer) { Effect::Drops } else { Effect::Passes };
        let mut hop = HopView::new(TraceStep::Host, effect, answer.judged.verdict.word(), self.reason(answer));
        hop.interfaces = vec![answer.link.clone()];
        hop.judged = Some(answer.judged.clone());
        hop
    }

    /// To the node itself, or to one of its pods.
    fn is_to_own(&self, way: &Way) -> bool {
        let mut interfaces = self.picture.world.endpoints.interfaces();
        matches!(way, Way::Host | Way::Pod(_))
            || interfaces.any(|(_, interface)| interface.addresses.contains(&self.destination))
    }

    /// The links by which it may come, supposing that they are those that lead back; none from the node itself.
    fn comes_by(&self) -> Option<Vec<String>> {
        let back = || route::look_up(self.picture, self.source).1;
        (!self.is_from_node()).then(|| back().map(|back| leaves_by(&back)).unwrap_or_default())
    }

    /// Whether a pod's own policies and the configuration say what it may send to its node, and nobody else.
    fn has_the_last_word(&self, by: &[String]) -> bool {
        let world = self.picture.world;
        let action = world.objects.felix(&world.node).default_endpoint_to_host_action.unwrap_or_default();
        let is_ours = world.mode == Mode::PolicyOnly || by.iter().all(|link| is_pod_link(link));
        self.own_sender().is_some() && is_ours && action != EndpointToHost::Return
    }
}

fn leaves_by(way: &Way) -> Vec<String> {
    match way {
        Way::Host => Vec::new(),
        Way::Pod(link) => vec![link.clone()],
        Way::Out(out) => out.interfaces.clone(),
    }
}

fn is_refusal(answer: &Answer) -> bool {
    answer.judged.verdict == PolicyVerdict::Denied
}
