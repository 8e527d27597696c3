//! An object as the API server sends it, without the heavy parts that nobody here reads.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

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
    &["spec", "ephemeralContainers"],
    &["spec", "volumes"],
];

/// What is kept of an [`Outline`].
const OUTLINE: &[(&str, &[&str])] = &[
    ("metadata", &["name", "namespace", "uid", "labels", "resourceVersion"]),
    ("spec", &["nodeName", "hostNetwork", "serviceAccountName", "containers", "initContainers"]),
    ("status", &["phase", "podIP", "podIPs"]),
];

/// How much of an object is asked for, or kept.
pub trait Extent: Clone + Send + Sync + 'static {
    /// Whether only `metadata` is.
    const METADATA_ONLY: bool;
    /// What is kept of an object; None: all but what is heavy.
    const KEPT: Option<&'static [(&'static str, &'static [&'static str])]>;
}
/// All of it.
#[derive(Debug, Clone)]
pub struct Whole;
/// `metadata` only.
#[derive(Debug, Clone)]
pub struct MetadataOnly;
/// Of a pod, what a policy can know it by: labels, addresses, ports with names, its service account.
#[derive(Debug, Clone)]
pub struct Outline;
impl Extent for Whole {
    const METADATA_ONLY: bool = false;
    const KEPT: Option<&'static [(&'static str, &'static [&'static str])]> = None;
}
impl Extent for MetadataOnly {
    const METADATA_ONLY: bool = true;
    const KEPT: Option<&'static [(&'static str, &'static [&'static str])]> = None;
}
impl Extent for Outline {
    const METADATA_ONLY: bool = false;
    const KEPT: Option<&'static [(&'static str, &'static [&'static str])]> = Some(OUTLINE);
}

/// One object of any kind. Its `Debug` shows nothing of what it holds.
#[derive(Clone)]
pub struct Sent<E> {
    meta: ObjectMeta,
    /// The object, stripped. Items of a list have neither `apiVersion` nor `kind`.
    pub value: Value,
    extent: PhantomData<E>,
}

impl<'de, E: Extent> Deserialize<'de> for Sent<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        HEAVY.iter().for_each(|path| strip(&mut value, path));
        E::KEPT.into_iter().for_each(|kept| keep(&mut value, kept));
        for list in ["/spec/containers", "/spec/initContainers"] {
            if let Some(containers) = value.pointer_mut(list).and_then(Value::as_array_mut) {
                *containers = containers.iter_mut().filter_map(named_ports).collect();
            }
        }
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

fn keep(value: &mut Value, kept: &[(&str, &[&str])]) {
    let Some(parts) = value.as_object_mut() else { return };
    parts.retain(|part, _| kept.iter().any(|(name, _)| name == part));
    for (name, fields) in kept {
        if let Some(part) = parts.get_mut(*name).and_then(Value::as_object_mut) {
            part.retain(|field, _| fields.contains(&field.as_str()));
        }
    }
}

/// A container with nothing but its ports that have a name, and what tells whether it stays; None without such a port.
fn named_ports(container: &mut Value) -> Option<Value> {
    let Value::Array(mut ports) = container.get_mut("ports")?.take() else { return None };
    ports.retain(|port| port.get("name").is_some());
    if ports.is_empty() {
        return None;
    }
    Some(match container.get_mut("restartPolicy") {
        Some(policy) => json!({ "restartPolicy": policy.take(), "ports": ports }),
        None => json!({ "ports": ports }),
    })
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

    #[test]
    fn of_containers_the_ports_that_have_a_name_are_kept_and_of_pods_elsewhere_little_more_than_labels_and_addresses() {
        let pod = json!({
            "metadata": {"name": "a", "namespace": "b", "labels": {"x": "y"}, "annotations": {"long": "text"}},
            "spec": {
                "nodeName": "n2", "serviceAccountName": "s", "tolerations": [],
                "containers": [
                    {"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 80}, {"containerPort": 81}]},
                    {"name": "d"},
                ],
                "initContainers": [
                    {"name": "e", "restartPolicy": "Always", "image": "i", "ports": [{"name": "mesh", "containerPort": 82}]},
                    {"name": "f", "image": "i"},
                ],
            },
            "status": {"podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}], "phase": "Running", "conditions": []},
        });
        let spec = json!({
            "nodeName": "n2", "serviceAccountName": "s",
            "containers": [{"ports": [{"name": "web", "containerPort": 80}]}],
            "initContainers": [{"restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 82}]}],
        });
        let whole: Sent<Whole> = serde_json::from_value(pod.clone()).unwrap();
        assert_eq!(whole.value["spec"]["containers"], spec["containers"]);
        assert_eq!(whole.value["spec"]["initContainers"], spec["initContainers"]);
        assert_eq!(whole.value["metadata"], pod["metadata"]);
        let outline: Sent<Outline> = serde_json::from_value(pod).unwrap();
        let expected = json!({
            "metadata": {"name": "a", "namespace": "b", "labels": {"x": "y"}},
            "spec": spec,
            "status": {"podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}], "phase": "Running"},
        });
        assert_eq!(outline.value, expected);
    }
}
