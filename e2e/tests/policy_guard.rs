//! What never gets in, whatever policies say: unknown links, sources that are not the pod's own, tunnels of strangers.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::netns::Netns;
use e2e::plan::Family;
use e2e::pods::PodLab;
use e2e::prober::Probe;
use e2e::{ip, wait};
use model::Protocol;
use socket2::{Domain, Socket, Type};

const SOON: Duration = Duration::from_secs(20);

/// What arrives of datagrams sent in this order, each from its source; the last one has to.
fn arrived(from: &Netns, to: &Netns, target: SocketAddr, sources: &[IpAddr]) -> Result<Vec<IpAddr>> {
    let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let receiver = to.receive(SocketAddr::new(any, target.port()))?;
    receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
    from.run(|| {
        for source in sources {
            UdpSocket::bind((*source, 0))?.send_to(b"spoof", target)?;
        }
        Ok(())
    })?;
    let (mut seen, mut buffer) = (Vec::new(), [0; 16]);
    wait::until(SOON, "the datagram from the right source", || {
        while let Ok((_, source)) = receiver.recv_from(&mut buffer) {
            seen.push(source.ip());
        }
        ensure!(sources.last().is_some_and(|last| seen.contains(last)), "{seen:?}");
        Ok(())
    })?;
    Ok(seen)
}

#[test]
fn a_pod_sends_from_its_own_addresses_only() -> Result<()> {
    let mut lab = PodLab::new(1)?;
    for name in ["shop/db", "shop/web", "shop/other"] {
        lab.attach(1, name, &[])?;
    }
    lab.apply(&[])?;
    let (web, db, other) = (lab.pod("shop/web")?.clone(), lab.pod("shop/db")?.clone(), lab.pod("shop/other")?.clone());
    let strange: [[IpAddr; 2]; 2] =
        [[other.addresses[0], [192, 0, 2, 1].into()], [other.addresses[1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()]];
    let lines = |at: usize, length: u8| strange[at].map(|address| format!("addr add {address}/{length} dev eth0"));
    ip::batch_in(&web.netns, &lines(0, 32))?;
    ip::batch_in(&web.netns, &lines(1, 128).map(|line| line + " nodad"))?;
    let try_all = || -> Result<Vec<IpAddr>> {
        let mut seen = Vec::new();
        for ((strange, own), to) in strange.iter().zip(web.addresses).zip(db.addresses) {
            let sources = [&strange[..], &[own]].concat();
            seen.extend(arrived(&web.netns, &db.netns, SocketAddr::new(to, 9000), &sources)?);
        }
        Ok(seen)
    };
    let seen = try_all()?;
    ensure!(seen == web.addresses, "{seen:?} arrived");
    // Without the rule they would all have arrived.
    lab.trial.node(1).agent()?.kill()?;
    lab.trial.plan.node_netns(1).stdout("nft", &["flush chain inet margay prerouting"])?;
    let seen = try_all()?;
    ensure!(seen.len() == 6, "only {seen:?} arrived, although nothing is in the way");
    Ok(())
}

/// A machine behind a link of the node, known to nobody but the kernel.
fn stranger(lab: &PodLab, link: &str, number: u8) -> Result<(Netns, IpAddr)> {
    let (node, netns) = (lab.trial.plan.node_netns(1), lab.netns(1, &format!("stranger/{number}")));
    let address = format!("10.244.1.{number}");
    ip::batch(&[
        format!("netns add {}", netns.name()),
        format!("link add {link} netns {} type veth peer name eth0 netns {}", node.name(), netns.name()),
    ])?;
    ip::batch_in(&node, &[format!("link set {link} up"), format!("route add {address}/32 dev {link}")])?;
    node.sysctl(&[(&format!("ipv4/conf/{link}/proxy_arp"), "1"), (&format!("ipv4/neigh/{link}/proxy_delay"), "0")])?;
    let lines = [
        "link set lo up",
        "link set eth0 up",
        &format!("addr add {address}/32 dev eth0"),
        "route add 169.254.1.1 dev eth0",
        "route add default via 169.254.1.1",
    ];
    ip::batch_in(&netns, &lines.map(str::to_owned))?;
    Ok((netns, address.parse()?))
}

#[test]
fn a_link_that_looks_like_a_pods_and_is_none_carries_nothing() -> Result<()> {
    let mut lab = PodLab::new(1)?;
    lab.attach(1, "shop/db", &[])?;
    lab.apply(&[])?;
    let db = lab.pod("shop/db")?.clone();
    let [node, _] = lab.node_addresses(1);
    let mut probes = Vec::new();
    for (link, number, probe) in
        [("cali0123456789a", 201, Probe::silent as fn(_, _, _, _) -> Probe), ("veth0123456789a", 202, Probe::answered)]
    {
        let (netns, address) = stranger(&lab, link, number)?;
        let machine = lab.prober.add(link, &netns, &[80])?;
        probes.push(probe(machine, db.addresses[0], Protocol::TCP, 80));
        probes.push(probe(machine, node, Protocol::TCP, 80));
        probes.push(probe(db.machine, address, Protocol::TCP, 80));
    }
    lab.prober.hold(&probes)
}

/// A packet in a packet, and a socket that would see it arrive.
fn raw(netns: &Netns) -> Result<Socket> {
    const IP_IN_IP: i32 = 4;
    netns.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(IP_IN_IP.into()))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(socket)
    })
}

#[test]
fn packets_of_the_tunnel_come_in_from_nodes_alone() -> Result<()> {
    use std::io::Read;
    let mut lab = PodLab::new(2)?;
    lab.attach(1, "shop/web", &[])?;
    lab.apply(&[])?;
    let node = lab.trial.plan.node_netns(1);
    for number in 1..=2 {
        let objects = lab.trial.node(number).objects()?;
        let pool = objects.read("pool-ipv4")?;
        objects.write("pool-ipv4", &format!("{pool}  ipipMode: Always\n"))?;
    }
    lab.apply(&[])?;
    let target = SocketAddr::new(lab.trial.plan.node_ip(1, Family::V4), 0);
    let receiver = raw(&node)?;
    let web = lab.pod("shop/web")?.netns.clone();
    let senders =
        [(&web, "a pod"), (&lab.trial.plan.outside_netns(), "outside"), (&lab.trial.plan.node_netns(2), "n2")];
    for (netns, name) in senders {
        let sent = raw(netns)?.send_to(name.as_bytes(), &target.into())?;
        ensure!(sent == name.len(), "{sent} octets were sent");
    }
    let (mut seen, mut buffer) = (Vec::new(), [0; 64]);
    wait::until(SOON, "the packet of the other node", || {
        while let Ok(length) = (&receiver).read(&mut buffer) {
            seen.push(String::from_utf8_lossy(buffer.get(20..length).unwrap_or_default()).into_owned());
        }
        ensure!(seen.iter().any(|name| name == "n2"), "{seen:?}");
        Ok(())
    })?;
    ensure!(seen == ["n2"], "packets of {seen:?} came in");
    Ok(())
}
