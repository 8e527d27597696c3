//! What is ours in the kernel, told by its mark. Only that can be deleted.

use model::kernel;
use serde::Serialize;

use crate::actual::{ActualRoute, Address, Link};
use crate::nexthop::{ActualNexthop, OF_GROUPS, OF_ROUTES};

/// Something in the kernel that carries our mark.
///
/// There is no way to make one but to recognise it in what the kernel said, so that deleting a thing of somebody else
/// does not compile:
///
/// ```compile_fail,E0308
/// use dataplane::{diff::Step, want::Route};
/// fn forget(route: Route) -> Step {
///     Step::Delete(route)
/// }
/// ```
///
/// ```compile_fail,E0423
/// use dataplane::{actual::ActualRoute, diff::Step, ours::Ours};
/// fn forget(route: ActualRoute) -> Step {
///     Step::Delete(Ours(route))
/// }
/// ```
///
/// ```
/// use dataplane::{actual::ActualRoute, diff::Step, ours::Ours};
/// fn forget(route: ActualRoute) -> Option<Step> {
///     Ours::recognise(route).ok().map(Step::Delete)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Ours<T>(T);

/// Carries a mark by which a newborn agent recognises it.
pub trait Marked {
    /// Whether the mark is ours.
    fn is_ours(&self) -> bool;
}

impl Marked for ActualRoute {
    /// The route's protocol number.
    fn is_ours(&self) -> bool {
        self.protocol == kernel::ROUTE_PROTOCOL
    }
}

impl Marked for ActualNexthop {
    /// The object's protocol number, which is the routes', and an id of those that we give.
    fn is_ours(&self) -> bool {
        self.protocol == kernel::ROUTE_PROTOCOL && (OF_ROUTES.contains(&self.id) || OF_GROUPS.contains(&self.id))
    }
}

impl Marked for Address {
    /// The address's protocol number, which is the routes'.
    fn is_ours(&self) -> bool {
        self.protocol == kernel::ROUTE_PROTOCOL
    }
}

impl Marked for Link {
    /// The host side of a pod's link: its name and its group. The name alone could be Calico's.
    fn is_ours(&self) -> bool {
        self.group == kernel::POD_LINK_GROUP && self.name.starts_with(kernel::POD_LINK_PREFIX)
    }
}

impl<T: Marked> Ours<T> {
    /// Recognises a thing by its mark, or gives it back.
    pub fn recognise(thing: T) -> Result<Ours<T>, T> {
        if thing.is_ours() { Ok(Ours(thing)) } else { Err(thing) }
    }
}

impl<T> std::ops::Deref for Ours<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actual::ActualKind;

    #[test]
    fn only_a_route_of_our_protocol_is_ours() {
        let route = |protocol| ActualRoute {
            prefix: "10.1.0.0/26".parse().unwrap(),
            metric: 1024,
            protocol,
            nexthop: None,
            kind: ActualKind::Blackhole,
        };
        assert!(Ours::recognise(route(kernel::ROUTE_PROTOCOL)).is_ok());
        assert_eq!(Ours::recognise(route(12)), Err(route(12)));
    }

    #[test]
    fn a_link_of_calico_is_not_ours_for_its_name() {
        let link = |group| Link {
            index: 7,
            name: "cali0123456789a".into(),
            up: true,
            carrier: true,
            mtu: 1500,
            group,
            kind: Some("veth".into()),
            mac: None,
            alias: None,
        };
        assert!(Ours::recognise(link(kernel::POD_LINK_GROUP)).is_ok());
        assert!(Ours::recognise(link(0)).is_err());
    }
}
