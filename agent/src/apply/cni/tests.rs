//! Installing into directories as a runtime has them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

struct Node {
    root: TempDir,
    directories: Directories,
}

impl Node {
    fn new() -> Node {
        let root = tempfile::tempdir().unwrap();
        let shim = root.path().join("image-margay-cni");
        fs::write(&shim, "the shim").unwrap();
        let directories = Directories {
            bin: Some(root.path().join("opt/cni/bin")),
            conf: Some(root.path().join("etc/cni/net.d")),
            shim,
            socket: "/run/margay/agent.sock".into(),
        };
        Node { root, directories }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn plugin(&self, name: &str, script: &str) {
        let path = self.path("opt/cni/bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn conflist(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path("etc/cni/net.d/10-margay.conflist")).unwrap()).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_configuration_is_not_written_before_pods_can_be_served() {
    let node = Node::new();
    let before = settle(&node.directories, Served::NotYet);
    assert_eq!(before, Installed::default());
    assert_eq!(mode(&node.path("opt/cni/bin/margay-cni")), 0o755);
    assert!(!node.path("etc/cni/net.d").exists());
    let after = settle(&node.directories, Served::Once);
    let path = node.path("etc/cni/net.d/10-margay.conflist");
    assert_eq!((after.conflist.as_ref(), after.not_yet()), (Some(&path), None));
    assert_eq!(mode(&path), 0o644);
}

#[test]
fn what_is_right_is_not_touched_and_what_is_not_is_replaced_as_a_whole() {
    use std::os::unix::fs::MetadataExt;
    let node = Node::new();
    settle(&node.directories, Served::Once);
    let (shim, conflist) = (node.path("opt/cni/bin/margay-cni"), node.path("etc/cni/net.d/10-margay.conflist"));
    let inodes = || [fs::metadata(&shim).unwrap().ino(), fs::metadata(&conflist).unwrap().ino()];
    let first = inodes();
    settle(&node.directories, Served::Once);
    assert_eq!(inodes(), first);
    let running = fs::File::open(&shim).unwrap();
    fs::write(&node.directories.shim, "another shim").unwrap();
    fs::set_permissions(&conflist, fs::Permissions::from_mode(0o600)).unwrap();
    settle(&node.directories, Served::Once);
    assert_eq!(fs::read(&shim).unwrap(), b"another shim");
    assert_eq!(std::io::read_to_string(running).unwrap(), "the shim", "one that runs keeps its file");
    assert_eq!(mode(&conflist), 0o644);
    let left: Vec<String> = files::names(&node.path("opt/cni/bin")).unwrap();
    assert_eq!(left, ["margay-cni"]);
}

#[test]
fn the_chain_has_the_plugins_of_the_node_in_the_newest_version_that_all_speak() {
    let node = Node::new();
    node.plugin("portmap", r#"echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0","1.1.0"]}'"#);
    settle(&node.directories, Served::Once);
    assert_eq!(node.conflist()["cniVersions"], serde_json::json!(["1.0.0", "1.1.0"]));
    assert_eq!(node.conflist()["plugins"][1]["type"], "portmap");
    for cannot_be_asked in ["echo nonsense", "exec sleep 60"] {
        node.plugin("bandwidth", cannot_be_asked);
        settle(&node.directories, Served::Once);
        assert_eq!(node.conflist()["cniVersions"], serde_json::json!(["1.0.0"]), "{cannot_be_asked}");
        assert_eq!(node.conflist()["plugins"][2]["type"], "bandwidth");
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let node = Node::new();
    fs::write(node.path("opt"), "a file in the way").unwrap();
    let installed = settle(&node.directories, Served::Once);
    let problem = installed.problem.unwrap();
    assert!(problem.contains("opt/cni/bin/margay-cni: Not a directory"), "{problem}");
    assert_eq!(installed.conflist, None);
}

#[test]
fn what_was_installed_is_removed_and_nothing_else() {
    let node = Node::new();
    node.plugin("portmap", "");
    settle(&node.directories, Served::Once);
    fs::write(node.path("etc/cni/net.d/.10-margay.conflist.new"), "left by a kill").unwrap();
    fs::write(node.path("etc/cni/net.d/99-other.conf"), "{}").unwrap();
    remove(&node.directories).unwrap();
    remove(&node.directories).unwrap();
    assert_eq!(files::names(&node.path("opt/cni/bin")).unwrap(), ["portmap"]);
    assert_eq!(files::names(&node.path("etc/cni/net.d")).unwrap(), ["99-other.conf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_installed_when_ready_and_put_right_when_somebody_removes_it() {
    let node = Node::new();
    fs::create_dir_all(node.path("etc/cni/net.d")).unwrap();
    fs::create_dir_all(node.path("opt/cni/bin")).unwrap();
    let not_ready = Status { not_ready: Some("still reading".into()), ..Status::default() };
    let (told, status) = watch::channel(not_ready);
    let (sender, mut facts) = mpsc::channel(8);
    tokio::spawn(keep(node.directories.clone(), status, sender));
    let next = async |facts: &mut mpsc::Receiver<Fact>| match facts.recv().await.unwrap() {
        Fact::Cni(installed) => installed,
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&mut facts).await, Installed::default());
    told.send_replace(Status::default());
    assert!(next(&mut facts).await.conflist.is_some());
    // Not ready again: it stays.
    told.send_replace(Status { not_ready: Some("no address is free".into()), ..Status::default() });
    let conflist = node.path("etc/cni/net.d/10-margay.conflist");
    fs::remove_file(&conflist).unwrap();
    fs::write(node.path("etc/cni/net.d/10-calico.conflist"), "{}").unwrap();
    let earlier = loop {
        let installed = next(&mut facts).await;
        if !installed.earlier.is_empty() {
            break installed.earlier;
        }
    };
    assert_eq!(earlier, [node.path("etc/cni/net.d/10-calico.conflist")]);
    assert!(conflist.exists());
}
