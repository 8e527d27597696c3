//! HostEndpoints: what policies say about a node's own links, and what they never cut.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::objects::bgp_peer;
use e2e::pipe::Pipe;
use e2e::pods::PodLab;
use e2e::prober::{Expected, MachineId, Probe};
use e2e::{ip, wait};
use model::Protocol;
use serde_json::{Value, json};

use Expected::{Answer, Silence};
use Protocol as P;

const SOON: Duration = Duration::from_secs(20);
/// SSH and etcd come in, DNS goes out, BGP is the agents' own.
const FAILSAFE: [u16; 3] = [22, 53, 2379];

const SESSION: [Asked; 1] = [(P::TCP, 179, Answer)];

/// Two nodes on one subnet with a pod each.
struct Nodes {
    lab: PodLab,
}

/// A probe by what it asks: whom, in which protocol, on which port, and what ought to come of it.
type Asked = (Protocol, u16, Expected);

impl Nodes {
    fn up() -> Result<Nodes> {
        let mut lab = PodLab::new(2)?;
        for number in [1, 2] {
            lab.attach(number, &format!("shop/p{number}"), &[])?;
            let netns = lab.trial.plan.node_netns(number);
            // It only answers: those of a node ask from one machine.
            lab.prober.add(&format!("failsafe ports of n{number}"), &netns, &FAILSAFE)?;
        }
        Ok(Nodes { lab })
    }

    /// From one node's processes to another's addresses.
    fn between(&self, from: usize, to: usize, asked: &[Asked]) -> Result<Vec<Probe>> {
        let from = self.lab.node(from)?;
        Ok(probes(from, self.lab.node_addresses(to), asked))
    }

    /// From one pod to another.
    fn pods(&self, from: &str, to: &str, asked: &[Asked]) -> Result<Vec<Probe>> {
        Ok(probes(self.lab.pod(from)?.machine, self.lab.pod(to)?.addresses, asked))
    }

    fn hold(&mut self, probes: &[Vec<Probe>], what: &str) -> Result<()> {
        self.lab.prober.hold(&probes.concat()).with_context(|| what.to_owned())
    }

    /// What no HostEndpoint ever cuts: pods of both nodes, each other's and the nodes'.
    fn never_cut(&self) -> Result<Vec<Probe>> {
        let open = [(P::TCP, 80, Answer), (P::UDP, 81, Answer)];
        let pods = [self.pods("shop/p1", "shop/p2", &open)?, self.pods("shop/p2", "shop/p1", &open)?];
        let to_node = probes(self.lab.pod("shop/p1")?.machine, self.lab.node_addresses(1), &open);
        Ok([pods.concat(), to_node, self.lab.probes_of_hosts()?].concat())
    }

    /// What `margayctl trace` says on n1, of the same connections: nobody is sent into silence, and all else passes.
    fn traced(&self, from: &str, to: [IpAddr; 2], asked: &[Asked]) -> Result<()> {
        let ctl = self.lab.trial.node(1).ctl();
        for (to, (protocol, port, expected)) in to.iter().flat_map(|to| asked.iter().map(move |asked| (to, asked))) {
            let (to, protocol, port) = (to.to_string(), protocol.to_string(), port.to_string());
            let output = ctl.output(&["trace", from, &to, "--protocol", &protocol, "--port", &port])?;
            let told = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success() == (*expected == Answer), "{from} {to} {protocol} {port}: {told}");
            ensure!(*expected == Answer || told.contains("of HostEndpoint up on eth0"), "{told}");
        }
        Ok(())
    }

    fn pings(&self, from: usize, to: usize) -> Result<Vec<bool>> {
        let netns = self.lab.trial.plan.node_netns(from);
        let ping = |to: IpAddr| Ok(netns.output("ping", &["-c1", "-W1", &to.to_string()])?.status.success());
        self.lab.node_addresses(to).into_iter().map(ping).collect()
    }

    fn established(&self) -> Result<()> {
        let ctl = self.lab.trial.node(1).ctl();
        for address in self.lab.node_addresses(2) {
            ctl.wait_peer(&address.to_string(), "Established", SOON)?;
        }
        Ok(())
    }
}

fn probes(from: MachineId, to: [IpAddr; 2], asked: &[Asked]) -> Vec<Probe> {
    let each = |(protocol, port, expected): &Asked| {
        to.map(|to| Probe { expected: *expected, ..Probe::answered(from, to, *protocol, *port) })
    };
    asked.iter().flat_map(each).collect()
}

/// A HostEndpoint of n1 with label `host: NAME`.
fn endpoint(name: &str, more: Value) -> Value {
    let mut spec = json!({"node": "n1"});
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    let metadata = json!({"name": name, "labels": {"host": name}});
    json!({"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": metadata, "spec": spec})
}

/// A GlobalNetworkPolicy about the HostEndpoints that have the label.
fn about(host: &str, name: &str, more: Value) -> Value {
    let mut spec = json!({"selector": format!("host == '{host}'")});
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    let metadata = json!({"name": name});
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": metadata, "spec": spec})
}

fn rule(action: &str, protocol: &str, port: u16) -> Value {
    json!({"action": action, "protocol": protocol, "destination": {"ports": [port]}})
}

#[test]
fn a_link_without_a_policy_is_closed_but_for_failsafe_ports_neighbours_sessions_and_pods() -> Result<()> {
    let mut nodes = Nodes::up()?;
    let all_open = [(P::TCP, 80, Answer), (P::UDP, 81, Answer), (P::SCTP, 80, Answer)];
    let open = [nodes.between(1, 2, &all_open)?, nodes.between(2, 1, &all_open)?, nodes.never_cut()?];
    nodes.hold(&open, "without a HostEndpoint")?;
    let eth0 = [endpoint("up", json!({"interfaceName": "eth0"}))];
    nodes.lab.apply(&eth0)?;
    let closed = all_open.map(|(protocol, port, _)| (protocol, port, Silence));
    let inbound = [(P::TCP, 22, Answer), (P::TCP, 2379, Answer), (P::UDP, 22, Silence), (P::UDP, 53, Silence)];
    let outbound = [(P::UDP, 53, Answer), (P::TCP, 2379, Answer), (P::TCP, 53, Silence), (P::TCP, 22, Silence)];
    let held = |nodes: &Nodes| -> Result<Vec<Vec<Probe>>> {
        Ok(vec![
            nodes.between(1, 2, &closed)?,
            nodes.between(2, 1, &closed)?,
            nodes.between(2, 1, &inbound)?,
            nodes.between(1, 2, &outbound)?,
            nodes.never_cut()?,
        ])
    };
    let all = held(&nodes)?;
    nodes.hold(&all, "a HostEndpoint without a policy")?;
    let (here, there) = (nodes.lab.node_addresses(1), nodes.lab.node_addresses(2));
    for (from, to, asked) in [("host", there, &closed[..]), ("host", there, &outbound), ("host", there, &SESSION)] {
        nodes.traced(from, to, asked)?;
    }
    for asked in [&closed[..], &inbound, &SESSION] {
        nodes.traced("node/n2", here, asked)?;
    }
    ensure!(nodes.pings(2, 1)? == [false, false], "the closed link answers a ping");

    // Its neighbours are found anew, and a session comes up anew; until it does, the rules stay without an agent.
    let node = nodes.lab.trial.node(1);
    node.agent()?.kill()?;
    for netns in [1, 2].map(|number| nodes.lab.trial.plan.node_netns(number)) {
        ip::batch_in(&netns, &["neigh flush dev eth0".into()])?;
    }
    let all = held(&nodes)?;
    nodes.hold(&all, "without an agent, and without neighbours")?;
    node.start_agent()?;
    nodes.established()?;
    let all = held(&nodes)?;
    nodes.hold(&all, "a new agent")?;

    nodes.lab.apply(&[])?;
    nodes.hold(&open, "the HostEndpoint gone")
}

#[test]
fn a_policy_opens_one_port_each_way_and_what_is_connected_stays() -> Result<()> {
    let mut nodes = Nodes::up()?;
    let [n1, n2] = [1, 2].map(|number| nodes.lab.trial.plan.node_netns(number));
    let mut pipes = Vec::new();
    for (address, from, to) in [(1, &n2, &n1), (2, &n1, &n2)] {
        for address in nodes.lab.node_addresses(address) {
            pipes.push(Pipe::open(from, to, SocketAddr::new(address, 9000))?);
        }
    }
    let closed = endpoint("up", json!({"interfaceName": "eth0"}));
    let ping = ["ICMP", "ICMPv6"].map(|protocol| json!({"action": "Allow", "protocol": protocol}));
    let ingress = [&[rule("Allow", "TCP", 80)][..], &ping].concat();
    let policy = about("up", "web", json!({"ingress": ingress, "egress": [rule("Allow", "UDP", 81)]}));
    nodes.lab.apply(&[closed, policy])?;
    let inward = [(P::TCP, 80, Answer), (P::TCP, 81, Silence), (P::UDP, 80, Silence), (P::TCP, 9000, Silence)];
    let outward = [(P::UDP, 81, Answer), (P::UDP, 80, Silence), (P::TCP, 81, Silence), (P::TCP, 9000, Silence)];
    let all = [nodes.between(2, 1, &inward)?, nodes.between(1, 2, &outward)?, nodes.never_cut()?];
    nodes.hold(&all, "one port each way")?;
    ensure!(nodes.pings(2, 1)? == [true, true], "a ping that is allowed");
    ensure!(nodes.pings(1, 2)? == [false, false], "a ping that is not");
    pipes.iter().try_for_each(Pipe::carries)?;
    nodes.established()
}

/// A second link of n1, to the host outside: the addresses of both ends.
fn second_link(nodes: &Nodes) -> Result<([IpAddr; 2], [IpAddr; 2])> {
    let plan = &nodes.lab.trial.plan;
    let (own, other) = (plan.node_netns(1), plan.outside_netns());
    ip::batch(&[format!("link add side netns {} type veth peer name side netns {}", own.name(), other.name())])?;
    let ends = [["10.99.0.1", "fd00:99::1"], ["10.99.0.2", "fd00:99::2"]];
    for (netns, [v4, v6]) in [&own, &other].into_iter().zip(ends) {
        let lines = [
            format!("addr add {v4}/24 dev side"),
            format!("addr add {v6}/64 dev side nodad"),
            "link set side up".into(),
        ];
        ip::batch_in(netns, &lines)?;
    }
    let [own, other] = ends.map(|[v4, v6]| Ok::<[IpAddr; 2], std::net::AddrParseError>([v4.parse()?, v6.parse()?]));
    Ok((own?, other?))
}

#[test]
fn all_links_are_closed_but_one_that_has_an_endpoint_of_its_own_by_its_address() -> Result<()> {
    let mut nodes = Nodes::up()?;
    let all_links = endpoint("all", json!({"interfaceName": "*"}));
    let by_address =
        endpoint("beside", json!({"expectedIPs": ["10.99.0.1"], "profiles": ["projectcalico-default-allow"]}));
    nodes.lab.apply(&[all_links.clone(), by_address])?;
    // The link comes after its HostEndpoint.
    let (own, other) = second_link(&nodes)?;
    let outside = nodes.lab.prober.add("beside", &nodes.lab.trial.plan.outside_netns(), &[80, 81])?;
    let n1 = nodes.lab.node(1)?;
    let open = [(P::TCP, 80, Answer), (P::UDP, 81, Answer)];
    let closed = open.map(|(protocol, port, _)| (protocol, port, Silence));
    let eth0 = [
        nodes.between(1, 2, &closed)?,
        nodes.between(2, 1, &closed)?,
        nodes.between(2, 1, &[(P::TCP, 22, Answer)])?,
        nodes.never_cut()?,
    ];
    let beside = [probes(outside, own, &open), probes(n1, other, &open)];
    nodes.hold(&[&eth0[..], &beside].concat(), "all links closed, one open by its own profile")?;
    nodes.established()?;
    nodes.lab.apply(&[all_links])?;
    let beside = [probes(outside, own, &closed), probes(n1, other, &closed)];
    nodes.hold(&[&eth0[..], &beside].concat(), "all links closed")
}

#[test]
fn what_is_forwarded_is_judged_by_policies_that_apply_on_forward_and_by_no_others() -> Result<()> {
    let mut nodes = Nodes::up()?;
    nodes.lab.attach(1, "shop/other", &[])?;
    let open = [(P::TCP, 80, Answer), (P::TCP, 81, Answer)];
    let one = [(P::TCP, 80, Answer), (P::TCP, 81, Silence)];
    let closed = endpoint("up", json!({"interfaceName": "eth0"}));
    let web = json!({"applyOnForward": true, "ingress": [rule("Allow", "TCP", 80)]});
    let forwarded = |nodes: &Nodes, inward: &[Asked], outward: &[Asked]| -> Result<Vec<Vec<Probe>>> {
        Ok(vec![
            nodes.pods("shop/p2", "shop/p1", inward)?,
            nodes.pods("shop/p1", "shop/p2", outward)?,
            // Not by the link.
            nodes.pods("shop/p1", "shop/other", &open)?,
            nodes.lab.probes_of_hosts()?,
        ])
    };
    let local = [(P::TCP, 80, Answer), (P::TCP, 81, Silence)];
    nodes.lab.apply(&[closed.clone(), about("up", "web", json!({"ingress": [rule("Allow", "TCP", 80)]}))])?;
    let all = [forwarded(&nodes, &open, &open)?, vec![nodes.between(2, 1, &local)?]].concat();
    nodes.hold(&all, "a policy for the node's own processes")?;

    nodes.lab.apply(&[closed.clone(), about("up", "web", web)])?;
    let all = [forwarded(&nodes, &one, &open)?, vec![nodes.between(2, 1, &local)?]].concat();
    nodes.hold(&all, "a policy that applies on forward, inward")?;
    let (p1, p2) = (nodes.lab.pod("shop/p1")?.addresses, nodes.lab.pod("shop/p2")?.addresses);
    nodes.traced(&p2[0].to_string(), [p1[0]; 2], &one)?;
    nodes.traced("shop/p1", p2, &open)?;

    let web = json!({"applyOnForward": true, "egress": [rule("Allow", "TCP", 80)]});
    nodes.lab.apply(&[closed, about("up", "web", web)])?;
    let all = [forwarded(&nodes, &open, &one)?, vec![nodes.between(1, 2, &local)?]].concat();
    nodes.hold(&all, "a policy that applies on forward, outward")?;
    nodes.traced("shop/p1", nodes.lab.pod("shop/p2")?.addresses, &one)?;
    nodes.traced("host", nodes.lab.node_addresses(2), &local)
}

#[test]
fn sessions_on_another_port_and_their_bfd_pass_a_closed_link() -> Result<()> {
    let mut nodes = Nodes::up()?;
    nodes.lab.apply(&[endpoint("up", json!({"interfaceName": "eth0"}))])?;
    for number in [1, 2] {
        let node = nodes.lab.trial.node(number);
        let objects = node.objects()?;
        let mesh = objects.read("bgp-default")?.replace("Enabled: true", "Enabled: false");
        objects.write("bgp-default", &format!("{mesh}  listenPort: 1790\n"))?;
        for (from, to) in [(1, 2), (2, 1)] {
            for address in nodes.lab.node_addresses(to) {
                let peer = SocketAddr::new(address, 1790);
                let name = format!("n{from}-{}", if address.is_ipv4() { 4 } else { 6 });
                let bfd = "{minTxInterval: 50ms, minRxInterval: 50ms}";
                let spec = format!("  node: n{from}\n  peerIP: \"{peer}\"\n  asNumber: 64512\n  bfd: {bfd}\n");
                objects.write(&name, &bgp_peer(&name, &spec))?;
            }
        }
    }
    wait::until(SOON, "sessions with BFD", || {
        let ctl = nodes.lab.trial.node(1).ctl();
        for address in nodes.lab.node_addresses(2) {
            let peer = ctl.peer(&address.to_string())?;
            ensure!(peer["state"] == "Established" && peer["bfd"]["state"] == "Up", "{peer}");
        }
        Ok(())
    })?;
    // Only from peers, and nothing else.
    let closed = nodes.between(2, 1, &[(P::TCP, 80, Silence), (P::TCP, 22, Answer)])?;
    nodes.hold(&[closed], "the link is closed")
}

#[test]
fn a_pre_dnat_policy_sees_the_port_that_was_asked_for_and_what_it_allows_is_judged_no_more() -> Result<()> {
    let mut nodes = Nodes::up()?;
    let pod = nodes.lab.pod("shop/p1")?.addresses;
    let netns = nodes.lab.trial.plan.node_netns(1);
    for (table, to) in [("ip", pod[0].to_string()), ("ip6", format!("[{}]", pod[1]))] {
        for rules in [
            format!("add table {table} services"),
            format!("add chain {table} services pre {{ type nat hook prerouting priority dstnat; }}"),
            format!("add rule {table} services pre iifname eth0 tcp dport {{ 30080, 30081, 30082 }} dnat to {to}:80"),
        ] {
            netns.stdout("nft", &[rules])?;
        }
    }
    let up = endpoint("up", json!({"interfaceName": "eth0"}));
    let ingress =
        [rule("Allow", "TCP", 30080), rule("Deny", "TCP", 30081), rule("Deny", "TCP", 81), rule("Allow", "UDP", 80)];
    let asked_first = about("up", "first", json!({"preDNAT": true, "applyOnForward": true, "ingress": ingress}));
    nodes.lab.apply(&[up.clone(), asked_first.clone()])?;
    let services = |more| [(P::TCP, 30080, Answer), (P::TCP, 30081, Silence), (P::TCP, 30082, more)];
    let pods = |more| [(P::TCP, 80, more), (P::TCP, 81, Silence), (P::UDP, 80, Answer), (P::UDP, 81, more)];
    let own = [(P::UDP, 80, Answer), (P::UDP, 81, Silence), (P::TCP, 80, Silence), (P::TCP, 22, Answer)];
    let held = |nodes: &Nodes, more| -> Result<Vec<Vec<Probe>>> {
        Ok(vec![
            nodes.between(2, 1, &services(more))?,
            nodes.pods("shop/p2", "shop/p1", &pods(more))?,
            nodes.between(2, 1, &own)?,
            nodes.lab.probes_of_hosts()?,
        ])
    };
    let all = held(&nodes, Answer)?;
    nodes.hold(&all, "before translation")?;
    nodes.traced("node/n2", nodes.lab.node_addresses(1), &own)?;
    // What nothing before translation decides meets what applies on forward, and what it has allowed does not.
    let none = about("up", "none", json!({"applyOnForward": true, "types": ["Ingress"]}));
    nodes.lab.apply(&[up, asked_first, none])?;
    let all = held(&nodes, Silence)?;
    nodes.hold(&all, "nothing is forwarded but what was allowed before")
}

#[test]
fn a_do_not_track_policy_lets_each_way_pass_by_itself_past_what_else_is_closed() -> Result<()> {
    let mut nodes = Nodes::up()?;
    let own = nodes.lab.node_addresses(1).map(|own| format!("{own}/{}", if own.is_ipv4() { 32 } else { 128 }));
    let rules = |action: &str, protocol: &str, side: &str, port: u16| {
        own.clone().map(|own| json!({"action": action, "protocol": protocol, side: {"nets": [own], "ports": [port]}}))
    };
    let ingress = [("Allow", "TCP", 80), ("Allow", "UDP", 80), ("Deny", "UDP", 81)];
    let ingress = ingress.map(|(action, protocol, port)| rules(action, protocol, "destination", port));
    let both = json!({"doNotTrack": true, "applyOnForward": true, "ingress": ingress.as_flattened(),
        "egress": rules("Allow", "TCP", "source", 80)});
    let untracked = about("up", "untracked", both);
    let up = endpoint("up", json!({"interfaceName": "eth0"}));
    nodes.lab.apply(&[up.clone(), untracked.clone()])?;
    // Nothing is known to answer a datagram, and nothing lets it out.
    let closed = [(P::TCP, 80, Answer), (P::UDP, 80, Silence), (P::TCP, 81, Silence), (P::TCP, 22, Answer)];
    let outward = [(P::UDP, 53, Answer), (P::TCP, 2379, Answer), (P::TCP, 80, Silence)];
    let all = [nodes.between(2, 1, &closed)?, nodes.between(1, 2, &outward)?, nodes.never_cut()?];
    nodes.hold(&all, "a closed link")?;
    let table = nodes.lab.trial.plan.node_netns(1).stdout("nft", &["list", "table", "inet", "margay"])?;
    ensure!(table.contains("notrack accept"), "{table}");

    let open = endpoint("up", json!({"interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]}));
    nodes.lab.apply(&[open, untracked])?;
    let opened = [(P::TCP, 80, Answer), (P::UDP, 80, Answer), (P::TCP, 81, Answer), (P::UDP, 81, Silence)];
    let outward = [(P::UDP, 81, Answer), (P::TCP, 81, Answer)];
    let all = [nodes.between(2, 1, &opened)?, nodes.between(1, 2, &outward)?, nodes.never_cut()?];
    nodes.hold(&all, "an open link")?;
    nodes.established()
}
