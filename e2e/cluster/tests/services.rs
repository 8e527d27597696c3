//! Services, which kube-proxy makes, and what stands on them: DNS and an ingress proxy.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::cluster::ProxyMode;
use cluster::images::NGINX;
use cluster::plan::{DNS_SERVICE, ROUTER};
use cluster::trial::{Company, PORT, Pod, SOON, Trial, until};
use e2e::ip;
use serde_json::{Value, json};

/// Of the service `web`, reached through any node.
const EXTERNAL: &str = "10.201.0.1";
/// Questions to a service, so that each of two backends answers some: one in 2¹⁵ runs it does not.
const QUESTIONS: usize = 16;

fn service(name: &str, spec: &Value) -> Value {
    let mut service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80, "targetPort": PORT}]}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        service["spec"][key] = value.clone();
    }
    service
}

/// A service with a backend on each of the first two nodes, and a pod on the third.
fn web(trial: &Trial) -> Result<(Vec<Pod>, Value)> {
    let mut backends = [Trial::server("web-1", "n1"), Trial::server("web-2", "n2")];
    backends.iter_mut().for_each(|pod| pod["metadata"]["labels"]["app"] = "web".into());
    let spec = json!({"type": "NodePort", "selector": {"app": "web"}, "externalIPs": [EXTERNAL]});
    trial.apply(&[service("web", &spec)])?;
    let pods = trial.run(&[&backends[..], &[Trial::server("client", "n3")]].concat())?;
    Ok((pods, trial.cluster.kubectl.json(&["-n", &trial.namespace, "get", "service", "web"])?))
}

/// Both backends answer behind `target`, whoever asks.
fn both_answer(target: &str, ask: impl Fn(&[String]) -> Result<Vec<String>>) -> Result<()> {
    until(SOON, &format!("both backends behind {target}"), || {
        let answers = ask(&vec![format!("{target}/hostname"); QUESTIONS])?;
        let seen: BTreeSet<&str> = answers.iter().map(String::as_str).collect();
        ensure!(seen == BTreeSet::from(["web-1", "web-2"]), "{seen:?}");
        Ok(())
    })
}

fn every_kind_of_service_works(trial: &Trial) -> Result<()> {
    let (pods, service) = web(trial)?;
    let cluster_ip = service["spec"]["clusterIP"].as_str().context("the service has no ClusterIP")?;
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().context("the service has no NodePort")?;
    let plan = &trial.cluster.plan;
    let mut node_ports = Vec::new();
    for node in &plan.nodes {
        node_ports.push(format!("{}:{port}", plan.node_ip(node)?));
    }
    let targets = [&[cluster_ip.to_owned(), EXTERNAL.to_owned()], &node_ports[..]].concat();
    for target in &targets {
        for pod in &pods {
            both_answer(target, |questions| trial.ask(pod, questions))?;
        }
        both_answer(target, |questions| trial.ask_from_node("n3", questions))?;
    }
    for target in &node_ports {
        both_answer(target, |questions| trial.ask_from_outside(questions))?;
    }
    // The router is told of the external address by hand.
    let via = plan.node_ip("n3")?;
    let route = move |verb: &str| vec![format!("route {verb} {EXTERNAL} via {via}")];
    ip::batch_in(&plan.router(), &route("replace"))?;
    trial.afterwards("no route to the external address", move |cluster| {
        ip::batch_in(&cluster.plan.router(), &route("del"))
    });
    both_answer(EXTERNAL, |questions| trial.ask_from_outside(questions))
}

#[test]
fn cluster_ip_node_port_and_external_ips_work_with_kube_proxy_in_nftables_mode() -> Result<()> {
    // Two such services would both want the external address.
    every_kind_of_service_works(&Trial::new(Company::None)?)
}

#[test]
fn cluster_ip_node_port_and_external_ips_work_with_kube_proxy_in_iptables_mode() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    trial.afterwards("kube-proxy as it was", |cluster| cluster.set_proxy_mode(ProxyMode::Nftables));
    trial.cluster.set_proxy_mode(ProxyMode::Iptables)?;
    every_kind_of_service_works(&trial)?;
    trial.undo()
}

#[test]
fn dns_resolves_services_and_pods_on_every_node_over_udp_and_tcp() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let nodes = trial.cluster.plan.nodes.clone();
    trial.apply(&[
        service("web", &json!({"selector": {"app": "client-n1"}})),
        service("headless", &json!({"selector": {"app": "client-n1"}, "clusterIP": "None"})),
    ])?;
    let clients: Vec<_> = nodes.iter().map(|node| Trial::server(&format!("client-{node}"), node)).collect();
    let pods = trial.run(&clients)?;
    let cluster_ip = trial.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"])?;
    let zone = "svc.cluster.local";
    let backend = pods.first().context("no pod")?.ip.clone();
    let expected = [
        (format!("web.{}.{zone}", trial.namespace), cluster_ip),
        (format!("headless.{}.{zone}", trial.namespace), backend.clone()),
        (format!("kubernetes.default.{zone}"), "10.96.0.1".to_owned()),
        (format!("{}.{}.pod.cluster.local", backend.replace('.', "-"), trial.namespace), backend),
    ];
    for pod in &pods {
        for (name, address) in &expected {
            for transport in ["+notcp", "+tcp"] {
                let server = format!("@{DNS_SERVICE}");
                until(SOON, &format!("{name} from {}", pod.node), || {
                    let dig = ["dig", "+short", "+time=1", "+tries=1", transport, &server, name];
                    let answer = trial.cluster.kubectl.exec(&trial.namespace, &pod.name, &dig)?;
                    ensure!(answer.trim() == address, "{answer:?} instead of {address}");
                    Ok(())
                })?;
            }
        }
        // By the search list in its resolv.conf.
        ensure!(trial.ask(pod, &["web/hostname".to_owned()])? == ["client-n1"]);
    }
    Ok(())
}

#[test]
fn an_ingress_proxy_in_a_pod_serves_the_outside_and_tells_backends_who_asked() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let config = "daemon off; error_log stderr; pid /tmp/nginx.pid; events {}
http {
  access_log off; client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  proxy_set_header X-Forwarded-For $remote_addr;
  server { listen 80; server_name red.example;  location / { proxy_pass http://red; } }
  server { listen 80; server_name blue.example; location / { proxy_pass http://blue; } }
}";
    let ingress = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "ingress", "labels": {"app": "ingress"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "n3"}, "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "nginx", "image": NGINX, "args": ["-c", "/config/nginx.conf"],
                "volumeMounts": [{"name": "config", "mountPath": "/config"}],
                "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1},
            }],
            "volumes": [{"name": "config", "configMap": {"name": "nginx"}}],
        },
    });
    trial.run(&[
        service("red", &json!({"selector": {"app": "red"}})),
        service("blue", &json!({"selector": {"app": "blue"}})),
        Trial::server("red", "n1"),
        Trial::server("blue", "n2"),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nginx"}, "data": {"nginx.conf": config}}),
        // With policy Local the proxy sees who asks.
        service(
            "ingress",
            &json!({"type": "NodePort", "externalTrafficPolicy": "Local", "selector": {"app": "ingress"},
            "ports": [{"port": 80}]}),
        ),
        ingress,
    ])?;
    let port = trial.kubectl(&["get", "service", "ingress", "-o", "jsonpath={.spec.ports[0].nodePort}"])?;
    let address = trial.cluster.plan.node_ip("n3")?;
    let curl = trial.cluster.debian.run("curl")?;
    for (site, header) in [("red", "X-Forwarded-For"), ("blue", "X-Forwarded-For")] {
        let ask = |path: &str| {
            let question = format!("{curl} -sS -f -m 3 -H 'Host: {site}.example' 'http://{address}:{port}/{path}'");
            trial.cluster.plan.outside().stdout("sh", &["-c", &question])
        };
        until(Duration::from_secs(20), &format!("{site} through the proxy"), || {
            let answer = ask("hostname")?;
            ensure!(answer == site, "{answer}");
            Ok(())
        })?;
        let seen = ask(&format!("header?key={header}"))?;
        ensure!(
            seen.contains(&cluster::plan::OUTSIDE.to_string()),
            "the backend was told {seen:?}, not the host behind {ROUTER}"
        );
    }
    Ok(())
}
