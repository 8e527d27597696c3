//! Every listing as it is printed, from fixed views.

use std::net::IpAddr;

use model::api::show::*;
use model::filter::{Direction, List};
use model::{Asn, Family, PodRef, Prefix};
use serde_json::json;

use super::*;
use crate::output::Detail;

mod explained;

/// Long ago, at noon: a date in every time zone.
const LONG_AGO: &str = "2020-02-02T12:00:00Z";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
fn p(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}
fn asn(number: u32) -> Asn {
    Asn::new(number).expect("not 0")
}

fn peer(address: &str, state: SessionState, reason: &str) -> PeerView {
    PeerView {
        peer_address: ip(address),
        interface: None,
        peer_port: 179,
        range: None,
        peer_as: Some(asn(65000)),
        local_as: asn(64512),
        local_address: Some(ip("10.0.0.1")),
        name: "tor".into(),
        kind: PeerKind::Global,
        state,
        since: LONG_AGO.into(),
        reason: reason.into(),
        families: vec![Family::Ipv4],
        received: 12,
        accepted: 10,
        ignored: 0,
        advertised: 2,
        stale: 3,
        long_lived_stale: 2,
        router_id: "10.0.0.254".parse().ok(),
        hold_time: Some(90),
        keepalive_time: Some(30),
        capabilities: vec!["route refresh".into(), "4-octet AS".into()],
        established_count: 1,
        last_error: None,
        max_prefixes: None,
        faults: 0,
        last_fault: None,
        bfd: None,
    }
}

fn peers() -> Vec<PeerView> {
    let mut mesh = peer("10.0.0.2", SessionState::Active, "connection refused");
    (mesh.name, mesh.kind, mesh.received, mesh.accepted) = ("mesh n2".into(), PeerKind::Mesh, 0, 0);
    vec![mesh, peer("10.0.0.254", SessionState::Established, "")]
}

fn path(next_hop: &str, best: bool, reason: &str) -> RouteView {
    RouteView {
        prefix: p("10.244.2.0/24"),
        next_hop: Some(ip(next_hop)),
        peer: Some(ip(next_hop)),
        as_path: vec![AsPathItem::As(asn(65000)), AsPathItem::Set(vec![asn(64512), asn(64513)])],
        origin: "igp".into(),
        local_pref: Some(100),
        med: None,
        communities: vec!["64512:100".into()],
        large_communities: vec![],
        extended_communities: vec![],
        path_id: None,
        best,
        multipath: true,
        stale: false,
        long_lived_stale: false,
        reason: reason.into(),
        originator_id: None,
        cluster_list: vec![],
        only_to_customer: None,
        other_attributes: vec![],
    }
}

fn installed(prefix: &str, kind: RouteKind, protocol: RouteSource) -> InstalledRouteView {
    InstalledRouteView {
        prefix: p(prefix),
        next_hops: vec![],
        interfaces: vec![],
        kind,
        protocol,
        tunnel: None,
        tunnel_reason: String::new(),
        installed: true,
        reason: String::new(),
    }
}

fn learned() -> InstalledRouteView {
    InstalledRouteView {
        next_hops: vec![ip("10.0.0.254"), ip("10.0.1.254")],
        interfaces: vec!["eth0".into(), "eth1".into()],
        tunnel_reason: "the pool says Never".into(),
        reason: "from 10.0.0.254, 10.0.1.254: lower router id".into(),
        ..installed("10.244.2.0/24", RouteKind::Unicast, RouteSource::Bgp)
    }
}

/// Compares what is printed with what is meant; the left margin is for the reader only.
#[track_caller]
fn check(printed: String, meant: &str) {
    let lines = meant.trim_end().lines().skip(1);
    let meant: String = lines.map(|line| line.strip_prefix("        ").unwrap_or(line).to_string() + "\n").collect();
    assert!(printed == meant, "printed:\n{printed}\nmeant:\n{meant}");
}

#[test]
fn node_status_beside_another_plugin_says_nothing_of_a_network() {
    let problem = "pods of one bridge may reach each other past their policies".to_string();
    let status = NodeStatusView {
        policy_only: true,
        node: "n1".into(),
        version: "0.1.0".into(),
        since: LONG_AGO.into(),
        configured: None,
        asn: None,
        router_id: None,
        addresses: vec![],
        own_addresses: vec![],
        ready: true,
        problems: vec![problem],
        api_server: None,
        drain: None,
        advice: vec![],
        peers: vec![],
        reports: vec![],
    };
    check(
        node::status(&status),
        r#"
        margay-agent 0.1.0 is running on node n1 since 2020-02-02.
        It enforces policies alone: another plugin wires the pods.

        Problems
          * pods of one bridge may reach each other past their policies
        "#,
    );
}

#[test]
fn node_status_looks_like_calicoctls() {
    let status = NodeStatusView {
        policy_only: false,
        node: "n1".into(),
        version: "0.1.0".into(),
        since: LONG_AGO.into(),
        configured: None,
        asn: Some(asn(64512)),
        router_id: "10.0.0.1".parse().ok(),
        addresses: vec![ip("10.0.0.1")],
        own_addresses: vec![OwnAddressView {
            address: ip("10.0.0.1"),
            subnet: "10.0.0.0/24".parse().unwrap(),
            reason: "InternalIP, on eth0".into(),
        }],
        ready: true,
        problems: vec!["bgp.yaml: BGPPeer/tor: spec.peerIP: \"x\" is not an address".into()],
        api_server: Some(ApiServerView {
            address: "https://10.96.0.1:443".into(),
            connected: false,
            since: LONG_AGO.into(),
            reason: "connection refused".into(),
            absent: vec!["BGPFilter".into()],
            unlisted: vec![],
        }),
        drain: Some(DrainView { state: DrainState::Draining, reason: "margayctl node drain".into() }),
        advice: vec!["margayctl says how".into()],
        peers: peers(),
        reports: vec![ReportView {
            report: "Node/n1".into(),
            state: ReportState::Said,
            since: LONG_AGO.into(),
            info: "NetworkUnavailable=False (MargayIsUp)".into(),
        }],
    };
    check(
        node::status(&status),
        r#"
        margay-agent 0.1.0 is running on node n1 (AS 64512, router id 10.0.0.1, addresses 10.0.0.1) since 2020-02-02.
        Its address 10.0.0.1 is on 10.0.0.0/24: InternalIP, on eth0.
        It is ready for pods.
        Its objects come from https://10.96.0.1:443, which is away since 2020-02-02 (connection refused); they stay as they are.
        Kinds that the cluster does not have: BGPFilter.
        It is being drained (margayctl node drain).

        Problems
          * bgp.yaml: BGPPeer/tor: spec.peerIP: "x" is not an address

        Advice
          * margayctl says how

        IPv4 BGP status
        +--------------+-------------------+-------+------------+----------------------------+
        | PEER ADDRESS | PEER TYPE         | STATE | SINCE      | INFO                       |
        +--------------+-------------------+-------+------------+----------------------------+
        | 10.0.0.2     | node-to-node mesh | start | 2020-02-02 | Active: connection refused |
        | 10.0.0.254   | global            | up    | 2020-02-02 | Established                |
        +--------------+-------------------+-------+------------+----------------------------+

        IPv6 BGP status
        No IPv6 peers found.

        Reports to the API
        +---------+-------+------------+---------------------------------------+
        | ABOUT   | STATE | SINCE      | INFO                                  |
        +---------+-------+------------+---------------------------------------+
        | Node/n1 | said  | 2020-02-02 | NetworkUnavailable=False (MargayIsUp) |
        +---------+-------+------------+---------------------------------------+
        "#,
    );
}

#[test]
fn a_large_mesh_is_told_how_to_do_with_fewer_sessions() {
    let mut mesh = vec![peers().swap_remove(0); 100];
    assert!(!peer::list(&mesh, Detail::Normal).contains("route reflectors"));
    mesh.extend(peers());
    let list = peer::list(&mesh, Detail::Normal);
    assert!(list.contains("\nthe node-to-node mesh has 101 sessions on this node: use route reflectors"), "{list}");
}

/// What scripts rely on: never to be renamed.
#[test]
fn the_promised_json_fields_are_there() {
    let missing = |view: serde_json::Value, fields: &str| -> Vec<String> {
        fields.split_whitespace().filter(|field| view.get(field).is_none()).map(ToString::to_string).collect()
    };
    let peer = "peerAddress peerAS localAS state since reason families received accepted advertised";
    assert_eq!(missing(json!(peers()[0]), peer), [""; 0]);
    let route = "prefix nextHop peer asPath localPref med communities largeCommunities pathId best reason";
    assert_eq!(missing(json!(path("10.0.0.254", true, "")), route), [""; 0]);
    assert_eq!(missing(json!(learned()), "prefix nextHops protocol tunnel installed reason"), [""; 0]);
}

#[test]
fn bgp_peers_say_why_they_are_not_up() {
    check(
        peer::list(&peers(), Detail::Normal),
        r"
        PEER         AS      NAME      STATE         SINCE        RECEIVED   ACCEPTED   ADVERTISED   REASON
        10.0.0.2     65000   mesh n2   Active        2020-02-02   0          0          2            connection refused
        10.0.0.254   65000   tor       Established   2020-02-02   12         10         2            -
        ",
    );
    check(
        peer::list(&peers(), Detail::Wide),
        r"
        PEER         AS      LOCAL-AS   LOCAL      ROUTER-ID    NAME      STATE         SINCE        RECEIVED   ACCEPTED   ADVERTISED   STALE              FAMILIES   HOLD   BFD   UPS   MAX-PREFIXES   FAULTS   LAST-FAULT   CAPABILITIES               LAST-ERROR   REASON
        10.0.0.2     65000   64512      10.0.0.1   10.0.0.254   mesh n2   Active        2020-02-02   0          0          2            3 (2 long-lived)   ipv4       90     -     1     -              0        -            route refresh,4-octet AS   -            connection refused
        10.0.0.254   65000   64512      10.0.0.1   10.0.0.254   tor       Established   2020-02-02   12         10         2            3 (2 long-lived)   ipv4       90     -     1     -              0        -            route refresh,4-octet AS   -            -
        ",
    );
    check(
        peer::list(&[], Detail::Normal),
        r"
        No peers.
        ",
    );
}

#[test]
fn bgp_routes_say_why_they_are_best_or_not() {
    let routes = [path("10.0.0.254", true, "lower router id"), path("10.0.1.254", false, "lower router id")];
    check(
        bgp_route::list(&routes, Detail::Normal),
        r"
        PREFIX          NEXT-HOP     PEER         AS-PATH               LOCAL-PREF   MED   BEST        REASON
        10.244.2.0/24   10.0.0.254   10.0.0.254   65000 {64512,64513}   100          -     best        lower router id
        10.244.2.0/24   10.0.1.254   10.0.1.254   65000 {64512,64513}   100          -     multipath   lower router id
        ",
    );
}

#[test]
fn route_list_has_one_line_for_each_prefix() {
    let mut failed = learned();
    (failed.prefix, failed.installed) = (p("10.244.3.0/24"), false);
    failed.reason = "Network is unreachable".into();
    let routes = [
        InstalledRouteView {
            reason: "own block: what no pod has is dropped here".into(),
            ..installed("10.244.1.0/24", RouteKind::Blackhole, RouteSource::Block)
        },
        InstalledRouteView {
            interfaces: vec!["cali0123456789a".into()],
            reason: "pod default/web".into(),
            ..installed("10.244.1.5/32", RouteKind::Unicast, RouteSource::Pod)
        },
        learned(),
        failed,
    ];
    check(
        route::list(&routes, Detail::Normal),
        r"
        PREFIX          NEXT-HOPS               LINKS             PROTOCOL   TUNNEL   INSTALLED   REASON
        10.244.1.0/24   blackhole               -                 block      -        yes         own block: what no pod has is dropped here
        10.244.1.5/32   -                       cali0123456789a   pod        -        yes         pod default/web
        10.244.2.0/24   10.0.0.254,10.0.1.254   eth0,eth1         bgp        -        yes         from 10.0.0.254, 10.0.1.254: lower router id
        10.244.3.0/24   10.0.0.254,10.0.1.254   eth0,eth1         bgp        -        no          Network is unreachable
        ",
    );
}

#[test]
fn route_why_tells_the_whole_story() {
    let mut why = RouteWhyView {
        asked: p("10.244.2.7/32"),
        prefix: Some(p("10.244.2.0/24")),
        paths: vec![path("10.0.0.254", true, "lower router id")],
        route: Some(learned()),
        verdict: "best of 2 paths by lower router id; in the kernel".into(),
    };
    check(
        route::why(&why, Detail::Normal),
        r"
        10.244.2.0/24, the longest that covers 10.244.2.7/32
          verdict     best of 2 paths by lower router id; in the kernel
          next hop    10.0.0.254 on eth0, 10.0.1.254 on eth1
          tunnel      no: the pool says Never
          installed   yes: from 10.0.0.254, 10.0.1.254: lower router id

        Paths, the best first
        PREFIX          NEXT-HOP     PEER         AS-PATH               LOCAL-PREF   MED   BEST   REASON
        10.244.2.0/24   10.0.0.254   10.0.0.254   65000 {64512,64513}   100          -     best   lower router id
        ",
    );
    (why.prefix, why.verdict) = (None, "no route of ours leads to 10.244.2.7/32".into());
    check(
        route::why(&why, Detail::Normal),
        r"
        10.244.2.7/32: no route of ours leads to 10.244.2.7/32
        ",
    );
}

#[test]
fn ipam_show_looks_like_calicoctls() {
    let block = BlockView { cidr: p("10.244.1.0/24"), total: 256, in_use: 4, reserved: 2 };
    let six = BlockView { cidr: p("fd00:1::/64"), total: u64::MAX, in_use: 1, reserved: 1 };
    let pool = |name: &str, cidr: &str, block| PoolView {
        name: name.into(),
        cidr: p(cidr),
        active: true,
        reason: "open to pods".into(),
        blocks: vec![block],
    };
    let ipam =
        IpamView { pools: vec![pool("pods", "10.244.0.0/16", block), pool("", "fd00:1::/64", six)], borrowed: vec![] };
    check(
        ipam::usage(&ipam, ipam::Rows::Blocks, Detail::Normal),
        r"
        +----------+---------------+-----------+------------+--------------+------------------+
        | GROUPING | CIDR          | IPS TOTAL | IPS IN USE | IPS RESERVED | IPS FREE         |
        +----------+---------------+-----------+------------+--------------+------------------+
        | IP Pool  | 10.244.0.0/16 | 256       | 4 (2%)     | 2            | 250 (98%)        |
        | Block    | 10.244.1.0/24 | 256       | 4 (2%)     | 2            | 250 (98%)        |
        | Pod CIDR | fd00:1::/64   | 1.8447e19 | 1 (0%)     | 1            | 1.8447e19 (100%) |
        | Block    | fd00:1::/64   | 1.8447e19 | 1 (0%)     | 1            | 1.8447e19 (100%) |
        +----------+---------------+-----------+------------+--------------+------------------+
        Counts are of this node's blocks.
        ",
    );
    check(
        ipam::usage(&ipam, ipam::Rows::Pools, Detail::Wide),
        r"
        +----------+---------------+-----------+------------+--------------+------------------+------+--------------+
        | GROUPING | CIDR          | IPS TOTAL | IPS IN USE | IPS RESERVED | IPS FREE         | NAME | REASON       |
        +----------+---------------+-----------+------------+--------------+------------------+------+--------------+
        | IP Pool  | 10.244.0.0/16 | 256       | 4 (2%)     | 2            | 250 (98%)        | pods | open to pods |
        | Pod CIDR | fd00:1::/64   | 1.8447e19 | 1 (0%)     | 1            | 1.8447e19 (100%) |      | open to pods |
        +----------+---------------+-----------+------------+--------------+------------------+------+--------------+
        Counts are of this node's blocks.
        ",
    );
}

#[test]
fn ipam_show_ip_names_the_pod() {
    let pod = PodRef { namespace: "default".into(), name: "web".into() };
    let lease = LeaseView {
        container_id: "c0ffee".into(),
        ifname: "eth0".into(),
        pod: Some(pod),
        addresses: vec![ip("10.244.1.5")],
        since: Some(LONG_AGO.into()),
    };
    let mut view =
        AddressView { ip: ip("10.244.1.5"), pool: Some("pods".into()), lease: Some(lease), reason: String::new() };
    check(
        ipam::address(&view),
        r"
        IP 10.244.1.5 is in use
          Pod: default/web
          Container: c0ffee
          Interface: eth0
          Addresses: 10.244.1.5
          Pool: pods
          Since: 2020-02-02
        ",
    );
    (view.lease, view.reason) = (None, "free, in this node's block 10.244.1.0/24".into());
    check(
        ipam::address(&view),
        r"
        10.244.1.5 is not assigned: free, in this node's block 10.244.1.0/24
        ",
    );
}

#[test]
fn ipam_check_names_each_problem() {
    let problem =
        Problem { ip: ip("10.244.1.9"), pod: None, given_at: None, message: "leased, but its link is gone".into() };
    check(
        ipam::check(&IpamCheckView { blocks: 1, leases: 5, attached: 4, problems: vec![problem] }),
        r"
        Checking leases against links and pools...
        Found 1 block of this node.
        Found 5 leases, 4 with a living link.
          * 10.244.1.9: leased, but its link is gone
        Check complete; found 1 problem.
        ",
    );
}

#[test]
fn pod_list_is_short_and_wide_has_the_rest() {
    let pods = [PodView {
        namespace: "default".into(),
        name: "web".into(),
        addresses: vec![ip("10.244.1.5"), ip("fd00:1::5")],
        interface: "cali0123456789a".into(),
        state: PodState::Attached,
        reason: String::new(),
        mtu: 1500,
        container_id: "c0ffee".into(),
        ifname: "eth0".into(),
        network: "margay".into(),
        netns: "/run/netns/web".into(),
    }];
    check(
        pod::list(&pods, Detail::Normal),
        r"
        NAMESPACE   NAME   ADDRESSES              LINK              STATE      REASON
        default     web    10.244.1.5,fd00:1::5   cali0123456789a   attached   -
        ",
    );
    check(
        pod::list(&pods, Detail::Wide),
        r"
        NAMESPACE   NAME   ADDRESSES              LINK              STATE      MTU    IFNAME   CONTAINER   NETWORK   NETNS            REASON
        default     web    10.244.1.5,fd00:1::5   cali0123456789a   attached   1500   eth0     c0ffee      margay    /run/netns/web   -
        ",
    );
}

#[test]
fn get_has_calicoctls_columns() {
    let view = |object: serde_json::Value, error: Option<&str>| ObjectView {
        name: object["metadata"]["name"].as_str().unwrap_or_default().into(),
        origin: "bgp.yaml".into(),
        object,
        error: error.map(Into::into),
    };
    let peers = [
        view(json!({"metadata": {"name": "tor"}, "spec": {"peerIP": "10.0.0.254", "asNumber": 65000}}), None),
        view(
            json!({"metadata": {"name": "rr"}, "spec": {"nodeSelector": "all()", "peerSelector": "rr == 'true'"}}),
            Some("bgp.yaml: BGPPeer/rr: spec.asNumber: 0 is reserved"),
        ),
    ];
    check(
        object::list(ObjectKind::BGPPeer, &peers, Detail::Normal),
        r"
        NAME   PEERIP         NODE       ASN
        tor    10.0.0.254     (global)   65000
        rr     rr == 'true'   all()      -
        ",
    );
    let pool =
        [view(json!({"metadata": {"name": "pods"}, "spec": {"cidr": "10.244.0.0/16", "natOutgoing": true}}), None)];
    check(
        object::list(ObjectKind::IPPool, &pool, Detail::Normal),
        r"
        NAME   CIDR            SELECTOR
        pods   10.244.0.0/16   all()
        ",
    );
    check(
        object::list(ObjectKind::IPPool, &pool, Detail::Wide),
        r"
        NAME   CIDR            NAT    IPIPMODE   VXLANMODE   DISABLED   DISABLEBGPEXPORT   SELECTOR   ASSIGNMENTMODE   ORIGIN
        pods   10.244.0.0/16   true   Never      Never       false      false              all()      Automatic        bgp.yaml
        ",
    );
    let node = [view(
        json!({
            "metadata": {"name": "n1", "annotations": {"projectcalico.org/IPv4Address": "10.0.0.1/24"}},
            "spec": {"podCIDRs": ["10.244.1.0/24", "fd00:1::/64"]},
        }),
        None,
    )];
    check(
        object::list(ObjectKind::Node, &node, Detail::Wide),
        r"
        NAME   ASN       IPV4          IPV6   PODCIDRS                    ROUTEREFLECTOR   ORIGIN
        n1     (64512)   10.0.0.1/24   -      10.244.1.0/24,fd00:1::/64   -                bgp.yaml
        ",
    );
    check(
        object::list(ObjectKind::BGPConfiguration, &[], Detail::Normal),
        r"
        No BGPConfigurations.
        ",
    );
}

#[test]
fn get_names_what_is_not_in_force() {
    let error = |object: &str| ObjectErrorView {
        file: "bgp.yaml".into(),
        object: object.into(),
        field: "spec.asNumber".into(),
        message: "0 is reserved".into(),
    };
    check(
        object::not_in_force(ObjectKind::BGPPeer, &[error("BGPPeer/rr"), error("Node/n1")]),
        r"

        Not in force
          * bgp.yaml: BGPPeer/rr: spec.asNumber: 0 is reserved
        ",
    );
}

#[test]
fn what_get_prints_as_yaml_can_be_applied_again() {
    let object = json!({"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "pods"}});
    let view = [ObjectView { name: "pods".into(), origin: String::new(), object: object.clone(), error: None }];
    assert_eq!(object::document(ObjectKind::IPPool, true, &view), object);
    let list = json!({"apiVersion": "projectcalico.org/v3", "kind": "IPPoolList", "items": [object]});
    assert_eq!(object::document(ObjectKind::IPPool, false, &view), list);
}

#[test]
fn filters_are_listed_in_calicoctls_columns_and_a_test_names_the_rule() {
    let object =
        json!({"metadata": {"name": "tor"}, "spec": {"importV4": [{"action": "Reject"}, {"action": "Accept"}]}});
    let view = [ObjectView { name: "tor".into(), origin: String::new(), object, error: None }];
    check(
        object::list(ObjectKind::BGPFilter, &view, Detail::Normal),
        r"
        NAME   NUMEXPORTV4   NUMIMPORTV4   NUMEXPORTV6   NUMIMPORTV6
        tor    0             2             0             0
        ",
    );
    let test = FilterTestView {
        name: "rack1".into(),
        peer: "10.0.0.254".parse().ok(),
        direction: Direction::Import,
        list: List::ImportV4,
        prefix: "10.200.1.0/24".parse().expect("a prefix"),
        judged: Judged::Route,
        filter: Some("tor".into()),
        rule: Some(1),
        passes: Some(false),
        reason: "refused by rule 1 of importV4 in BGPFilter/tor".into(),
    };
    check(
        filter::tests(&[test], Detail::Normal),
        r"
        PEER         DIRECTION   PREFIX          PASSES   REASON
        10.0.0.254   import      10.200.1.0/24   no       refused by rule 1 of importV4 in BGPFilter/tor
        ",
    );
}

#[test]
fn a_moment_of_the_last_day_is_a_time_and_an_older_one_a_date() {
    let now = "2026-11-21T12:00:00Z".parse().expect("a moment");
    let when = |moment| when_at(moment, now, &TimeZone::UTC);
    assert_eq!(when("2026-11-21T03:04:05Z"), "03:04:05");
    assert_eq!(when("2026-11-20T11:59:59Z"), "2026-11-20");
    assert_eq!(when(""), "");
}

#[test]
fn bmp_stations() {
    let station = |address: &str, state, reason: &str| StationView {
        station: ip(address),
        port: 11019,
        tables: vec!["AdjInPrePolicy".into(), "LocRIB".into()],
        state,
        since: LONG_AGO.into(),
        reason: reason.into(),
        sent: 1234,
        waiting: 0,
        connected_count: 1,
    };
    let views = [
        station("10.0.0.5", StationState::Live, ""),
        station("fd00::5", StationState::Away, "Connection refused (os error 111)"),
    ];
    let text = station::list(&views, Detail::Normal);
    let expected = "STATION           TABLES                  STATE   SINCE        SENT   REASON\n\
        10.0.0.5:11019    AdjInPrePolicy,LocRIB   Live    2020-02-02   1234   -\n\
        [fd00::5]:11019   AdjInPrePolicy,LocRIB   Away    2020-02-02   1234   Connection refused (os error 111)\n";
    assert_eq!(text, expected);
    assert_eq!(station::list(&[], Detail::Normal), "No BMP stations.\n");
}
