//! Policies beside kube-proxy's rules, in both its modes: they see pods' addresses, not the service's.

use anyhow::Result;
use e2e::pods::{PodLab, policy};
use e2e::prober::Probe;
use model::Protocol;
use serde_json::json;

/// Of the service, which no pod has.
const SERVICE: &str = "10.96.0.10";
/// Of the service; its endpoint listens on 80.
const SERVICE_PORT: u16 = 8000;

/// As `kube-proxy --proxy-mode=iptables` writes them, down to the names of its chains.
fn by_iptables(lab: &PodLab, endpoint: &str) -> Result<()> {
    let lines = format!(
        "*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A KUBE-SERVICES -d {SERVICE}/32 -p tcp -m tcp --dport {SERVICE_PORT} -j KUBE-SVC-AAAAAAAAAAAAAAAA
-A KUBE-SVC-AAAAAAAAAAAAAAAA -j KUBE-SEP-AAAAAAAAAAAAAAAA
-A KUBE-SEP-AAAAAAAAAAAAAAAA -p tcp -m tcp -j DNAT --to-destination {endpoint}:80
COMMIT
*filter
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"
    );
    let file = lab.trial.plan.folder().join("kube-proxy.rules");
    std::fs::write(&file, lines)?;
    let restore = format!("exec iptables-restore --noflush < {}", file.display());
    lab.trial.plan.node_netns(1).stdout("sh", &["-c", &restore]).map(|_| ())
}

/// As `kube-proxy --proxy-mode=nftables` writes them: its table, chains, priorities and maps.
fn by_nftables(lab: &PodLab, endpoint: &str) -> Result<()> {
    let table = format!(
        "table ip kube-proxy {{
  map service-ips {{
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = {{ {SERVICE} . tcp . {SERVICE_PORT} : goto service-AAAAAAAA-shop/db/tcp/p80 }}
  }}
  chain services {{ ip daddr . meta l4proto . th dport vmap @service-ips; }}
  chain service-AAAAAAAA-shop/db/tcp/p80 {{ goto endpoint-AAAAAAAA-shop/db/tcp/p80__{endpoint}/80; }}
  chain endpoint-AAAAAAAA-shop/db/tcp/p80__{endpoint}/80 {{ meta l4proto tcp dnat to {endpoint}:80; }}
  chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
  chain nat-output {{ type nat hook output priority -100; jump services; }}
  chain filter-forward {{ type filter hook forward priority 0; ct state invalid drop; }}
}}
"
    );
    let file = lab.trial.plan.folder().join("kube-proxy.nft");
    std::fs::write(&file, table)?;
    lab.trial.plan.node_netns(1).stdout("nft", &["-f", &file.display().to_string()]).map(|_| ())
}

fn policies_see_pods_behind_a_service(rules: fn(&PodLab, &str) -> Result<()>) -> Result<()> {
    let mut lab = PodLab::new(1)?;
    for name in ["shop/db", "shop/web", "shop/cron", "shop/idle"] {
        lab.attach(1, name, &[])?;
        lab.label(name, json!({"app": name.replace("shop/", "")}))?;
    }
    let [endpoint, _] = lab.pod("shop/db")?.addresses;
    rules(&lab, &endpoint.to_string())?;
    let service = |lab: &PodLab, from: &str, probe: fn(_, _, _, _) -> Probe| -> Result<Probe> {
        Ok(probe(lab.pod(from)?.machine, SERVICE.parse()?, Protocol::TCP, SERVICE_PORT))
    };
    lab.apply(&[])?;
    let open = ["shop/web", "shop/cron"].map(|from| service(&lab, from, Probe::answered));
    let open: Vec<Probe> = open.into_iter().collect::<Result<_>>()?;
    lab.prober.hold(&open)?;
    let db = json!({"matchLabels": {"app": "db"}});
    let one_may_come_in = policy(
        "shop",
        "in",
        json!({"podSelector": db, "ingress": [
        {"from": [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "idle"]}]}}],
            "ports": [{"port": 80}]}]}),
    );
    let one_may_go_out = policy(
        "shop",
        "out",
        json!({"podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": db}], "ports": [{"port": 80}]}]}),
    );
    let one_may_not = policy(
        "shop",
        "idle",
        json!({"podSelector": {"matchLabels": {"app": "idle"}},
        "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "cron"}}}]},
            {"to": [{"ipBlock": {"cidr": format!("{SERVICE}/32")}}]}]}),
    );
    lab.apply(&[one_may_come_in, one_may_go_out, one_may_not])?;
    let probes = [
        service(&lab, "shop/web", Probe::answered)?,
        service(&lab, "shop/cron", Probe::silent)?,
        service(&lab, "shop/idle", Probe::silent)?,
    ];
    lab.prober.hold(&probes)
}

#[test]
fn policies_see_pods_behind_a_service_of_the_iptables_proxy() -> Result<()> {
    policies_see_pods_behind_a_service(by_iptables)
}

#[test]
fn policies_see_pods_behind_a_service_of_the_nftables_proxy() -> Result<()> {
    policies_see_pods_behind_a_service(by_nftables)
}
