//! Uninstalling takes away what is ours and nothing else, from a node that is a network namespace.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use agent::apply::cni::Directories;
use agent::apply::uninstall::{Places, uninstall};

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn file(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

fn places(root: &Path) -> Places {
    Places {
        cni: Some(Directories {
            bin: Some(root.join("bin")),
            conf: Some(root.join("net.d")),
            shim: root.join("image/margay-cni"),
            socket: "/run/margay/agent.sock".into(),
        }),
        state_dir: root.join("lib/margay"),
        socket: root.join("run/margay/agent.sock"),
        names: root.join("rt_protos.d"),
    }
}

/// A namespace as an agent leaves it, with things of others beside.
fn node(root: &Path) {
    for path in ["bin/margay-cni", "bin/portmap", "net.d/10-margay.conflist", "net.d/99-other.conf"] {
        file(&root.join(path));
    }
    for path in
        ["lib/margay/leases.journal", "lib/margay/leases.lock", "rt_protos.d/margay.conf", "rt_protos.d/bird.conf"]
    {
        file(&root.join(path));
    }
    run("ip link set lo up");
    run("ip link add uplink type veth peer name other && ip link set uplink up && ip link set other up");
    run("ip address add 192.0.2.1/24 dev uplink");
    run("ip link add cali0123456789a group 109 type veth peer name pod && ip link set cali0123456789a up");
    run("ip link add cali9876543210b type veth peer name calico && ip link set cali9876543210b up");
    run("ip route add 10.1.0.5/32 dev cali0123456789a proto 109 metric 1024");
    run("ip route add 10.2.0.0/24 via 192.0.2.2 proto 109 metric 1024");
    run("ip route add blackhole 10.1.0.0/24 proto 109 metric 1024");
    run("ip route add 10.3.0.0/24 via 192.0.2.3 proto 12");
    run("ip nexthop add id 1828716545 via 192.0.2.2 dev uplink protocol 109");
    run("ip nexthop add id 1837105153 group 1828716545 protocol 109");
    run("ip nexthop add id 7 via 192.0.2.3 dev uplink");
    run("ip route add 10.4.0.0/24 nhid 1837105153 proto 109 metric 1024");
    run("nft add table inet margay && nft add table inet kube-proxy");
}

fn in_a_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        let _namespace = dataplane::linux::netns::unshare().unwrap();
        test();
    });
    thread.join().unwrap();
}

fn names(directory: PathBuf) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn uninstalling_leaves_nothing_of_ours_and_everything_of_others() {
    in_a_namespace(|| {
        let root = tempfile::tempdir().unwrap();
        node(root.path());
        let mut told = Vec::new();
        uninstall(&places(root.path()), |done| told.push(done)).unwrap();
        assert!(told.contains(&"routes: 3 removed".to_string()), "{told:?}");
        assert_eq!(run("ip route show proto 109"), "");
        assert_eq!(run("ip route show type blackhole"), "");
        assert!(run("ip route show proto 12").contains("10.3.0.0/24"));
        let nexthops = run("ip nexthop show");
        assert!(nexthops.contains("id 7 ") && nexthops.lines().count() == 1, "{nexthops}");
        assert_eq!(run("nft list tables").trim(), "table inet kube-proxy");
        let links = run("ip -o link show");
        assert!(!links.contains("cali0123456789a") && links.contains("cali9876543210b"), "{links}");
        assert_eq!(names(root.path().join("bin")), ["portmap"]);
        assert_eq!(names(root.path().join("net.d")), ["99-other.conf"]);
        assert_eq!(names(root.path().join("rt_protos.d")), ["bird.conf"]);
        assert!(!root.path().join("lib/margay").exists());
        // Once more is no mistake.
        uninstall(&places(root.path()), |_| ()).unwrap();
    });
}

#[test]
fn uninstalling_beside_an_agent_that_runs_touches_nothing() {
    in_a_namespace(|| {
        let root = tempfile::tempdir().unwrap();
        node(root.path());
        let places = places(root.path());
        fs::create_dir_all(places.socket.parent().unwrap()).unwrap();
        let _agent = std::os::unix::net::UnixListener::bind(&places.socket).unwrap();
        let refused = uninstall(&places, |done| panic!("{done}")).unwrap_err();
        assert!(refused[0].contains("an agent answers"), "{refused:?}");
        assert!(root.path().join("net.d/10-margay.conflist").exists());
        assert!(run("ip route show proto 109").contains("10.2.0.0/24"));
    });
}
