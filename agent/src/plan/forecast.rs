//! What would follow if other objects were in force: the same planners, on the world as it would be.

use std::collections::{BTreeMap, BTreeSet};

use bgp::config::Start;
use bgp::speaker::{Best, RouteChange};
use dataplane::want::{Nat, RouteKey, Tunnel};
use ipam::{Block, Openness};
use model::api::show::{CutLines, LineView, Step};
use model::{Prefix, kernel};

use super::bgp::{BgpPlan, bgp};
use super::desired::Desired;
use super::encap::tunnel;
use super::nat::nat;
use super::pods::space;
use super::routes::{Router, prefixes};
use crate::fact::Fact;
use crate::world::{Dirty, DirtyRoutes, Objects, World};

/// The most prefixes whose routes are looked at.
const LOOK: usize = 1 << 20;

/// A device that is not there yet.
const TUNNEL_TO_BE: u32 = u32::MAX;

/// Objects as they would be, and what the speaker would be told then.
#[derive(Debug)]
pub struct Supposed {
    objects: Objects,
    dirty: Dirty,
    /// What of the objects would be other than now, a line for each.
    pub steps: Vec<LineView>,
    /// The speaker's plan then.
    pub bgp: BgpPlan,
}

/// What would change beyond the speaker.
#[derive(Debug, Default)]
pub struct Forecast {
    /// Routes in the kernel.
    pub routes: CutLines,
    /// Masquerading, the tunnel device.
    pub rules: Vec<LineView>,
    /// Blocks of addresses.
    pub addresses: Vec<LineView>,
    /// What was not looked at.
    pub notes: Vec<String>,
}

impl Supposed {
    /// The world's objects after these facts about objects; other facts are none of a supposition's.
    pub fn after(world: &mut World, facts: Vec<Fact>, start: Start) -> Supposed {
        let mut objects = world.objects.clone();
        let mut dirty = Dirty::nothing();
        let mut steps = Vec::new();
        let line = |step, key: &model::object::ObjectKey, origin: &str| {
            let (now, then) = if step == Step::Remove { (origin, "") } else { ("", origin) };
            LineView { step, what: key.to_string(), now: now.into(), then: then.into() }
        };
        for fact in facts {
            match fact {
                Fact::Object(fact) => {
                    let key = fact.object.key();
                    match objects.by_key(&key) {
                        Some(before) if before.object == fact.object => {}
                        Some(_) => steps.push(line(Step::Change, &key, &fact.origin)),
                        None => steps.push(line(Step::Add, &key, &fact.origin)),
                    }
                    dirty = dirty.and(objects.learn(*fact));
                }
                Fact::ObjectGone(key) => {
                    let origin = objects.by_key(&key).map(|fact| fact.origin.as_str());
                    steps.push(line(Step::Remove, &key, origin.unwrap_or_default()));
                    dirty = dirty.and(objects.forget(&key));
                }
                Fact::ObjectErrors(errors) => objects.errors = errors,
                _ => {}
            }
        }
        let plan = in_force(world, &mut objects, |world| bgp(world, start));
        Supposed { objects, dirty, steps, bgp: plan }
    }

    /// What would be wrong with the objects.
    pub fn errors(&self) -> &[model::object::ObjectError] {
        &self.objects.errors
    }

    /// What would change beyond the speaker, if it believed this of these prefixes.
    pub fn forecast(
        &mut self,
        world: &mut World,
        desired: &Desired,
        best: &BTreeMap<Prefix, Option<Best>>,
    ) -> Forecast {
        let mut found = Forecast::default();
        let blocks = blocks(world);
        let change = |prefix: &Prefix, best: Option<Best>| RouteChange { prefix: *prefix, best };
        let believed: Vec<RouteChange> =
            best.keys().map(|prefix| change(prefix, world.learned.best(prefix).cloned())).collect();
        for (prefix, best) in best {
            world.learned.learn(change(prefix, best.clone()));
        }
        let mut touched: BTreeSet<Prefix> = best.keys().copied().collect();
        let dirty = &self.dirty;
        in_force(world, &mut self.objects, |world| {
            let (tunnel_then, nat_then) = (tunnel(world), nat(world));
            found.rules.extend(tunnel_line(desired.tunnel, tunnel_then));
            found.rules.extend(nat_lines(&desired.nat, &nat_then));
            match &dirty.routes {
                DirtyRoutes::Some(some) => touched.extend(some),
                DirtyRoutes::All => {
                    touched.extend(prefixes(world));
                    touched.extend(desired.routes.keys());
                }
            }
            if touched.len() > LOOK {
                found.notes.push(format!("of {} routes only the first {LOOK} were looked at", touched.len()));
            }
            found.routes = routes(world, desired, touched.iter().take(LOOK), tunnel_then);
            found.addresses = block_lines(&blocks, &self::blocks(world));
        });
        believed.into_iter().for_each(|change| drop(world.learned.learn(change)));
        found
    }
}

/// Asks a question of the world as if these objects were in force.
fn in_force<T>(world: &mut World, objects: &mut Objects, question: impl FnOnce(&World) -> T) -> T {
    std::mem::swap(&mut world.objects, objects);
    let answer = question(world);
    std::mem::swap(&mut world.objects, objects);
    answer
}

fn routes<'a>(
    world: &World,
    desired: &Desired,
    touched: impl Iterator<Item = &'a Prefix>,
    tunnel: Option<Tunnel>,
) -> CutLines {
    let mut names = world.kernel.actual.names();
    let mut router = Router::new(world);
    if tunnel.is_some() && world.kernel.link(kernel::TUNNEL).is_none() {
        names.insert(TUNNEL_TO_BE, kernel::TUNNEL.to_string());
        router = router.with_tunnel(TUNNEL_TO_BE);
    }
    let mut lines = CutLines::default();
    for prefix in touched {
        let plan = router.route(prefix);
        let then = plan.as_ref().and_then(|plan| plan.route.as_ref().ok());
        let now = desired.table.get(&RouteKey { prefix: *prefix, metric: kernel::ROUTE_METRIC });
        let step = match (now, then) {
            (None, None) => continue,
            (Some(now), Some(then)) if now == then => continue,
            (None, Some(_)) => Step::Add,
            (Some(_), Some(_)) => Step::Change,
            (Some(_), None) => Step::Remove,
        };
        let text = |route: Option<&dataplane::want::Route>| {
            route.map(|route| route.display(&names).to_string()).unwrap_or_default()
        };
        lines.add(LineView { step, what: prefix.to_string(), now: text(now), then: text(then) });
    }
    lines
}

fn tunnel_line(now: Option<Tunnel>, then: Option<Tunnel>) -> Option<LineView> {
    let text = |tunnel: Tunnel| match tunnel.address {
        Some(address) => format!("mtu {} address {address}", tunnel.mtu),
        None => format!("mtu {}", tunnel.mtu),
    };
    differs(format!("tunnel {}", kernel::TUNNEL), now.map(text), then.map(text))
}

fn nat_lines(now: &Nat, then: &Nat) -> Vec<LineView> {
    let sets = [
        ("masquerade what comes from", &now.masquerade, &then.masquerade),
        ("keep the source of what goes to", &now.inside, &then.inside),
        ("forward nothing that kube-proxy has not translated to", &now.services, &then.services),
    ];
    let line = |words: &str, step, prefix: &Prefix| LineView {
        step,
        what: format!("{words} {prefix}"),
        now: String::new(),
        then: String::new(),
    };
    sets.into_iter()
        .flat_map(|(words, now, then)| {
            let gone = now.difference(then).map(move |prefix| line(words, Step::Remove, prefix));
            gone.chain(then.difference(now).map(move |prefix| line(words, Step::Add, prefix)))
        })
        .collect()
}

/// Blocks of this node in words: whose they are, and who may have addresses of them.
fn blocks(world: &World) -> BTreeMap<Prefix, String> {
    let words = |block: &Block| {
        let pool = if block.pool.is_empty() { "in no pool".to_string() } else { format!("of IPPool {}", block.pool) };
        match &block.openness {
            Openness::Open => format!("{pool}, open to pods"),
            Openness::Named(reason) => format!("{pool}, for pods that ask for it: {reason}"),
            Openness::Closed(reason) => format!("{pool}, closed: {reason}"),
        }
    };
    let space = space(world, None);
    let used = |block: &Block| {
        let inside = |address: &std::net::IpAddr| block.prefix.contains(*address);
        let count = world.leases.iter().filter(|lease| lease.addresses.iter().any(inside)).count();
        if count > 0 { format!(" ({count} in use)") } else { String::new() }
    };
    space.blocks.iter().map(|block| (block.prefix, words(block) + &used(block))).collect()
}

fn block_lines(now: &BTreeMap<Prefix, String>, then: &BTreeMap<Prefix, String>) -> Vec<LineView> {
    let all: BTreeSet<&Prefix> = now.keys().chain(then.keys()).collect();
    all.into_iter().filter_map(|p| differs(p.to_string(), now.get(p).cloned(), then.get(p).cloned())).collect()
}

/// A line if the two are not the same.
pub fn differs(what: String, now: Option<String>, then: Option<String>) -> Option<LineView> {
    let step = match (&now, &then) {
        (None, None) => return None,
        (Some(now), Some(then)) if now == then => return None,
        (None, Some(_)) => Step::Add,
        (Some(_), Some(_)) => Step::Change,
        (Some(_), None) => Step::Remove,
    };
    Some(LineView { step, what, now: now.unwrap_or_default(), then: then.unwrap_or_default() })
}
