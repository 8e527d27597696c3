//! Work that the kernel is at, and whether somebody else may have been at the same places.
//!
//! The kernel tells us nothing of what we do ourselves. So what another does to a place while we are at it is known, but
//! not whether it came before or after: the routes are then read again.

use dataplane::actual::KernelEvent;
use dataplane::requests::{Request, Work};
use dataplane::want::RouteKey;

/// From handing work over until the kernel is through with it and everything that happened by then is told.
#[derive(Debug)]
pub(super) struct Flight {
    /// Sorted.
    places: Vec<RouteKey>,
    objects: bool,
    done: bool,
    told: bool,
    doubtful: bool,
}

impl Flight {
    /// Of work that is handed over now.
    pub(super) fn of(work: &Work) -> Flight {
        let objects = work.requests.iter().any(|request| !matches!(request, Request::Route { object: None, .. }));
        let mut places: Vec<RouteKey> = work.steps.iter().map(|step| step.key()).collect();
        places.sort_unstable();
        Flight { places, objects, done: false, told: false, doubtful: false }
    }

    /// Something that others did, or that is known of all.
    pub(super) fn note(&mut self, event: &KernelEvent) {
        match event {
            KernelEvent::Route(route) | KernelEvent::RouteReplaced(route) | KernelEvent::RouteGone(route) => {
                self.doubtful |= self.places.binary_search(&route.key()).is_ok();
            }
            KernelEvent::Nexthop(_) | KernelEvent::NexthopGone(_) => self.doubtful |= self.objects,
            // Of a moment when part of the work was done.
            KernelEvent::Routes(_) | KernelEvent::Nexthops(_) => self.doubtful = true,
            // After events were lost, a mark among them.
            KernelEvent::Snapshot(_) => (self.doubtful, self.told) = (true, true),
            KernelEvent::Marked => self.told = true,
            // What a link takes away with it is found by reading the routes, which the monitor does.
            KernelEvent::Link(_) | KernelEvent::LinkGone { .. } => {}
            KernelEvent::Address(_) | KernelEvent::AddressGone(_) => {}
            KernelEvent::Overrun | KernelEvent::NftTable(_) => {}
        }
    }

    /// The kernel is through with the work. Without a mark nobody hears events, and a snapshot will follow.
    pub(super) fn done(&mut self, marked: bool) {
        self.done = true;
        self.told |= !marked;
    }

    /// Whether the picture can be used again.
    pub(super) fn is_over(&self) -> bool {
        self.done && self.told
    }

    /// Whether the routes have to be read first.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }
}

#[cfg(test)]
mod tests {
    use dataplane::actual::Actual;
    use dataplane::diff::Step;
    use dataplane::want::Route;
    use dataplane::wanted::Wanted;

    use super::*;

    fn route(text: &str) -> Route {
        Route::blackhole(text.parse().unwrap())
    }

    fn flight() -> Flight {
        let steps = vec![Step::Add(route("10.1.0.0/26"))];
        Flight::of(&Work::new(steps, &Wanted::default(), &Actual::default()))
    }

    #[test]
    fn only_what_others_do_to_the_same_places_is_doubtful() {
        let mut flight = flight();
        flight.note(&KernelEvent::RouteGone(route("10.2.0.0/26").made()));
        flight.note(&KernelEvent::NexthopGone(7));
        assert!(!flight.is_doubtful());
        flight.note(&KernelEvent::RouteGone(route("10.1.0.0/26").made()));
        assert!(flight.is_doubtful());
    }

    #[test]
    fn work_is_over_when_the_kernel_is_through_and_all_is_told_in_whatever_order() {
        let mut first = flight();
        first.note(&KernelEvent::Marked);
        assert!(!first.is_over());
        first.done(true);
        assert!(first.is_over());
        let mut second = flight();
        second.done(true);
        assert!(!second.is_over());
        second.note(&KernelEvent::Snapshot(Default::default()));
        assert!(second.is_over() && second.is_doubtful());
        let mut unheard = flight();
        unheard.done(false);
        assert!(unheard.is_over());
    }
}
