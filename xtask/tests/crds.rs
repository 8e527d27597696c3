//! The CustomResourceDefinitions are as fresh as the types they are generated from.

use std::path::Path;

use model::object::{IpamBlockSpec, Kind, crd};
use serde_json::{Value, json};
use xtask::crds;

#[test]
fn the_crds_are_as_the_types_have_them() {
    let (wanted, written) = (crds::files().expect("generated"), crds::written().expect("read"));
    let names = |files: &std::collections::BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&wanted), "run `{}`", crds::COMMAND);
    for (name, text) in &wanted {
        assert!(written.get(name) == Some(text), "manifests/crd/{name} is stale: run `{}`", crds::COMMAND);
    }
}

#[test]
fn the_page_of_objects_is_as_the_types_have_them() {
    let (wanted, written) = (crds::page().expect("a page"), std::fs::read_to_string(crds::page_path()).expect("read"));
    assert!(written == wanted, "docs/objects.md is stale: run `{}`", crds::COMMAND);
}

#[test]
fn what_is_written_reads_as_it_was_meant() {
    for definition in model::object::crd::all() {
        let meant = crds::manifest(&definition).expect("a manifest");
        let text = serde_saphyr::to_string(&meant).expect("written");
        let read: serde_json::Value = serde_saphyr::from_str(&text).expect("read");
        assert_eq!(read, meant, "{}", definition.kind);
    }
}

#[test]
fn every_kind_of_calicos_has_a_definition() {
    let defined = crd::all();
    for (_, version, name) in Kind::ALL.iter().filter(|(_, version, _)| version.starts_with(crd::GROUP)) {
        assert!(defined.iter().any(|one| one.kind == *name), "no CustomResourceDefinition of {version} {name}");
    }
}

/// The fields of a value that a server would drop, as its schema does not know them.
fn dropped(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let path = format!("{path}.{name}");
                match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
                    Some(known) => dropped(known, inner, &path, found),
                    None => found.push(path),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| dropped(&schema["items"], item, path, found)),
        _ => {}
    }
}

#[test]
fn a_server_drops_no_field_of_an_example_nor_of_what_agents_write() {
    let schemas: Vec<(&str, Value)> =
        crd::all().iter().map(|one| (one.kind, crds::schema(one).expect("one"))).collect();
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    let folders = ["examples", "route-reflector", "tor"].map(|name| std::fs::read_dir(manifests.join(name)));
    let version = format!("{}/{}", crd::GROUP, crd::VERSION);
    let mut values = vec![json!({"apiVersion": version, "kind": "IPAMBlock", "spec": IpamBlockSpec::empty(
        "10.0.0.0/30".parse().expect("a prefix"), "host:n1".into(), 1,
    )})];
    for entry in folders.into_iter().flat_map(|folder| folder.expect("a folder")) {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("read");
        values.extend(serde_saphyr::from_multiple::<Value>(&text).expect("YAML"));
    }
    let mut checked = 0;
    for value in values.iter().filter(|value| value["apiVersion"] == version) {
        let Some((kind, schema)) = schemas.iter().find(|(kind, _)| value["kind"] == *kind) else { continue };
        let mut found = Vec::new();
        dropped(&schema["properties"]["spec"], &value["spec"], "spec", &mut found);
        assert!(found.is_empty(), "{kind} {}: {found:?}", value["metadata"]["name"]);
        checked += 1;
    }
    assert!(checked > 20, "only {checked} objects were looked at");
}
