//! Objects of `crd.projectcalico.org/v1`: the same `spec`, the user's own metadata in an annotation.

use model::object::{Kind, Tier};
use serde_json::{Map, Value};

/// The annotation that holds the metadata a user gave: JSON of an ObjectMeta without the name.
const METADATA: &str = "projectcalico.org/metadata";

/// An object's name, given the one that it is stored by. Policies are stored by their tier's name and their own; to users
/// the tier `default` is left out.
pub fn name(kind: Kind, stored: &str) -> &str {
    let is_policy = matches!(
        kind,
        Kind::CalicoNetworkPolicy
            | Kind::GlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedGlobalNetworkPolicy
    );
    let own = stored.strip_prefix(Tier::DEFAULT).and_then(|rest| rest.strip_prefix('.'));
    own.filter(|own| is_policy && !own.is_empty()).unwrap_or(stored)
}

/// Makes the object what it would be in `projectcalico.org/v3`. The namespace is the stored one; labels, annotations, uid
/// and time of creation are those of the annotation where there is one.
///
/// # Errors
/// The annotation is not JSON of an object.
pub fn unpack(mut value: Value, kind: &str, name: &str) -> Result<Value, String> {
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
    if let Some(stored) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        stored.insert("name".into(), name.into());
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
        assert_eq!(unpack(stored, "IPPool", "p"), Ok(expected));
    }

    #[test]
    fn without_the_annotation_the_metadata_is_as_stored_and_kinds_get_their_present_names() {
        let stored = json!({"kind": "IPAMConfig", "metadata": {"name": "default", "labels": {"a": "b"}}, "spec": {}});
        let unpacked = unpack(stored, "IPAMConfiguration", "default").unwrap();
        assert_eq!(unpacked["kind"], "IPAMConfiguration");
        assert_eq!(unpacked["metadata"]["labels"], json!({"a": "b"}));
    }

    #[test]
    fn policies_go_by_their_names_without_the_default_tier() {
        for (kind, stored, own) in [
            (Kind::CalicoNetworkPolicy, "default.allow-dns", "allow-dns"),
            (Kind::GlobalNetworkPolicy, "default.allow-dns", "allow-dns"),
            (Kind::GlobalNetworkPolicy, "security.block", "security.block"),
            (Kind::GlobalNetworkPolicy, "allow-dns", "allow-dns"),
            (Kind::StagedNetworkPolicy, "default.", "default."),
            (Kind::Tier, "default", "default"),
            (Kind::IpPool, "default.pool", "default.pool"),
        ] {
            assert_eq!(name(kind, stored), own, "{kind}");
        }
        let stored = json!({"metadata": {"name": "default.a", "namespace": "n"}, "spec": {}});
        assert_eq!(unpack(stored, "NetworkPolicy", "a").unwrap()["metadata"], json!({"name": "a", "namespace": "n"}));
    }

    #[test]
    fn an_annotation_that_is_not_json_is_an_error() {
        let stored = json!({"metadata": {"name": "p", "annotations": {METADATA: "]"}}});
        assert_eq!(unpack(stored, "IPPool", "p"), Err("is not JSON of an object's metadata".into()));
    }
}
