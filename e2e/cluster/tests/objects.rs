//! The CustomResourceDefinitions on a real API server: taken as they are, good objects accepted, bad ones refused in words.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::plan;
use cluster::trial::{Company, Trial};
use model::object::{Document, parse};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

fn manifests() -> PathBuf {
    plan::repository().join("manifests")
}

/// Makes the server know every kind, as a user would.
fn installed(trial: &Trial) -> Result<Vec<Value>> {
    trial.cluster.kubectl.text(&["apply", "-f", &manifests().join("crd").display().to_string()])?;
    let all = trial.cluster.kubectl.list(&["crd"])?;
    let ours: Vec<Value> = all.into_iter().filter(|crd| crd["spec"]["group"] == "projectcalico.org").collect();
    ensure!(ours.len() == fs::read_dir(manifests().join("crd"))?.count(), "{} kinds", ours.len());
    for crd in &ours {
        let name = crd["metadata"]["name"].as_str().context("a CRD without a name")?;
        trial.cluster.kubectl.wait("condition=Established", &["crd", name], SOON)?;
    }
    Ok(ours)
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let mut object =
        json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let namespaced = ["NetworkPolicy", "NetworkSet", "StagedNetworkPolicy", "StagedKubernetesNetworkPolicy"];
    if namespaced.contains(&kind) {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

/// What the server says to objects; nothing is stored.
fn judge(trial: &Trial, objects: &[Value]) -> Result<String> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    trial.cluster.kubectl.feed(&["apply", "--dry-run=server"], &list.to_string())
}

/// The objects of Calico's kinds in `manifests/examples`.
fn examples() -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for entry in fs::read_dir(manifests().join("examples"))? {
        let path = entry?.path();
        for document in parse(&path.display().to_string(), &fs::read_to_string(&path)?).documents {
            match document {
                Document::Object(found) => objects.push(found.written),
                Document::Bad(_, error) => bail!("{error}"),
            }
        }
    }
    objects.retain(|object| object["apiVersion"] == "projectcalico.org/v3");
    Ok(objects)
}

#[test]
fn every_definition_is_established_and_structural() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    for crd in installed(&trial)? {
        let conditions = crd["status"]["conditions"].as_array().context("no conditions yet")?;
        let bad = conditions.iter().find(|one| one["type"] == "NonStructuralSchema" || one["status"] == "False");
        ensure!(bad.is_none(), "{}: {bad:?}", crd["metadata"]["name"]);
    }
    Ok(())
}

#[test]
fn the_server_takes_every_example_and_what_users_of_calico_write() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    installed(&trial)?;
    let mut examples = examples()?;
    ensure!(examples.len() > 20, "only {} examples", examples.len());
    // Theirs need not be there.
    for example in &mut examples {
        if example["metadata"]["namespace"].is_string() {
            example["metadata"]["namespace"] = json!("default");
        }
    }
    judge(&trial, &examples)?;
    let written = [
        (
            "IPPool",
            "a",
            json!({"cidr": "10.48.0.0/16", "ipipMode": "Always", "vxlanMode": "Never", "natOutgoing": true}),
        ),
        (
            "IPPool",
            "a",
            json!({"cidr": "10.48.0.0/16", "vxlanMode": "CrossSubnet", "nodeSelector": "all()", "blockSize": 26}),
        ),
        ("IPPool", "a1", json!({"cidr": "fd00:48::/48", "blockSize": 122, "disabled": null})),
        ("BGPPeer", "a2", json!({"peerIP": "192.0.2.1", "asNumber": "1.10", "keepOriginalNextHop": true})),
        ("BGPPeer", "a3", json!({"peerIP": "[2001:db8::1]:1790", "asNumber": 4_294_967_295_u32, "node": "n1"})),
        ("BGPPeer", "a4", json!({"localWorkloadSelector": "all()", "asNumber": 64512})),
        ("BGPConfiguration", "node.n1", json!({"logSeverityScreen": "info", "asNumber": 64512, "bindMode": "NodeIP"})),
        ("FelixConfiguration", "default", json!({"bpfEnabled": false, "natPortRange": "30000:40000", "ipipMTU": 1440})),
        ("ClusterInformation", "default", json!({"clusterGUID": "abc", "datastoreReady": true})),
        ("IPAMConfiguration", "default", json!({"strictAffinity": true})),
        ("IPReservation", "a5", json!({"reservedCIDRs": ["10.48.0.1", "10.48.1.0/28"]})),
    ];
    judge(&trial, &written.map(|(kind, name, spec)| object(kind, name, &spec)))?;
    Ok(())
}

#[test]
fn the_server_takes_policies_as_users_of_calico_write_them() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    installed(&trial)?;
    let ingress = json!([
        {
            "action": "Allow", "protocol": "TCP",
            "source": {"namespaceSelector": "global()", "nets": ["10.0.0.0/8", "192.0.2.1"]},
            "destination": {"ports": [80, "90:91", "web"]},
        },
        {"action": "Allow", "protocol": 6, "http": {"methods": ["GET"], "paths": [{"exact": "/a"}, {"prefix": "/b"}]}},
        {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}},
        {"action": "Log", "notProtocol": 47, "source": {"serviceAccounts": {"names": ["a"], "selector": "x == 'y'"}}},
        {"action": "Allow", "source": {"services": {"name": "s", "namespace": "t"}}, "metadata": {"annotations": {}}},
        {"action": "Deny", "ipVersion": 6, "protocol": "ICMPv6", "notICMP": {"type": 128}},
    ]);
    let egress = json!([{"action": "Pass", "destination": {"services": {"name": "s", "namespace": "t"}}}]);
    let before_dnat = json!({"applyOnForward": true, "preDNAT": true, "types": ["Ingress"]});
    let of_kubernetes = json!({
        "podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": "web"}, {"port": 80, "endPort": 90}]}],
    });
    let host = json!({
        "node": "n1", "interfaceName": "*", "expectedIPs": ["192.0.2.1", "2001:db8::1"],
        "profiles": ["projectcalico-default-allow"], "ports": [{"name": "ssh", "protocol": "TCP", "port": 22}],
    });
    let written = [
        ("NetworkPolicy", "p1", json!({})),
        ("NetworkPolicy", "p2", json!({"tier": "security", "order": 1, "ingress": ingress, "egress": egress})),
        (
            "GlobalNetworkPolicy",
            "p3",
            json!({"order": 10.5, "selector": "has(a)", "ingress": ingress, "egress": egress}),
        ),
        ("GlobalNetworkPolicy", "p4", before_dnat),
        ("StagedNetworkPolicy", "p5", json!({"stagedAction": "Delete"})),
        ("StagedGlobalNetworkPolicy", "p6", json!({"selector": "all()", "ingress": ingress})),
        ("StagedKubernetesNetworkPolicy", "p7", of_kubernetes),
        ("Tier", "default", json!({"order": 1_000_000, "defaultAction": "Deny"})),
        ("Tier", "kube-admin", json!({"order": 1000, "defaultAction": "Pass"})),
        ("Tier", "security", json!({"order": 0.5})),
        ("NetworkSet", "p8", json!({"nets": ["10.0.0.0/8", "2001:db8::1"]})),
        ("GlobalNetworkSet", "p9", json!({"nets": ["198.51.100.7/24"]})),
        ("HostEndpoint", "p10", host),
    ];
    judge(&trial, &written.map(|(kind, name, spec)| object(kind, name, &spec)))?;
    Ok(())
}

#[test]
fn the_bases_of_kustomize_build_and_are_taken() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    installed(&trial)?;
    for base in ["route-reflector", "tor"] {
        let folder = manifests().join(base).display().to_string();
        let said = trial.cluster.kubectl.text(&["apply", "--dry-run=server", "-k", &folder])?;
        ensure!(said.contains("bgpconfiguration.projectcalico.org/default"), "{base}: {said}");
        ensure!(said.contains("bgppeer.projectcalico.org/"), "{base}: {said}");
    }
    let folder = manifests().join("policy-only").display().to_string();
    let said = trial.cluster.kubectl.text(&["apply", "--dry-run=server", "-k", &folder])?;
    ensure!(said.contains("daemonset.apps/margay") && !said.contains("margay-settings"), "policy-only: {said}");
    Ok(())
}

#[test]
fn the_server_refuses_what_cannot_be_and_says_why() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    installed(&trial)?;
    let peer = |more: Value| {
        let mut spec = json!({"peerIP": "192.0.2.1", "asNumber": 64512});
        for (name, value) in more.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        spec
    };
    let wrong = [
        ("IPPool", json!({"cidr": "10.48.0.1/16"}), "must be a prefix in CIDR notation without host bits"),
        ("IPPool", json!({"cidr": "169.254.0.0/24"}), "must not overlap link-local"),
        ("IPPool", json!({"cidr": "10.48.0.0/16", "blockSize": 19}), "blockSize must be 20 to 32"),
        ("IPPool", json!({"cidr": "10.48.0.0/28"}), "at least as large as one block"),
        ("IPPool", json!({"cidr": "fd00:48::/48", "ipipMode": "Always"}), "ipipMode must be Never"),
        (
            "IPPool",
            json!({"cidr": "10.48.0.0/16", "ipipMode": "Always", "vxlanMode": "Always"}),
            "ipipMode and vxlanMode exclude each other",
        ),
        ("IPPool", json!({"cidr": "10.48.0.0/16", "allowedUses": ["LoadBalancer", "Tunnel"]}), "must stand alone"),
        ("BGPPeer", json!({}), "say whom to peer with"),
        ("BGPPeer", peer(json!({"peerSelector": "all()"})), "say whom to peer with"),
        ("BGPPeer", json!({"peerIP": "192.0.2.1"}), "asNumber is missing"),
        ("BGPPeer", json!({"peerSelector": "all()", "asNumber": 1}), "nodes have their own AS"),
        ("BGPPeer", peer(json!({"node": "n1", "nodeSelector": "all()"})), "node and nodeSelector exclude"),
        ("BGPPeer", peer(json!({"asNumber": 0})), "must be an AS number"),
        ("BGPPeer", peer(json!({"asNumber": "70000.1"})), "must be an AS number"),
        ("BGPPeer", peer(json!({"peerIP": "192.0.2.300"})), "must be an address"),
        ("BGPPeer", peer(json!({"peerIP": "[2001:db8::1]:0"})), "must be an address"),
        ("BGPPeer", peer(json!({"holdTime": "2s"})), "must be 0s, or 3s to 65535s"),
        ("BGPPeer", peer(json!({"keepaliveTime": "100s"})), "must be at most holdTime"),
        ("BGPPeer", peer(json!({"maxRestartTime": "soon"})), "must be a duration"),
        ("BGPPeer", peer(json!({"bfd": {"minTxInterval": "9ms"}})), "must be 10ms to 60s"),
        ("BGPConfiguration", json!({}), "metadata.name must be default"),
        ("FelixConfiguration", json!({}), "metadata.name must be default"),
        (
            "BGPFilter",
            json!({"exportV4": [{"action": "Accept", "cidr": "10.0.0.0/8"}]}),
            "cidr and matchOperator need each other",
        ),
        (
            "BGPFilter",
            json!({"importV6": [{"action": "Accept", "operations": [{}]}]}),
            "must be exactly one of addCommunity, prependASPath, setPriority",
        ),
    ];
    refused(&trial, &wrong)
}

/// That the server takes none of these, each for its reason.
fn refused(trial: &Trial, wrong: &[(&str, Value, &str)]) -> Result<()> {
    let named = |number: usize| format!("wrong-{number}");
    let objects: Vec<Value> =
        wrong.iter().enumerate().map(|(number, (kind, spec, _))| object(kind, &named(number), spec)).collect();
    let Err(refusals) = judge(trial, &objects) else { bail!("all were taken") };
    let refusals = format!("{refusals:#}");
    for (number, (kind, spec, why)) in wrong.iter().enumerate() {
        let about = refusals.lines().find(|line| line.contains(&format!("{:?} is invalid", named(number))));
        let about = about.with_context(|| format!("{kind} {spec} was taken: {refusals}"))?;
        ensure!(about.contains(why), "{kind} {spec}: {about}");
    }
    Ok(())
}

#[test]
fn the_server_refuses_policies_that_cannot_be_and_says_why() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    installed(&trial)?;
    let rule = |list: &str, rule: Value| {
        let mut whole = json!({"action": "Allow"});
        for (name, value) in rule.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        json!({list: [whole]})
    };
    let ingress = |one: Value| rule("ingress", one);
    let egress = |one: Value| rule("egress", one);
    let service = json!({"name": "s"});
    let untracked = json!({"applyOnForward": true, "preDNAT": true, "doNotTrack": true});
    let wrong = [
        ("GlobalNetworkPolicy", untracked, "preDNAT and doNotTrack exclude each other"),
        (
            "GlobalNetworkPolicy",
            json!({"applyOnForward": true, "preDNAT": true, "types": ["Egress"]}),
            "preDNAT is for ingress only",
        ),
        ("GlobalNetworkPolicy", json!({"doNotTrack": true}), "preDNAT and doNotTrack need applyOnForward"),
        ("GlobalNetworkPolicy", json!({"namespaceSelector": "global()"}), "global() is for namespaceSelector"),
        ("GlobalNetworkPolicy", ingress(json!({"source": {"services": service}})), "services.namespace is missing"),
        ("NetworkPolicy", ingress(json!({"action": "Reject"})), "Unsupported value"),
        ("NetworkPolicy", ingress(json!({"destination": {"ports": [80]}})), "ports need protocol TCP, UDP or SCTP"),
        ("NetworkPolicy", ingress(json!({"protocol": "TCP", "source": {"ports": [0]}})), "greater than or equal to 1"),
        ("NetworkPolicy", ingress(json!({"protocol": "TCP", "source": {"ports": ["80 90"]}})), "should match"),
        ("NetworkPolicy", ingress(json!({"protocol": "GRE"})), "should match"),
        ("NetworkPolicy", ingress(json!({"protocol": 256})), "less than or equal to 255"),
        ("NetworkPolicy", ingress(json!({"icmp": {"type": 8}})), "icmp and notICMP need protocol ICMP or ICMPv6"),
        ("NetworkPolicy", ingress(json!({"protocol": "ICMP", "icmp": {"code": 8}})), "code needs a type"),
        ("NetworkPolicy", ingress(json!({"protocol": "ICMP", "ipVersion": 6})), "protocol ICMP is of ipVersion 4"),
        ("NetworkPolicy", ingress(json!({"notProtocol": 58, "ipVersion": 4})), "protocol ICMPv6 is of ipVersion 6"),
        ("NetworkPolicy", ingress(json!({"ipVersion": 5})), "Unsupported value"),
        ("NetworkPolicy", ingress(json!({"destination": {"services": service}})), "services must be under source"),
        ("NetworkPolicy", egress(json!({"source": {"services": service}})), "services must be under destination"),
        (
            "NetworkPolicy",
            egress(json!({"protocol": "TCP", "destination": {"services": service, "ports": [80]}})),
            "services exclude ports",
        ),
        (
            "NetworkPolicy",
            egress(json!({"destination": {"services": service, "selector": "all()"}})),
            "services exclude selectors, nets and serviceAccounts",
        ),
        ("NetworkPolicy", egress(json!({"destination": {"services": {}}})), "name is missing"),
        ("NetworkPolicy", egress(json!({"http": {"methods": ["GET"]}})), "http is for ingress rules"),
        ("NetworkPolicy", ingress(json!({"action": "Deny", "http": {}})), "http is for ingress rules"),
        (
            "NetworkPolicy",
            ingress(json!({"source": {"namespaceSelector": "global() || has(a)"}})),
            "global() must stand alone",
        ),
        ("NetworkPolicy", ingress(json!({"source": {"selector": "global()"}})), "global() is for namespaceSelector"),
        ("NetworkPolicy", ingress(json!({"source": {"nets": ["somewhere"]}})), "should match"),
        ("Tier", json!({"order": 1000, "defaultAction": "Allow"}), "Unsupported value"),
        ("NetworkSet", json!({"nets": ["10.0.0.300"]}), "must be a prefix in CIDR notation, or an address"),
        ("HostEndpoint", json!({"interfaceName": "eth0"}), "node is missing"),
        ("HostEndpoint", json!({"node": "n1"}), "say which link"),
        ("HostEndpoint", json!({"node": "n1", "expectedIPs": ["here"]}), "must be an address"),
        ("StagedNetworkPolicy", json!({"stagedAction": "Try"}), "Unsupported value"),
        (
            "StagedGlobalNetworkPolicy",
            ingress(json!({"destination": {"ports": [80]}})),
            "ports need protocol TCP, UDP or SCTP",
        ),
        ("StagedKubernetesNetworkPolicy", json!({"policyTypes": ["Both"]}), "Unsupported value"),
    ];
    refused(&trial, &wrong)
}

#[test]
fn a_pools_prefix_and_block_size_stay_as_they_are() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    installed(&trial)?;
    let kubectl = &trial.cluster.kubectl;
    // No node's pods are here, and none get an address from it.
    let name = format!("{}-pool", trial.namespace);
    trial.apply_to_cluster(&object("IPPool", &name, &json!({"cidr": "198.18.255.0/24", "disabled": true})))?;
    let patch = |spec: Value| {
        kubectl.text(&["patch", "ippool", &name, "--type=merge", "-p", &json!({"spec": spec}).to_string()])
    };
    for (spec, why) in [
        (json!({"cidr": "198.18.254.0/24"}), "cannot be changed"),
        (json!({"blockSize": 27}), "blockSize cannot be changed"),
    ] {
        let Err(refusal) = patch(spec.clone()) else { anyhow::bail!("{spec} was taken") };
        ensure!(format!("{refusal:#}").contains(why), "{spec}: {refusal:#}");
    }
    // What was meant all along may be written down.
    patch(json!({"blockSize": 26, "nodeSelector": "all()"}))?;
    // A server takes a moment to show new columns.
    trial.cluster.until(SOON, "calicoctl's columns", |kubectl| {
        let shown = kubectl.text(&["get", "ippools", &name])?;
        let columns: Vec<&str> = shown.lines().next().unwrap_or_default().split_whitespace().collect();
        ensure!(columns.starts_with(&["NAME", "CIDR", "NAT", "IPIPMODE"]), "{shown}");
        ensure!(shown.contains("198.18.255.0/24"), "{shown}");
        Ok(())
    })?;
    let explained = kubectl.text(&["explain", "ippool.spec.ipipMode"])?;
    ensure!(explained.contains("CrossSubnet"), "{explained}");
    Ok(())
}
