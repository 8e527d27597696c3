//! Whether what is there is what a case wants: named fields of it, compared.
//!
//! A text `~words` is contained; a list is contained, whatever the order, except that an AS path and a cluster list are all that
//! there is, in order. `null` is a field that is empty or not there.

use serde_json::Value;

use super::case::Fields;

/// Lists whose order and length say something.
const ORDERED: [&str; 2] = ["asPath", "clusterList"];

/// The first field of `want` that `there` does not have so.
pub fn objection(want: &Fields, there: &Value) -> Option<String> {
    let differs = |(key, value): &(&String, &Value)| !agrees(key, value, &there[key.as_str()]);
    want.iter().find(differs).map(|(key, value)| format!("{key} is {}, not {value}", there[key.as_str()]))
}

fn agrees(key: &str, want: &Value, there: &Value) -> bool {
    match (want, there) {
        (Value::String(want), Value::String(there)) => match want.strip_prefix('~') {
            Some(words) => there.to_lowercase().contains(&words.to_lowercase()),
            None => want == there,
        },
        (Value::Array(want), Value::Array(there)) if !ORDERED.contains(&key) => {
            want.iter().all(|one| there.iter().any(|other| agrees("", one, other)))
        }
        (Value::Object(want), there) => want.iter().all(|(key, value)| agrees(key, value, &there[key.as_str()])),
        (Value::Null, there) => empty(there),
        (want, there) => want == there,
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fits(want: Value, there: Value) -> bool {
        objection(&want.as_object().cloned().unwrap_or_default(), &there).is_none()
    }

    #[test]
    fn only_what_is_named_is_compared() {
        assert!(fits(json!({"med": 5}), json!({"med": 5, "origin": "igp"})));
        assert!(!fits(json!({"med": 5}), json!({"med": 6})));
        assert!(!fits(json!({"med": 5}), json!({})));
        assert!(fits(json!({"reason": "~Peer says"}), json!({"reason": "it ended: peer says: enough"})));
    }

    #[test]
    fn communities_are_contained_and_paths_are_equal() {
        assert!(fits(json!({"communities": ["1:1"]}), json!({"communities": ["2:2", "1:1"]})));
        assert!(!fits(json!({"communities": ["1:1"]}), json!({"communities": ["2:2"]})));
        assert!(!fits(json!({"asPath": [1]}), json!({"asPath": [1, 2]})));
        assert!(fits(json!({"communities": null}), json!({"communities": []})));
        assert!(!fits(json!({"communities": null}), json!({"communities": ["1:1"]})));
    }
}
