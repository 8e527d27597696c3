//! What is written as if it were said, and is not: `null`, which an API server takes for a field left out.

use serde_json::{Map, Value};

/// Maps whose keys are no fields: a null there is a value that can't be read, not one that is left out.
const MAPS: [&str; 3] = ["labels", "annotations", "matchLabels"];

/// Takes out of an object and its `metadata` what is null, and a namespace that is empty.
pub(super) fn leave_out(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    strip(map);
    if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
        strip(metadata);
        if metadata.get("namespace").is_some_and(|namespace| namespace == "") {
            metadata.remove("namespace");
        }
    }
}

/// Takes all fields out that are null, at any depth. A null in a list stays: it has its place there.
pub(super) fn leave_out_all(value: &mut Value) {
    match value {
        Value::Object(map) => {
            strip(map);
            let fields = map.iter_mut().filter(|(field, _)| !MAPS.contains(&field.as_str()));
            fields.for_each(|(_, value)| leave_out_all(value));
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_all),
        _ => {}
    }
}

fn strip(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
}

#[cfg(test)]
mod tests {
    use crate::object::{Document, Object, parse};

    fn objects(text: &str) -> Vec<Object> {
        let document = |document| match document {
            Document::Object(found) => found.object,
            Document::Bad(_, error) => panic!("{error}"),
        };
        parse("f.yaml", text).documents.into_iter().map(document).collect()
    }

    #[test]
    fn null_is_what_is_not_said() {
        let meta = "{name: a, namespace: null, labels: null, annotations: null, ownerReferences: null}";
        let policy = |meta: &str, spec: &str| {
            format!("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {meta}\n{spec}\n---\n")
        };
        let pod = |meta: &str, rest: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {meta}\n{rest}\n---\n");
        for (written, same) in [
            (policy(meta, "spec: null"), policy("{name: a}", "spec: {}")),
            (policy(meta, "spec: {podSelector: null, ingress: null, egress: null}"), policy("{name: a}", "")),
            (
                policy(meta, "spec: {podSelector: {matchLabels: null}, ingress: [{from: null, ports: null}]}"),
                policy("{name: a}", "spec: {podSelector: {}, ingress: [{}]}"),
            ),
            (pod(meta, "spec: null\nstatus: null"), pod("{name: a}", "")),
            (pod(meta, "spec: {containers: null}\nstatus: {podIPs: null}"), pod("{name: a}", "spec: {}")),
        ] {
            assert_eq!(objects(&written), objects(&same), "{written}");
        }
    }

    #[test]
    fn a_label_that_is_null_is_none_that_could_be_left_out() {
        let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n\
            spec: {podSelector: {matchLabels: {app: null}}}\n";
        assert!(matches!(parse("f.yaml", text).documents.as_slice(), [Document::Bad(Some(_), _)]));
    }

    #[test]
    fn an_empty_namespace_is_not_said() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ''}\n";
        let keys: Vec<String> = objects(text).iter().map(|object| object.key().to_string()).collect();
        assert_eq!(keys, ["Pod/default/a"]);
    }
}
