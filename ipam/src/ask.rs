//! What one pod interface asks for: its attachment, and the wishes written on the pod.

use std::net::IpAddr;

use model::api::Attach;
use model::{Family, Prefix};

use crate::space::Block;

/// The annotation that names addresses.
pub const IP_ADDRS: &str = "cni.projectcalico.org/ipAddrs";
/// The annotation that names IPv4 pools.
pub const IPV4_POOLS: &str = "cni.projectcalico.org/ipv4pools";
/// The annotation that names IPv6 pools.
pub const IPV6_POOLS: &str = "cni.projectcalico.org/ipv6pools";

/// The longest annotation that is read, in octets.
const TEXT_LIMIT: usize = 4096;
/// The most entries that an annotation may have.
const LIST_LIMIT: usize = 64;

/// Annotations of a pod as they stand there, unread. Pod before namespace: the caller has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    /// Value of [`IP_ADDRS`].
    pub ip_addrs: Option<String>,
    /// Value of [`IPV4_POOLS`].
    pub ipv4_pools: Option<String>,
    /// Value of [`IPV6_POOLS`].
    pub ipv6_pools: Option<String>,
}

/// An attachment that wants addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What the shim said.
    pub attach: Attach,
    /// What is written on the pod.
    pub annotations: Annotations,
    /// MTU that a new link gets, in octets; a lease keeps the one it began with.
    pub mtu: u32,
    /// Seconds since the Unix epoch, to show the age of a lease; nothing is decided by it.
    pub unix_seconds: u64,
}

/// An annotation or argument that cannot be honoured as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}: {problem} (it says {text:?})")]
pub struct WishError {
    /// Name of the annotation, or of the runtime's argument.
    pub source_name: String,
    /// What is wrong with it.
    pub problem: String,
    /// Its text, shortened.
    pub text: String,
}

/// A pool by name or by CIDR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolChoice {
    /// `metadata.name`.
    Name(String),
    /// `spec.cidr`.
    Cidr(Prefix),
}

impl PoolChoice {
    /// Is this block in the chosen pool?
    pub fn has(&self, block: &Block) -> bool {
        match self {
            PoolChoice::Name(name) => *name == block.pool,
            PoolChoice::Cidr(cidr) => *cidr == block.pool_cidr,
        }
    }
}

impl std::fmt::Display for PoolChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PoolChoice::Name(name) => f.write_str(name),
            PoolChoice::Cidr(cidr) => write!(f, "{cidr}"),
        }
    }
}

/// What a pod wants, read and checked for sense.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Exactly these addresses, at most one per family, and who wants them; empty for any.
    pub addresses: Vec<(IpAddr, String)>,
    /// Only from these pools, in this order; empty for any.
    pub ipv4_pools: Vec<PoolChoice>,
    /// Likewise for IPv6.
    pub ipv6_pools: Vec<PoolChoice>,
}

impl Wish {
    /// Reads annotations and the runtime's own wishes. Addresses by annotation win over addresses by the runtime, as with Calico.
    pub fn read(ask: &Ask) -> Result<Wish, WishError> {
        let annotations = &ask.annotations;
        let mut wish = Wish {
            addresses: Vec::new(),
            ipv4_pools: pools(IPV4_POOLS, annotations.ipv4_pools.as_deref(), Family::Ipv4)?,
            ipv6_pools: pools(IPV6_POOLS, annotations.ipv6_pools.as_deref(), Family::Ipv6)?,
        };
        if let Some(text) = &annotations.ip_addrs {
            let entries = list(IP_ADDRS, text)?;
            if entries.is_empty() {
                return Err(refuse(IP_ADDRS, text, "the list is empty".into()));
            }
            for entry in entries {
                let address = entry
                    .parse::<IpAddr>()
                    .map_err(|_| refuse(IP_ADDRS, text, format!("{entry:?} is not an IP address")))?;
                wish.addresses.push((address, IP_ADDRS.into()));
            }
        } else {
            let runtime = "address asked for by the runtime";
            wish.addresses.extend(ask.attach.addresses.iter().map(|&a| (a, runtime.to_string())));
        }
        one_per_family(&wish.addresses)?;
        Ok(wish)
    }

    /// The pools named for a family.
    pub fn pools(&self, family: Family) -> &[PoolChoice] {
        match family {
            Family::Ipv4 => &self.ipv4_pools,
            Family::Ipv6 => &self.ipv6_pools,
        }
    }
}

fn one_per_family(addresses: &[(IpAddr, String)]) -> Result<(), WishError> {
    for family in Family::ALL {
        let mut of_family = addresses.iter().filter(|(a, _)| Family::of(*a) == family);
        if let (Some((first, _)), Some((second, source))) = (of_family.next(), of_family.next()) {
            return Err(refuse(source, &format!("{first}, {second}"), format!("more than one {family} address")));
        }
    }
    Ok(())
}

fn pools(annotation: &str, text: Option<&str>, family: Family) -> Result<Vec<PoolChoice>, WishError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let mut choices = Vec::new();
    for entry in list(annotation, text)? {
        if !entry.contains('/') {
            choices.push(PoolChoice::Name(entry));
            continue;
        }
        let cidr: Prefix = entry.parse().map_err(|e| refuse(annotation, text, format!("{e}")))?;
        if cidr.family() != family {
            return Err(refuse(annotation, text, format!("{cidr} is not {family}")));
        }
        choices.push(PoolChoice::Cidr(cidr));
    }
    if choices.is_empty() {
        return Err(refuse(annotation, text, "the list is empty".into()));
    }
    Ok(choices)
}

fn list(annotation: &str, text: &str) -> Result<Vec<String>, WishError> {
    if text.len() > TEXT_LIMIT {
        return Err(refuse(annotation, text, format!("longer than {TEXT_LIMIT} octets")));
    }
    let entries: Vec<String> = serde_json::from_str(text)
        .map_err(|e| refuse(annotation, text, format!("not a JSON list of strings, such as [\"a\"]: {e}")))?;
    if entries.len() > LIST_LIMIT {
        return Err(refuse(annotation, text, format!("more than {LIST_LIMIT} entries")));
    }
    Ok(entries)
}

fn refuse(source_name: &str, text: &str, problem: String) -> WishError {
    WishError { source_name: source_name.into(), problem, text: text.chars().take(120).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(ip_addrs: Option<&str>, v4: Option<&str>, runtime: &[&str]) -> Ask {
        Ask {
            attach: Attach {
                attachment: model::api::Attachment { container_id: "c".into(), ifname: "eth0".into() },
                netns: "/n".into(),
                pod: None,
                uid: None,
                mtu: None,
                network: String::new(),
                addresses: runtime.iter().map(|a| a.parse().unwrap()).collect(),
            },
            annotations: Annotations {
                ip_addrs: ip_addrs.map(str::to_string),
                ipv4_pools: v4.map(str::to_string),
                ipv6_pools: None,
            },
            mtu: 1500,
            unix_seconds: 0,
        }
    }

    fn error(ask: &Ask) -> String {
        Wish::read(ask).unwrap_err().to_string()
    }

    #[test]
    fn an_annotation_that_cannot_be_read_is_named_with_its_text() {
        let text = error(&ask(Some("10.0.0.1"), None, &[]));
        assert!(text.starts_with("cni.projectcalico.org/ipAddrs: not a JSON list"), "{text}");
        assert!(text.contains("(it says \"10.0.0.1\")"), "{text}");
        assert!(error(&ask(Some("[]"), None, &[])).contains("the list is empty"));
        assert!(error(&ask(Some("[\"ten\"]"), None, &[])).contains("\"ten\" is not an IP address"));
        assert!(error(&ask(Some("[\"10.0.0.1\",\"10.0.0.2\"]"), None, &[])).contains("more than one ipv4"));
        assert!(error(&ask(None, Some("[\"2001:db8::/64\"]"), &[])).contains("is not ipv4"));
        assert!(error(&ask(None, Some("[\"10.0.0.1/8\"]"), &[])).contains("did you mean 10.0.0.0/8"));
        let long = format!("[\"{}\"]", "x".repeat(5000));
        assert!(error(&ask(None, Some(&long), &[])).len() < 400, "the text is shortened");
    }

    #[test]
    fn the_annotation_wins_over_the_runtime() {
        let wish = Wish::read(&ask(Some("[\"10.0.0.1\",\"2001:db8::1\"]"), None, &["10.0.0.9"])).unwrap();
        let addresses: Vec<String> = wish.addresses.iter().map(|(a, _)| a.to_string()).collect();
        assert_eq!(addresses, ["10.0.0.1", "2001:db8::1"]);
        let wish = Wish::read(&ask(None, None, &["10.0.0.9"])).unwrap();
        assert_eq!(wish.addresses[0].0.to_string(), "10.0.0.9");
    }
}
