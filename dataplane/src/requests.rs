//! From steps to requests: which routes go by a nexthop object, and which objects are made, moved and removed for that.
//!
//! Where every route of an object is to lead to the same new next hops, the object is replaced and its routes are not
//! touched: one message, however many they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU8;

use crate::actual::{Actual, ActualRoute, KernelEvent};
use crate::diff::Step;
use crate::nexthop::{ActualNexthop, Member, Nexthop, NexthopKind, Nexthops, OF_GROUPS, OF_ROUTES};
use crate::ours::{Marked, Ours};
use crate::want::{NextHop, NextHops, RouteKind};
use crate::wanted::Wanted;

/// One message to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A step on one route.
    Route {
        /// Its position.
        step: usize,
        /// What a new route names instead of its next hops.
        object: Option<u32>,
    },
    /// An object is missing.
    Make(Nexthop),
    /// An object of ours is to lead elsewhere: does all of these steps.
    Move {
        /// What is there.
        old: Ours<ActualNexthop>,
        /// What is wanted there.
        new: Nexthop,
        /// Their positions.
        steps: Vec<usize>,
    },
    /// An object of ours that nobody uses.
    Remove(Ours<ActualNexthop>),
}

/// Steps, and how they are done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// What is to be done.
    pub steps: Vec<Step>,
    /// Each step in exactly one of these, in order.
    pub requests: Vec<Request>,
}

impl Work {
    /// How to do the steps towards `want` in a kernel that is as `actual` says.
    pub fn new(steps: Vec<Step>, want: &Wanted, actual: &Actual) -> Work {
        let requests = match &actual.nexthops {
            Some(objects) => by_objects(&steps, want, actual, objects),
            None => (0..steps.len()).map(|step| Request::Route { step, object: None }).collect(),
        };
        Work { steps, requests }
    }

    /// To remove the objects of ours that no route and no group uses any more.
    pub fn of_unused(actual: &Actual) -> Work {
        let objects = actual.nexthops.iter().flat_map(Nexthops::iter);
        let is_unused = |object: &&ActualNexthop| object.is_ours() && actual.routes.users(object.id) == 0;
        let (unused, used): (Vec<_>, Vec<_>) = objects.partition(is_unused);
        let groups = |object: &&&ActualNexthop| matches!(object.kind, NexthopKind::Group(_));
        let idle: Vec<&ActualNexthop> = unused.iter().filter(groups).copied().collect();
        let members: BTreeSet<u32> = used.iter().copied().flat_map(members).collect();
        let alone = unused.iter().copied().filter(|object| !groups(&object) && !members.contains(&object.id));
        let removed = idle.into_iter().chain(alone);
        let requests = removed.filter_map(|object| Ours::recognise(object.clone()).ok().map(Request::Remove)).collect();
        Work { steps: Vec::new(), requests }
    }

    /// Keeps at most the first so many requests, and gives back the steps that are not among them.
    pub fn limit(&mut self, most: usize) -> Vec<Step> {
        if self.requests.len() <= most {
            return Vec::new();
        }
        self.requests.truncate(most);
        let done: BTreeSet<usize> = self.requests.iter().flat_map(Request::steps).collect();
        let mut kept = Vec::new();
        let mut left = Vec::new();
        for (position, step) in std::mem::take(&mut self.steps).into_iter().enumerate() {
            if done.contains(&position) { kept.push((position, step)) } else { left.push(step) }
        }
        let now: BTreeMap<usize, usize> = kept.iter().enumerate().map(|(now, (before, _))| (*before, now)).collect();
        let renumber = |step: &mut usize| *step = now.get(step).copied().unwrap_or_default();
        for request in &mut self.requests {
            match request {
                Request::Route { step, .. } => renumber(step),
                Request::Move { steps, .. } => steps.iter_mut().for_each(renumber),
                Request::Make(_) | Request::Remove(_) => {}
            }
        }
        self.steps = kept.into_iter().map(|(_, step)| step).collect();
        left
    }

    /// What the kernel's events would say if a request succeeds.
    ///
    /// A picture that learns it when the request is handed over stays right: the kernel's own events come after.
    pub fn effect(&self, request: &Request) -> Option<KernelEvent> {
        Some(match request {
            Request::Make(new) | Request::Move { new, .. } => KernelEvent::Nexthop(new.made()),
            Request::Remove(old) => KernelEvent::NexthopGone(old.id),
            Request::Route { step, object } => match self.steps.get(*step)? {
                Step::Add(route) => KernelEvent::Route(ActualRoute { nexthop: *object, ..route.made() }),
                Step::Replace { new, .. } => KernelEvent::RouteReplaced(ActualRoute { nexthop: *object, ..new.made() }),
                Step::Delete(old) => KernelEvent::RouteGone((**old).clone()),
            },
        })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

impl Request {
    /// The positions of the steps that it does.
    pub fn steps(&self) -> impl Iterator<Item = usize> {
        let (one, several) = match self {
            Request::Route { step, .. } => (Some(*step), &[][..]),
            Request::Move { steps, .. } => (None, steps.as_slice()),
            Request::Make(_) | Request::Remove(_) => (None, &[][..]),
        };
        one.into_iter().chain(several.iter().copied())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Route { step, object: None } => write!(f, "step {step}"),
            Request::Route { step, object: Some(id) } => write!(f, "step {step} by nexthop {id}"),
            Request::Make(new) => write!(f, "make nexthop {}", new.made()),
            Request::Move { new, .. } => write!(f, "replace nexthop {}", new.made()),
            Request::Remove(old) => write!(f, "remove nexthop {}", **old),
        }
    }
}

fn members(object: &ActualNexthop) -> impl Iterator<Item = u32> {
    let members = match &object.kind {
        NexthopKind::Group(members) => members.as_slice(),
        _ => &[],
    };
    members.iter().map(|member| member.id)
}

/// Of each step the next hops that its route should have by an object.
fn shared<'a>(steps: &'a [Step], want: &Wanted, actual: &Actual) -> Vec<Option<&'a NextHops>> {
    let of = |step: &'a Step| match step {
        Step::Add(route) | Step::Replace { new: route, .. } => match &route.kind {
            RouteKind::Unicast(hops) => want.by_object(&route.key(), actual).then_some(hops),
            RouteKind::Blackhole => None,
        },
        Step::Delete(_) => None,
    };
    steps.iter().map(of).collect()
}

/// In order: what needs no object; objects that are missing; routes that leave an object which is about to move, so that
/// none goes where nobody wanted it; the moves; other routes; deletions.
fn by_objects(steps: &[Step], want: &Wanted, actual: &Actual, objects: &Nexthops) -> Vec<Request> {
    let mut book = Book::new(objects);
    let shared = shared(steps, want, actual);
    let moves = book.moves(steps, &shared, actual);
    let moved: BTreeSet<usize> = moves.iter().flat_map(Request::steps).collect();
    let of_moved: BTreeSet<u32> = moves.iter().filter_map(moving).collect();
    let (mut plain, mut leaving, mut others, mut deletions) = (vec![], vec![], vec![], vec![]);
    for (position, (step, shared)) in steps.iter().zip(&shared).enumerate() {
        if moved.contains(&position) {
            continue;
        }
        let request = |object| Request::Route { step: position, object };
        match (step, shared) {
            (Step::Delete(_), _) => deletions.push(request(None)),
            (Step::Replace { old, .. }, Some(hops)) if old.nexthop.is_some_and(|id| of_moved.contains(&id)) => {
                leaving.push(request(book.object(hops)));
            }
            (_, Some(_)) => others.push(position),
            (_, None) => plain.push(request(None)),
        }
    }
    // From here on the moved ones lead where they are going.
    moves.iter().for_each(|request| book.note(request));
    let by_object = |position: usize| {
        let object = shared.get(position).copied().flatten().and_then(|hops| book.object(hops));
        Request::Route { step: position, object }
    };
    let others: Vec<Request> = others.into_iter().map(by_object).collect();
    // Members have the higher ids, and come before the groups that need them.
    let made = book.made.into_values().rev().map(Request::Make);
    plain.into_iter().chain(made).chain(leaving).chain(moves).chain(others).chain(deletions).collect()
}

fn moving(request: &Request) -> Option<u32> {
    match request {
        Request::Move { new, .. } => Some(new.id),
        _ => None,
    }
}

/// Where the steps of one object's routes lead.
#[derive(Default)]
struct Tally<'a> {
    to: BTreeMap<&'a NextHops, Vec<usize>>,
    elsewhere: usize,
}

/// The objects by what they are, with those that are about to be made.
struct Book<'a> {
    objects: &'a Nexthops,
    of_routes: BTreeMap<NextHops, u32>,
    of_groups: BTreeMap<NextHop, u32>,
    made: BTreeMap<u32, Nexthop>,
}

impl<'a> Book<'a> {
    fn new(objects: &'a Nexthops) -> Book<'a> {
        let mut book = Book { objects, of_routes: BTreeMap::new(), of_groups: BTreeMap::new(), made: BTreeMap::new() };
        let ours = || objects.iter().filter(|object| object.is_ours());
        for object in ours().filter(|object| OF_ROUTES.contains(&object.id)) {
            let Some(hops) = objects.hops(object.id) else { continue };
            // Of two that lead the same way, the one that is no group: a group may have shrunk to this.
            if matches!(object.kind, NexthopKind::One(_)) {
                book.of_routes.insert(hops, object.id);
            } else {
                book.of_routes.entry(hops).or_insert(object.id);
            }
        }
        for object in ours().filter(|object| OF_GROUPS.contains(&object.id)) {
            if let NexthopKind::One(hop) = object.kind {
                book.of_groups.entry(hop).or_insert(object.id);
            }
        }
        book
    }

    /// Objects whose routes all have to be changed, most of them to the same. Such an object is in the book no more.
    fn moves(&mut self, steps: &[Step], shared: &[Option<&NextHops>], actual: &Actual) -> Vec<Request> {
        let mut tallies: BTreeMap<u32, Tally<'_>> = BTreeMap::new();
        for (position, (step, shared)) in steps.iter().zip(shared).enumerate() {
            let (Step::Replace { old, .. } | Step::Delete(old)) = step else { continue };
            let Some(object) = old.nexthop else { continue };
            let tally = tallies.entry(object).or_default();
            match shared {
                Some(hops) => tally.to.entry(hops).or_default().push(position),
                None => tally.elsewhere += 1,
            }
        }
        tallies.into_iter().filter_map(|(id, tally)| self.one_move(id, tally, actual)).collect()
    }

    fn one_move(&mut self, id: u32, tally: Tally<'_>, actual: &Actual) -> Option<Request> {
        let old = Ours::recognise(self.objects.at(id)?.clone()).ok().filter(|_| OF_ROUTES.contains(&id))?;
        let touched = tally.elsewhere + tally.to.values().map(Vec::len).sum::<usize>();
        if touched != actual.routes.users(id) {
            return None;
        }
        let (hops, steps) = tally.to.into_iter().max_by_key(|(_, steps)| steps.len())?;
        // The kernel makes no group of what is none, nor the other way round.
        let kind = match (&old.kind, hops.as_slice()) {
            (NexthopKind::One(_), [hop]) => one(hop),
            (NexthopKind::Group(_), _) => self.group(hops)?,
            _ => return None,
        };
        self.of_routes.retain(|_, known| *known != id);
        Some(Request::Move { old, new: Nexthop { id, kind }, steps })
    }

    fn note(&mut self, request: &Request) {
        if let Request::Move { new: Nexthop { id, kind: NexthopKind::One(hop) }, .. } = request {
            self.of_routes.entry(NextHops::one(*hop)).or_insert(*id);
        }
    }

    /// The object that leads to these next hops; made if there is none. None if no id is left.
    fn object(&mut self, hops: &NextHops) -> Option<u32> {
        let single = match hops.as_slice() {
            [hop] if hop.weight != NonZeroU8::MIN => Some(NextHops::one(NextHop { weight: NonZeroU8::MIN, ..*hop })),
            _ => None,
        };
        let hops = single.as_ref().unwrap_or(hops);
        if let Some(id) = self.of_routes.get(hops) {
            return Some(*id);
        }
        let kind = match hops.as_slice() {
            [hop] => one(hop),
            _ => self.group(hops)?,
        };
        let id = self.make(OF_ROUTES, kind)?;
        self.of_routes.insert(hops.clone(), id);
        Some(id)
    }

    fn group(&mut self, hops: &NextHops) -> Option<NexthopKind> {
        let members: Option<Vec<Member>> = hops.as_slice().iter().map(|hop| self.member(hop)).collect();
        members.map(NexthopKind::Group)
    }

    fn member(&mut self, hop: &NextHop) -> Option<Member> {
        let plain = NextHop { weight: NonZeroU8::MIN, ..*hop };
        let id = match self.of_groups.get(&plain) {
            Some(id) => *id,
            None => {
                let id = self.make(OF_GROUPS, NexthopKind::One(plain))?;
                self.of_groups.insert(plain, id);
                id
            }
        };
        Some(Member { id, weight: hop.weight })
    }

    fn make(&mut self, range: std::ops::RangeInclusive<u32>, kind: NexthopKind) -> Option<u32> {
        let id = self.objects.free_id(range, &self.made)?;
        self.made.insert(id, Nexthop { id, kind });
        Some(id)
    }
}

fn one(hop: &NextHop) -> NexthopKind {
    NexthopKind::One(NextHop { weight: NonZeroU8::MIN, ..*hop })
}
