//! Plumbing one pod: a veth whose peer is born in the pod's namespace, host routes, a link-local gateway. Each step can be
//! repeated after a kill at any point: what stands and is right is adopted, what is wrong is made anew.

mod check;
mod host;
mod inside;
mod message;
mod remove;
mod seen;
#[cfg(test)]
mod tests;

pub use check::check;
pub use remove::remove;

use std::os::fd::{AsFd, AsRawFd};

use model::api::AttachPlan;
use model::kernel;

use self::message::Requests;
use self::seen::LinkSeen;
use super::netlink::{Netlink, NetlinkError, Refusal};
use super::netns::{Netns, NetnsError};
use super::sysctl::SysctlError;

/// What a pod's link is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodWant {
    /// Names, addresses, MTU, routes.
    pub plan: AttachPlan,
    /// Name of the pod's side (`CNI_IFNAME`).
    pub ifname: String,
    /// MAC address of the pod's side, for a link made anew.
    pub mac: [u8; 6],
    /// Alias of the host side, by which a newborn agent knows whose it is; see [`model::pod_link::mark`].
    pub mark: Option<String>,
}

impl PodWant {
    fn has_ipv6(&self) -> bool {
        self.plan.addresses.iter().any(|address| address.is_ipv6())
    }
}

/// Both sides of a pod's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Index of the host side.
    pub host_ifindex: u32,
    /// Index of the pod's side, in the pod's namespace.
    pub pod_ifindex: u32,
    /// MAC address of the pod's side.
    pub mac: [u8; 6],
}

/// Why a pod could not be plumbed.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The exchange with the kernel failed.
    #[error("{doing}: {error}")]
    Netlink {
        /// What was asked for.
        doing: String,
        /// What became of it.
        error: NetlinkError,
    },
    /// The kernel said no.
    #[error("{doing}: {refusal}")]
    Refused {
        /// What was asked for.
        doing: String,
        /// In the kernel's words.
        refusal: Refusal,
    },
    /// A kernel setting.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The pod's namespace, or the node's own.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Something that is not ours is in the way, and is left alone.
    #[error("{0}")]
    Foreign(String),
}

/// Plumbs one pod, step by step. The steps in order: [`Plumber::pair`], [`Plumber::settle`], [`Plumber::raise`], [`Plumber::furnish`],
/// [`Plumber::introduce`].
///
/// For a program of one thread, or a thread of one's own: `furnish` moves the calling thread into the pod's namespace and back.
#[derive(Debug)]
pub struct Plumber<'a> {
    want: &'a PodWant,
    pod: &'a Netns,
    home: Netns,
    netlink: Netlink,
}

impl<'a> Plumber<'a> {
    /// From the node's namespace, in which the calling thread is.
    pub fn new(want: &'a PodWant, pod: &'a Netns) -> Result<Plumber<'a>, PodError> {
        let netlink = Netlink::route().map_err(|error| PodError::Netlink { doing: "speak netlink".into(), error })?;
        Ok(Plumber { want, pod, home: Netns::current()?, netlink })
    }

    /// All steps.
    pub fn plumb(&mut self) -> Result<Pair, PodError> {
        let pair = self.host()?;
        self.furnish(&pair)?;
        self.introduce(&pair)?;
        Ok(pair)
    }

    /// The steps on the node's side.
    pub fn host(&mut self) -> Result<Pair, PodError> {
        let pair = self.pair()?;
        self.settle()?;
        self.raise(&pair)?;
        Ok(pair)
    }

    /// Makes the link, its peer in the pod's namespace; adopts the one that an interrupted call left.
    pub fn pair(&mut self) -> Result<Pair, PodError> {
        match self.create() {
            Err(PodError::Refused { refusal, .. }) if refusal.errno == libc::EEXIST => {}
            made => return made,
        }
        let name = &self.want.plan.host_interface;
        let Some(host) = seen::link(&mut self.netlink, name)? else {
            let problem = format!("the pod has an interface {} already, and it is not ours", self.want.ifname);
            return Err(PodError::Foreign(problem));
        };
        if !host.is_veth() {
            return Err(PodError::Foreign(format!("{name} exists and is no veth; it is left alone")));
        }
        if let Some(pair) = self.adopt(&host)? {
            return Ok(pair);
        }
        // Of an earlier sandbox of the same pod, which is on its way out: its name goes to the new one.
        let mut requests = Requests::new();
        requests.delete_link(host.link.index, name);
        requests.run(&mut self.netlink, &[libc::ENODEV])?;
        self.create()
    }

    fn create(&mut self) -> Result<Pair, PodError> {
        let mut requests = Requests::new();
        let position = requests.create_pair(self.want, self.pod.as_fd().as_raw_fd());
        let replies = requests.run(&mut self.netlink, &[])?;
        // Linux 6.2 echoes the link as made; an older kernel is asked.
        let echo =
            replies.answers.iter().find(|(at, _, _)| *at == position).and_then(|(_, _, bytes)| LinkSeen::read(bytes));
        let host = match echo {
            Some(host) => Some(host),
            None => seen::link(&mut self.netlink, &self.want.plan.host_interface)?,
        };
        match host.and_then(|host| Some((host.link.index, host.peer_index?))) {
            Some((host_ifindex, pod_ifindex)) => Ok(Pair { host_ifindex, pod_ifindex, mac: self.want.mac }),
            None => Err(PodError::Foreign(format!("{} went away while it was made", self.want.plan.host_interface))),
        }
    }

    /// The pair, if the host side's peer is the pod's interface of the wanted name.
    fn adopt(&mut self, host: &LinkSeen) -> Result<Option<Pair>, PodError> {
        if host.peer_nsid.is_none() || host.peer_nsid != seen::nsid(&mut self.netlink, self.pod)? {
            return Ok(None);
        }
        let ifname = &self.want.ifname;
        let pod = self.inside(|netlink| seen::link(netlink, ifname))?;
        let Some(pod) = pod.filter(|pod| Some(pod.link.index) == host.peer_index) else { return Ok(None) };
        let (host, pod) = (&host.link, pod.link);
        let pair = Pair { host_ifindex: host.index, pod_ifindex: pod.index, mac: pod.mac.unwrap_or(self.want.mac) };
        let mut requests = Requests::new();
        requests.repair_host(host.index, self.want);
        requests.run(&mut self.netlink, &[])?;
        let mtu = self.want.plan.mtu;
        self.inside(|netlink| {
            let mut requests = Requests::new();
            requests.mtu(pod.index, mtu, ifname);
            requests.run(netlink, &[]).map(|_| ())
        })?;
        Ok(Some(pair))
    }

    /// The host side's settings, before it is up.
    pub fn settle(&self) -> Result<(), PodError> {
        host::settle(self.want)
    }

    /// Takes the host side up and lays the routes to the pod.
    pub fn raise(&mut self, pair: &Pair) -> Result<(), PodError> {
        host::raise(&mut self.netlink, self.want, pair.host_ifindex)
    }

    /// The pod's side: addresses, the gateway's neighbour entry, routes.
    pub fn furnish(&mut self, pair: &Pair) -> Result<(), PodError> {
        let want = self.want;
        self.inside(|netlink| inside::furnish(netlink, want, pair.pod_ifindex))
    }

    /// Tells the node's kernel the pod's MAC address. If others send to the pod already, it has asked for it while nobody was
    /// there to answer, and would ask again after a second; what it has to send until then goes out now.
    pub fn introduce(&mut self, pair: &Pair) -> Result<(), PodError> {
        host::introduce(&mut self.netlink, self.want, pair)
    }

    /// Runs `work` with a netlink socket of the pod's namespace, and comes back whatever it says.
    fn inside<T>(&self, work: impl FnOnce(&mut Netlink) -> Result<T, PodError>) -> Result<T, PodError> {
        self.pod.enter()?;
        let result = Netlink::route()
            .map_err(|error| PodError::Netlink { doing: "speak netlink in the pod".into(), error })
            .and_then(|mut netlink| work(&mut netlink));
        self.home.enter()?;
        result
    }
}

/// The link group of host sides.
const GROUP: u32 = kernel::POD_LINK_GROUP;
