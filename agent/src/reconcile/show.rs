//! What the reconciler can show of itself. The speaker adds its part to what it knows alone.

use std::net::IpAddr;

use dataplane::linux::netlink::NetlinkError;
use dataplane::want::{RouteKey, RouteKind as WantKind};
use ipam::Lease;
use model::api::show::{
    AddressView, ApiServerView, BlockView, DiagPart, InstalledPage, InstalledRouteView, IpamCheckView, IpamView,
    LeaseView, NodeStatusView, ObjectErrorView, ObjectKind, ObjectView, OwnAddressView, PAGE, PodState, PodView,
    PoolView, Problem, RouteKind, RouteWhyView, Show,
};
use model::api::{Answer, RefusalCode, Reply};
use model::object::Kind;
use model::{Prefix, Time, kernel};
use serde::Serialize;

use super::{Reconciler, refuse};
use crate::plan::routes::RoutePlan;
use crate::plan::{own, pods, why};
use crate::world::Mode;

impl Reconciler {
    pub(super) fn show(&mut self, show: Show, now: Time) -> Reply {
        match show {
            Show::NodeStatus => answer(&self.node_status()),
            Show::Routes { after } => answer(&self.routes(after)),
            Show::RouteWhy { prefix } => answer(&self.why(prefix)),
            Show::Ipam => answer(&self.ipam()),
            Show::IpamAddress { ip } => answer(&self.address(ip)),
            Show::IpamCheck => match self.ipam_check() {
                Ok(view) => answer(&view),
                Err(error) => refuse(RefusalCode::Internal, format!("the kernel's links can't be read: {error}")),
            },
            Show::Pods => answer(&self.pods()),
            Show::Services { of } => answer(&self.services(of.as_ref())),
            Show::Objects { kind, name } => answer(&self.objects(kind, name.as_deref())),
            Show::ObjectErrors => answer(&self.object_errors()),
            Show::History { of } => answer(&self.history.view(of.as_deref(), &self.world.kernel.actual.names())),
            Show::Diags => answer(&self.diags(now)),
            show @ (Show::Trace(_)
            | Show::PolicyPods
            | Show::Policy { .. }
            | Show::PolicyTest(_)
            | Show::PolicyCounters
            | Show::PolicyLog) => self.explain(show),
            Show::BgpPeers
            | Show::BgpStations
            | Show::BgpDump { .. }
            | Show::BgpRoutes(_)
            | Show::FilterTest(_)
            | Show::Plan(_) => refuse(RefusalCode::Internal, "this is not for the reconcile loop alone to answer"),
        }
    }

    /// All but the peers.
    fn node_status(&self) -> NodeStatusView {
        let own = own::addresses(&self.world);
        let config = self.desired.bgp.as_ref().and_then(|plan| plan.config.as_ref());
        let view = |found: &own::Found| OwnAddressView {
            address: found.address.address,
            subnet: found.address.subnet,
            reason: found.reason.clone(),
        };
        NodeStatusView {
            node: self.world.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            since: rfc3339(self.born),
            configured: self.configured.map(rfc3339),
            asn: config.map(|c| c.local_as),
            router_id: config.map(|c| c.router_id),
            addresses: own.iter().map(|found| found.address.address).collect(),
            own_addresses: own.iter().map(view).collect(),
            ready: self.not_ready().is_none(),
            policy_only: self.world.mode == Mode::PolicyOnly,
            problems: self.problems(),
            advice: Vec::new(),
            api_server: self.api_server_view(),
            drain: self.drain_view(),
            peers: Vec::new(),
            reports: Vec::new(),
        }
    }

    fn api_server_view(&self) -> Option<ApiServerView> {
        let state = self.world.api_server.as_ref()?;
        Some(ApiServerView {
            address: state.address.clone(),
            connected: state.away.is_none(),
            since: rfc3339(state.since),
            reason: state.away.clone().unwrap_or_default(),
            absent: state.absent.clone(),
            unlisted: state.unlisted.clone(),
        })
    }

    /// Pod CIDRs of this node that no pool covers, while pods get their addresses elsewhere: Services see them as strangers.
    fn uncovered(&self) -> Vec<String> {
        if self.not_ready().is_some() || self.world.mode == Mode::PolicyOnly {
            // Which says the same; or addresses are another's business.
            return Vec::new();
        }
        let space = crate::plan::pods::space(&self.world, None);
        let reason = |block: ipam::Block| match block.openness {
            ipam::Openness::Closed(reason) if block.pool.is_empty() => Some(reason),
            _ => None,
        };
        let reasons = space.blocks.into_iter().filter_map(reason);
        reasons
            .map(|reason| format!("{reason}: pods get no address of it; is the pool's CIDR the cluster's own?"))
            .collect()
    }

    /// Everything that is wrong, one sentence each.
    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.not_ready().into_iter().collect();
        problems.extend(self.ledger_notes.iter().cloned());
        problems.extend(self.desired.bgp.iter().flat_map(|plan| plan.problems.iter().cloned()));
        problems.extend(self.world.objects.errors.iter().map(ToString::to_string));
        let slot = |what: &str, problem: &Option<String>| problem.as_ref().map(|p| format!("{what}: {p}"));
        problems.extend(self.block_problems());
        problems.extend(self.uncovered());
        problems.extend(slot("reading of the routes", &self.reading.problem));
        problems.extend(slot("tunnel device", &self.tunnel.problem));
        problems.extend(slot("packet rules", &self.rules.slot.problem));
        problems.extend(slot("forwarding", &self.forwarding.problem));
        problems.extend(self.world.bridged.iter().map(|problem| {
            format!("pods of one bridge may reach each other past their policies: is br_netfilter loaded? {problem}")
        }));
        problems.extend(self.world.cni.iter().flat_map(|installed| installed.problems()));
        match self.bench.len() {
            0 => {}
            failed => problems.push(format!("{failed} routes can't be made: see margayctl route list")),
        }
        problems.dedup();
        problems
    }

    fn routes(&self, after: Option<Prefix>) -> InstalledPage {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let mut routes = self.desired.routes.range((from, Unbounded));
        let page: Vec<InstalledRouteView> =
            routes.by_ref().take(PAGE).map(|(prefix, plan)| self.installed(prefix, plan)).collect();
        let more = routes.next().is_some();
        InstalledPage { next: page.last().filter(|_| more).map(|r| r.prefix), routes: page }
    }

    /// The kernel's side of one prefix, or of the longest that covers it.
    fn why(&self, asked: Prefix) -> RouteWhyView {
        let lengths = (0..=asked.length()).rev();
        let covering = lengths.filter_map(|length| Prefix::masked(asked.address(), length).ok());
        let found = covering.filter_map(|p| self.desired.routes.get_key_value(&p)).next();
        let route = found.map(|(prefix, plan)| self.installed(prefix, plan));
        let service = crate::plan::services::block_around(&self.world, &asked);
        let verdict = match &route {
            None if let Some(block) = service => {
                format!("in service addresses {block}: kube-proxy serves {asked} on every node, no route leads to it")
            }
            None => format!("no route of ours leads to {asked}"),
            Some(route) if route.installed => format!("in the kernel: {}", route.reason),
            Some(route) => format!("not in the kernel: {}", route.reason),
        };
        RouteWhyView { asked, prefix: route.as_ref().map(|r| r.prefix), paths: Vec::new(), route, verdict }
    }

    fn installed(&self, prefix: &Prefix, plan: &RoutePlan) -> InstalledRouteView {
        let place = RouteKey { prefix: *prefix, metric: kernel::ROUTE_METRIC };
        let mut view = InstalledRouteView {
            prefix: *prefix,
            next_hops: Vec::new(),
            interfaces: Vec::new(),
            kind: RouteKind::Unicast,
            protocol: plan.source,
            tunnel: None,
            tunnel_reason: plan.encap.iter().map(|(_, e)| e.reason()).collect::<Vec<_>>().join("; "),
            installed: false,
            reason: String::new(),
        };
        let route = match &plan.route {
            Ok(route) => route,
            Err(unusable) => {
                view.reason = unusable.to_string();
                view.next_hops = plan.encap.iter().map(|(hop, _)| *hop).collect();
                return view;
            }
        };
        match &route.kind {
            WantKind::Blackhole => view.kind = RouteKind::Blackhole,
            WantKind::Unicast(hops) => {
                let name = |index: u32| match self.world.kernel.actual.links.get(&index) {
                    Some(link) => link.name.clone(),
                    None => format!("if{index}"),
                };
                view.next_hops = hops.as_slice().iter().filter_map(|hop| hop.gateway).collect();
                view.interfaces = hops.as_slice().iter().filter_map(|hop| hop.device).map(name).collect();
                let by_tunnel = view.interfaces.iter().any(|name| name == kernel::TUNNEL);
                view.tunnel = by_tunnel.then(|| kernel::TUNNEL.to_string());
            }
        }
        view.installed = self
            .world
            .kernel
            .at(&place)
            .iter()
            .any(|actual| actual.protocol == kernel::ROUTE_PROTOCOL && actual.fulfils(route));
        view.reason = if view.installed {
            why::reason(&self.world, prefix, plan.source)
        } else {
            self.bench.reason(&place).unwrap_or("is being made").to_string()
        };
        view
    }

    fn ipam(&self) -> IpamView {
        let space = pods::space(&self.world, None);
        let usage = self.world.leases.usage(&space);
        let mut pools: Vec<PoolView> = Vec::new();
        for pool in self.world.objects.pools() {
            pools.push(PoolView {
                name: pool.meta.name.clone(),
                cidr: pool.cidr,
                active: false,
                reason: "none of this node's pod CIDRs or blocks lies in it".into(),
                blocks: Vec::new(),
            });
        }
        for block in usage {
            let view = BlockView { cidr: block.block, total: block.size, in_use: block.used, reserved: block.reserved };
            let of_pool = pools.iter_mut().find(|pool| !block.pool.is_empty() && pool.name == block.pool);
            match of_pool {
                Some(pool) => {
                    pool.active = block.reason.is_none();
                    pool.reason = block.reason.unwrap_or_else(|| "open to pods".into());
                    pool.blocks.push(view);
                }
                None => pools.push(PoolView {
                    name: String::new(),
                    cidr: block.block,
                    active: false,
                    reason: block.reason.unwrap_or_default(),
                    blocks: vec![view],
                }),
            }
        }
        pools.sort_by_key(|pool| pool.cidr);
        IpamView { pools, borrowed: self.borrowed() }
    }

    fn address(&self, ip: IpAddr) -> AddressView {
        let whose = self.world.leases.whose(ip, &pods::space(&self.world, None));
        let pool = whose.pool.or_else(|| {
            let covering = self.world.objects.pools().filter(|p| p.cidr.contains(ip));
            covering.max_by_key(|p| p.cidr.length()).map(|p| p.meta.name.clone())
        });
        AddressView { ip, pool, lease: whose.lease.as_ref().map(lease_view), reason: whose.reason }
    }

    fn ipam_check(&self) -> Result<IpamCheckView, NetlinkError> {
        let space = pods::space(&self.world, None);
        let living = self.living()?;
        let findings = self.world.leases.check(&space, &living);
        let attached = self.world.leases.iter().filter(|l| living.links.iter().any(|link| link.is_of(l))).count();
        let problem = |finding: ipam::Finding| {
            let lease = finding.attachment.as_ref().and_then(|a| self.world.leases.of(a));
            let of_lease = lease.and_then(|l| l.addresses.first().copied());
            let of_link = || {
                let side = living.links.iter().find(|side| Some(&side.name) == finding.link.as_ref());
                side.and_then(|side| side.addresses.first().copied())
            };
            let unspecified = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
            Problem {
                ip: finding.address.or(of_lease).or_else(of_link).unwrap_or(unspecified),
                pod: lease.and_then(|l| l.pod.clone()),
                given_at: None,
                message: finding.reason,
            }
        };
        Ok(IpamCheckView {
            blocks: space.blocks.len() as u64,
            leases: self.world.leases.len() as u64,
            attached: attached as u64,
            problems: findings.into_iter().map(problem).chain(self.block_findings()).collect(),
        })
    }

    fn pods(&self) -> Vec<PodView> {
        let view = |lease: &Lease| {
            let there = self.world.kernel.link(&lease.host_interface).is_some();
            let (state, reason) = match (&lease.plumbed, there) {
                (None, _) => (PodState::Planned, "the shim has not said yet that it is plumbed".to_string()),
                (Some(_), true) => (PodState::Attached, String::new()),
                (Some(_), false) => (PodState::Lost, format!("link {} is gone", lease.host_interface)),
            };
            let (namespace, name) = match &lease.pod {
                Some(pod) => (pod.namespace.clone(), pod.name.clone()),
                None => (String::new(), lease.attachment.container_id.clone()),
            };
            PodView {
                namespace,
                name,
                addresses: lease.addresses.clone(),
                interface: lease.host_interface.clone(),
                state,
                reason,
                mtu: lease.mtu,
                container_id: lease.attachment.container_id.clone(),
                ifname: lease.attachment.ifname.clone(),
                network: lease.network.clone(),
                netns: lease.netns.clone(),
            }
        };
        let mut pods: Vec<PodView> = self.world.leases.iter().map(view).collect();
        pods.sort_by(|a, b| (&a.namespace, &a.name, &a.ifname).cmp(&(&b.namespace, &b.name, &b.ifname)));
        pods
    }

    fn objects(&self, kind: ObjectKind, name: Option<&str>) -> Vec<ObjectView> {
        let kind = match kind {
            ObjectKind::Node => Kind::Node,
            ObjectKind::BGPConfiguration => Kind::BgpConfiguration,
            ObjectKind::BGPPeer => Kind::BgpPeer,
            ObjectKind::IPPool => Kind::IpPool,
            ObjectKind::BGPFilter => Kind::BgpFilter,
        };
        let errors = &self.world.objects.errors;
        let chosen = self.world.objects.iter().filter(|(key, _)| key.kind == kind);
        chosen
            .filter(|(key, _)| name.is_none_or(|name| key.name == name))
            .map(|(key, fact)| ObjectView {
                name: key.name.clone(),
                origin: fact.origin.clone(),
                object: fact.written.clone(),
                error: errors.iter().find(|e| e.object == key.to_string()).map(ToString::to_string),
            })
            .collect()
    }

    fn object_errors(&self) -> Vec<ObjectErrorView> {
        let view = |e: &model::object::ObjectError| ObjectErrorView {
            file: e.file.clone(),
            object: e.object.clone(),
            field: e.field.clone(),
            message: e.message.clone(),
        };
        self.world.objects.errors.iter().map(view).collect()
    }

    /// Nexthop objects of ours, each with the number of its routes.
    fn nexthops(&self) -> String {
        let actual = &self.world.kernel.actual;
        let Some(objects) = &actual.nexthops else {
            return "the kernel has no nexthop objects: every route names its next hops\n".into();
        };
        let ours = objects.iter().filter(|object| object.protocol == kernel::ROUTE_PROTOCOL);
        ours.map(|object| format!("{object} routes {}\n", actual.routes.users(object.id))).collect()
    }

    fn diags(&self, now: Time) -> Vec<DiagPart> {
        let names = self.world.kernel.actual.names();
        let lines = |lines: Vec<String>| lines.join("\n") + "\n";
        let actual = &self.world.kernel.actual;
        let part = |name: &str, text: String| DiagPart { name: name.to_string(), text };
        let leases: Vec<String> =
            self.world.leases.iter().filter_map(|lease| serde_json::to_string(lease).ok()).collect();
        vec![
            part("status.txt", format!("{:#?}\nuptime {now:?}\n", self.status())),
            part("problems.txt", lines(self.problems())),
            part(
                "wanted-routes.txt",
                lines(self.desired.table.values().map(|r| r.display(&names).to_string()).collect()),
            ),
            part("kernel-routes.txt", lines(actual.routes.iter().map(|r| r.display(&names).to_string()).collect())),
            part("kernel-nexthops.txt", self.nexthops()),
            part("kernel-links.txt", lines(actual.links.values().map(|l| format!("{l:?}")).collect())),
            part("leases.jsonl", lines(leases)),
            part("history.txt", lines(self.history.view(None, &names).iter().map(|c| format!("{c:?}")).collect())),
            part(
                "packet-rules.txt",
                format!("{}\n{:?}\n{}", self.desired.nat, self.rules.slot, self.rules.firewall.table()),
            ),
            part("tunnel.txt", format!("{:?}\n{:?}\n", self.desired.tunnel, self.tunnel)),
        ]
    }
}

fn lease_view(lease: &Lease) -> LeaseView {
    LeaseView {
        container_id: lease.attachment.container_id.clone(),
        ifname: lease.attachment.ifname.clone(),
        pod: lease.pod.clone(),
        addresses: lease.addresses.clone(),
        since: (lease.since != 0).then(|| rfc3339(lease.since)),
    }
}

pub(super) fn answer<T: Serialize>(view: &T) -> Reply {
    match serde_json::to_value(view) {
        Ok(value) => Reply::Ok(Answer::Show(value)),
        Err(error) => refuse(RefusalCode::Internal, format!("can't be shown: {error}")),
    }
}

/// Seconds since the Unix epoch as a date in UTC (RFC 3339).
fn rfc3339(unix_seconds: u64) -> String {
    let second = i64::try_from(unix_seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    second.map(|t| t.to_string()).unwrap_or_default()
}
