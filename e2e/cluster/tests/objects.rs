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
    json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec})
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
    let examples = examples()?;
    ensure!(examples.len() > 10, "only {} examples", examples.len());
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
fn the_bases_of_kustomize_build_and_are_taken() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    installed(&trial)?;
    for base in ["route-reflector", "tor"] {
        let folder = manifests().join(base).display().to_string();
        let said = trial.cluster.kubectl.text(&["apply", "--dry-run=server", "-k", &folder])?;
        ensure!(said.contains("bgpconfiguration.projectcalico.org/default"), "{base}: {said}");
        ensure!(said.contains("bgppeer.projectcalico.org/"), "{base}: {said}");
    }
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
    let named = |number: usize| format!("wrong-{number}");
    let objects: Vec<Value> =
        wrong.iter().enumerate().map(|(number, (kind, spec, _))| object(kind, &named(number), spec)).collect();
    let Err(refusals) = judge(&trial, &objects) else { bail!("all were taken") };
    let refusals = format!("{refusals:#}");
    for (number, (kind, spec, why)) in wrong.iter().enumerate() {
        let about = refusals.lines().find(|line| line.contains(&format!("{:?} is invalid", named(number))));
        let about = about.with_context(|| format!("{kind} {spec} was taken: {refusals}"))?;
        ensure!(about.contains(why), "{kind} {spec}: {about}");
    }
    Ok(())
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
