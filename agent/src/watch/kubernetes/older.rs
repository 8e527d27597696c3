//! Objects of `crd.projectcalico.org/v1`: the same `spec`, the user's own metadata in an annotation.

use serde_json::{Map, Value};

/// The annotation that holds the metadata a user gave: JSON of an ObjectMeta without the name.
const METADATA: &str = "projectcalico.org/metadata";

/// Makes the object what it would be in `projectcalico.org/v3`. Name and namespace are the stored ones; labels,
/// annotations, uid and time of creation are those of the annotation where there is one.
///
/// # Errors
/// The annotation is not JSON of an object.
pub fn unpack(mut value: Value, kind: &str) -> Result<Value, String> {
    let packed = value.pointer(&format!("/metadata/annotations/{}", METADATA.replace('/', "~1")));
    let given: Option<Map<String, Value>> = match packed.and_then(Value::as_str) {
        Some(text) => Some(serde_json::from_str(text).map_err(|_| "is not JSON of an object's metadata".to_string())?),
        None => None,
    };
    if let (Some(mut given), Some(stored)) = (given, value.get_mut("metadata").and_then(Value::as_object_mut)) {
        for key in ["labels", "annotations"] {
            stored.remove(key);
        }
        for key in ["labels", "annotations", "uid", "creationTimestamp"] {
            if let Some(part) = given.remove(key).filter(|part| !part.is_null()) {
                stored.insert(key.to_string(), part);
            }
        }
    }
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".into(), super::kinds::CALICO.into());
        map.insert("kind".into(), kind.into());
    }
    Ok(value)
}

/// The field that [`unpack`] complains of.
pub const FIELD: &str = "metadata.annotations[projectcalico.org/metadata]";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_users_metadata_is_unpacked_and_the_name_is_the_stored_one() {
        let packed = r#"{"uid":"u1","creationTimestamp":"2024-01-01T00:00:00Z","labels":{"rack":"r1"},"name":"x"}"#;
        let stored = json!({
            "apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool",
            "metadata": {"name": "p", "uid": "u2", "labels": {"not": "mine"}, "annotations": {METADATA: packed}},
            "spec": {"cidr": "10.0.0.0/16"},
        });
        let expected = json!({
            "apiVersion": "projectcalico.org/v3", "kind": "IPPool",
            "metadata": {"name": "p", "uid": "u1", "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"rack": "r1"}},
            "spec": {"cidr": "10.0.0.0/16"},
        });
        assert_eq!(unpack(stored, "IPPool"), Ok(expected));
    }

    #[test]
    fn without_the_annotation_the_metadata_is_as_stored_and_kinds_get_their_present_names() {
        let stored = json!({"kind": "IPAMConfig", "metadata": {"name": "default", "labels": {"a": "b"}}, "spec": {}});
        let unpacked = unpack(stored, "IPAMConfiguration").unwrap();
        assert_eq!(unpacked["kind"], "IPAMConfiguration");
        assert_eq!(unpacked["metadata"]["labels"], json!({"a": "b"}));
    }

    #[test]
    fn an_annotation_that_is_not_json_is_an_error() {
        let stored = json!({"metadata": {"name": "p", "annotations": {METADATA: "]"}}});
        assert_eq!(unpack(stored, "IPPool"), Err("is not JSON of an object's metadata".into()));
    }
}
