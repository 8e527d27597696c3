//! Who holds which address. Decides, with the reason; the decision's records, applied, make it so.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use model::api::{Attachment, RefusalCode};
use model::{Family, PodRef, Time, pod_link};

use crate::ask::{Ask, Wish, WishError};
use crate::free::Freed;
use crate::lease::{Lease, Plumbed, Record, unclaimed};
use crate::space::{Block, Openness, Space};

/// The most leases a node can have.
pub const LEASE_LIMIT: usize = 1 << 16;

/// All leases of this node.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    pub(crate) leases: BTreeMap<Attachment, Lease>,
    pub(crate) holders: HashMap<IpAddr, Attachment>,
    pub(crate) freed: Freed,
    /// Since when a lease has been seen without its link. Not recorded: a restart begins to count anew.
    pub(crate) without_link: BTreeMap<Attachment, Time>,
}

/// An answer to an attach, to be recorded before it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The lease as it will stand.
    pub lease: Lease,
    /// Was it there before?
    pub reused: bool,
    /// For a person.
    pub reason: String,
    /// To be written, then applied. Empty if nothing changes.
    pub records: Vec<Record>,
}

/// Why no address was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// An annotation or a runtime argument that makes no sense.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// A pool that the pod names has no block on this node.
    #[error("{annotation}: {problem}")]
    Pool {
        /// The annotation.
        annotation: String,
        /// What is wrong.
        problem: String,
    },
    /// An address that the pod names lies in no block of this node.
    #[error("{address} ({source_name}): {problem}")]
    Outside {
        /// As asked for.
        address: IpAddr,
        /// The annotation, or the runtime's argument.
        source_name: String,
        /// Why it cannot be given.
        problem: String,
    },
    /// An address that the pod names lies in a block, and is not marked as this node's yet.
    #[error("{address} ({source_name}) is not ready: its block does not say that it is this node's")]
    Unready {
        /// As asked for.
        address: IpAddr,
        /// The annotation, or the runtime's argument.
        source_name: String,
    },
    /// An address that the pod names is another's.
    #[error("{address} ({source_name}) is held by {holder}")]
    Taken {
        /// As asked for.
        address: IpAddr,
        /// The annotation, or the runtime's argument.
        source_name: String,
        /// The pod, or the container.
        holder: String,
    },
    /// Nothing here can be given to this pod.
    #[error("no address to give: {0}")]
    NoBlock(String),
    /// Every address that could be given is held.
    #[error("no {family} address is free: {usage}")]
    Exhausted {
        /// Of which family.
        family: Family,
        /// "10.1.0.0/26 of pool a: 64 of 64 held".
        usage: String,
    },
    /// More leases than a node can have.
    #[error("this node has {0} leases, its limit")]
    TooMany(usize),
}

impl IpamError {
    /// How the caller acts on it: wrong words are wrong again next time, a full pool may not be.
    pub fn refusal_code(&self) -> RefusalCode {
        match self {
            IpamError::Wish(_) | IpamError::Pool { .. } | IpamError::Outside { .. } => RefusalCode::Invalid,
            IpamError::Taken { .. }
            | IpamError::Unready { .. }
            | IpamError::NoBlock(_)
            | IpamError::Exhausted { .. }
            | IpamError::TooMany(_) => RefusalCode::TryAgain,
        }
    }
}

impl Leases {
    /// All of them, by attachment.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The lease of one attachment.
    pub fn of(&self, attachment: &Attachment) -> Option<&Lease> {
        self.leases.get(attachment)
    }

    /// The lease that stands for a link whose container is not known.
    pub fn of_link(&self, host_interface: &str) -> Option<&Lease> {
        self.of(&unclaimed(host_interface))
    }

    /// The lease that holds an address.
    pub fn holder(&self, address: IpAddr) -> Option<&Lease> {
        self.holders.get(&address).and_then(|attachment| self.leases.get(attachment))
    }

    /// Whether a lease of this address has ended here, and none has begun since.
    pub fn has_ended(&self, address: IpAddr) -> bool {
        !self.holders.contains_key(&address) && self.freed.has(address)
    }

    /// The lease for an attachment: the one it has, or a new one. The same question has the same answer however often it is asked.
    ///
    /// A pod in a new container (a new sandbox) gets a new address; the old one is free once its own DEL, GC or reconcile says so.
    pub fn attach(&self, ask: &Ask, space: &Space) -> Result<Decision, IpamError> {
        let attach = &ask.attach;
        if let Some(lease) = self.of(&attach.attachment) {
            return Ok(self.again(lease, ask));
        }
        let host_interface = self.host_interface(attach.pod.as_ref(), &attach.attachment);
        if let Some(lease) = self.of_link(&host_interface) {
            return Ok(claim(lease, ask));
        }
        if self.len() >= LEASE_LIMIT {
            return Err(IpamError::TooMany(self.len()));
        }
        let wish = Wish::read(ask)?;
        let mut records = Vec::new();
        let (addresses, reason) = if wish.addresses.is_empty() {
            self.any(&wish, space)?
        } else {
            self.named(&wish, ask, space, &mut records)?
        };
        let lease = Lease {
            attachment: attach.attachment.clone(),
            network: attach.network.clone(),
            pod: attach.pod.clone(),
            uid: attach.uid.clone(),
            netns: attach.netns.clone(),
            host_interface,
            addresses,
            mtu: ask.mtu,
            since: ask.unix_seconds,
            plumbed: None,
        };
        records.push(Record::Lease(lease.clone()));
        Ok(Decision { lease, reused: false, reason, records })
    }

    /// The shim is done: what to record. None for an attachment that has no lease, or said so before.
    pub fn plumbed(&self, attachment: &Attachment, plumbed: &Plumbed) -> Option<Record> {
        let lease = self.of(attachment)?;
        (lease.plumbed.as_ref() != Some(plumbed))
            .then(|| Record::Plumbed { attachment: attachment.clone(), plumbed: plumbed.clone() })
    }

    /// Makes a record true. Records are applied in the order in which they were written.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Lease(lease) => {
                self.end(&lease.attachment);
                // A claimed lease replaces the one that stood for its link.
                self.end(&unclaimed(&lease.host_interface));
                for &address in &lease.addresses {
                    self.freed.take(address);
                    self.holders.insert(address, lease.attachment.clone());
                }
                self.leases.insert(lease.attachment.clone(), lease);
            }
            Record::Plumbed { attachment, plumbed } => {
                if let Some(lease) = self.leases.get_mut(&attachment) {
                    lease.plumbed = Some(plumbed);
                }
            }
            Record::Release { attachment } => self.end(&attachment),
            Record::Freed(addresses) => {
                for address in addresses.into_iter().filter(|a| !self.holders.contains_key(a)).collect::<Vec<_>>() {
                    self.freed.push(address);
                }
            }
        }
    }

    /// The fewest records that make these leases: what a compacted journal holds.
    pub fn records(&self) -> Vec<Record> {
        let freed: Vec<IpAddr> = self.freed.in_order().collect();
        let freed = freed.chunks(256).map(|some| Record::Freed(some.to_vec()));
        freed.chain(self.leases.values().cloned().map(Record::Lease)).collect()
    }

    fn end(&mut self, attachment: &Attachment) {
        self.without_link.remove(attachment);
        let Some(lease) = self.leases.remove(attachment) else { return };
        for address in lease.addresses {
            if self.holders.get(&address) == Some(attachment) {
                self.holders.remove(&address);
                self.freed.push(address);
            }
        }
    }

    /// The name of the host side: Calico's for the first interface of a container, another for further ones.
    fn host_interface(&self, pod: Option<&PodRef>, attachment: &Attachment) -> String {
        let name = pod_link::name(pod, &attachment.container_id);
        let first = Attachment { container_id: attachment.container_id.clone(), ifname: String::new() };
        let of_container = self.leases.range(first..).take_while(|(a, _)| a.container_id == attachment.container_id);
        if of_container.into_iter().any(|(_, lease)| lease.host_interface == name) {
            pod_link::further_name(pod, attachment)
        } else {
            name
        }
    }

    fn again(&self, lease: &Lease, ask: &Ask) -> Decision {
        let told = ask.attach.pod.is_some() && lease.pod.is_none() || lease.netns != ask.attach.netns;
        let mut lease = lease.clone();
        let mut records = Vec::new();
        if told {
            lease.netns = ask.attach.netns.clone();
            lease.pod = ask.attach.pod.clone().or(lease.pod);
            lease.uid = ask.attach.uid.clone().or(lease.uid);
            records.push(Record::Lease(lease.clone()));
        }
        Decision { lease, reused: true, reason: "this container and interface already have a lease".into(), records }
    }

    fn any(&self, wish: &Wish, space: &Space) -> Result<(Vec<IpAddr>, String), IpamError> {
        let mut addresses = Vec::new();
        let mut reasons = Vec::new();
        for family in Family::ALL {
            let blocks = open_blocks(wish, space, family)?;
            if blocks.is_empty() {
                continue;
            }
            let kept_back = |address| space.kept_back.iter().any(|prefix| prefix.contains(address));
            let taken = |address| {
                self.holders.contains_key(&address) || space.reserved.contains(&address) || kept_back(address)
            };
            let address = self
                .freed
                .longest_free(&blocks, taken)
                .ok_or_else(|| IpamError::Exhausted { family, usage: self.held(&blocks) })?;
            let pool = space.block_of(address).map(|block| block.pool.as_str()).unwrap_or_default();
            reasons.push(format!("{address} of pool {pool} is free the longest"));
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(IpamError::NoBlock(why_none(space)));
        }
        Ok((addresses, reasons.join("; ")))
    }

    fn named(
        &self,
        wish: &Wish,
        ask: &Ask,
        space: &Space,
        records: &mut Vec<Record>,
    ) -> Result<(Vec<IpAddr>, String), IpamError> {
        let mut addresses = Vec::new();
        for (address, source_name) in &wish.addresses {
            let outside =
                |problem: String| IpamError::Outside { address: *address, source_name: source_name.clone(), problem };
            let block = space.block_of(*address).ok_or_else(|| {
                outside("not in a pod CIDR of this node within a pool; another node may hold it".into())
            })?;
            if let Openness::Closed(reason) = &block.openness {
                return Err(outside(format!("{} of pool {} gives none: {reason}", block.prefix, block.pool)));
            }
            if space.reserved.contains(address) {
                return Err(outside("reserved for the node itself".into()));
            }
            if self.holder(*address).is_none() && !block.may_give(*address) {
                return Err(IpamError::Unready { address: *address, source_name: source_name.clone() });
            }
            if let Some(holder) = self.holder(*address) {
                let same_pod = holder.pod.is_some() && holder.pod == ask.attach.pod;
                let same_container = holder.attachment.container_id == ask.attach.attachment.container_id;
                if !same_pod || same_container {
                    let holder = describe(holder);
                    return Err(IpamError::Taken { address: *address, source_name: source_name.clone(), holder });
                }
                // The pod's earlier sandbox: the address follows the pod.
                let release = Record::Release { attachment: holder.attachment.clone() };
                if !records.contains(&release) {
                    records.push(release);
                }
            }
            addresses.push(*address);
        }
        addresses.sort();
        let source_name = wish.addresses.first().map(|(_, source)| source.as_str()).unwrap_or_default();
        Ok((addresses, format!("named by {source_name}")))
    }

    fn held(&self, blocks: &[&Block]) -> String {
        let of = |block: &Block| {
            let held = self.holders.keys().filter(|&&address| block.prefix.contains(address)).count();
            match &block.stock {
                None => format!("{} of pool {}: {held} of {} held", block.prefix, block.pool, block.size()),
                Some(_) => format!("{} of pool {}: {held} held, none ready", block.prefix, block.pool),
            }
        };
        blocks.iter().map(|block| of(block)).collect::<Vec<_>>().join(", ")
    }
}

/// How a lease is called where a person reads it.
pub(crate) fn describe(lease: &Lease) -> String {
    match &lease.pod {
        Some(pod) => format!("pod {pod} (container {})", lease.attachment.container_id),
        None if lease.is_unclaimed() => format!("the pod behind {}", lease.host_interface),
        None => format!("container {} ({})", lease.attachment.container_id, lease.attachment.ifname),
    }
}

fn claim(lease: &Lease, ask: &Ask) -> Decision {
    let attach = &ask.attach;
    let lease = Lease {
        attachment: attach.attachment.clone(),
        network: attach.network.clone(),
        pod: attach.pod.clone(),
        uid: attach.uid.clone(),
        netns: attach.netns.clone(),
        since: ask.unix_seconds,
        ..lease.clone()
    };
    let reason =
        format!("{} was found in the kernel without a record of whose it is; this pod claims it", lease.host_interface);
    Decision { records: vec![Record::Lease(lease.clone())], lease, reused: true, reason }
}

/// The blocks from which a pod may get any address, in the order in which they are filled.
fn open_blocks<'a>(wish: &Wish, space: &'a Space, family: Family) -> Result<Vec<&'a Block>, IpamError> {
    let choices = wish.pools(family);
    if choices.is_empty() {
        return Ok(space.of(family).filter(|block| block.openness == Openness::Open).collect());
    }
    let annotation = match family {
        Family::Ipv4 => crate::ask::IPV4_POOLS,
        Family::Ipv6 => crate::ask::IPV6_POOLS,
    };
    let mut blocks = Vec::new();
    let mut problems = Vec::new();
    for choice in choices {
        let mut found = false;
        for block in space.of(family).filter(|block| choice.has(block)) {
            found = true;
            match &block.openness {
                Openness::Closed(reason) => problems.push(format!("pool {choice}: {reason}")),
                Openness::Open | Openness::Named(_) => blocks.push(block),
            }
        }
        if !found {
            problems.push(format!("no pod CIDR of this node lies in a pool {choice}"));
        }
    }
    if blocks.is_empty() {
        return Err(IpamError::Pool { annotation: annotation.into(), problem: problems.join(", ") });
    }
    Ok(blocks)
}

fn why_none(space: &Space) -> String {
    if space.blocks.is_empty() {
        return "no pod CIDR of this node lies within an IP pool".into();
    }
    let why = |block: &Block| match &block.openness {
        Openness::Open => format!("{} is open", block.prefix),
        Openness::Named(reason) | Openness::Closed(reason) => {
            format!("{} of pool {}: {reason}", block.prefix, block.pool)
        }
    };
    space.blocks.iter().map(why).collect::<Vec<_>>().join(", ")
}
