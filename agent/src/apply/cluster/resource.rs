//! Where objects are in the API's tree of URLs.

use model::object::{Kind, ObjectKey};

/// API version and kind as a manifest spells them.
pub fn spelled(kind: Kind) -> (&'static str, &'static str) {
    Kind::ALL.iter().find(|(k, ..)| *k == kind).map_or(("v1", ""), |(_, version, name)| (version, name))
}

/// The URL path of an object's collection.
pub fn collection(key: &ObjectKey) -> String {
    let (version, kind) = spelled(key.kind);
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let plural = plural(kind);
    match &key.namespace {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{version}/{plural}"),
    }
}

/// As Calico's and Kubernetes' names all are formed.
fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match (lower.strip_suffix('y'), lower.ends_with('s')) {
        (Some(stem), _) => format!("{stem}ies"),
        (None, true) => format!("{lower}es"),
        (None, false) => format!("{lower}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_where_the_api_has_it() {
        let at = |kind, namespace: Option<&str>| {
            collection(&ObjectKey { kind, namespace: namespace.map(str::to_string), name: "x".into() })
        };
        assert_eq!(at(Kind::Node, None), "/api/v1/nodes");
        assert_eq!(at(Kind::Pod, Some("ns")), "/api/v1/namespaces/ns/pods");
        assert_eq!(at(Kind::BgpPeer, None), "/apis/projectcalico.org/v3/bgppeers");
        assert_eq!(at(Kind::CalicoNodeStatus, None), "/apis/projectcalico.org/v3/caliconodestatuses");
        assert_eq!(plural("BlockAffinity"), "blockaffinities");
        assert_eq!(plural("FelixConfiguration"), "felixconfigurations");
    }
}
