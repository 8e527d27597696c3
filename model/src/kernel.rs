//! The marks by which a newborn agent, with no memory, recognises in the kernel what is ours.

/// The routing protocol number of every route we make (`rtm_protocol`, linux/rtnetlink.h; named `margay` in `rt_protos.d`).
pub const ROUTE_PROTOCOL: u8 = 109;
/// The metric of every route we make (`RTA_PRIORITY`): Calico's normal priority, so that a route an operator adds by hand wins.
pub const ROUTE_METRIC: u32 = 1024;
/// Host sides of pod links begin so; 11 hex digits of a SHA-1 follow.
pub const POD_LINK_PREFIX: &str = "cali";
/// The link group of host sides (`IFLA_GROUP`): many links of a group go in one RCU grace period.
pub const POD_LINK_GROUP: u32 = 109;
/// The MAC address of every host side, as Calico has it.
pub const POD_LINK_MAC: [u8; 6] = [0xee; 6];
/// The IPv4 gateway of every pod: link-local, answered by a permanent neighbour entry and by proxy ARP.
pub const POD_GATEWAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 1, 1);
/// The IPv6 gateway of every pod: the link-local address that follows from [`POD_LINK_MAC`] (EUI-64).
pub const POD_GATEWAY_V6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);
/// Octets of an interface's name at most (IFNAMSIZ without its end).
pub const INTERFACE_NAME_LIMIT: usize = 15;

/// Whether the kernel would take it as an interface's name (`dev_valid_name`), control characters being nobody's wish.
pub fn is_interface_name(name: &str) -> bool {
    let separates = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    (1..=INTERFACE_NAME_LIMIT).contains(&name.len()) && ![".", ".."].contains(&name) && !name.contains(separates)
}

/// The one nftables table of ours, family `inet`.
pub const NFT_TABLE: &str = "margay";
/// The IPIP device.
pub const TUNNEL: &str = "tunl0";
