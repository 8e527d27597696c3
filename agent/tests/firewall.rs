//! The plan of packet rules: what follows from policies and pods, and that a change leads where a plan from nothing would.

#![allow(clippy::unwrap_used, clippy::panic)]

use agent::fact::{Fact, ObjectFact};
use agent::plan::desired::Desired;
use agent::plan::firewall::{Firewall, asks_for_base, base, everything};
use agent::world::{Dirty, Mode, World};
use bgp::config::Start;
use dataplane::ruleset::Ruleset;
use ipam::{Lease, Record};
use model::PodRef;
use model::api::Attachment;
use model::object::{Document, Kind, ObjectKey, parse};
use policy::Delta;

/// Node `n1`, whose table is changed by what each fact touches.
struct Node {
    world: World,
    desired: Desired,
    firewall: Firewall,
    /// The table as transactions have left it.
    table: Ruleset,
}

impl Node {
    fn new() -> Node {
        let world = World::new("n1".parse().unwrap());
        let mut node =
            Node { world, desired: Desired::default(), firewall: Firewall::default(), table: Ruleset::default() };
        node.settle(&Dirty::everything());
        node.learn(
            "apiVersion: v1\nkind: Node\nmetadata: {name: n1, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24}}\nspec: {podCIDRs: [10.244.1.0/24]}",
        );
        node.learn(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}",
        );
        node
    }

    fn beside_another_plugin() -> Node {
        let mut node = Node::new();
        let dirty = node.world.learn(Fact::Mode(Mode::PolicyOnly));
        node.firewall = Firewall::default();
        node.table = Ruleset::default();
        node.settle(&dirty);
        node
    }

    fn settle(&mut self, dirty: &Dirty) -> usize {
        self.desired.update(&self.world, dirty, Start::Fresh);
        let delta = if dirty.policies { self.world.policies.update() } else { Delta::default() };
        let program = self.world.policies.program();
        if dirty.nat || dirty.tunnel || asks_for_base(&self.world, dirty, &delta) {
            self.firewall.lay_base(&base(&self.world, program, &self.desired), program);
        }
        self.firewall.follow(program, &delta, &self.world.endpoints);
        self.firewall.follow_interfaces(&dirty.interfaces, &self.world.endpoints);
        let touched = self.firewall.take_touched();
        let transaction = self.firewall.transaction(&self.table, &touched);
        let size = transaction.ops().len();
        self.table.apply(&transaction);
        assert_eq!(self.table.difference(self.firewall.table()), None, "a transaction leads to what is wanted");
        assert_eq!(
            self.table.difference(&self.planned_anew()),
            None,
            "and that is what follows from the present alone"
        );
        size
    }

    /// The table as an agent would plan it that has just begun.
    fn planned_anew(&self) -> Ruleset {
        let mut firewall = Firewall::default();
        let program = self.world.policies.program();
        firewall.lay_base(&base(&self.world, program, &self.desired), program);
        firewall.follow(program, &everything(program), &self.world.endpoints);
        let names: Vec<String> = self.world.endpoints.interfaces().map(|(name, _)| name.clone()).collect();
        firewall.follow_interfaces(&names, &self.world.endpoints);
        firewall.table().clone()
    }

    fn learn(&mut self, objects: &str) -> usize {
        let mut dirty = Dirty::nothing();
        for document in parse("test.yaml", objects).documents {
            let Document::Object(found) = document else { panic!("{document:?}") };
            let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
            dirty = dirty.and(self.world.learn(Fact::Object(Box::new(fact))));
        }
        self.settle(&dirty)
    }

    fn forget(&mut self, kind: Kind, name: &str) -> usize {
        let key = ObjectKey { kind, namespace: Some("shop".into()), name: name.into() };
        let dirty = self.world.learn(Fact::ObjectGone(key));
        self.settle(&dirty)
    }

    fn forget_cluster(&mut self, kind: Kind, name: &str) -> usize {
        let dirty = self.world.learn(Fact::ObjectGone(ObjectKey { kind, namespace: None, name: name.into() }));
        self.settle(&dirty)
    }

    fn attach(&mut self, pod: &str, addresses: &[&str]) -> usize {
        let lease = Lease {
            attachment: Attachment { container_id: pod.into(), ifname: "eth0".into() },
            network: String::new(),
            pod: Some(PodRef { namespace: "shop".into(), name: pod.into() }),
            uid: None,
            netns: String::new(),
            host_interface: format!("cali{pod}"),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            mtu: 1500,
            since: 0,
            plumbed: None,
        };
        let dirty = self.world.learn(Fact::Lease(Record::Lease(lease)));
        self.settle(&dirty)
    }

    fn detach(&mut self, pod: &str) -> usize {
        let attachment = Attachment { container_id: pod.into(), ifname: "eth0".into() };
        let dirty = self.world.learn(Fact::Lease(Record::Release { attachment }));
        self.settle(&dirty)
    }

    /// The rules of a chain, in order.
    fn rules(&self, chain: &str) -> Vec<String> {
        let text = self.table.to_string();
        let chain = format!("chain {chain} ");
        let from_there = text.lines().map(str::trim).skip_while(|line| !line.starts_with(&chain)).skip(1);
        from_there.take_while(|line| *line != "}").map(Into::into).collect()
    }

    /// Where in a chain the first rule is that begins so.
    fn place(&self, chain: &str, beginning: &str) -> usize {
        let rules = self.rules(chain);
        rules.iter().position(|rule| rule.starts_with(beginning)).unwrap_or_else(|| panic!("{beginning}: {rules:#?}"))
    }

    fn lines(&self, beginning: &str) -> Vec<String> {
        let text = self.table.to_string();
        text.lines().map(str::trim).filter(|line| line.starts_with(beginning)).map(Into::into).collect()
    }
}

fn pod(name: &str, node: &str, label: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {label}}}}}\n\
         spec: {{nodeName: {node}, containers: [{{ports: [{{name: http, containerPort: 8080}}]}}]}}\n\
         status: {{podIP: {address}, podIPs: [{{ip: {address}}}]}}"
    )
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}"
    )
}

const WEB: &str = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: front}}}], \
                   ports: [{port: 80}, {port: http}]}]}";

#[test]
fn a_pod_without_policies_is_open_both_ways_and_sends_from_its_own_addresses_only() {
    let mut node = Node::new();
    node.attach("a", &["10.244.1.2", "fd00::2"]);
    assert_eq!(
        node.lines("map"),
        [
            r#"map egress { type ifname : verdict; "calia" : continue }"#,
            r#"map ingress { type ifname : verdict; "calia" : accept }"#,
        ]
    );
    assert_eq!(
        node.lines("set sources"),
        [
            r#"set sources4 { type ifname . ipv4_addr; "calia" . 10.244.1.2 }"#,
            r#"set sources6 { type ifname . ipv6_addr; "calia" . fd00::2 }"#,
        ]
    );
    node.detach("a");
    assert_eq!(node.lines("map egress"), [r#"map egress { type ifname : verdict;  }"#]);
    assert_eq!(node.lines("set sources4"), ["set sources4 { type ifname . ipv4_addr;  }"]);
}

#[test]
fn pods_with_the_same_policies_share_their_chains_and_a_chain_goes_with_its_last_pod() {
    let mut node = Node::new();
    node.learn(&policy("web", WEB));
    for (name, address) in [("a", "10.244.1.2"), ("b", "10.244.1.3")] {
        node.learn(&pod(name, "n1", "web", address));
        node.attach(name, &[address]);
    }
    node.learn(&pod("front", "n2", "front", "10.244.2.2"));
    let chains = node.lines("chain i-");
    assert_eq!(chains.len(), 1, "{}", node.table);
    assert!(node.lines("set pods-").iter().any(|set| set.contains("10.244.2.2")), "{}", node.table);
    node.detach("a");
    assert_eq!(node.lines("chain i-"), chains);
    node.detach("b");
    assert!(node.lines("chain i-").is_empty() && node.lines("set pods-").is_empty(), "{}", node.table);
}

#[test]
fn a_member_that_comes_or_goes_is_one_operation_and_so_is_a_pod_a_few() {
    let mut node = Node::new();
    node.learn(&policy("web", WEB));
    node.learn(&pod("a", "n1", "web", "10.244.1.2"));
    node.attach("a", &["10.244.1.2"]);
    for number in 0..200 {
        node.learn(&pod(&format!("front{number}"), "n2", "front", &format!("10.244.2.{number}")));
    }
    assert_eq!(node.learn(&pod("one", "n2", "front", "10.244.3.1")), 1);
    assert_eq!(node.forget(Kind::Pod, "one"), 1);
    node.learn(&pod("b", "n1", "web", "10.244.1.3"));
    assert_eq!(node.attach("b", &["10.244.1.3"]), 5, "three sets and two maps");
    assert_eq!(node.learn(&pod("unrelated", "n2", "other", "10.244.3.2")), 0);
}

#[test]
fn whatever_order_things_come_and_go_in_the_table_is_that_of_the_present() {
    // Each step holds the table against one that is planned from nothing.
    let mut node = Node::new();
    let other = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.244.0.0/16]}}]}]}";
    node.attach("a", &["10.244.1.2"]);
    node.learn(&policy("web", WEB));
    node.learn(&policy("other", other));
    node.learn(&pod("a", "n1", "web", "10.244.1.2"));
    node.learn(&pod("b", "n1", "front", "10.244.1.3"));
    node.attach("b", &["10.244.1.3", "fd00::3"]);
    node.forget(Kind::NetworkPolicy, "web");
    node.attach("b", &["10.244.1.4"]);
    node.learn(&pod("b", "n1", "web", "10.244.1.4"));
    node.learn(&policy("web", WEB));
    node.forget(Kind::Pod, "a");
    node.detach("b");
    node.forget(Kind::NetworkPolicy, "other");
    node.detach("a");
    assert!(node.lines("chain e-").is_empty() && node.lines("set nets-").is_empty(), "{}", node.table);
}

#[test]
fn with_a_tunnel_only_nodes_may_send_tunnelled_packets() {
    let mut node = Node::new();
    assert!(node.lines("set nodes4").is_empty());
    node.learn(
        "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.244.0.0/16, ipipMode: Always}",
    );
    node.learn(
        "apiVersion: v1\nkind: Node\nmetadata: {name: n2}\nstatus: {addresses: [{type: InternalIP, address: 10.0.0.2}]}",
    );
    assert_eq!(node.lines("set nodes4"), ["set nodes4 { type ipv4_addr; 10.0.0.1-10.0.0.2 }"]);
}

#[test]
fn a_host_endpoint_has_its_chains_on_its_link_alone_and_failsafe_ports_stay_open() {
    let mut node = Node::new();
    node.learn(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: up, labels: {host: here}}\nspec: {node: n1, interfaceName: eth0}",
    );
    node.learn(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: far, labels: {host: here}}\nspec: {node: n2, interfaceName: eth1}",
    );
    node.learn(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: web}\n\
         spec: {selector: host == 'here', ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}",
    );
    let maps = node.lines("map host-ingress");
    assert!(maps.len() == 1 && maps[0].contains("\"eth0\" : jump i-") && !maps[0].contains("eth1"), "{maps:?}");
    assert!(!node.lines("meta l4proto == [6] @th,16,16 == [0, 22] accept").is_empty(), "{}", node.table);
    node.forget_cluster(Kind::HostEndpoint, "up");
    assert!(node.lines("map host-").is_empty() && node.lines("chain i-").is_empty(), "{}", node.table);
}

#[test]
fn a_host_endpoint_moves_with_its_link_and_keeps_it_from_what_all_links_have() {
    let mut node = Node::new();
    let endpoint = |spec: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {{name: up}}\nspec: {{node: n1, {spec}}}"
        )
    };
    node.learn(&endpoint("interfaceName: eth0"));
    assert!(node.lines("map host-ingress")[0].contains("\"eth0\" : jump i-"), "{}", node.table);
    node.learn(&endpoint("interfaceName: eth1"));
    let map = node.lines("map host-ingress");
    assert!(map[0].contains("\"eth1\" : jump i-") && !map[0].contains("eth0"), "{map:?}");
    node.learn(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: all}\nspec: {node: n1, interfaceName: '*'}",
    );
    node.learn(&endpoint("interfaceName: eth1, profiles: [projectcalico-default-allow]"));
    assert!(node.lines("map host-ingress")[0].contains("\"eth1\" : continue"), "{}", node.table);
    node.forget_cluster(Kind::HostEndpoint, "all");
    assert!(node.lines("map host-").is_empty(), "an open endpoint alone needs no rules: {}", node.table);
}

const HOST: &str = "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: up, labels: {host: here}}\n\
                    spec: {node: n1, interfaceName: eth0}";
/// ICMPv6 of neighbours, as a rule of any chain.
const NEIGHBOURS: &str = "meta nfproto == [10] meta l4proto == [58]";

#[test]
fn a_host_endpoint_never_cuts_the_node_from_its_neighbours_its_tunnels_or_itself() {
    let mut node = Node::new();
    node.learn(HOST);
    for (chain, dispatch) in
        [("input", "iifname vmap @host-"), ("output", "oifname vmap @host-"), ("host-first", "iifname vmap @host-")]
    {
        assert!(node.place(chain, NEIGHBOURS) < node.place(chain, dispatch), "{chain}: {}", node.table);
        let itself = if chain == "output" { "oifname == [108, 111, 0" } else { "iifname == [108, 111, 0" };
        assert!(node.place(chain, itself) < node.place(chain, dispatch), "{chain}: {}", node.table);
    }
    node.learn(
        "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.244.0.0/16, ipipMode: Always}",
    );
    let from = "meta nfproto == [2] meta l4proto == [4] @nh,96,32 @nodes4 accept";
    let to = "meta nfproto == [2] meta l4proto == [4] @nh,128,32 @nodes4 accept";
    assert!(node.place("input", from) < node.place("input", "iifname vmap @host-"), "{}", node.table);
    let to_pod = "meta nfproto == [10] @nh,192,128 @pods6 accept";
    assert!(node.place("output", to_pod) < node.place("output", "oifname vmap @host-"), "{}", node.table);
    assert!(node.place("host-first", from) < node.place("host-first", "iifname vmap @host-"), "{}", node.table);
    assert!(node.place("output", to) < node.place("output", "oifname vmap @host-"), "{}", node.table);
}

#[test]
fn a_calico_policy_denies_and_passes_as_its_tiers_say() {
    let mut node = Node::new();
    node.learn("apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: first}\nspec: {order: 10}");
    node.learn(
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: first.web, namespace: shop}\n\
         spec: {tier: first, selector: app == 'web', ingress: [{action: Deny, protocol: TCP, destination: {ports: [22]}}, {action: Pass}]}",
    );
    node.learn(&policy("web", WEB));
    node.learn(&pod("a", "n1", "web", "10.244.1.2"));
    node.attach("a", &["10.244.1.2"]);
    let chains = node.lines("chain i-");
    assert_eq!(chains.len(), 2, "one for each tier: {}", node.table);
    assert_eq!(node.lines("counter goto i-").len(), 1, "{}", node.table);
    node.forget(Kind::NetworkPolicy, "web");
    assert_eq!(node.lines("chain i-").len(), 1, "{}", node.table);
}

/// A Calico policy about `web` with one rule of ingress.
fn rule(name: &str, tier: &str, rule: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {{name: {tier}.{name}, namespace: shop}}\n\
         spec: {{tier: {tier}, selector: app == 'web', ingress: [{rule}]}}"
    )
}

fn with_web(policies: &[String]) -> Node {
    let mut node = Node::new();
    policies.iter().for_each(|policy| _ = node.learn(policy));
    node.learn(&pod("a", "n1", "web", "10.244.1.2"));
    node.attach("a", &["10.244.1.2"]);
    node
}

/// As many ports, no two of them next to each other.
fn ports(many: u16) -> String {
    (0..many).map(|number| (1_000 + 2 * number).to_string()).collect::<Vec<_>>().join(", ")
}

#[test]
fn ports_that_are_not_meant_never_make_a_rule_longer_than_the_kernel_takes() {
    let node = with_web(&[rule(
        "a",
        "default",
        &format!("{{action: Allow, protocol: TCP, destination: {{notPorts: [{}]}}}}", ports(100)),
    )]);
    let allowed = node.lines("meta l4proto == [6] @th,16,16");
    assert_eq!(allowed.len(), 101, "below, between and above: {}", node.table);
    assert!(allowed[0].contains("@th,16,16 == [0, 0]-[3, 231] counter accept"), "{}", allowed[0]);
    assert!(
        allowed[1].contains("@th,16,16 == [3, 233] counter") || allowed[1].contains("[3, 233]-[3, 233]"),
        "{}",
        allowed[1]
    );
    assert!(allowed[100].contains("[4, 175]-[255, 255]"), "{}", allowed[100]);
}

#[test]
fn a_rule_of_more_combinations_of_ports_than_are_made_denies_and_says_so() {
    let both = |many| {
        let ports = ports(many);
        let text = format!(
            "{{action: Allow, protocol: TCP, source: {{ports: [{ports}]}}, destination: {{ports: [{ports}]}}}}"
        );
        with_web(&[rule("a", "default", &text)])
    };
    let mut fits = both(31);
    assert_eq!(fits.lines("meta l4proto == [6] @th,0,16").len(), 961, "{}", fits.table);
    assert!(fits.firewall.take_cut_short().is_empty());
    let mut node = both(40);
    assert_eq!(node.lines("meta l4proto == [6] counter goto denied-ingress").len(), 1, "{}", node.table);
    assert!(node.lines("meta l4proto == [6] @th").is_empty(), "{}", node.table);
    let told = node.firewall.take_cut_short();
    assert!(told.len() == 1 && told[0].contains("default.a"), "{told:?}");
}

#[test]
fn tiers_that_the_kernel_cannot_follow_are_cut_and_what_would_reach_them_is_denied() {
    let tiers = |many: usize| -> Node {
        let of_tier = |number: usize| {
            let tier = format!(
                "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: t{number}}}\nspec: {{order: {number}}}"
            );
            [tier, rule("a", &format!("t{number}"), "{action: Pass}")]
        };
        with_web(&(10..10 + many).flat_map(of_tier).collect::<Vec<_>>())
    };
    let mut fits = tiers(14);
    assert_eq!((fits.lines("chain i-").len(), fits.lines("counter goto i-").len()), (14, 13), "{}", fits.table);
    assert!(fits.firewall.take_cut_short().is_empty());
    let mut node = tiers(16);
    assert_eq!((node.lines("chain i-").len(), node.lines("counter goto i-").len()), (14, 13), "{}", node.table);
    assert_eq!(
        node.lines("counter goto denied-ingress").len(),
        15,
        "each end, and the last tier's pass: {}",
        node.table
    );
    assert!(
        node.firewall.take_cut_short().last().is_some_and(|what| what.starts_with("tier t24 ")),
        "the first that is cut"
    );
}

#[test]
fn a_pod_that_nobody_has_told_of_is_closed_where_a_policy_may_be_about_it() {
    let mut node = Node::new();
    node.attach("a", &["10.244.1.2"]);
    assert!(node.lines("map ingress")[0].contains("\"calia\" : accept"), "{}", node.table);
    node.learn(&policy("web", WEB));
    assert!(node.lines("map ingress")[0].contains("\"calia\" : goto i-"), "{}", node.table);
    node.learn(&pod("a", "n1", "other", "10.244.1.2"));
    assert!(node.lines("map ingress")[0].contains("\"calia\" : accept"), "{}", node.table);
}

#[test]
fn a_pod_sends_from_further_sources_where_its_annotation_and_the_node_allow_it() {
    let mut node = Node::new();
    node.attach("a", &["10.244.1.2"]);
    node.learn(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, annotations: \
         {cni.projectcalico.org/allowedSourcePrefixes: '[\"192.0.2.0/24\"]'}}\nspec: {nodeName: n1}",
    );
    let further = "meta nfproto == [2] iifname == [99, 97, 108, 105, 97";
    assert!(node.lines(further).is_empty());
    node.learn(
        "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {workloadSourceSpoofing: Any}",
    );
    assert_eq!(node.lines(further).len(), 1, "{}", node.table);
    node.detach("a");
    assert!(node.lines(further).is_empty());
}

#[test]
fn where_another_plugin_wires_the_pods_they_are_known_by_their_addresses() {
    let mut node = Node::beside_another_plugin();
    node.learn(&policy("web", WEB));
    node.learn(&pod("a", "n1", "web", "10.9.1.2"));
    node.learn(&pod("there", "n2", "web", "10.9.2.2"));
    let map = node.lines("map ingress4");
    assert!(map.len() == 1 && map[0].contains("10.9.1.2 : goto i-") && !map[0].contains("10.9.2.2"), "{}", node.table);
    assert!(node.lines("chain prerouting").is_empty(), "how pods are wired is not ours to guard");
    assert!(node.lines("set sources").is_empty(), "a pod's name is longer than a link's may be");
    assert!(node.place("filter", NEIGHBOURS) < 3, "neighbours on a bridge find each other: {}", node.table);
    node.forget(Kind::Pod, "a");
    assert_eq!(node.lines("map egress4"), ["map egress4 { type ipv4_addr : verdict;  }"]);
    assert!(node.lines("chain i-").is_empty());
}

#[test]
fn what_pods_of_another_plugin_may_send_to_their_node_is_asked_after_their_policies_and_before_the_nodes() {
    let mut node = Node::beside_another_plugin();
    for (action, rules) in [("Accept", 2), ("Drop", 2), ("Return", 0)] {
        node.learn(&format!(
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: default}}\n\
             spec: {{defaultEndpointToHostAction: {action}}}"
        ));
        let table = node.table.to_string();
        let asked: Vec<&str> = table.lines().filter(|line| line.contains("@pods")).collect();
        let done = asked.iter().filter(|line| line.ends_with(&action.to_lowercase())).count();
        assert_eq!((asked.len(), done), (rules, rules), "{action}: {table}");
    }
}

#[test]
fn an_address_that_another_pod_has_already_stays_when_the_one_before_goes() {
    let mut node = Node::beside_another_plugin();
    node.learn(&policy("web", WEB));
    // The one before is by its name before or after the other.
    for before in ["a", "z"] {
        node.learn(&pod(before, "n1", "other", "10.9.1.2"));
        node.learn(&pod("m", "n1", "web", "10.9.1.2"));
        node.forget(Kind::Pod, before);
        assert!(node.lines("map ingress4")[0].contains("10.9.1.2 : goto i-"), "{}", node.table);
        assert!(node.lines("set self4")[0].contains("10.9.1.2 . 10.9.1.2"), "{}", node.table);
        assert!(node.lines("set pods4")[0].contains("10.9.1.2"), "{}", node.table);
        node.forget(Kind::Pod, "m");
        assert!(!node.table.to_string().contains("10.9.1.2"), "{}", node.table);
    }
}
