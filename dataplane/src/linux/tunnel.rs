//! The IPIP device `tunl0`: there, up, with its MTU and address.
//!
//! The kernel makes `tunl0` itself when it loads its `ipip` module, and never lets go of it; so it is shaped, not owned.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use model::kernel::{ROUTE_PROTOCOL, TUNNEL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::links;
use super::netlink::{Batch, NLM_F_CREATE, NLM_F_EXCL, Netlink, NetlinkError, rtm};
use crate::actual::{Address, Link};
use crate::ours::Ours;
use crate::want::Tunnel;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The kernel knows no device of kind `ipip`.
    #[error(
        "the kernel has no IPIP, which ipipMode Always and CrossSubnet need: load it (modprobe ipip), or set ipipMode: \
         Never in the IPPool where the network between the nodes can route pod addresses"
    )]
    NoIpip,
    /// There is a link of that name, which is something else.
    #[error("{TUNNEL} is a link of kind {0:?}, not ipip: rename or delete it")]
    OtherKind(String),
    /// The kernel refused.
    #[error("{TUNNEL}: cannot {doing}: {error}")]
    Refused {
        /// Which step.
        doing: String,
        /// In the kernel's words.
        error: NetlinkError,
    },
}

/// One thing that had to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The device was missing.
    Create,
    /// It had another MTU.
    Mtu(u32),
    /// It was down.
    Up,
    /// The address was missing.
    Address(Ipv4Addr),
    /// An address that we once gave it is not wanted any more.
    NoAddress(Ours<Address>),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Create => f.write_str("create the device"),
            Change::Mtu(mtu) => write!(f, "set the MTU to {mtu}"),
            Change::Up => f.write_str("bring it up"),
            Change::Address(address) => write!(f, "add the address {address}"),
            Change::NoAddress(address) => write!(f, "remove the address {}", address.address),
        }
    }
}

/// Makes the tunnel as wanted and says what had to be done; nothing if it was right.
pub fn settle(netlink: &mut Netlink, want: &Tunnel) -> Result<Vec<Change>, TunnelError> {
    let mut done = Vec::new();
    let link = match find(netlink)? {
        Some(link) => link,
        None => {
            create(netlink)?;
            done.push(Change::Create);
            // Loading the module may have made it, or we did; gone in between, it is as if there were no module.
            find(netlink)?.ok_or(TunnelError::NoIpip)?
        }
    };
    match link.kind.as_deref() {
        Some("ipip") => {}
        kind => return Err(TunnelError::OtherKind(kind.unwrap_or("unknown").to_string())),
    }
    done.extend(shape(netlink, &link, want)?);
    Ok(done)
}

/// Takes our addresses off the tunnel when none is wanted. The device stays, as others may use it.
pub fn retire(netlink: &mut Netlink) -> Result<Vec<Change>, TunnelError> {
    let Some(link) = find(netlink)? else { return Ok(vec![]) };
    let changes: Vec<Change> = no_longer_wanted(&addresses(netlink, &link)?, None).collect();
    apply(netlink, &link, &changes)?;
    Ok(changes)
}

/// Brings a link that exists to the wanted MTU, state and addresses.
fn shape(netlink: &mut Netlink, link: &Link, want: &Tunnel) -> Result<Vec<Change>, TunnelError> {
    let changes = changes(link, &addresses(netlink, link)?, want);
    apply(netlink, link, &changes)?;
    Ok(changes)
}

/// What is to be done to a link with these addresses, in order.
fn changes(link: &Link, addresses: &[Address], want: &Tunnel) -> Vec<Change> {
    let mut changes = Vec::new();
    if link.mtu != want.mtu {
        changes.push(Change::Mtu(want.mtu));
    }
    if !link.up {
        changes.push(Change::Up);
    }
    if let Some(address) = want.address {
        let there = addresses.iter().any(|have| have.address == IpAddr::V4(address) && have.length == 32);
        changes.extend((!there).then_some(Change::Address(address)));
    }
    changes.extend(no_longer_wanted(addresses, want.address));
    changes
}

/// Our addresses other than the wanted one.
fn no_longer_wanted(addresses: &[Address], want: Option<Ipv4Addr>) -> impl Iterator<Item = Change> {
    let others = addresses.iter().filter(move |have| Some(have.address) != want.map(IpAddr::V4));
    others.filter_map(|address| Ours::recognise(*address).ok().map(Change::NoAddress))
}

fn apply(netlink: &mut Netlink, link: &Link, changes: &[Change]) -> Result<(), TunnelError> {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Create => continue,
            Change::Mtu(mtu) => batch.push(rtm::SETLINK, 0, &link_message(link, vec![LinkAttribute::Mtu(*mtu)])),
            Change::Up => {
                let mut message = link_message(link, vec![]);
                message.header.flags = LinkFlags::Up;
                message.header.change_mask = LinkFlags::Up;
                batch.push(rtm::SETLINK, 0, &message)
            }
            Change::Address(address) => {
                batch.push(rtm::NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address_message(link, *address))
            }
            Change::NoAddress(old) => match old.address {
                IpAddr::V4(address) => batch.push(rtm::DELADDR, 0, &address_message(link, address)),
                IpAddr::V6(_) => continue,
            },
        };
    }
    let refused = netlink.run(&mut batch).map_err(failed("shape it"))?.refused;
    match refused.first() {
        None => Ok(()),
        Some((at, refusal)) => {
            let doing = changes.iter().filter(|change| **change != Change::Create).nth(*at).map(Change::to_string);
            Err(TunnelError::Refused {
                doing: doing.unwrap_or_default(),
                error: NetlinkError::Refused(refusal.clone()),
            })
        }
    }
}

fn failed(doing: &'static str) -> impl Fn(NetlinkError) -> TunnelError {
    move |error| TunnelError::Refused { doing: doing.to_string(), error }
}

fn find(netlink: &mut Netlink) -> Result<Option<Link>, TunnelError> {
    links::by_name(netlink, TUNNEL).map_err(failed("find it"))
}

fn addresses(netlink: &mut Netlink, link: &Link) -> Result<Vec<Address>, TunnelError> {
    let mut all = links::addresses(netlink).map_err(failed("read its addresses"))?;
    all.retain(|address| address.index == link.index);
    Ok(all)
}

fn create(netlink: &mut Netlink) -> Result<(), TunnelError> {
    let mut message = LinkMessage::default();
    message.attributes =
        vec![LinkAttribute::IfName(TUNNEL.to_string()), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::IpIp)])];
    match netlink.request(rtm::NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &message) {
        // The module, loaded for this request, made the device first.
        Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
        Err(error) if matches!(error.errno(), Some(libc::EOPNOTSUPP | libc::ENODEV)) => Err(TunnelError::NoIpip),
        result => result.map(|_| ()).map_err(failed("create it")),
    }
}

fn link_message(link: &Link, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    message.attributes = attributes;
    message
}

fn address_message(link: &Link, address: Ipv4Addr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = 32;
    message.header.scope = AddressScope::Universe;
    message.header.index = link.index;
    message.attributes = vec![
        AddressAttribute::Local(address.into()),
        AddressAttribute::Address(address.into()),
        AddressAttribute::Protocol(AddressProtocol::from(ROUTE_PROTOCOL)),
    ];
    message
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::linux::netns;

    /// Runs in a namespace of its own, where a link of another kind stands in: what is done to it is the same.
    fn with_stand_in(test: impl FnOnce(&mut Netlink, &dyn Fn() -> Link) + Send + 'static) {
        std::thread::spawn(|| {
            netns::unshare().unwrap();
            ip("link add tunl0 mtu 1400 type veth peer name other");
            let mut netlink = Netlink::route().unwrap();
            test(&mut netlink, &|| find(&mut Netlink::route().unwrap()).unwrap().unwrap());
        })
        .join()
        .unwrap();
    }

    fn ip(arguments: &str) -> String {
        let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_tunnel_gets_its_mtu_state_and_address_once() {
        with_stand_in(|netlink, link| {
            let first = Ipv4Addr::new(10, 1, 0, 1);
            let want = Tunnel { mtu: 1480, address: Some(first) };
            let done = shape(netlink, &link(), &want).unwrap();
            assert_eq!(done, [Change::Mtu(1480), Change::Up, Change::Address(first)]);
            assert_eq!(shape(netlink, &link(), &want).unwrap(), []);
            assert!(ip("addr show dev tunl0").contains("mtu 1480"));
            assert!(ip("addr show dev tunl0").contains("inet 10.1.0.1/32 scope global"));
        });
    }

    #[test]
    fn only_an_address_that_we_gave_goes_when_another_is_wanted() {
        with_stand_in(|netlink, link| {
            ip("addr add 192.0.2.1/32 dev tunl0");
            let want = |last: u8| Tunnel { mtu: 1400, address: Some(Ipv4Addr::new(10, 1, 0, last)) };
            shape(netlink, &link(), &want(1)).unwrap();
            let done: Vec<String> = shape(netlink, &link(), &want(2)).unwrap().iter().map(Change::to_string).collect();
            assert_eq!(done, ["add the address 10.1.0.2", "remove the address 10.1.0.1"]);
            assert_eq!(retire(netlink).unwrap().len(), 1);
            let left = ip("-o -4 addr show dev tunl0");
            assert!(left.contains("192.0.2.1") && left.lines().count() == 1, "{left}");
        });
    }

    #[test]
    fn a_link_of_that_name_and_another_kind_is_an_error_that_says_so() {
        with_stand_in(|netlink, _| {
            let error = settle(netlink, &Tunnel { mtu: 1480, address: None }).unwrap_err().to_string();
            assert_eq!(error, "tunl0 is a link of kind \"veth\", not ipip: rename or delete it");
        });
    }

    #[test]
    fn a_tunnel_is_made_or_the_error_says_what_to_do() {
        std::thread::spawn(|| {
            netns::unshare().unwrap();
            let mut netlink = Netlink::route().unwrap();
            let want = Tunnel { mtu: 1480, address: None };
            // Which of the two depends on the kernel that runs the test.
            match settle(&mut netlink, &want) {
                Ok(_) => assert_eq!(settle(&mut netlink, &want).unwrap(), []),
                Err(error) => {
                    assert!(matches!(error, TunnelError::NoIpip), "{error}");
                    assert!(error.to_string().contains("modprobe ipip"), "{error}");
                }
            }
        })
        .join()
        .unwrap();
    }
}
