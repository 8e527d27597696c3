//! The CustomResourceDefinitions are as fresh as the types they are generated from.

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
fn what_is_written_reads_as_it_was_meant() {
    for definition in model::object::crd::all() {
        let meant = crds::manifest(&definition).expect("a manifest");
        let text = serde_saphyr::to_string(&meant).expect("written");
        let read: serde_json::Value = serde_saphyr::from_str(&text).expect("read");
        assert_eq!(read, meant, "{}", definition.kind);
    }
}
