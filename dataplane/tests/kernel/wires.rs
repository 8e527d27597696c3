//! Namespaces wired to each other, and datagrams between them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use dataplane::linux::netns::{self, Netns};

use crate::lab::sh;

/// How long to wait for what should come, on a machine that has much else to do.
pub const SURELY: Duration = Duration::from_secs(5);
/// How long to wait for what should not. Veth pairs hand packets over at once.
pub const IN_VAIN: Duration = Duration::from_millis(400);

/// Whether a datagram from `client` to an address of `server` arrives there.
pub fn arrives(client: &Netns, server: &Netns, to: &str) -> bool {
    arrives_at(client, server, to, to)
}

/// Whether a datagram from `client` to an address arrives at another one, of `server`.
pub fn arrives_at(client: &Netns, server: &Netns, to: &str, at: &str) -> bool {
    knock(client, server, to, at, SURELY)
}

/// Whether a datagram from `client` to an address of `server` does not arrive there.
pub fn is_lost(client: &Netns, server: &Netns, to: &str) -> bool {
    !knock(client, server, to, to, IN_VAIN)
}

fn knock(client: &Netns, server: &Netns, to: &str, at: &str, within: Duration) -> bool {
    let server = server.run(|| UdpSocket::bind((at.parse::<IpAddr>().unwrap(), 0)).unwrap()).unwrap();
    let client = client.run(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap()).unwrap();
    server.set_read_timeout(Some(within)).unwrap();
    let target = SocketAddr::new(to.parse().unwrap(), server.local_addr().unwrap().port());
    client.send_to(b"is anybody there", target).unwrap();
    server.recv_from(&mut [0; 16]).is_ok()
}

/// Another namespace, made by a thread that ends; the file holds it.
pub fn fresh_namespace() -> Netns {
    let made = std::thread::spawn(|| {
        let made = netns::unshare().unwrap();
        sh("ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
        made
    });
    made.join().unwrap()
}

/// A veth pair: `near` here, `eth0` there, with these addresses.
pub fn link(node: &Netns, there: &Netns, near: &str, here: &[&str], theirs: &[&str]) {
    use std::os::fd::{AsFd, AsRawFd};
    let fd = there.as_fd().as_raw_fd();
    let pid = std::process::id();
    node.run(|| sh(&format!("ip link add {near} type veth peer name eth0 netns /proc/{pid}/fd/{fd}"))).unwrap();
    let up = |name: &str, addresses: &[&str]| {
        let each: Vec<String> = addresses.iter().map(|a| format!("ip addr add {a} dev {name};")).collect();
        sh(&format!("ip link set {name} up; {}", each.concat()));
    };
    up(near, here);
    there.run(|| up("eth0", theirs)).unwrap();
}

/// The source that a datagram from `client` to an address of `server` arrives with.
pub fn seen_from(client: &Netns, server: &Netns, to: IpAddr) -> IpAddr {
    let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let server = server.run(|| UdpSocket::bind((to, 0)).unwrap()).unwrap();
    let client = client.run(|| UdpSocket::bind((any, 0)).unwrap()).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let target = SocketAddr::new(to, server.local_addr().unwrap().port());
    client.send_to(b"who am I", target).unwrap();
    let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
    from.ip()
}
