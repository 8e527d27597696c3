//! Where to send packets: NEXT_HOP and the next hop of MP_REACH_NLRI.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::Family;

/// A next hop. Which forms are possible depends on the family of the prefixes and on RFC 8950.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// A global IPv6 address, or a link-local one alone.
    V6(Ipv6Addr),
    /// A global IPv6 address and the link-local one of the same router (RFC 2545 §3).
    V6WithLinkLocal(Ipv6Addr, Ipv6Addr),
}

impl NextHop {
    /// The address that stands for the router: the global one where there are two.
    pub fn address(&self) -> IpAddr {
        match *self {
            NextHop::V4(a) => a.into(),
            NextHop::V6(a) | NextHop::V6WithLinkLocal(a, _) => a.into(),
        }
    }
    /// The link-local address, if there is one.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        match *self {
            NextHop::V6WithLinkLocal(_, a) => Some(a),
            NextHop::V6(a) if a.is_unicast_link_local() => Some(a),
            _ => None,
        }
    }
    /// The family of the address, which need not be that of the prefixes.
    pub fn family(&self) -> Family {
        Family::of(self.address())
    }
    /// Whether it can be the address of a host other than those in `own` (RFC 4271 §6.3).
    pub(crate) fn is_another_host(&self, own: &[IpAddr]) -> bool {
        let plausible = match self.address() {
            IpAddr::V4(a) => {
                let [first, ..] = a.octets();
                !matches!(first, 0 | 127 | 224..)
            }
            // An IPv4 address in IPv6 clothes is no address on any link.
            IpAddr::V6(a) => {
                !a.is_unspecified() && !a.is_loopback() && !a.is_multicast() && a.to_ipv4_mapped().is_none()
            }
        };
        plausible && !own.contains(&self.address())
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> NextHop {
        match address {
            IpAddr::V4(a) => NextHop::V4(a),
            IpAddr::V6(a) => NextHop::V6(a),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHop::V6WithLinkLocal(global, local) => write!(f, "{global} ({local})"),
            other => other.address().fmt(f),
        }
    }
}
impl fmt::Debug for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
