//! All that should be, kept up to date key by key. Planning a few keys and planning all is the same.

use std::collections::{BTreeMap, BTreeSet};

use bgp::config::Start;
use dataplane::want::{Nat, NextHops, RouteKey, Tunnel};
use dataplane::wanted::Wanted;
use model::object::Switch;
use model::{Family, Prefix};

use super::bgp::{BgpPlan, bgp};
use super::encap::tunnel;
use super::nat::nat;
use super::routes::{RoutePlan, Router, prefixes};
use crate::world::{Dirty, DirtyRoutes, Mode, World};

/// Everything planned.
#[derive(Debug, Default)]
pub struct Desired {
    /// The speaker's part.
    pub bgp: Option<BgpPlan>,
    /// The tunnel device, if there should be one.
    pub tunnel: Option<Tunnel>,
    /// Masquerading.
    pub nat: Nat,
    /// Families whose packets the kernel has to forward: those of this node's blocks, unless `ipForwarding` says Disabled.
    pub forwarding: Vec<Family>,
    /// Routes with their reasons, the unusable ones too.
    pub routes: BTreeMap<Prefix, RoutePlan>,
    /// Of these, what should be in the kernel.
    pub table: Wanted,
}

/// What an update changed: what hands have to look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The speaker's configuration.
    pub bgp: bool,
    /// The tunnel device.
    pub tunnel: bool,
    /// Masquerading.
    pub nat: bool,
    /// Forwarding.
    pub forwarding: bool,
    /// Places in the kernel's table.
    pub places: BTreeSet<RouteKey>,
}

impl Desired {
    /// Plans again what is dirty. `start` is what the speaker was born into.
    pub fn update(&mut self, world: &World, dirty: &Dirty, start: Start) -> Changed {
        if world.mode == Mode::PolicyOnly {
            return Changed::default();
        }
        let mut changed = Changed { places: dirty.installed.clone(), ..Changed::default() };
        if dirty.bgp {
            let plan = Some(bgp(world, start));
            changed.bgp = plan != self.bgp;
            self.bgp = plan;
        }
        if dirty.tunnel {
            let plan = tunnel(world);
            changed.tunnel = plan != self.tunnel;
            self.tunnel = plan;
        }
        if dirty.nat {
            let plan = nat(world);
            changed.nat = plan != self.nat;
            self.nat = plan;
        }
        if dirty.bgp {
            let own: Vec<Prefix> = world.own_prefixes().into_iter().chain(world.lone_addresses()).collect();
            let of_own = |family: &Family| own.iter().any(|prefix| prefix.family() == *family);
            let ours = world.objects.felix(&world.node).ip_forwarding != Some(Switch::Disabled);
            let plan: Vec<Family> = Family::ALL.into_iter().filter(|family| ours && of_own(family)).collect();
            changed.forwarding = plan != self.forwarding;
            self.forwarding = plan;
        }
        let touched = self.touched(world, dirty);
        if !touched.is_empty() {
            let mut router = Router::new(world);
            let mut shared = Vec::new();
            for prefix in touched {
                shared.extend(self.replan(prefix, router.route(&prefix), &mut changed.places));
            }
            // Routes that share their next hops with many from now on go in another way than they did.
            shared.iter().for_each(|hops| changed.places.extend(self.table.places_to(hops)));
        }
        changed
    }

    fn touched(&self, world: &World, dirty: &Dirty) -> BTreeSet<Prefix> {
        match &dirty.routes {
            DirtyRoutes::All => {
                let mut all = prefixes(world);
                all.extend(self.routes.keys());
                all
            }
            DirtyRoutes::Some(some) => {
                let of_links = world.leases.iter().filter(|lease| dirty.links.contains(&lease.host_interface));
                let of_links = of_links.flat_map(|lease| lease.addresses.iter().copied().map(Prefix::host));
                // The route of an aggregate hangs on what is inside.
                let above = super::aggregates::prefixes(world);
                let above = above.filter(|aggregate| some.iter().any(|prefix| aggregate.covers(prefix)));
                some.iter().copied().chain(of_links).chain(above).collect()
            }
        }
    }

    /// Returns next hops that are shared widely from now on.
    fn replan(&mut self, prefix: Prefix, plan: Option<RoutePlan>, places: &mut BTreeSet<RouteKey>) -> Option<NextHops> {
        let mut shared = None;
        let wanted = plan.as_ref().and_then(|plan| plan.route.as_ref().ok()).cloned();
        let place = RouteKey { prefix, metric: model::kernel::ROUTE_METRIC };
        if self.table.get(&place) != wanted.as_ref() {
            places.insert(place);
            match wanted {
                Some(route) => shared = self.table.insert(route),
                None => self.table.remove(&place),
            }
        }
        match plan {
            Some(plan) => self.routes.insert(prefix, plan),
            None => self.routes.remove(&prefix),
        };
        shared
    }
}
