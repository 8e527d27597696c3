//! Nexthop objects of the kernel (Linux 5.3): next hops that many routes share, so that one message moves them all.
//!
//! A route of ours that shares its routers with many names an object instead of its next hops. A lone next hop is an object itself; several
//! are a group, whose members are objects that no route names. Members never change; what routes name is replaced in
//! place. So a route's object can lead elsewhere without touching any other's.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU8;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::actual::Link;
use crate::want::{NextHop, NextHops};

/// Ids of objects that our routes name: the first octet is our protocol number.
pub const OF_ROUTES: RangeInclusive<u32> = 0x6d00_0001..=0x6d7f_ffff;
/// Ids of members of our groups.
pub const OF_GROUPS: RangeInclusive<u32> = 0x6d80_0001..=0x6dff_ffff;

/// An object that is in the kernel, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActualNexthop {
    /// `NHA_ID`.
    pub id: u32,
    /// `nh_protocol`: who made it.
    pub protocol: u8,
    /// Where packets go.
    pub kind: NexthopKind,
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NexthopKind {
    /// One next hop.
    One(NextHop),
    /// Several, by the ids of objects.
    Group(Vec<Member>),
    /// What we never make: nowhere, a forwarding database, a resilient group.
    Other,
}

/// A share of a group (`struct nexthop_grp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The member's id.
    pub id: u32,
    /// Its share of the traffic.
    pub weight: NonZeroU8,
}

/// An object as we want it, with our protocol number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nexthop {
    /// `NHA_ID`.
    pub id: u32,
    /// Where packets go.
    pub kind: NexthopKind,
}

impl Nexthop {
    /// The object as the kernel will have it once made by us.
    pub fn made(&self) -> ActualNexthop {
        ActualNexthop { id: self.id, protocol: model::kernel::ROUTE_PROTOCOL, kind: self.kind.clone() }
    }
}

impl fmt::Display for ActualNexthop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "id {}{} proto {}", self.id, self.kind, crate::actual::Protocol(self.protocol))
    }
}

impl fmt::Display for NexthopKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NexthopKind::One(NextHop { gateway, device, onlink, .. }) => {
                gateway.map_or(Ok(()), |gateway| write!(f, " via {gateway}"))?;
                device.map_or(Ok(()), |device| write!(f, " dev if{device}"))?;
                f.write_str(if *onlink { " onlink" } else { "" })
            }
            NexthopKind::Group(members) => {
                let text: Vec<String> = members.iter().map(|m| format!("{},{}", m.id, m.weight)).collect();
                write!(f, " group {}", text.join("/"))
            }
            NexthopKind::Other => f.write_str(" of another kind"),
        }
    }
}

/// Whether routes to these next hops could name an object: each has a router and an interface. A pod's own link is shared
/// by nobody, and without an interface the kernel knows no object.
pub fn can_be_shared(hops: &NextHops) -> bool {
    hops.as_slice().iter().all(|hop| hop.gateway.is_some() && hop.device.is_some())
}

/// Whether a link carries objects: without a signal, the kernel takes its objects away and refuses new ones.
pub fn carries(link: &Link) -> bool {
    link.up && link.carrier
}

/// The objects of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nexthops {
    objects: BTreeMap<u32, ActualNexthop>,
}

impl Nexthops {
    /// From a dump.
    pub fn new(objects: impl IntoIterator<Item = ActualNexthop>) -> Nexthops {
        Nexthops { objects: objects.into_iter().map(|object| (object.id, object)).collect() }
    }

    /// The object of an id.
    pub fn at(&self, id: u32) -> Option<&ActualNexthop> {
        self.objects.get(&id)
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = &ActualNexthop> {
        self.objects.values()
    }

    /// An object is new, or leads elsewhere. Tells which objects now lead elsewhere: this one, and groups that have it.
    pub fn insert(&mut self, object: ActualNexthop) -> Vec<u32> {
        let id = object.id;
        if self.objects.get(&id) == Some(&object) {
            return Vec::new();
        }
        let is_new = self.objects.insert(id, object).is_none();
        if is_new { vec![id] } else { self.groups_of(id).chain([id]).collect() }
    }

    /// An object is gone, and out of every group; a group without members goes too. Tells which objects are gone or
    /// lead elsewhere.
    pub fn remove(&mut self, id: u32) -> Vec<u32> {
        if self.objects.remove(&id).is_none() {
            return Vec::new();
        }
        let groups: Vec<u32> = self.groups_of(id).collect();
        for group in &groups {
            let Some(NexthopKind::Group(members)) = self.objects.get_mut(group).map(|group| &mut group.kind) else {
                continue;
            };
            members.retain(|member| member.id != id);
            if members.is_empty() {
                self.objects.remove(group);
            }
        }
        groups.into_iter().chain([id]).collect()
    }

    /// A link went: the kernel takes its objects away, and says nothing. Tells which are gone or lead elsewhere.
    pub fn link_lost(&mut self, index: u32) -> Vec<u32> {
        let on_link =
            |object: &&ActualNexthop| matches!(&object.kind, NexthopKind::One(hop) if hop.device == Some(index));
        let lost: Vec<u32> = self.iter().filter(on_link).map(|object| object.id).collect();
        lost.into_iter().flat_map(|id| self.remove(id)).collect()
    }

    /// Where an object leads; none if it is unknown or leads nowhere that we know.
    pub fn hops(&self, id: u32) -> Option<NextHops> {
        match &self.objects.get(&id)?.kind {
            NexthopKind::One(hop) => Some(NextHops::one(*hop)),
            NexthopKind::Group(members) => {
                let hop = |member: &Member| match self.objects.get(&member.id)?.kind {
                    NexthopKind::One(hop) => Some(NextHop { weight: member.weight, ..hop }),
                    _ => None,
                };
                NextHops::new(members.iter().map(hop).collect::<Option<Vec<_>>>()?).ok()
            }
            NexthopKind::Other => None,
        }
    }

    /// The first id of a range that nobody has, and that is not among those spoken for.
    pub fn free_id(&self, range: RangeInclusive<u32>, taken: &BTreeMap<u32, Nexthop>) -> Option<u32> {
        let mut next = *range.start();
        // Ids in use are few and dense: the first gap is near.
        for id in self.objects.range(range.clone()).map(|(id, _)| *id) {
            while next < id {
                if !taken.contains_key(&next) {
                    return Some(next);
                }
                next += 1;
            }
            next = id.checked_add(1)?;
        }
        (next..=*range.end()).find(|id| !taken.contains_key(id))
    }

    fn groups_of(&self, id: u32) -> impl Iterator<Item = u32> {
        let has = move |object: &&ActualNexthop| matches!(&object.kind, NexthopKind::Group(members) if members.iter().any(|member| member.id == id));
        self.iter().filter(has).map(|object| object.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(last: u8, device: u32) -> NextHop {
        NextHop::via([192, 0, 2, last].into(), device)
    }

    fn one(id: u32, hop: NextHop) -> ActualNexthop {
        ActualNexthop { id, protocol: 109, kind: NexthopKind::One(hop) }
    }

    fn group(id: u32, members: &[u32]) -> ActualNexthop {
        let members = members.iter().map(|id| Member { id: *id, weight: NonZeroU8::MIN }).collect();
        ActualNexthop { id, protocol: 109, kind: NexthopKind::Group(members) }
    }

    #[test]
    fn a_group_leads_where_its_members_do_and_goes_with_the_last_of_them() {
        let mut objects = Nexthops::new([one(1, hop(1, 2)), one(2, hop(2, 3)), group(9, &[1, 2])]);
        assert_eq!(objects.hops(9), NextHops::new([hop(1, 2), hop(2, 3)]).ok());
        assert_eq!(objects.insert(one(1, hop(7, 2))), [9, 1], "the group leads elsewhere with its member");
        assert_eq!(objects.link_lost(3), [9, 2]);
        assert_eq!(objects.hops(9), Some(NextHops::one(hop(7, 2))));
        assert_eq!(objects.remove(1), [9, 1]);
        assert_eq!(objects, Nexthops::default());
    }

    #[test]
    fn a_free_id_is_the_first_that_nobody_has_or_is_about_to_have() {
        let objects = Nexthops::new([one(10, hop(1, 2)), one(12, hop(1, 2)), one(99, hop(1, 2))]);
        let mut taken = BTreeMap::new();
        for expected in [11, 13, 14] {
            let id = objects.free_id(10..=14, &taken);
            assert_eq!(id, Some(expected));
            taken.insert(expected, Nexthop { id: expected, kind: NexthopKind::Other });
        }
        assert_eq!(objects.free_id(10..=14, &taken), None);
    }
}
