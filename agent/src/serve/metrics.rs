//! Metrics in Prometheus' words: what is counted here, and what both loops say of themselves when they are asked.

use std::collections::BTreeMap;
use std::time::Duration;

use model::api::Reply;
use model::api::show::{PeerView, PodState, PodView, PolicyCounterView, SessionState};
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
    core::Collector,
};

use super::policies::PolicyTotals;
use crate::reconcile::Status;

/// Upper bounds in seconds: an attach takes a fraction of a millisecond, or waits for something.
const ATTACH_BUCKETS: [f64; 10] = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0, 10.0];

/// What is counted as it happens.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Option<IntCounterVec>,
    attach: Option<Histogram>,
}

/// What is read when somebody looks.
pub(super) struct Seen {
    pub(super) status: Status,
    pub(super) peers: Vec<PeerView>,
    pub(super) pods: Vec<PodView>,
    pub(super) refused: u64,
    pub(super) policies: PolicyTotals,
}

/// Policies and actions that have numbers of their own; what is beyond them is summed up.
const POLICIES: usize = 1000;

impl Metrics {
    pub(super) fn new() -> Metrics {
        let registry = Registry::new();
        let requests = Opts::new("margay_requests_total", "Requests on the unix socket.");
        let attach = HistogramOpts::new("margay_attach_seconds", "Time the agent took for an attach (CNI ADD).");
        let requests = IntCounterVec::new(requests, &["request", "outcome"]);
        let attach = Histogram::with_opts(attach.buckets(ATTACH_BUCKETS.to_vec()));
        Metrics { requests: register(&registry, requests), attach: register(&registry, attach), registry }
    }

    /// Counts a request on the socket.
    pub(super) fn request(&self, name: &str, took: Duration, reply: &Reply) {
        let outcome = match reply {
            Reply::Ok(_) => "ok",
            Reply::Error(_) => "error",
        };
        if let Some(requests) = &self.requests {
            requests.with_label_values(&[name, outcome]).inc();
        }
        if let Some(attach) = self.attach.as_ref().filter(|_| name == "attach") {
            attach.observe(took.as_secs_f64());
        }
    }

    /// The text of `/metrics`. Gauges are made anew each time, so that a peer that is gone leaves none behind.
    pub(super) fn text(&self, seen: &Seen) -> Result<String, prometheus::Error> {
        let now = Registry::new();
        of_agent(&now, seen)?;
        of_peers(&now, &seen.peers)?;
        of_policies(&now, &seen.policies)?;
        let mut families = self.registry.gather();
        families.extend(now.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        String::from_utf8(text).map_err(|e| prometheus::Error::Msg(e.to_string()))
    }
}

/// A metric whose name were wrong would be missing, and the agent would live; a test reads them all.
fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> Option<C> {
    let collector = made.ok()?;
    registry.register(Box::new(collector.clone())).ok()?;
    Some(collector)
}

fn of_agent(registry: &Registry, seen: &Seen) -> prometheus::Result<()> {
    let Status {
        not_ready,
        routes_wanted,
        routes_failed,
        leases,
        object_errors,
        kernel_resyncs,
        not_installed: _,
        api_server_up,
        unseen_pods,
        pools: _,
    } = &seen.status;
    let one = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        registry.register(Box::new(gauge))
    };
    let ready = if not_ready.is_none() { 1.0 } else { 0.0 };
    one("margay_ready", "1 if an ADD can be served.", ready)?;
    one("margay_routes_wanted", "Routes wanted in the kernel.", number(*routes_wanted))?;
    let installed = routes_wanted.saturating_sub(*routes_failed);
    one("margay_routes_installed", "Of the wanted routes, those the kernel has.", number(installed))?;
    one("margay_routes_failed", "Of the wanted routes, those the kernel refused.", number(*routes_failed))?;
    one("margay_leases", "Leases held by pods.", number(*leases))?;
    one("margay_object_errors", "Objects, or fields of them, that are not in force.", number(*object_errors))?;
    if let Some(up) = api_server_up {
        one("margay_api_server_up", "1 while the API server answers.", if *up { 1.0 } else { 0.0 })?;
    }
    let total = |name: &str, help: &str, count: u64| {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(count);
        registry.register(Box::new(counter))
    };
    total("margay_kernel_resyncs_total", "Times the kernel was read from scratch.", *kernel_resyncs)?;
    let help = "ADDs served though the API server had not shown their pods.";
    total("margay_attach_unseen_pods_total", help, *unseen_pods)?;
    let help = "Connections of strangers, or too many of one peer.";
    total("margay_bgp_connections_refused_total", help, seen.refused)?;
    let pods = vector(registry, "margay_pods", "Pod interfaces by state.", &["state"])?;
    for state in [PodState::Planned, PodState::Attached, PodState::Lost] {
        let count = seen.pods.iter().filter(|pod| pod.state == state).count();
        pods.with_label_values(&[state.word()]).set(number(count));
    }
    let build = vector(registry, "margay_build_info", "1; the label says which build.", &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    Ok(())
}

fn of_peers(registry: &Registry, peers: &[PeerView]) -> prometheus::Result<()> {
    let states = vector(registry, "margay_bgp_peers", "Peers by state of their session.", &["state"])?;
    let mut counts: BTreeMap<&str, usize> = SESSION_STATES.iter().map(|state| (state.name(), 0)).collect();
    for peer in peers {
        *counts.entry(peer.state.name()).or_default() += 1;
    }
    for (state, count) in counts {
        states.with_label_values(&[state]).set(number(count));
    }
    type Figure = (&'static str, &'static str, fn(&PeerView) -> u64);
    let figures: [Figure; 6] = [
        ("margay_bgp_peer_up", "1 if the session is Established.", |p| u64::from(p.state == SessionState::Established)),
        ("margay_bgp_routes_received", "Routes received from the peer.", |p| p.received),
        ("margay_bgp_routes_accepted", "Of the received routes, those let in.", |p| p.accepted),
        ("margay_bgp_routes_advertised", "Routes told to the peer.", |p| p.advertised),
        ("margay_bgp_routes_stale", "Routes kept over the peer's restart.", |p| p.stale),
        ("margay_bgp_max_prefixes", "How many prefixes the peer may send; 0 if not bounded.", |p| {
            p.max_prefixes.map_or(0, u64::from)
        }),
    ];
    for (name, help, figure) in figures {
        let gauges = vector(registry, name, help, &["peer", "name"])?;
        for peer in peers {
            gauges.with_label_values(&[peer.address().as_str(), peer.name.as_str()]).set(wide(figure(peer)));
        }
    }
    let totals: [Figure; 2] = [
        ("margay_bgp_sessions_established_total", "How often the session was established.", |p| p.established_count),
        ("margay_bgp_attribute_faults_total", "Faulty attributes that were repaired or withdrawn.", |p| p.faults),
    ];
    for (name, help, figure) in totals {
        let counters = IntCounterVec::new(Opts::new(name, help), &["peer", "name"])?;
        for peer in peers {
            counters.with_label_values(&[peer.address().as_str(), peer.name.as_str()]).inc_by(figure(peer));
        }
        registry.register(Box::new(counters))?;
    }
    Ok(())
}

fn of_policies(registry: &Registry, totals: &PolicyTotals) -> prometheus::Result<()> {
    let help = "First packets of connections that rules of the policy decided.";
    let packets = IntCounterVec::new(Opts::new("margay_policy_packets_total", help), &["policy", "action", "mode"])?;
    let help = "Octets of these packets.";
    let bytes = IntCounterVec::new(Opts::new("margay_policy_bytes_total", help), &["policy", "action", "mode"])?;
    for (at, PolicyCounterView { object, action, counter, staged }) in totals.policies.iter().enumerate() {
        let policy = if at < POLICIES { object.as_str() } else { "others" };
        let labels = [policy, action.as_str(), if *staged { "staged" } else { "enforced" }];
        packets.with_label_values(&labels).inc_by(counter.packets);
        bytes.with_label_values(&labels).inc_by(counter.bytes);
    }
    let help = "Packets of pods that policies dropped.";
    let denied = IntCounterVec::new(Opts::new("margay_policy_denied_packets_total", help), &["direction"])?;
    for (direction, counter) in ["egress", "ingress"].into_iter().zip(&totals.denied) {
        denied.with_label_values(&[direction]).inc_by(counter.packets);
    }
    registry.register(Box::new(packets))?;
    registry.register(Box::new(bytes))?;
    registry.register(Box::new(denied))
}

const SESSION_STATES: [SessionState; 6] = [
    SessionState::Idle,
    SessionState::Connect,
    SessionState::Active,
    SessionState::OpenSent,
    SessionState::OpenConfirm,
    SessionState::Established,
];

fn vector(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

fn number(count: usize) -> f64 {
    wide(count as u64)
}

/// Prometheus knows only doubles: above 2^53 the last digits go.
fn wide(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use model::api::Answer;

    #[test]
    fn every_metric_is_there_before_anything_happened() {
        let metrics = Metrics::new();
        metrics.request("attach", Duration::from_micros(300), &Reply::Ok(Answer::Done));
        let policies = PolicyTotals { policies: vec![counter()], ..PolicyTotals::default() };
        let seen = Seen { status: Status::default(), peers: vec![], pods: vec![], refused: 3, policies };
        let text = metrics.text(&seen).expect("text");
        for line in [
            "margay_attach_seconds_bucket{le=\"0.0005\"} 1",
            "margay_requests_total{outcome=\"ok\",request=\"attach\"} 1",
            "margay_ready 1",
            "margay_routes_installed 0",
            "margay_leases 0",
            "margay_bgp_connections_refused_total 3",
            "margay_bgp_peers{state=\"Established\"} 0",
            "margay_pods{state=\"attached\"} 0",
            "margay_policy_denied_packets_total{direction=\"egress\"} 0",
            "margay_policy_packets_total{action=\"allow\",mode=\"enforced\",policy=\"NetworkPolicy/shop/web\"} 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("margay_build_info{version="));
    }

    #[test]
    fn the_documentation_lists_every_metric_and_no_other() {
        let documented: BTreeSet<&str> =
            include_str!("../../../docs/metrics.md").lines().filter_map(|l| l.strip_prefix("| `margay_")).collect();
        let documented: BTreeSet<&str> = documented.iter().filter_map(|l| l.split('`').next()).collect();
        let metrics = Metrics::new();
        metrics.request("attach", Duration::ZERO, &Reply::Ok(Answer::Done));
        let status = Status { api_server_up: Some(true), ..Status::default() };
        let policies = PolicyTotals { policies: vec![counter()], ..PolicyTotals::default() };
        let seen = Seen { status, peers: vec![peer()], pods: vec![], refused: 0, policies };
        let text = metrics.text(&seen).expect("text");
        let told: BTreeSet<&str> =
            text.lines().filter_map(|l| l.strip_prefix("# TYPE margay_")).filter_map(|l| l.split(' ').next()).collect();
        assert_eq!(told, documented);
    }

    #[test]
    fn beyond_a_thousand_policies_the_rest_is_one_number() {
        let counters =
            (0..POLICIES + 5).map(|n| PolicyCounterView { object: format!("NetworkPolicy/shop/{n}"), ..counter() });
        let policies = PolicyTotals { policies: counters.collect(), ..PolicyTotals::default() };
        let seen = Seen { status: Status::default(), peers: vec![], pods: vec![], refused: 0, policies };
        let text = Metrics::new().text(&seen).expect("text");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("margay_policy_packets_total{")).collect();
        assert_eq!(lines.len(), POLICIES + 1);
        assert!(lines.iter().any(|line| line.ends_with("policy=\"others\"} 35")), "5 times 7");
    }

    fn counter() -> PolicyCounterView {
        let counter = model::api::show::CounterView { packets: 7, bytes: 420 };
        PolicyCounterView { object: "NetworkPolicy/shop/web".into(), action: "allow".into(), counter, staged: false }
    }

    /// A peer is needed for its metrics to be there at all.
    fn peer() -> PeerView {
        let asn = model::Asn::CALICO_DEFAULT;
        PeerView {
            peer_address: [192, 0, 2, 1].into(),
            interface: None,
            peer_port: 179,
            range: None,
            peer_as: Some(asn),
            local_as: asn,
            local_address: None,
            name: "tor".into(),
            kind: model::api::show::PeerKind::Global,
            state: SessionState::Idle,
            since: String::new(),
            reason: String::new(),
            families: vec![],
            received: 0,
            accepted: 0,
            ignored: 0,
            advertised: 0,
            stale: 0,
            long_lived_stale: 0,
            router_id: None,
            hold_time: None,
            keepalive_time: None,
            capabilities: vec![],
            established_count: 0,
            last_error: None,
            max_prefixes: None,
            faults: 0,
            last_fault: None,
            bfd: None,
        }
    }
}
