//! What the container runtime is to find of us: the network configuration, and whether it will look at it at all.

use std::path::Path;

use serde_json::{Value, json};

use crate::world::cni::CONFLIST;

/// Our program among the runtime's plugins.
pub const SHIM: &str = "margay-cni";

/// Plugins that come after ours where a node has them, each with the capability that it serves.
pub const CHAINED: [(&str, &str); 2] = [("portmap", "portMappings"), ("bandwidth", "bandwidth")];

/// What a runtime takes for a configuration (libcni `ConfFiles`).
const EXTENSIONS: [&str; 3] = ["conf", "conflist", "json"];

/// The version of the spec that every runtime in use and every plugin speaks.
const COMMON: &str = "1.0.0";
/// With this one runtimes also ask for STATUS and GC.
const NEWEST: &str = "1.1.0";

/// A plugin of the node that can come after ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chained {
    /// One of [`CHAINED`].
    pub name: &'static str,
    /// Versions of the spec that it says it speaks; empty if it could not be asked.
    pub versions: Vec<String>,
}

/// The text of our network configuration: our shim, then the plugins that the node has.
///
/// `cniVersions` (CNI spec 1.1, "Network configuration format") lets newer runtimes take the newest version; it holds
/// one only if the whole chain speaks it. Older runtimes do not know the key.
pub fn conflist(socket: &Path, chained: &[Chained]) -> String {
    let newest = chained.iter().all(|plugin| plugin.versions.iter().any(|version| version == NEWEST));
    let versions = if newest { vec![COMMON, NEWEST] } else { vec![COMMON] };
    let mut plugins = vec![json!({ "type": SHIM, "socket": socket, "mtu": 0, "log_level": "warn" })];
    for (name, capability) in CHAINED.iter().filter(|(name, _)| chained.iter().any(|plugin| plugin.name == *name)) {
        plugins.push(json!({ "type": name, "capabilities": { *capability: true } }));
    }
    let list: Value = json!({ "cniVersion": COMMON, "cniVersions": versions, "name": "pods", "plugins": plugins });
    format!("{list:#}\n")
}

/// Of the files beside ours, those that a runtime takes instead: it takes the first by name.
pub fn earlier(files: &[String]) -> Vec<String> {
    let is_configuration = |file: &&String| {
        let extension = Path::new(file.as_str()).extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    };
    let mut earlier: Vec<String> =
        files.iter().filter(is_configuration).filter(|file| file.as_str() < CONFLIST).cloned().collect();
    earlier.sort_unstable();
    earlier
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chained(name: &'static str, versions: &[&str]) -> Chained {
        Chained { name, versions: versions.iter().map(|version| version.to_string()).collect() }
    }

    fn read(chained: &[Chained]) -> Value {
        serde_json::from_str(&conflist(Path::new("/run/margay/agent.sock"), chained)).expect("JSON")
    }

    #[test]
    fn plugins_that_the_node_has_come_after_ours() {
        let list = read(&[chained("bandwidth", &[]), chained("portmap", &[])]);
        let types: Vec<&str> =
            list["plugins"].as_array().expect("a list").iter().filter_map(|p| p["type"].as_str()).collect();
        assert_eq!(types, ["margay-cni", "portmap", "bandwidth"]);
        assert_eq!(list["plugins"][1]["capabilities"]["portMappings"], true);
        assert_eq!(list["plugins"][0]["socket"], "/run/margay/agent.sock");
        assert_eq!(read(&[])["plugins"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn the_newest_version_is_offered_only_if_the_whole_chain_speaks_it() {
        assert_eq!(read(&[])["cniVersions"], json!(["1.0.0", "1.1.0"]));
        assert_eq!(read(&[chained("portmap", &["1.0.0", "1.1.0"])])["cniVersions"], json!(["1.0.0", "1.1.0"]));
        let list = read(&[chained("portmap", &["0.4.0", "1.0.0"])]);
        assert_eq!((&list["cniVersion"], &list["cniVersions"]), (&json!("1.0.0"), &json!(["1.0.0"])));
        assert_eq!(read(&[chained("portmap", &[])])["cniVersions"], json!(["1.0.0"]));
    }

    #[test]
    fn configurations_that_a_runtime_would_take_instead_are_found() {
        let files = [
            "10-margay.conflist",
            "99-loopback.conf",
            "10-calico.conflist",
            "00-multus.conf",
            "05-x.conf.bak",
            "calico-kubeconfig",
        ];
        let files: Vec<String> = files.map(str::to_string).to_vec();
        assert_eq!(earlier(&files), ["00-multus.conf", "10-calico.conflist"]);
    }
}
