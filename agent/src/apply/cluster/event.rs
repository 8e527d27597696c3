//! Events as the API has them (`events.k8s.io/v1`). Pure.

use model::NodeName;
use serde_json::{Value, json};

use super::resource;
use crate::plan::report::Event;

/// `reportingController`.
const CONTROLLER: &str = "margay.io/margay-agent";
/// The longest part of an object's name in an event's.
const LONGEST_NAME: usize = 200;

/// Where an event is and what it is called, the same whichever node writes it: of many that try only the first one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `metadata.namespace`: that of the object, `default` where it has none.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// Where an event about this very object is; `uid` tells it from others of its name.
pub fn place(event: &Event, uid: &str) -> Place {
    let key = &event.regarding.key;
    let mut name = key.name.clone();
    name.truncate(name.floor_char_boundary(LONGEST_NAME));
    let id = crate::plan::report::hash([format!("{:016x}", event.id()).as_str(), uid]);
    Place { namespace: key.namespace.clone().unwrap_or_else(|| "default".into()), name: format!("{name}.{id:016x}") }
}

/// The event, new. `now` is RFC 3339 with microseconds.
pub fn new(event: &Event, uid: &str, place: &Place, node: &NodeName, now: &str) -> Value {
    let key = &event.regarding.key;
    let (api_version, kind) = resource::spelled(key.kind);
    let mut regarding = json!({ "apiVersion": api_version, "kind": kind, "name": key.name, "uid": uid });
    if let Some(namespace) = &key.namespace {
        regarding["namespace"] = json!(namespace);
    }
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": place.name, "namespace": place.namespace },
        "eventTime": now,
        "type": "Warning",
        "reason": event.reason,
        "action": "Read",
        "note": event.note,
        "regarding": regarding,
        "reportingController": CONTROLLER,
        "reportingInstance": node.as_str(),
    })
}

/// A merge patch of an event that still holds: how often it has been said.
pub fn series(count: u32, now: &str) -> Value {
    json!({ "series": { "count": count, "lastObservedTime": now } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::report::Regarding;
    use model::object::{Kind, ObjectKey};

    fn event(note: &str) -> Event {
        let key = ObjectKey { kind: Kind::IpPool, namespace: None, name: "p".into() };
        Event { regarding: Regarding { key }, reason: "NotInForce", note: note.into() }
    }

    #[test]
    fn all_nodes_call_the_same_event_by_the_same_name_and_others_by_others() {
        let name = |note: &str, uid: &str| place(&event(note), uid).name;
        assert_eq!(name("wrong", "u1"), name("wrong", "u1"));
        assert_ne!(name("wrong", "u1"), name("wrong otherwise", "u1"));
        assert_ne!(name("wrong", "u1"), name("wrong", "u2"), "an object that was made anew is told of anew");
        assert!(name("wrong", "u1").starts_with("p."));
        let mut long = event("wrong");
        long.regarding.key.name = "ä".repeat(200);
        assert!(place(&long, "u").name.len() <= 253 && place(&long, "u").namespace == "default");
    }
}
