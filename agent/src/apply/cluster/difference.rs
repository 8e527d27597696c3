//! What the API has, laid beside what it should say: the patches that are the difference. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::plan::report::{Allocatable, Availability, Gives, Network, NodeReport};

/// Who the API server remembers as the owner of what we write (server-side apply).
pub const MANAGER: &str = "margay-agent";
/// A Node's condition that is ours.
const NETWORK: &str = "NetworkUnavailable";
/// A pool's.
const ALLOCATABLE: &str = "Allocatable";

/// One request that makes the API say what it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// For a person: what it makes of what.
    pub what: String,
    /// The request's body, by its content type.
    pub patch: Patch,
}

/// A body and how the API server is to read it.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// Server-side apply of all that we own of the object, or of its status.
    Apply {
        /// To which part.
        part: Part,
        /// Whether a value that another owns is taken over, or is an error.
        owned_by_another: OwnedByAnother,
        /// The object, as far as it is ours.
        body: Value,
    },
    /// A JSON patch, with a test of what is replaced.
    Json(Value),
    /// A JSON merge patch.
    Merge {
        /// To which part.
        part: Part,
        /// What is new.
        body: Value,
    },
}

impl Change {
    /// Whether nothing is written where another owns it.
    pub fn respects_others(&self) -> bool {
        matches!(self.patch, Patch::Apply { owned_by_another: OwnedByAnother::Respected, .. })
    }
}

/// Which part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but its status.
    Whole,
    /// Its status.
    Status,
}

/// What becomes of values that another owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnedByAnother {
    /// They are ours from now on.
    Taken,
    /// They stay, and nothing is written.
    Respected,
}

/// What has to be done to an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// In this order.
    pub changes: Vec<Change>,
    /// Where another says something else, and its word stands.
    pub anothers: Vec<String>,
}

/// What a Node's object lacks. `now` is RFC 3339.
pub fn node(found: &Value, report: &NodeReport, now: &str) -> Difference {
    let mut difference = Difference::default();
    difference.changes.extend(report.network.as_ref().and_then(|network| condition(found, network, now)));
    if let Some(wanted) = &report.annotations {
        annotations(found, wanted, &mut difference);
    }
    // Last: with it pods come.
    difference.changes.extend(report.without_taint.as_ref().and_then(|key| taint(found, key)));
    difference
}

/// What the status of an IPPool lacks.
pub fn pool(found: &Value, report: &Allocatable, now: &str) -> Difference {
    let status = if report.gives == Gives::Ok { "True" } else { "False" };
    let reason = report.gives.reason();
    let there = condition_of(found, ALLOCATABLE);
    if there.is_some_and(|there| says(there, status, reason, &report.message)) {
        return Difference::default();
    }
    let mut difference = Difference::default();
    let path = ["f:status", "f:conditions", "k:{\"type\":\"Allocatable\"}"];
    if let Some(there) = there
        && !owned(found, Part::Status, &path).any(|_| true)
    {
        let another = text(there, "reason");
        difference.anothers.push(format!("{ALLOCATABLE} has the reason {another}, not {reason}"));
        return difference;
    }
    let mut body = ours(found);
    body["status"] = json!({ "conditions": [{
        "type": ALLOCATABLE,
        "status": status,
        "reason": reason,
        "message": report.message,
        "observedGeneration": found["metadata"]["generation"],
        "lastTransitionTime": since(there, status, now),
    }]});
    let patch = Patch::Apply { part: Part::Status, owned_by_another: OwnedByAnother::Respected, body };
    difference.changes.push(Change { what: format!("{ALLOCATABLE}={status} ({reason})"), patch });
    difference
}

/// The condition is ours whoever wrote it before: a cloud's node starts with it True until somebody knows better.
fn condition(found: &Value, network: &Network, now: &str) -> Option<Change> {
    let status = match network.availability {
        Availability::Available => "False",
        Availability::Unavailable => "True",
    };
    let there = condition_of(found, NETWORK);
    let said = there.is_some_and(|there| says(there, status, network.reason, &network.message));
    if said || !network.follows(there.map(|there| text(there, "reason"))) {
        return None;
    }
    let mut body = ours(found);
    body["status"] = json!({ "conditions": [{
        "type": NETWORK,
        "status": status,
        "reason": network.reason,
        "message": network.message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since(there, status, now),
    }]});
    let patch = Patch::Apply { part: Part::Status, owned_by_another: OwnedByAnother::Taken, body };
    Some(Change { what: format!("{NETWORK}={status} ({})", network.reason), patch })
}

/// Only where the key is free or ours: what another wrote is what a person or a tool has decided.
fn annotations(found: &Value, wanted: &BTreeMap<&'static str, String>, difference: &mut Difference) {
    let there = &found["metadata"]["annotations"];
    let owned: BTreeSet<&str> = owned(found, Part::Whole, &["f:metadata", "f:annotations"])
        .filter_map(Value::as_object)
        .flat_map(|fields| fields.keys().filter_map(|key| key.strip_prefix("f:")))
        .collect();
    let mut applied = BTreeMap::new();
    let mut news = Vec::new();
    for (key, value) in wanted {
        match there[*key].as_str() {
            Some(same) if same == value && owned.contains(key) => {
                applied.insert(*key, value);
            }
            Some(same) if same == value => {}
            Some(other) if !owned.contains(key) => {
                difference.anothers.push(format!("annotation {key} is {other:?}, not {value:?}"));
            }
            _ => {
                applied.insert(*key, value);
                news.push(format!("{key}={value}"));
            }
        }
    }
    let gone = owned.iter().filter(|key| !applied.contains_key(*key)).map(|key| format!("{key} removed"));
    news.extend(gone);
    if news.is_empty() {
        return;
    }
    let mut body = ours(found);
    body["metadata"]["annotations"] = json!(applied);
    let patch = Patch::Apply { part: Part::Whole, owned_by_another: OwnedByAnother::Respected, body };
    difference.changes.push(Change { what: news.join(", "), patch });
}

/// The list of taints is one value to the API, which others write too: replaced only if it still is what was read.
fn taint(found: &Value, key: &str) -> Option<Change> {
    let taints = found["spec"]["taints"].as_array()?;
    let rest: Vec<&Value> = taints.iter().filter(|taint| text(taint, "key") != key).collect();
    if rest.len() == taints.len() {
        return None;
    }
    let path = "/spec/taints";
    let replaced = match rest.as_slice() {
        [] => json!({ "op": "remove", "path": path }),
        rest => json!({ "op": "replace", "path": path, "value": rest }),
    };
    let body = json!([
        { "op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"] },
        { "op": "test", "path": path, "value": taints },
        replaced,
    ]);
    Some(Change { what: format!("taint {key} removed"), patch: Patch::Json(body) })
}

/// An object with nothing in it yet. The uid makes sure that none of that name is made, nor a later one written to.
fn ours(found: &Value) -> Value {
    json!({
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "metadata": { "name": found["metadata"]["name"], "uid": found["metadata"]["uid"] },
    })
}

/// What our manager owns of a part, at this path into its fields.
fn owned<'a>(found: &'a Value, part: Part, path: &'a [&str]) -> impl Iterator<Item = &'a Value> {
    let entries = found["metadata"]["managedFields"].as_array().into_iter().flatten();
    let ours = entries.filter(move |entry| {
        let subresource = text(entry, "subresource");
        let same_part = (part == Part::Status) == (subresource == "status");
        text(entry, "manager") == MANAGER && text(entry, "operation") == "Apply" && same_part
    });
    ours.filter_map(move |entry| path.iter().try_fold(&entry["fieldsV1"], |fields, key| fields.get(key)))
}

fn condition_of<'a>(found: &'a Value, kind: &str) -> Option<&'a Value> {
    found["status"]["conditions"].as_array()?.iter().find(|condition| text(condition, "type") == kind)
}

fn says(condition: &Value, status: &str, reason: &str, message: &str) -> bool {
    text(condition, "status") == status && text(condition, "reason") == reason && text(condition, "message") == message
}

/// When the condition's status became what it is.
fn since(there: Option<&Value>, status: &str, now: &str) -> String {
    let same = there.filter(|there| text(there, "status") == status);
    let since = same.map(|there| text(there, "lastTransitionTime")).filter(|since| !since.is_empty());
    since.unwrap_or(now).to_string()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::report::farewell;

    const NOW: &str = "2027-01-15T08:00:00Z";

    fn up() -> NodeReport {
        let network =
            Network { availability: Availability::Available, reason: "MargayIsUp", message: "all is well".into() };
        NodeReport { network: Some(network), ..NodeReport::default() }
    }
    fn found(more: Value) -> Value {
        let mut node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1", "uid": "u1" } });
        for (key, value) in more.as_object().unwrap() {
            match (node.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
                (Some(there), Some(fields)) => there.extend(fields.clone()),
                _ => node[key] = value.clone(),
            }
        }
        node
    }
    fn written(difference: &Difference) -> Vec<String> {
        let body = |patch: &Patch| match patch {
            Patch::Apply { part, owned_by_another, body } => format!("{part:?} {owned_by_another:?} {body}"),
            Patch::Json(body) | Patch::Merge { body, .. } => body.to_string(),
        };
        difference.changes.iter().map(|change| format!("{}: {}", change.what, body(&change.patch))).collect()
    }
    fn owns_annotations(keys: &[&str]) -> Value {
        let fields: serde_json::Map<String, Value> = keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
        json!([{ "manager": MANAGER, "operation": "Apply", "fieldsV1": { "f:metadata": { "f:annotations": fields }}}])
    }

    #[test]
    fn a_condition_is_written_when_it_differs_and_keeps_its_transition_time_when_only_its_words_do() {
        let at = |status: &str, reason: &str| {
            let condition = json!({ "type": NETWORK, "status": status, "reason": reason, "message": "all is well",
                "lastTransitionTime": "2027-01-01T00:00:00Z" });
            found(json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }, condition] } }))
        };
        assert_eq!(node(&at("False", "MargayIsUp"), &up(), NOW), Difference::default());
        let since = |found: &Value| match &node(found, &up(), NOW).changes[0].patch {
            Patch::Apply { body, .. } => body["status"]["conditions"][0]["lastTransitionTime"].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(since(&at("False", "RouteCreated")), "2027-01-01T00:00:00Z");
        assert_eq!(since(&at("True", "NoRouteCreated")), NOW);
        let lines = written(&node(&found(json!({})), &up(), NOW));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("NetworkUnavailable=False (MargayIsUp): Status Taken {"), "{lines:?}");
        assert!(!lines[0].contains("Ready"), "no other condition is touched: {lines:?}");
    }

    #[test]
    fn the_startup_taint_goes_and_the_others_stay() {
        let report = NodeReport { without_taint: Some("t".into()), ..NodeReport::default() };
        let with = |taints: Value| node(&found(json!({ "spec": { "taints": taints } })), &report, NOW);
        assert_eq!(with(json!([{ "key": "other", "effect": "NoSchedule" }])), Difference::default());
        let lines = written(&with(json!([{ "key": "t", "effect": "NoExecute" }, { "key": "other" }])));
        let test = r#"{"op":"test","path":"/spec/taints","value":[{"effect":"NoExecute","key":"t"},{"key":"other"}]}"#;
        assert!(lines[0].contains(test), "{lines:?}");
        assert!(
            lines[0].ends_with(r#"{"op":"replace","path":"/spec/taints","value":[{"key":"other"}]}]"#),
            "{lines:?}"
        );
        let lines = written(&with(json!([{ "key": "t", "effect": "NoExecute" }])));
        assert!(lines[0].ends_with(r#"{"op":"remove","path":"/spec/taints"}]"#), "{lines:?}");
    }

    #[test]
    fn an_annotation_is_written_where_there_is_none_or_it_is_ours() {
        let report = NodeReport {
            annotations: Some(BTreeMap::from([("a", "1".to_string()), ("b", "2".to_string())])),
            ..NodeReport::default()
        };
        let of = |annotations: Value, owned: &[&str]| {
            let metadata = json!({ "annotations": annotations, "managedFields": owns_annotations(owned) });
            node(&found(json!({ "metadata": metadata })), &report, NOW)
        };
        assert_eq!(of(json!({ "a": "1", "b": "2" }), &["a", "b"]), Difference::default());
        assert_eq!(of(json!({ "a": "1", "b": "2" }), &[]), Difference::default(), "another says the same");
        let news = |difference: &Difference| difference.changes.iter().map(|c| c.what.clone()).collect::<Vec<_>>();
        assert_eq!(news(&of(json!({}), &[])), ["a=1, b=2"]);
        assert_eq!(news(&of(json!({ "a": "0", "b": "2" }), &["a", "b"])), ["a=1"]);
        assert_eq!(news(&of(json!({ "a": "1", "b": "2", "c": "3" }), &["a", "b", "c"])), ["c removed"]);
        let difference = of(json!({ "a": "by hand" }), &[]);
        assert_eq!(news(&difference), ["b=2"]);
        assert_eq!(difference.anothers, [r#"annotation a is "by hand", not "1""#]);
        assert!(written(&difference)[0].contains(r#""annotations":{"b":"2"}"#), "{:?}", written(&difference));
    }

    #[test]
    fn a_farewell_takes_back_what_was_written_and_says_that_the_network_is_gone() {
        let metadata = json!({ "annotations": { "a": "1", "z": "9" }, "managedFields": owns_annotations(&["a"]) });
        let with = |condition: Value| found(json!({ "metadata": metadata, "status": { "conditions": condition } }));
        let said =
            |reason: &str| with(json!([{ "type": NETWORK, "status": "False", "reason": reason, "message": "m" }]));
        let lines = written(&node(&said("MargayIsUp"), &farewell(), NOW));
        assert!(lines[0].starts_with("NetworkUnavailable=True (MargayIsGone)"), "{lines:?}");
        assert!(lines[1].starts_with("a removed: Whole Respected"), "{lines:?}");
        assert!(lines[1].contains(r#""annotations":{}"#), "{lines:?}");
        for anothers in [said("FlannelIsUp"), with(json!([]))] {
            let lines = written(&node(&anothers, &farewell(), NOW));
            assert!(lines.len() == 1 && lines[0].starts_with("a removed"), "the network is another's: {lines:?}");
        }
    }

    #[test]
    fn a_pools_condition_is_ours_only_where_nobody_else_keeps_it() {
        let report = Allocatable { uid: None, gives: Gives::PoolDisabled, message: "m".into() };
        let of = |condition: Value, fields: Value| {
            let managed =
                json!([{ "manager": MANAGER, "operation": "Apply", "subresource": "status", "fieldsV1": fields }]);
            let pool = json!({ "metadata": { "managedFields": managed, "generation": 3 },
                "status": { "conditions": [condition] } });
            pool_of(&found(pool), &report)
        };
        fn pool_of(found: &Value, report: &Allocatable) -> Difference {
            pool(found, report, NOW)
        }
        let ok = json!({ "type": ALLOCATABLE, "status": "True", "reason": "OK", "message": "m" });
        let ours = json!({ "f:status": { "f:conditions": { "k:{\"type\":\"Allocatable\"}": {} } } });
        assert_eq!(of(ok.clone(), ours).changes[0].what, "Allocatable=False (PoolDisabled)");
        let difference = of(ok, json!({}));
        assert_eq!((difference.changes, difference.anothers.len()), (vec![], 1));
        let same = json!({ "type": ALLOCATABLE, "status": "False", "reason": "PoolDisabled", "message": "m" });
        assert_eq!(of(same, json!({})), Difference::default());
        assert_eq!(pool_of(&found(json!({})), &report).changes.len(), 1);
    }
}
