//! From the text of a file to the values of its objects, with lists unfolded.

use serde_json::{Map, Value};

/// The largest file in octets that an agent reads.
pub const TEXT_LIMIT: usize = 4 << 20;
/// The most objects in a file.
const OBJECT_LIMIT: usize = 10_000;
/// So many values are read of any text, however short: of one with anchors there are more than it has octets.
const FEWEST_NODES: usize = 250_000;

/// The values of all documents of a YAML or JSON text of at most `limit` octets, in order, whatever they hold; an error says
/// why there are none.
/// Empty documents are passed over. Lists are unfolded: those without a head, `List`, and any `…List` with `items`, whose items are what the list
/// says (`PodList`: Pods of its `apiVersion`) where they do not say themselves, as an API server answers.
pub fn values(text: &str, limit: usize) -> Result<Vec<Value>, String> {
    if text.len() > limit {
        return Err(format!("is larger than {} MiB", limit >> 20));
    }
    // Between a list of short texts and what a cluster writes there are four to twenty octets to a value.
    let nodes = FEWEST_NODES.max(text.len() / 4);
    // A node may be called `n` or `no`: only true and false are booleans (YAML 1.2).
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_documents: 2 * OBJECT_LIMIT, max_nodes: nodes, max_events: 4 * nodes },
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| format!("is not YAML: {}", first_line(&error.to_string())))?;
    let mut waiting = documents;
    waiting.reverse();
    let mut values = Vec::new();
    while let Some(value) = waiting.pop() {
        match unfolded(value) {
            Unfolded::One(Value::Null) => {}
            Unfolded::One(_) if values.len() == OBJECT_LIMIT => {
                return Err(format!("holds more than {OBJECT_LIMIT} objects"));
            }
            Unfolded::One(value) => values.push(value),
            Unfolded::Items(items) => waiting.extend(items.into_iter().rev()),
        }
    }
    Ok(values)
}

enum Unfolded {
    One(Value),
    Items(Vec<Value>),
}

fn unfolded(value: Value) -> Unfolded {
    let mut map = match value {
        Value::Object(map) => map,
        Value::Array(items) => return Unfolded::Items(items),
        scalar => return Unfolded::One(scalar),
    };
    let said = |map: &Map<String, Value>, field: &str| map.get(field).and_then(Value::as_str).map(str::to_string);
    let of = said(&map, "kind").and_then(|kind| kind.strip_suffix("List").map(str::to_string));
    let (Some(of), Some(Value::Array(_) | Value::Null)) = (&of, map.get("items")) else {
        return match of.as_deref() {
            Some("") => Unfolded::Items(Vec::new()),
            _ => Unfolded::One(Value::Object(map)),
        };
    };
    let version = said(&map, "apiVersion");
    let Some(Value::Array(mut items)) = map.remove("items") else { return Unfolded::Items(Vec::new()) };
    // What a List holds says itself what it is.
    if !of.is_empty() {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            for (field, value) in [("kind", Some(of)), ("apiVersion", version.as_ref())] {
                if let (Some(value), None) = (value, said(item, field)) {
                    item.insert(field.to_string(), Value::String(value.clone()));
                }
            }
        }
    }
    Unfolded::Items(items)
}

fn first_line(text: &str) -> &str {
    text.lines().find(|l| !l.trim().is_empty()).unwrap_or("unreadable").trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_of_a_typed_list_are_what_the_list_says() {
        let text = "kind: PodList\napiVersion: v1\nitems:\n- metadata: {name: a}\n- {kind: Other, apiVersion: x/v1}\n---\n\
            kind: List\nitems: [{kind: NamespaceList, apiVersion: v1, items: [{metadata: {name: n}}]}, {kind: B}]\n---\n\
            [{b: 1}, [{kind: List, items: [{b: 2}]}]]\n---\n{kind: PodList, items: null}\n---\n{kind: AllowList, spec: {}}\n---\n{kind: List}\n";
        let expected = [
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}),
            json!({"kind": "Other", "apiVersion": "x/v1"}),
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}}),
            json!({"kind": "B"}),
            json!({"b": 1}),
            json!({"b": 2}),
            json!({"kind": "AllowList", "spec": {}}),
        ];
        assert_eq!(values(text, TEXT_LIMIT).expect("values"), expected);
    }

    #[test]
    fn a_text_may_hold_as_many_documents_as_objects() {
        let text = |count: usize| "---\n{a: 1}\n".repeat(count);
        assert_eq!(values(&text(OBJECT_LIMIT), TEXT_LIMIT).map(|values| values.len()), Ok(OBJECT_LIMIT));
        let error = values(&text(OBJECT_LIMIT + 1), TEXT_LIMIT).expect_err("too many");
        assert_eq!(error, "holds more than 10000 objects");
    }

    #[test]
    fn a_text_is_read_up_to_the_limit() {
        let text = format!("{{a: [{}]}}", "value, ".repeat(FEWEST_NODES));
        assert!(values(&text, text.len()).is_ok());
        assert!(values(&text, text.len() - 1).expect_err("longer").starts_with("is larger than"));
    }
}
