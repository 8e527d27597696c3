//! What is told of policies: their rules in words and in order, who decides, what was counted and what was dropped.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::fact::{Fact, ObjectFact};
use agent::plan::firewall::{Meaning, Way, render};
use agent::plan::judged::{chain, judge, packet};
use agent::plan::policies::counted::{Counted, Counts, Totals, Used, by_policy, counted};
use agent::plan::policies::denials::{Noted, named};
use agent::plan::policies::{Uncounted, count, sides, view};
use agent::world::World;
use ipam::{Lease, Record};
use model::api::Attachment;
use model::api::show::{Between, Connection, CounterView, PolicyEvent, PolicyVerdict};
use model::object::{Document, parse};
use model::{PodRef, Protocol};
use policy::program::{Action, Chain, ChainKey, End, EndpointKey, Item, Program, Rest, RuleRef, Step, TierChain};
use policy::{Direction, Head, Packet};

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {nodeName: n1}
status: {podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1}
status: {podIP: 10.244.1.6, podIPs: [{ip: 10.244.1.6}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: n3}
status: {podIP: 10.244.3.7, podIPs: [{ip: 10.244.3.7}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - {from: [{podSelector: {matchLabels: {app: cart}}}], ports: [{port: 80}, {port: 8080, endPort: 8090}]}
  - {from: [{ipBlock: {cidr: 192.0.2.0/24}}]}
";

/// Node `n1` with pods `cart` and `web`.
fn world() -> World {
    let mut world = World::new("n1".parse().unwrap());
    for document in parse("test.yaml", OBJECTS).documents {
        let Document::Object(found) = document else { panic!("{document:?}") };
        let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
        world.learn(Fact::Object(Box::new(fact)));
    }
    for (name, address) in [("cart", "10.244.1.5"), ("web", "10.244.1.6")] {
        world.learn(Fact::Lease(Record::Lease(Lease {
            attachment: Attachment { container_id: name.into(), ifname: "eth0".into() },
            network: String::new(),
            pod: Some(pod(name)),
            uid: None,
            netns: String::new(),
            host_interface: format!("cali{name}"),
            addresses: vec![address.parse().unwrap()],
            mtu: 1500,
            since: 0,
            plumbed: None,
        })));
    }
    world.policies.update();
    world
}

fn pod(name: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into() }
}

fn ask(world: &World, from: &str, to: &str, port: u16) -> Result<model::api::show::PolicyTestView, String> {
    let connection = Connection { protocol: Protocol::TCP, port };
    sides::test(world, world.policies.program(), &Between { from: from.into(), to: to.into(), connection })
}

#[test]
fn a_pods_policies_are_told_in_their_order_with_each_rule_in_words() {
    let world = world();
    let web = EndpointKey::Pod(pod("web"));
    let view = view(world.policies.program(), &web, vec![], [&Uncounted, &Uncounted]);
    assert!(view.egress.open && !view.ingress.open);
    let tier = &view.ingress.tiers[0];
    assert_eq!((tier.tier.as_str(), tier.end.as_str()), ("default", "Deny"));
    let objects: Vec<&str> = tier.policies.iter().map(|policy| policy.object.as_str()).collect();
    assert_eq!(objects.len(), 2, "{objects:?}");
    let of = |name: &str| tier.policies.iter().find(|policy| policy.object == name).unwrap();
    assert!(of("NetworkPolicy/shop/closed").rules.is_empty(), "it isolates and allows nothing");
    let rules = &of("NetworkPolicy/shop/web").rules;
    assert_eq!(
        rules.iter().map(|rule| (rule.rule, rule.action.as_str())).collect::<Vec<_>>(),
        [(0, "Allow"), (1, "Allow")]
    );
    let text = rules[0].matches.join(" | ");
    for word in ["TCP", "to port 80", "8080-8090", "(1 address)"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(rules[1].matches[0].contains("192.0.2.0/24"), "{:?}", rules[1].matches);
    let counted = count(world.policies.program(), &web, vec![]);
    assert_eq!((counted.ingress.policies, counted.egress.policies, counted.ingress.staged), (2, 0, 0));
}

#[test]
fn a_test_names_the_rule_that_decides_on_either_side() {
    let world = world();
    let allowed = ask(&world, "shop/cart", "shop/web", 80).unwrap();
    assert_eq!(
        (allowed.verdict, allowed.ingress.object.as_deref()),
        (PolicyVerdict::Allowed, Some("NetworkPolicy/shop/web"))
    );
    assert_eq!((allowed.ingress.rule, allowed.ingress.tier.as_deref()), (Some(0), Some("default")));
    assert_eq!(allowed.egress.reason, "no egress policy is about it");
    let denied = ask(&world, "shop/cart", "shop/web", 81).unwrap();
    assert_eq!(denied.verdict, PolicyVerdict::Denied);
    assert_eq!(denied.ingress.unmatched, ["NetworkPolicy/shop/closed", "NetworkPolicy/shop/web"]);
    assert_eq!(ask(&world, "192.0.2.9", "shop/web", 5).unwrap().ingress.rule, Some(1));
    let elsewhere = ask(&world, "shop/cart", "shop/db", 5432).unwrap();
    assert_eq!(elsewhere.ingress.reason, "decided on node n3: ask its agent");
    assert_eq!(
        ask(&world, "shop/web", "shop/web", 81).unwrap().verdict,
        PolicyVerdict::Allowed,
        "a pod reaches itself"
    );
}

#[test]
fn a_denial_has_names_and_the_policies_that_refused_it() {
    let world = world();
    let head = Head::Ports { source: 40000, destination: 81 };
    let [from, to] = ["10.244.3.7", "10.244.1.6"].map(|text| text.parse().unwrap());
    let noted = |rule: &str| Noted { rule: rule.into(), packet: Packet { from, to, protocol: Protocol::TCP, head } };
    let view = named(&world, world.policies.program(), &noted("denied-ingress"), "now".into());
    assert_eq!(
        (view.from.to_string(), view.to.to_string()),
        ("shop/db (10.244.3.7)".into(), "shop/web (10.244.1.6)".into())
    );
    assert_eq!((view.event, view.direction.as_str(), view.source_port), (PolicyEvent::Denied, "ingress", 40000));
    let said = "no rule matches of NetworkPolicy/shop/closed, NetworkPolicy/shop/web (end of tier default)";
    assert_eq!(view.judged.reason, said);
    let view = named(&world, world.policies.program(), &noted("GlobalNetworkPolicy/audit ingress[0]"), "now".into());
    assert_eq!((view.event, view.direction.as_str()), (PolicyEvent::Logged, ""));
    assert_eq!(view.judged.reason, "logged by GlobalNetworkPolicy/audit ingress[0]");
}

/// The chain of `web`, and what the kernel would have counted: each rule its own position.
fn counts(world: &World) -> (Used, Counts) {
    let program = world.policies.program();
    let web = EndpointKey::Pod(pod("web"));
    let key = program.endpoints[&web].ingress.clone().unwrap();
    let used: Used = (Way::Ingress, key.clone(), program.chains[&key].clone());
    let counter = |at: usize| Some(CounterView { packets: 1 << at, bytes: 100 << at });
    let of = |rules: usize| (0..rules).map(counter).collect();
    let counts = render(used.0, &used.1, &used.2).into_iter().map(|r| (r.name, of(r.rules.len()))).collect();
    (used, counts)
}

#[test]
fn a_rules_counter_is_the_sum_of_what_it_became_in_the_kernel() {
    let world = world();
    let (used, counts) = counts(&world);
    let tally = counted(&used, &counts);
    let view = view(world.policies.program(), &EndpointKey::Pod(pod("web")), vec![], [&tally, &Counted::default()]);
    let tier = &view.ingress.tiers[0];
    let rules = tier.policies.iter().flat_map(|policy| &policy.rules);
    let sum: u64 = rules.filter_map(|rule| rule.counter).chain(tier.counter).map(|counter| counter.packets).sum();
    let rendered = render(used.0, &used.1, &used.2);
    let all: u64 = counts.values().flatten().flatten().map(|counter| counter.packets).sum();
    assert_eq!(sum, all, "nothing is counted twice or lost: {rendered:?}");
    let by_policy = by_policy(std::slice::from_ref(&used), &counts);
    let lines: Vec<(&str, &str)> = by_policy.iter().map(|c| (c.object.as_str(), c.action.as_str())).collect();
    assert_eq!(lines, [("NetworkPolicy/shop/web", "allow"), ("end of tier default", "deny")]);
    assert_eq!(by_policy.iter().map(|c| c.counter.packets).sum::<u64>(), all);
}

#[test]
fn a_chain_that_the_kernel_has_in_another_form_counts_nothing_instead_of_something_wrong() {
    let world = world();
    let (used, mut counts) = counts(&world);
    counts.values_mut().for_each(|rules| rules.push(None));
    assert_eq!(by_policy(std::slice::from_ref(&used), &counts), []);
    assert_eq!(by_policy(std::slice::from_ref(&used), &BTreeMap::new()), []);
}

#[test]
fn totals_never_fall_when_a_chain_is_replaced() {
    let world = world();
    let (used, counts) = counts(&world);
    let sum =
        |views: &[model::api::show::PolicyCounterView]| views.iter().map(|view| view.counter.packets).sum::<u64>();
    let mut totals = Totals::default();
    let first = sum(&totals.add(std::slice::from_ref(&used), counts.clone()));
    assert_eq!(sum(&totals.add(std::slice::from_ref(&used), counts.clone())), first, "nothing came meanwhile");
    let anew: Counts =
        counts.iter().map(|(name, rules)| (name.clone(), vec![Some(CounterView::default()); rules.len()])).collect();
    assert_eq!(sum(&totals.add(std::slice::from_ref(&used), anew)), first, "the kernel began anew");
    assert_eq!(sum(&totals.add(&[used], counts)), 2 * first);
}

/// A program with one tier for pod `web`: a staged policy before one that allows all.
fn staged(action: Action) -> Program {
    let rule = |name: &str| {
        let kind = model::object::Kind::NetworkPolicy;
        let policy = model::object::ObjectKey { kind, namespace: Some("shop".into()), name: name.into() };
        RuleRef { policy, direction: Direction::Ingress, index: 0 }
    };
    let step = |name: &str, action| Arc::new(Step { tests: vec![], action, rule: rule(name) });
    let staged = Item::Staged { policy: rule("tryout").policy, steps: vec![step("tryout", Action::Deny)] };
    let items = vec![staged, Item::Step(step("real", action))];
    let chain = Chain { tiers: vec![TierChain { tier: "default".into(), items, end: End::Pass }], rest: Rest::Allow };
    let key = ChainKey::of(&chain);
    let mut program = Program::default();
    program.chains.insert(key.clone(), Arc::new(chain));
    program.endpoints.entry(EndpointKey::Pod(pod("web"))).or_default().ingress = Some(key);
    program
}

#[test]
fn of_a_staged_policy_it_is_said_what_it_would_have_done_and_it_decides_nothing() {
    let web = EndpointKey::Pod(pod("web"));
    let [from, to] = ["10.244.1.5", "10.244.1.6"].map(|text| text.parse().unwrap());
    let packet = packet(from, to, Connection { protocol: Protocol::TCP, port: 80 });
    for (action, reason) in
        [(Action::Allow, "NetworkPolicy/shop/real ingress[0] allows it"), (Action::Pass, "every tier passed it on")]
    {
        let program = staged(action);
        assert!(chain(&program, &web, Direction::Ingress).is_some());
        let judged = judge(&program, &web, Direction::Ingress, &packet);
        assert_eq!((judged.verdict, judged.reason.as_str()), (PolicyVerdict::Allowed, reason));
        let would = &judged.staged[0];
        assert_eq!(
            (would.object.as_str(), would.rule, would.action.as_str()),
            ("NetworkPolicy/shop/tryout", Some(0), "Deny")
        );
        let rendered =
            render(Way::Ingress, program.chains.keys().next().unwrap(), program.chains.values().next().unwrap());
        let meanings = rendered.iter().flat_map(|chain| chain.rules.iter().map(|(_, meaning)| meaning));
        assert_eq!(meanings.filter(|meaning| matches!(meaning, Meaning::Staged(..))).count(), 1);
    }
}

#[test]
fn of_a_pod_of_another_node_no_more_is_kept_twice_than_whose_address_it_is() {
    let mut world = world();
    let from_db = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\n\
                   spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}";
    for document in parse("test.yaml", from_db).documents {
        let Document::Object(found) = document else { panic!("{document:?}") };
        let fact = ObjectFact { object: found.object, origin: "test.yaml".into(), written: found.written };
        world.learn(Fact::Object(Box::new(fact)));
    }
    world.policies.update();
    let [here, elsewhere] = ["web", "db"].map(|name| world.objects.pod(&pod(name)).unwrap());
    assert_eq!((here.meta.labels.len(), elsewhere.meta.labels.len()), (1, 0));
    assert_eq!(elsewhere.addresses, ["10.244.3.7".parse::<std::net::IpAddr>().unwrap()]);
    let asked = ask(&world, "shop/db", "shop/web", 5432).unwrap();
    assert_eq!(asked.ingress.object.as_deref(), Some("NetworkPolicy/shop/db"), "by its label: {asked:?}");
}
