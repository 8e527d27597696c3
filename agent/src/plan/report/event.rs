//! Events on objects that are wrong: on the object itself where its owner looks, on the Node for what is the node's own.

use std::fmt;

use model::NodeName;
use model::object::{Kind, ObjectError, ObjectKey};

use super::node::cut;
use super::{Standing, turn};
use crate::plan::own;
use crate::world::World;

/// The most events about objects that one node keeps up.
const MOST_OF_OBJECTS: usize = 32;
/// The most about itself.
const MOST_OF_NODE: usize = 8;

/// A Warning about one object. `events.k8s.io/v1` Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub regarding: Regarding,
    /// `reason`: one word.
    pub reason: &'static str,
    /// `note`: a sentence, at most 1 KiB.
    pub note: String,
}

/// The object that an event is about. Its `uid` is asked for when the event is written: of an object that was never good
/// nothing but its name is known here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Regarding {
    /// Kind, namespace and name.
    pub key: ObjectKey,
}

impl fmt::Display for Regarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl Event {
    /// Tells it from other events about the same object, and is the same on every node.
    pub fn id(&self) -> u64 {
        turn::hash([self.regarding.to_string().as_str(), self.reason, &self.note])
    }

    /// What decides whose turn it is to write it.
    pub(super) fn name(&self) -> String {
        format!("{} {:016x}", self.regarding, self.id())
    }

    /// Whether no other node can know of it.
    pub(super) fn is_own(&self, node: &NodeName) -> bool {
        let ObjectKey { kind, name, .. } = &self.regarding.key;
        matches!(kind, Kind::Pod) || (*kind == Kind::Node && name == node.as_str())
    }
}

/// All events that should be there.
pub(super) fn events(world: &World, standing: Standing<'_>) -> Vec<Event> {
    let errors = world.objects.errors.iter().filter_map(of_error);
    // Another Node's mistakes are told by the agent that lives there. Secrets the agent may not read by themselves; what
    // is wrong with one is told of the peering that needs it.
    let concern = |event: &Event| match event.regarding.key.kind {
        Kind::Secret => false,
        Kind::Node => event.is_own(&world.node),
        _ => true,
    };
    let mut events: Vec<Event> = errors.filter(concern).collect();
    events.sort_by(|a, b| (&a.regarding, &a.note).cmp(&(&b.regarding, &b.note)));
    events.dedup();
    events.truncate(MOST_OF_OBJECTS);
    events.extend(of_node(world, standing).into_iter().take(MOST_OF_NODE));
    events
}

fn of_error(error: &ObjectError) -> Option<Event> {
    let note = match error.field.as_str() {
        "" => error.message.clone(),
        field => format!("{field}: {}", error.message),
    };
    let regarding = Regarding { key: key(&error.object)? };
    Some(Event { regarding, reason: "NotInForce", note: cut(note) })
}

/// From `Kind/name` or `Kind/namespace/name`.
fn key(text: &str) -> Option<ObjectKey> {
    let (kind, rest) = text.split_once('/')?;
    let kind = kind.parse().ok()?;
    let (namespace, name) = match rest.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_string()), name),
        None => (None, rest),
    };
    Some(ObjectKey { kind, namespace, name: name.to_string() })
}

/// What is wrong on this node alone.
fn of_node(world: &World, standing: Standing<'_>) -> Vec<Event> {
    let Some(node) = world.objects.node(&world.node) else { return Vec::new() };
    let key = ObjectKey { kind: Kind::Node, namespace: None, name: node.name.to_string() };
    let event = |reason, note| Event { regarding: Regarding { key: key.clone() }, reason, note: cut(note) };
    let own = own::addresses(world).problems;
    let addresses = own.iter().map(|problem| event("NodeAddress", problem.clone()));
    let peering = standing.peering.iter().filter(|problem| !own.contains(problem));
    let peering = peering.map(|problem| event("Peering", problem.clone()));
    let cni = world.cni.iter().flat_map(|installed| installed.problems());
    let cni = cni.map(|problem| event("CNIConfiguration", problem));
    addresses.chain(cni).chain(peering).collect()
}
