//! Who is who: routers, clusters, nodes, pods.

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BGP identifier (RFC 6286): four octets, unique within an AS, never 0. Written as a dotted quad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(NonZeroU32);

/// Why a text or number is not a router id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a router id (a dotted quad other than 0.0.0.0)")]
pub struct RouterIdError(String);

impl RouterId {
    /// The identifier, unless it is 0.
    pub const fn new(bits: u32) -> Option<RouterId> {
        match NonZeroU32::new(bits) {
            Some(n) => Some(RouterId(n)),
            None => None,
        }
    }
    /// From the node's IPv4 address, unless that is 0.0.0.0.
    pub fn from_address(address: Ipv4Addr) -> Option<RouterId> {
        RouterId::new(address.to_bits())
    }
    /// The four octets as a number, most significant first.
    pub const fn bits(self) -> u32 {
        self.0.get()
    }
}

/// A route reflector's cluster id (RFC 4456 §7): four octets, written as a dotted quad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u32);

/// Writes and reads a four-octet identity as a dotted quad.
macro_rules! dotted_quad {
    ($type:ident, $bits:expr, $from:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&Ipv4Addr::from_bits($bits(self)), f)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $type {
            type Err = RouterIdError;
            fn from_str(s: &str) -> Result<$type, RouterIdError> {
                let address: Ipv4Addr = s.parse().map_err(|_| RouterIdError(format!("{s:?}")))?;
                $from(address.to_bits()).ok_or_else(|| RouterIdError(format!("{s:?}")))
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
dotted_quad!(RouterId, |id: &RouterId| id.bits(), RouterId::new);
dotted_quad!(ClusterId, |id: &ClusterId| id.0, |bits| Some(ClusterId(bits)));

/// The name of a node, as in its `v1` Node object. Never empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

/// An empty name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node name must not be empty")]
pub struct EmptyName;

impl NodeName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for NodeName {
    type Error = EmptyName;
    fn try_from(name: String) -> Result<NodeName, EmptyName> {
        if name.is_empty() { Err(EmptyName) } else { Ok(NodeName(name)) }
    }
}
impl FromStr for NodeName {
    type Err = EmptyName;
    fn from_str(s: &str) -> Result<NodeName, EmptyName> {
        NodeName::try_from(s.to_string())
    }
}
impl From<NodeName> for String {
    fn from(name: NodeName) -> String {
        name.0
    }
}
impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pod by namespace and name. Written `namespace/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodRef {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
impl fmt::Debug for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_id_cannot_be_zero() {
        assert!("0.0.0.0".parse::<RouterId>().is_err());
        assert_eq!("10.0.0.1".parse::<RouterId>().map(|r| r.to_string()), Ok("10.0.0.1".into()));
        assert_eq!("0.0.0.0".parse::<ClusterId>().map(|r| r.0), Ok(0));
    }
}
