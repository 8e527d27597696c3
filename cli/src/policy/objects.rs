//! What `policy matrix` reads: a directory of objects, as a cluster would hold them once they are created in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use model::object::{self, Document, Found, Kind, Meta, Namespace, Object, ObjectKey};
use serde_json::{Value, json};

use crate::check;
use crate::output::counted;

/// The label of a Namespace that is its name: the API server puts it there.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The largest file in octets that is read: what a cluster of some thousand pods writes.
const TEXT_LIMIT: usize = 64 << 20;

/// Every object that policies have to do with. What they have nothing to do with is passed over; what could be a policy or
/// an endpoint and can't be read is an error.
pub fn read(path: &Path) -> anyhow::Result<Vec<Object>> {
    let mut objects = Listed::default();
    for directory in check::directories(path)? {
        eprintln!("margayctl: {}: a directory in a directory is not read", directory.display());
    }
    for file in check::files(path)? {
        let name = file.display().to_string();
        let text = read_text(&file).with_context(|| name.clone())?;
        let values = object::values(&text, TEXT_LIMIT).map_err(|message| anyhow::anyhow!("{name}: {message}"))?;
        for value in values {
            let value = identified(value).map_err(|message| anyhow::anyhow!("{name}: {message}"))?;
            let matters = matters(&value);
            match object::read_value(&name, value) {
                Document::Object(found) => objects.add(*found, &name)?,
                Document::Bad(_, error) if matters => bail!("{error}"),
                Document::Bad(_, error) => eprintln!("margayctl: {error}; passed over"),
            }
        }
    }
    let mut objects = objects.objects;
    complete(&mut objects);
    Ok(objects)
}

/// A file's text. A huge one is not read to find out that it is.
fn read_text(file: &Path) -> anyhow::Result<String> {
    if fs::metadata(file)?.len() > TEXT_LIMIT as u64 {
        bail!("is larger than {} MiB", TEXT_LIMIT >> 20);
    }
    Ok(fs::read_to_string(file)?)
}

/// What was read so far, and where each stands.
#[derive(Default)]
struct Listed {
    objects: Vec<Object>,
    places: BTreeMap<ObjectKey, (usize, String)>,
}

impl Listed {
    /// Adds what is found in a file. The same object twice is one; which of two that differ is meant nobody knows.
    fn add(&mut self, found: Found, file: &str) -> anyhow::Result<()> {
        let Found { object, warnings, .. } = found;
        let key = object.key();
        match self.places.get(&key) {
            Some((at, _)) if self.objects.get(*at) == Some(&object) => {}
            Some((_, first)) if is_read(key.kind) => {
                bail!("{file}: {key}: differs from the one in {first}")
            }
            _ => {
                if is_read(key.kind) {
                    warnings.iter().for_each(|warning| eprintln!("margayctl: {warning}"));
                }
                self.places.insert(key, (self.objects.len(), file.to_string()));
                self.objects.push(object);
            }
        }
        Ok(())
    }
}

/// A value that does not say what it is: some programs write policies without `kind` and `apiVersion`. Another object without
/// them can't be passed over, as it could be a policy; what is none (values of a chart) stays as it is.
fn identified(mut value: Value) -> Result<Value, String> {
    let said = |field| value.get(field).filter(|said| !said.is_null() && *said != "").is_some();
    let (kind, version) = (said("kind"), said("apiVersion"));
    let is_text = value.get("kind").is_some_and(Value::is_string);
    let has = |value: &Value, field: &str| value.get(field).is_some();
    let is_object = has(&value, "metadata") && (kind || has(&value, "spec"));
    let is_list = value
        .get("items")
        .and_then(Value::as_array)
        .is_some_and(|items| items.iter().any(|item| has(item, "metadata")));
    if (kind && is_text) || !(is_object || is_list) {
        return Ok(value);
    }
    let is_policy = value.get("spec").and_then(|spec| spec.get("podSelector")).is_some();
    match value.as_object_mut() {
        Some(map) if is_policy && !version && !kind => {
            map.insert("kind".into(), json!("NetworkPolicy"));
            map.insert("apiVersion".into(), json!("networking.k8s.io/v1"));
            Ok(value)
        }
        _ => {
            let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name");
            Err(format!("object {name}: kind: {}", if kind { "must be text" } else { "is missing" }))
        }
    }
}

/// Whether a value is, or is meant to be, an object that policies read. A kind that has the name of one of Kubernetes' own
/// in another's group (`serving.knative.dev` Service) is not; a policy in another's group or version could still forbid, and
/// so could one whose kind is written with other capitals.
fn matters(value: &Value) -> bool {
    let said = |field| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let (name, in_group) = (said("kind"), said("apiVersion").contains('/'));
    let mut named = Kind::ALL.iter().filter(|(kind, _, shown)| shown.eq_ignore_ascii_case(name) && is_read(*kind));
    // Of that group only a NetworkPolicy has a podSelector, however its kind is spelled.
    let of_its_group = said("apiVersion").starts_with("networking.k8s.io/");
    let is_meant = of_its_group && value.pointer("/spec/podSelector").is_some();
    is_meant || named.any(|(_, version, _)| version.contains('/') || !in_group)
}

/// Whether policies choose by objects of this kind, or are such objects.
fn is_read(kind: Kind) -> bool {
    let is_endpoint = matches!(
        kind,
        Kind::Pod | Kind::Namespace | Kind::ServiceAccount | Kind::HostEndpoint | Kind::Node | Kind::EndpointSlice
    );
    is_endpoint || is_policy(kind) || matches!(kind, Kind::Tier | Kind::NetworkSet | Kind::GlobalNetworkSet)
}

fn is_policy(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NetworkPolicy
            | Kind::CalicoNetworkPolicy
            | Kind::GlobalNetworkPolicy
            | Kind::ClusterNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy
    )
}

/// Adds what a cluster has by itself: the namespaces of pods and policies, and the name of each among its labels.
fn complete(objects: &mut Vec<Object>) {
    let mut named = BTreeSet::new();
    let mut listed = BTreeSet::new();
    for object in objects.iter_mut() {
        if let Object::Namespace(Namespace { meta }) = object {
            meta.labels.insert(NAMESPACE_NAME.to_string(), meta.name.clone());
            listed.insert(meta.name.clone());
            continue;
        }
        let key = object.key();
        if key.kind == Kind::Pod || is_policy(key.kind) {
            named.extend(key.namespace);
        }
    }
    let added: Vec<&str> = named.difference(&listed).map(String::as_str).collect();
    if !added.is_empty() {
        let count = counted(added.len(), "namespace");
        eprintln!("margayctl: {count} not listed, taken as without labels but the name: {}", added.join(", "));
    }
    for name in added {
        let labels = [(NAMESPACE_NAME.to_string(), name.to_string())].into();
        objects.push(Object::Namespace(Namespace { meta: Meta { name: name.to_string(), labels, ..Meta::default() } }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("written");
        }
        Ok(read(directory.path())?.iter().map(|object| object.key().to_string()).collect())
    }

    #[test]
    fn a_policy_that_does_not_say_that_it_is_one_is_read() {
        for spec in ["{podSelector: {}, policyTypes: [Ingress]}", "{podSelector: null}"] {
            let text = format!("metadata: {{namespace: x, name: deny}}\nspec: {spec}\n");
            let values = "metadata: {a: 1}\nimage: x\n---\nspec: {}\n";
            let names = names(&[("deny.yaml", &text), ("values.yaml", values)]).expect("read");
            assert_eq!(names, ["NetworkPolicy/x/deny", "Namespace/x"], "{spec}");
        }
    }

    #[test]
    fn another_object_that_does_not_say_what_it_is_is_an_error_that_names_the_file() {
        for text in [
            "metadata: {name: p}\nspec: {containers: []}\n",
            "apiVersion: networking.k8s.io/v1\nmetadata: {name: p}\nspec: {podSelector: {}}\n",
        ] {
            let error = names(&[("p.yaml", text)]).expect_err("what is it?").to_string();
            assert!(error.contains("p.yaml: object p: kind: is missing"), "{error}");
        }
        for rest in ["spec: {podSelector: {}}", ""] {
            let error = names(&[("p.yaml", &format!("kind: 5\nmetadata: {{name: p}}\n{rest}\n"))]);
            let error = error.expect_err("what is it?").to_string();
            assert!(error.contains("p.yaml: object p: kind: must be text"), "{error}");
        }
    }

    #[test]
    fn an_object_that_is_there_twice_is_one_and_two_of_a_name_are_an_error_that_names_both_files() {
        let text = |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, labels: {{a: {name}}}}}\n");
        let same = names(&[("a.yaml", &text("x")), ("b.yaml", &text("x"))]).expect("read");
        assert_eq!(same, ["Pod/default/p", "Namespace/default"]);
        let error = names(&[("a.yaml", &text("x")), ("b.yaml", &text("y"))]).expect_err("which?").to_string();
        assert!(
            error.contains("b.yaml: Pod/default/p: differs from the one in ") && error.contains("a.yaml"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("nowhere", directory.path().join("a.yaml")).expect("a link");
        let error = format!("{:#}", read(directory.path()).expect_err("it leads nowhere"));
        assert!(error.contains("a.yaml: No such file"), "{error}");
    }

    #[test]
    fn a_file_of_a_whole_cluster_is_read() {
        let pod = |n: usize| format!("- {{metadata: {{name: p{n}, annotations: {{text: '{}'}}}}}}\n", "x".repeat(5000));
        let items: String = (0..1000).map(pod).collect();
        let text = format!("kind: PodList\napiVersion: v1\nitems:\n{items}");
        assert!(text.len() > object::TEXT_LIMIT);
        assert_eq!(names(&[("a.yaml", &text)]).expect("read").len(), 1001);
    }

    #[test]
    fn lists_of_one_kind_are_unfolded() {
        let text = r#"{"kind": "NetworkPolicyList", "apiVersion": "networking.k8s.io/v1",
            "items": [{"metadata": {"name": "deny", "namespace": "x"}, "spec": {"podSelector": {}}}]}"#;
        assert_eq!(names(&[("all.json", text)]).expect("read"), ["NetworkPolicy/x/deny", "Namespace/x"]);
    }

    #[test]
    fn a_bare_list_is_no_place_for_a_policy_to_be_overlooked() {
        let policy = r#"{"metadata": {"name": "deny", "namespace": "x"}, "spec": {"podSelector": {}}}"#;
        for text in [
            format!("[{policy}]"),
            format!("[[{policy}]]"),
            format!(r#"[{{"apiVersion": "v1", "kind": "List", "items": [{policy}]}}]"#),
        ] {
            assert_eq!(names(&[("all.json", &text)]).expect("read"), ["NetworkPolicy/x/deny", "Namespace/x"], "{text}");
        }
        let error = names(&[("all.json", &format!(r#"{{"items": [{policy}]}}"#))]).expect_err("which kind of list?");
        assert!(error.to_string().contains("all.json: object without a name: kind: is missing"), "{error}");
        assert_eq!(names(&[("values.yaml", "items: [{name: a}]\nkind: ''\n")]).expect("values of a chart"), [""; 0]);
    }

    #[test]
    fn every_namespace_has_its_name_among_its_labels() {
        let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {team: red}}\n---\n\
            apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a}\n---\n\
            apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: b}\n";
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("all.yaml"), text).expect("written");
        let objects = read(directory.path()).expect("read");
        let namespaces = objects.iter().filter_map(|object| match object {
            Object::Namespace(Namespace { meta }) => Some((meta.name.as_str(), &meta.labels)),
            _ => None,
        });
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let expected =
            [("a", &labels(&[("team", "red"), (NAMESPACE_NAME, "a")])), ("b", &labels(&[(NAMESPACE_NAME, "b")]))];
        assert_eq!(namespaces.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_policies_do_not_read_is_passed_over_and_what_they_read_must_be_right() {
        for text in [
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}\n",
            "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: s}\n",
            "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: x}\n",
            "apiVersion: iam.example.org/v1\nkind: ServiceAccount\nmetadata: {name: a}\n",
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {rules: []}\n",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {}\n",
        ] {
            assert_eq!(names(&[("a.yaml", text)]).expect(text), [""; 0], "{text}");
        }
        for text in [
            "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: s}\n",
            "apiVersion: crd.projectcalico.org/v1\nkind: GlobalNetworkPolicy\nmetadata: {name: s}\n",
            "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {ordre: 1}\n",
            "kind: Pod\nmetadata: {name: p}\n",
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicies\nmetadata: {name: p}\nspec: {podSelector: {}}\n",
            "apiVersion: networking.k8s.io/v1\nkind: networkpolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n",
        ] {
            assert!(names(&[("a.yaml", text)]).is_err(), "{text}");
        }
    }
}
