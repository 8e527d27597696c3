//! A fresh network namespace for a test, and the programs that a person would look with.

use std::process::Command;

/// Runs a test on a thread in a namespace of its own, with `lo` up.
pub fn fresh(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        dataplane::linux::netns::unshare().expect("a network namespace (needs root)");
        // Without waiting a second for duplicates of link-local addresses.
        sh("ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command line in the calling thread's namespace and returns what it prints, trimmed; it must succeed.
pub fn sh(line: &str) -> String {
    // A child starts in the namespace of the thread that starts it.
    let output = Command::new("sh").args(["-ec", line]).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

/// An uplink `up0` with 192.0.2.1/24 and 2001:db8:ffff::1/64, and a second one `up1` with 198.51.100.1/24 and
/// 2001:db8:fffe::1/64. Returns their indexes.
pub fn uplinks() -> [u32; 2] {
    sh("for i in 0 1; do
            ip link add up$i address 02:00:00:00:00:0$i type veth peer name far$i
            ip link set up$i up; ip link set far$i up
        done
        ip addr add 192.0.2.1/24 dev up0; ip addr add 2001:db8:ffff::1/64 dev up0 nodad
        ip addr add 198.51.100.1/24 dev up1; ip addr add 2001:db8:fffe::1/64 dev up1 nodad");
    [index("up0"), index("up1")]
}

/// The index of a link.
pub fn index(name: &str) -> u32 {
    sh(&format!("ip -o link show dev {name}")).split(':').next().and_then(|n| n.parse().ok()).expect("an index")
}
