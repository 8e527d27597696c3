//! What is read of policies of Calico's, and what is refused.

use super::*;
use crate::object::{ClusterPeer, DefaultAction, Document, Kind, Object, PortMatch, StagedAction, Tier, parse};
use crate::selector::{Labels, Selector};
use crate::{Family, Protocol};

fn document(kind: &str, name: &str, spec: &str) -> Result<(Object, Vec<String>), String> {
    let text = format!(
        "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}"
    );
    match parse("f.yaml", &text).documents.pop() {
        Some(Document::Object(found)) => Ok((found.object, found.warnings.iter().map(ToString::to_string).collect())),
        Some(Document::Bad(_, error)) => Err(error.to_string()),
        None => Err("nothing".into()),
    }
}
fn namespaced(spec: &str) -> Result<(CalicoPolicy, Vec<String>), String> {
    match document("NetworkPolicy", "p", spec)? {
        (Object::CalicoNetworkPolicy(policy), warnings) => Ok((*policy, warnings)),
        (other, _) => Err(format!("{other:?}")),
    }
}
fn global(spec: &str) -> Result<CalicoPolicy, String> {
    match document("GlobalNetworkPolicy", "p", spec)? {
        (Object::GlobalNetworkPolicy(policy), _) => Ok(*policy),
        (other, _) => Err(format!("{other:?}")),
    }
}

#[test]
fn what_is_left_out_is_as_calico_has_it() -> Result<(), String> {
    let ways = |policy: &CalicoPolicy| (policy.ingress.as_ref().map(Vec::len), policy.egress.as_ref().map(Vec::len));
    let (policy, _) = namespaced("{}")?;
    assert_eq!((policy.tier.as_str(), policy.order, ways(&policy)), ("default", Order::LAST, (Some(0), None)));
    assert_eq!(policy.subject.namespaces, Namespaces::Named("shop".into()));
    assert_eq!(ways(&global("{egress: [{action: Allow}]}")?), (None, Some(1)));
    assert_eq!(ways(&global("{egress: [{action: Allow}], ingress: [{action: Deny}]}")?), (Some(1), Some(1)));
    assert_eq!(ways(&global("{types: [Egress, Ingress]}")?), (Some(0), Some(0)));
    let (policy, warnings) = namespaced("{types: [Ingress], egress: [{action: Allow}]}")?;
    assert_eq!(ways(&policy), (Some(0), None));
    assert_eq!(
        warnings,
        ["f.yaml: NetworkPolicy.projectcalico.org/shop/p: spec.egress: has no effect: types does not name Egress"]
    );
    assert_eq!(global("{}")?.subject.namespaces, Namespaces::Any);
    Ok(())
}

#[test]
fn every_part_of_a_rule_is_read() -> Result<(), String> {
    let policy = global(
        "{order: 10.5, tier: security, selector: app == 'a', namespaceSelector: has(b), serviceAccountSelector: has(c), \
          applyOnForward: true, performanceHints: [AssumeNeededOnEveryNode], ingress: [{action: Log, ipVersion: 4, \
          protocol: 6, notProtocol: UDP, source: {nets: [10.0.0.0/8, 192.0.2.1], notNets: [10.1.0.0/16], \
          selector: has(d), notSelector: has(e), namespaceSelector: global(), ports: [1, '2:3', web], \
          serviceAccounts: {names: [f], selector: has(g)}}, destination: {notPorts: ['4']}, \
          metadata: {annotations: {h: i}}}, {action: Pass, protocol: ICMPv6, icmp: {type: 128, code: 0}, notICMP: {}}]}",
    )?;
    let text = |selector: &Selector| selector.to_string();
    let accounts = policy.subject.service_accounts.as_ref().map(|accounts| text(&accounts.labels));
    assert_eq!(accounts.as_deref(), Some("has(c)"));
    assert_eq!((policy.tier.as_str(), policy.host_traffic), ("security", HostTraffic::Forwarded));
    let rules = policy.ingress.unwrap_or_default();
    let [first, second] = rules.as_slice() else { return Err(format!("{rules:?}")) };
    assert_eq!(
        (first.action, first.family, first.protocol),
        (RuleAction::Log, Some(Family::Ipv4), Some(Protocol::TCP))
    );
    assert_eq!((first.source.nets.len(), first.source.not_nets.len()), (2, 1));
    let web = PortMatch::Name("web".into());
    assert_eq!(first.source.ports, [PortMatch::Numbers(1..=1), PortMatch::Numbers(2..=3), web]);
    assert_eq!(first.destination.not_ports, [PortMatch::Numbers(4..=4)]);
    assert_eq!(first.destination.endpoints, None);
    let endpoints = first.source.endpoints.as_ref().ok_or("no endpoints")?;
    assert!(endpoints.namespaces.chooses(None) && !endpoints.namespaces.chooses(Some(("n", &Labels::new()))));
    let is_f = endpoints.service_accounts.as_ref().map(|accounts| {
        let labels = Labels::from([("g".to_string(), String::new())]);
        [("f", &labels), ("x", &labels), ("f", &Labels::new())].map(|account| accounts.chooses(Some(account)))
    });
    assert_eq!(is_f, Some([true, false, false]));
    assert_eq!(
        (second.family, second.icmp.map(|icmp| (icmp.kind, icmp.code))),
        (Some(Family::Ipv6), Some((128, Some(0))))
    );
    assert_eq!(second.not_icmp, None, "ICMP of no type in particular");
    Ok(())
}

#[test]
fn a_namespaces_policy_means_its_own_namespace_as_soon_as_it_selects_at_all() -> Result<(), String> {
    let (policy, _) = namespaced(
        "{ingress: [{action: Allow}, {action: Allow, source: {selector: has(a)}}, \
          {action: Allow, source: {notSelector: has(a)}}, {action: Allow, source: {namespaceSelector: all()}}, \
          {action: Allow, source: {serviceAccounts: {names: [a]}}}, {action: Allow, source: {nets: [10.0.0.0/8]}}, \
          {action: Allow, source: {services: {name: s}}}]}",
    )?;
    let rules = policy.ingress.unwrap_or_default();
    let whose = |rule: &CalicoRule| rule.source.endpoints.as_ref().map(|endpoints| endpoints.namespaces.clone());
    let own = || Some(Namespaces::Named("shop".into()));
    let chosen = Some(Namespaces::Chosen(Selector::all()));
    assert_eq!(rules.iter().map(whose).collect::<Vec<_>>(), [None, own(), own(), chosen, own(), None, None]);
    let service = rules.last().and_then(|rule| rule.source.service.as_ref());
    assert_eq!(service.map(|service| service.namespace.as_str()), Some("shop"));
    let rules = global("{ingress: [{action: Allow, source: {notSelector: has(a)}}]}")?.ingress.unwrap_or_default();
    assert_eq!(rules.iter().map(whose).collect::<Vec<_>>(), [None]);
    Ok(())
}

#[test]
fn a_rule_about_http_matches_nothing_and_says_so() -> Result<(), String> {
    let (policy, warnings) =
        namespaced("{ingress: [{action: Allow, http: {methods: [GET], paths: [{exact: /a}, {prefix: /b}]}}]}")?;
    assert!(policy.ingress.unwrap_or_default().iter().all(|rule| rule.reads_http));
    assert_eq!(warnings.len(), 1);
    assert!(warnings.iter().all(|said| said.contains("spec.ingress[0].http: is not looked at")), "{warnings:?}");
    Ok(())
}

#[test]
fn what_cannot_be_is_an_error_that_names_the_field() {
    let rule = |rule: &str| format!("{{ingress: [{{action: Allow, {rule}}}]}}");
    let egress = |rule: &str| format!("{{egress: [{{action: Allow, {rule}}}]}}");
    for (kind, spec, field) in [
        ("NetworkPolicy", "{colour: red}".into(), "spec.colour"),
        ("NetworkPolicy", "{namespaceSelector: all()}".into(), "spec.namespaceSelector"),
        ("NetworkPolicy", "{doNotTrack: true}".into(), "spec.doNotTrack"),
        ("NetworkPolicy", "{selector: 'a ='}".into(), "spec.selector"),
        ("NetworkPolicy", "{selector: global()}".into(), "spec.selector"),
        ("NetworkPolicy", "{serviceAccountSelector: global()}".into(), "spec.serviceAccountSelector"),
        ("NetworkPolicy", "{types: [Both]}".into(), "spec.types[0]"),
        ("NetworkPolicy", "{order: first}".into(), "spec.order"),
        ("NetworkPolicy", "{ingress: [{action: Reject}]}".into(), "spec.ingress[0].action"),
        ("NetworkPolicy", "{ingress: [{}]}".into(), "spec.ingress[0]"),
        ("NetworkPolicy", rule("sauce: {}"), "spec.ingress[0].sauce"),
        ("NetworkPolicy", rule("ipVersion: 5"), "spec.ingress[0].ipVersion"),
        ("NetworkPolicy", rule("protocol: GRE"), "spec.ingress[0].protocol"),
        ("NetworkPolicy", rule("protocol: 256"), "spec.ingress[0].protocol"),
        ("NetworkPolicy", rule("protocol: ICMP, ipVersion: 6"), "spec.ingress[0].protocol"),
        ("NetworkPolicy", rule("notProtocol: 58, ipVersion: 4"), "spec.ingress[0].notProtocol"),
        ("NetworkPolicy", rule("icmp: {type: 8}"), "spec.ingress[0].icmp"),
        ("NetworkPolicy", rule("notICMP: {type: 8}"), "spec.ingress[0].notICMP"),
        ("NetworkPolicy", rule("protocol: ICMP, icmp: {code: 8}"), "spec.ingress[0].icmp.code"),
        ("NetworkPolicy", rule("protocol: ICMP, icmp: {type: 255}"), "spec.ingress[0].icmp.type"),
        ("NetworkPolicy", rule("source: {ports: [80]}"), "spec.ingress[0].source"),
        ("NetworkPolicy", rule("protocol: UDPLite, destination: {notPorts: [80]}"), "spec.ingress[0].destination"),
        ("NetworkPolicy", rule("protocol: TCP, source: {ports: ['9:8']}"), "spec.ingress[0].source.ports[0]"),
        ("NetworkPolicy", rule("source: {nets: [10.0.0.0/8, here]}"), "spec.ingress[0].source.nets[1]"),
        ("NetworkPolicy", rule("source: {nets: [10.0.0.0/8, 'fd00::/8']}"), "spec.ingress[0]"),
        ("NetworkPolicy", rule("ipVersion: 6, source: {notNets: [10.0.0.0/8]}"), "spec.ingress[0]"),
        ("NetworkPolicy", rule("source: {selector: global()}"), "spec.ingress[0].source.selector"),
        ("NetworkPolicy", rule("source: {namespaceSelector: '!global()'}"), "spec.ingress[0].source.namespaceSelector"),
        ("NetworkPolicy", rule("destination: {services: {name: s}}"), "spec.ingress[0].destination.services"),
        ("NetworkPolicy", rule("source: {services: {}}"), "spec.ingress[0].source.services.name"),
        ("NetworkPolicy", rule("source: {services: {name: s}, selector: a == 'b'}"), "spec.ingress[0].source.selector"),
        ("NetworkPolicy", rule("protocol: UDP, http: {methods: [GET]}"), "spec.ingress[0].http"),
        ("NetworkPolicy", egress("http: {methods: [GET]}"), "spec.egress[0].http"),
        ("NetworkPolicy", egress("source: {services: {name: s}}"), "spec.egress[0].source.services"),
        (
            "NetworkPolicy",
            egress("protocol: TCP, destination: {services: {name: s}, ports: [80]}"),
            "spec.egress[0].destination.ports",
        ),
        (
            "GlobalNetworkPolicy",
            egress("destination: {services: {name: s}}"),
            "spec.egress[0].destination.services.namespace",
        ),
        ("GlobalNetworkPolicy", "{namespaceSelector: global()}".into(), "spec.namespaceSelector"),
        ("GlobalNetworkPolicy", "{preDNAT: true}".into(), "spec.applyOnForward"),
        ("GlobalNetworkPolicy", "{preDNAT: true, doNotTrack: true, applyOnForward: true}".into(), "spec.preDNAT"),
        ("GlobalNetworkPolicy", "{preDNAT: true, applyOnForward: true, types: [Egress]}".into(), "spec.preDNAT"),
        ("NetworkSet", "{nets: [10.0.0.300]}".into(), "spec.nets[0]"),
        ("GlobalNetworkSet", "{allowedEgressDomains: [a.example]}".into(), "spec.allowedEgressDomains"),
        ("HostEndpoint", "{interfaceName: eth0}".into(), "spec.node"),
        ("HostEndpoint", "{node: n1}".into(), "spec.interfaceName"),
        ("HostEndpoint", "{node: n1, interfaceName: 'a b'}".into(), "spec.interfaceName"),
        ("HostEndpoint", "{node: n1, expectedIPs: [here]}".into(), "spec.expectedIPs[0]"),
        (
            "HostEndpoint",
            "{node: n1, interfaceName: '*', ports: [{name: a, protocol: ICMP, port: 1}]}".into(),
            "spec.ports[0].protocol",
        ),
        ("StagedNetworkPolicy", "{stagedAction: Try}".into(), "spec.stagedAction"),
        ("StagedNetworkPolicy", "{stagedAction: Delete, order: 5}".into(), "spec.order"),
        ("StagedGlobalNetworkPolicy", rule("source: {ports: [80]}"), "spec.ingress[0].source"),
        ("StagedKubernetesNetworkPolicy", "{podSelectors: {}}".into(), "spec.podSelectors"),
    ] {
        let said = match document(kind, "p", &spec) {
            Err(said) => said,
            Ok((object, _)) => panic!("{kind} {spec} was taken: {object:?}"),
        };
        assert!(said.contains(&format!(": {field}: ")), "{kind} {spec}: {said}");
    }
}

#[test]
fn tiers_that_are_always_there_stay_as_they_are() -> Result<(), String> {
    let tier = |name: &str, spec: &str| match document("Tier", name, spec)? {
        (Object::Tier(tier), _) => Ok((tier.order, tier.default_action)),
        (other, _) => Err(format!("{other:?}")),
    };
    assert_eq!(tier("security", "{order: 2.5}")?.1, DefaultAction::Deny);
    assert_eq!(tier("security", "{defaultAction: Pass}")?, (Order::LAST, DefaultAction::Pass));
    for name in [Tier::DEFAULT, Tier::KUBE_ADMIN, Tier::KUBE_BASELINE] {
        let known = Tier::known(name).ok_or(name)?;
        assert_eq!(tier(name, &format!("{{order: {}}}", known.0))?, known);
        assert!(tier(name, "{order: 5}").is_err_and(|said| said.contains("spec.order: of tier")));
        assert!(tier(name, "{}").is_err());
    }
    assert!(tier("default", "{order: 1000000, defaultAction: Pass}").is_err());
    Ok(())
}

#[test]
fn a_staged_policy_is_read_as_what_it_would_be() -> Result<(), String> {
    let (object, _) = document("StagedNetworkPolicy", "p", "{order: 5, ingress: [{action: Deny}]}")?;
    let Object::StagedNetworkPolicy(staged) = object else { return Err(format!("{object:?}")) };
    assert_eq!((staged.action, staged.order), (StagedAction::Set, Order::of(5)));
    let (object, _) = document("StagedGlobalNetworkPolicy", "p", "{stagedAction: Delete, tier: default}")?;
    assert_eq!(object.key().to_string(), "StagedGlobalNetworkPolicy/p");
    let spec = "{stagedAction: Set, podSelector: {matchLabels: {a: b}}, policyTypes: [Egress]}";
    let (object, _) = document("StagedKubernetesNetworkPolicy", "p", spec)?;
    let Object::StagedKubernetesNetworkPolicy(staged) = object else { return Err(format!("{object:?}")) };
    assert_eq!((staged.ingress.is_some(), staged.egress.as_ref().map(Vec::len)), (false, Some(0)));
    Ok(())
}

#[test]
fn the_two_kinds_of_the_same_name_are_told_apart_by_their_group() -> Result<(), String> {
    let read = |version: &str| {
        let text =
            format!("apiVersion: {version}\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: n}}\nspec: {{}}");
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) => Ok(found.object),
            Some(Document::Bad(_, error)) => Err(error.to_string()),
            None => Err("nothing".into()),
        }
    };
    let keys = [read("networking.k8s.io/v1")?, read("projectcalico.org/v3")?].map(|object| object.key());
    assert_eq!(keys.each_ref().map(ToString::to_string), ["NetworkPolicy/n/p", "NetworkPolicy.projectcalico.org/n/p"]);
    for key in &keys {
        assert_eq!(key.kind.to_string().parse::<Kind>(), Ok(key.kind));
        let text = serde_json::to_string(key).map_err(|e| e.to_string())?;
        assert_eq!(serde_json::from_str(&text).ok().as_ref(), Some(key), "{text}");
    }
    assert_eq!(
        read("extensions/v1beta1").unwrap_err(),
        "f.yaml: NetworkPolicy/p: apiVersion: must be networking.k8s.io/v1 or projectcalico.org/v3, not \"extensions/v1beta1\""
    );
    Ok(())
}

#[test]
fn an_object_says_the_same_after_it_was_written_down() -> Result<(), String> {
    let spec = "{order: 1.5, ingress: [{action: Deny, protocol: TCP, source: {selector: has(a)}, destination: {ports: [web, '1:2']}}]}";
    for kind in ["NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy"] {
        let (object, _) = document(kind, "p", spec)?;
        let text = serde_json::to_string(&object).map_err(|e| e.to_string())?;
        assert_eq!(serde_json::from_str::<Object>(&text).map_err(|e| e.to_string())?, object, "{text}");
    }
    Ok(())
}

fn of_cluster(spec: &str) -> Result<(crate::object::ClusterNetworkPolicy, Vec<String>), String> {
    let text = format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: p}}\nspec: {spec}"
    );
    match parse("f.yaml", &text).documents.pop() {
        Some(Document::Object(found)) => match found.object {
            Object::ClusterNetworkPolicy(policy) => {
                Ok((*policy, found.warnings.iter().map(ToString::to_string).collect()))
            }
            other => Err(format!("{other:?}")),
        },
        Some(Document::Bad(_, error)) => Err(error.to_string()),
        None => Err("nothing".into()),
    }
}

#[test]
fn a_policy_of_the_cluster_is_read_whole() -> Result<(), String> {
    let (policy, warnings) = of_cluster(
        "{tier: Admin, priority: 10, subject: {namespaces: {matchLabels: {a: b}}}, \
          ingress: [{name: first, action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {c: d}}}}], \
          protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {}}, {sctp: {destinationPort: {range: {start: 1, end: 9}}}}]}], \
          egress: [{action: Pass, to: [{nodes: {}}, {networks: [10.0.0.0/8, 'fd00::/8']}], protocols: []}, \
          {action: Accept, to: [{domainNames: ['*.example.com']}]}, \
          {action: Deny, to: [{namespaces: {}}], protocols: [{destinationNamedPort: web}]}]}",
    )?;
    let ports = |rule: Option<&crate::object::ClusterRule>| rule.map(|rule| rule.ports.len());
    assert_eq!((policy.subject.namespaces.to_string().as_str(), policy.subject.pods.is_all()), ("a == 'b'", true));
    assert_eq!((ports(policy.ingress.first()), ports(policy.egress.last())), (Some(3), Some(3)));
    let [first, second, _] = policy.egress.as_slice() else { return Err(format!("{policy:?}")) };
    assert!(matches!(first.peers.as_slice(), [ClusterPeer::Nodes(_), ClusterPeer::Nets(nets)] if nets.len() == 2));
    assert!(second.peers.is_empty(), "nobody");
    assert!(warnings.iter().all(|said| said.contains("spec.egress[1].to[0].domainNames: is nobody")), "{warnings:?}");
    Ok(())
}

#[test]
fn what_no_policy_of_the_cluster_can_say_is_an_error_that_names_the_field() {
    let rule = |rule: &str| {
        format!("{{tier: Baseline, priority: 0, subject: {{namespaces: {{}}}}, egress: [{{action: Deny, {rule}}}]}}")
    };
    for (spec, field) in [
        ("{priority: 1, subject: {namespaces: {}}}".to_string(), "spec"),
        ("{tier: Admin, priority: 1001, subject: {namespaces: {}}}".into(), "spec.priority"),
        ("{tier: Admin, priority: 1, subject: {}}".into(), "spec.subject"),
        (rule("to: []"), "spec.egress[0].to"),
        (rule("to: [{nodes: {}, namespaces: {}}]"), "spec.egress[0].to[0]"),
        (rule("to: [{domainNames: [a.example]}]"), "spec.egress[0].to[0].domainNames"),
        (rule("to: [{networks: [10.0.0.1]}]"), "spec.egress[0].to[0].networks[0]"),
        (rule("to: [{nodes: {}}], protocols: [{}]"), "spec.egress[0].protocols[0]"),
        (
            rule("to: [{nodes: {}}], protocols: [{tcp: {destinationPort: {number: 0}}}]"),
            "spec.egress[0].protocols[0].tcp.destinationPort.number",
        ),
        (
            rule("to: [{nodes: {}}], protocols: [{udp: {destinationPort: {range: {start: 9, end: 1}}}}]"),
            "spec.egress[0].protocols[0].udp.destinationPort.range",
        ),
    ] {
        let said = of_cluster(&spec).map(|(policy, _)| policy).unwrap_err();
        assert!(said.contains(&format!("ClusterNetworkPolicy/p: {field}: ")), "{spec}: {said}");
    }
}

#[test]
fn a_rule_of_the_cluster_with_a_peer_that_is_not_known_fails_closed_with_a_warning() -> Result<(), String> {
    for (direction, peers, field) in [
        ("egress", "to: [{}]", "spec.egress[0].to[0]"),
        ("egress", "to: [{namespaces: {}}, {somebody: {id: 1}}]", "spec.egress[0].to[1]"),
        ("egress", "to: [{namespaces: {}, somebody: {}}]", "spec.egress[0].to[0]"),
        ("ingress", "from: [{nodes: {}}]", "spec.ingress[0].from[0]"),
        ("ingress", "from: [{networks: [10.0.0.0/8]}]", "spec.ingress[0].from[0]"),
    ] {
        for (action, becomes, nets, effect) in [
            ("Accept", RuleAction::Allow, None, "accepts nothing"),
            ("Deny", RuleAction::Deny, Some("0.0.0.0/0 ::/0"), "denies everything"),
            ("Pass", RuleAction::Deny, Some("0.0.0.0/0 ::/0"), "denies everything"),
        ] {
            let spec = format!(
                "{{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, \
                 {direction}: [{{action: {action}, {peers}, protocols: [{{tcp: {{}}}}]}}]}}"
            );
            let (policy, warnings) = of_cluster(&spec)?;
            let [rule] = [policy.ingress, policy.egress].concat().try_into().map_err(|rules| format!("{rules:?}"))?;
            let of_nets = |peer: &ClusterPeer| match peer {
                ClusterPeer::Nets(nets) => nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                other => format!("{other:?}"),
            };
            let peers: Vec<String> = rule.peers.iter().map(of_nets).collect();
            assert_eq!((rule.action, peers), (becomes, nets.into_iter().map(str::to_string).collect()), "{spec}");
            assert!(rule.ports.is_empty(), "{spec}");
            let said = format!("{field}: is no peer that margay knows: the rule {effect}");
            assert!(matches!(warnings.as_slice(), [one] if one.contains(&said)), "{spec}: {warnings:?}");
        }
    }
    Ok(())
}
