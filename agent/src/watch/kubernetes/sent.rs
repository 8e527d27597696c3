//! An object as the API server sends it, without the heavy parts that nobody here reads.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Parts that make most of an object's weight and are nobody's business here. The annotation that kubectl leaves is the
/// whole object once more, a Secret's values too.
const HEAVY: &[&[&str]] = &[
    &["metadata", "managedFields"],
    &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"],
    &["status", "images"],
    &["status", "nodeInfo"],
    &["status", "volumesAttached"],
    &["status", "volumesInUse"],
    &["status", "initContainerStatuses"],
    &["status", "containerStatuses"],
    &["status", "ephemeralContainerStatuses"],
    &["spec", "initContainers"],
    &["spec", "containers"],
    &["spec", "ephemeralContainers"],
    &["spec", "volumes"],
];

/// How much of an object is asked for.
pub trait Extent: Clone + Send + Sync + 'static {
    /// Whether only `metadata` is.
    const METADATA_ONLY: bool;
}
/// All of it.
#[derive(Debug, Clone)]
pub struct Whole;
/// `metadata` only.
#[derive(Debug, Clone)]
pub struct MetadataOnly;
impl Extent for Whole {
    const METADATA_ONLY: bool = false;
}
impl Extent for MetadataOnly {
    const METADATA_ONLY: bool = true;
}

/// One object of any kind. Its `Debug` shows nothing of what it holds.
#[derive(Clone)]
pub struct Sent<E> {
    meta: ObjectMeta,
    /// The object, stripped. Items of a list have neither `apiVersion` nor `kind`.
    pub value: Value,
    extent: PhantomData<E>,
}

impl<'de, E> Deserialize<'de> for Sent<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        HEAVY.iter().for_each(|path| strip(&mut value, path));
        let text = |key: &str| value.pointer(&format!("/metadata/{key}")).and_then(Value::as_str).map(str::to_string);
        let (name, namespace, resource_version) = (text("name"), text("namespace"), text("resourceVersion"));
        let meta = ObjectMeta { name, namespace, resource_version, ..ObjectMeta::default() };
        Ok(Sent { meta, value, extent: PhantomData })
    }
}

fn strip(value: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else { return };
    let inner = way.iter().try_fold(value, |value, key| value.get_mut(key));
    if let Some(map) = inner.and_then(Value::as_object_mut) {
        map.remove(*last);
    }
}

impl<E> std::fmt::Debug for Sent<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}/{:?}", self.meta.namespace, self.meta.name)
    }
}

impl<E: Extent> Resource for Sent<E> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }
    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }
    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }
    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }
    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }
    fn metadata_api() -> bool {
        E::METADATA_ONLY
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_heavy_is_left_out_and_the_rest_is_as_sent() {
        let sent: Sent<Whole> = serde_json::from_value(json!({
            "metadata": {
                "name": "n1", "resourceVersion": "7", "labels": {"a": "b"}, "managedFields": [{"manager": "kubelet"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "x": "y"},
            },
            "spec": {"podCIDR": "10.0.0.0/24"},
            "status": {"images": [{"names": ["a"]}], "addresses": []},
        }))
        .unwrap();
        let expected = json!({
            "metadata": {"name": "n1", "resourceVersion": "7", "labels": {"a": "b"}, "annotations": {"x": "y"}},
            "spec": {"podCIDR": "10.0.0.0/24"},
            "status": {"addresses": []},
        });
        assert_eq!(sent.value, expected);
        assert_eq!(sent.meta.resource_version.as_deref(), Some("7"));
    }
}
