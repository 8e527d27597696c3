//! Address prefixes without host bits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Family;

/// An IPv4 or IPv6 prefix in CIDR notation. Bits beyond the length are always 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpNetwork);

/// Why a text is not a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not `address/length`.
    #[error("{0:?} is not an address prefix (such as 10.1.0.0/16)")]
    Syntax(String),
    /// Address bits are set beyond the length.
    #[error("{given} has host bits set: did you mean {meant}?")]
    HostBits {
        /// As written.
        given: String,
        /// With the host bits cleared.
        meant: Prefix,
    },
    /// The length exceeds the family's bits.
    #[error("prefix length {0} is too long for {1}")]
    Length(u8, Family),
}

impl Prefix {
    /// `address/length`; host bits are an error.
    pub fn new(address: IpAddr, length: u8) -> Result<Prefix, PrefixError> {
        let masked = Prefix::masked(address, length)?;
        if masked.address() == address {
            Ok(masked)
        } else {
            Err(PrefixError::HostBits { given: format!("{address}/{length}"), meant: masked })
        }
    }

    /// The prefix of `length` bits that contains `address`.
    pub fn masked(address: IpAddr, length: u8) -> Result<Prefix, PrefixError> {
        let too_long = PrefixError::Length(length, Family::of(address));
        if length > Family::of(address).bits() {
            return Err(too_long);
        }
        let network = match address {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask32(length))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask128(length))),
        };
        IpNetwork::new(network, length).map(Prefix).map_err(|_| too_long)
    }

    /// The /32 or /128 of one address.
    pub fn host(address: IpAddr) -> Prefix {
        Prefix(IpNetwork::from(address))
    }

    /// 0.0.0.0/0 or ::/0.
    pub fn default_route(family: Family) -> Prefix {
        Prefix(match family {
            Family::Ipv4 => IpNetwork::V4(ipnetwork::Ipv4Network::from(Ipv4Addr::UNSPECIFIED)),
            Family::Ipv6 => IpNetwork::V6(ipnetwork::Ipv6Network::from(Ipv6Addr::UNSPECIFIED)),
        })
        .with_length(0)
    }

    fn with_length(self, length: u8) -> Prefix {
        Prefix::masked(self.address(), length).unwrap_or(self)
    }

    /// The first address: all host bits 0.
    pub fn address(&self) -> IpAddr {
        self.0.ip()
    }

    /// Number of leading bits that count.
    pub fn length(&self) -> u8 {
        self.0.prefix()
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        Family::of(self.address())
    }

    /// One address only: /32 or /128.
    pub fn is_host(&self) -> bool {
        self.length() == self.family().bits()
    }

    /// Length 0.
    pub fn is_default(&self) -> bool {
        self.length() == 0
    }

    /// Whether the address lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    /// Whether `other` is this prefix or a more specific one inside it.
    pub fn covers(&self, other: &Prefix) -> bool {
        self.length() <= other.length() && self.contains(other.address())
    }

    /// Whether the two share any address.
    pub fn overlaps(&self, other: &Prefix) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The last address: all host bits 1.
    pub fn last(&self) -> IpAddr {
        match self.address() {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() | !mask32(self.length()))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() | !mask128(self.length()))),
        }
    }
}

fn mask32(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask128(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = PrefixError;
    fn from_str(s: &str) -> Result<Prefix, PrefixError> {
        let syntax = || PrefixError::Syntax(s.to_string());
        let (address, length) = s.split_once('/').ok_or_else(syntax)?;
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        let length: u8 = length.parse().map_err(|_| syntax())?;
        Prefix::new(address, length)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.length())
    }
}
impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Prefix, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> Prefix {
        s.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn host_bits_are_refused_and_the_meant_prefix_is_named() {
        let error = "10.1.2.3/16".parse::<Prefix>().map_err(|e| e.to_string());
        assert_eq!(error, Err("10.1.2.3/16 has host bits set: did you mean 10.1.0.0/16?".into()));
        assert!("10.0.0.0/33".parse::<Prefix>().is_err());
        assert!("10.0.0.0".parse::<Prefix>().is_err());
    }

    #[test]
    fn a_prefix_covers_itself_and_what_is_inside() {
        assert!(p("10.0.0.0/8").covers(&p("10.0.0.0/8")));
        assert!(p("10.0.0.0/8").covers(&p("10.255.0.0/16")));
        assert!(!p("10.0.0.0/16").covers(&p("10.0.0.0/8")));
        assert!(p("0.0.0.0/0").covers(&p("203.0.113.0/24")));
        assert!(!p("0.0.0.0/0").covers(&p("2001:db8::/32")));
        assert!(p("::/0").covers(&p("2001:db8::1/128")));
    }

    #[test]
    fn the_last_address_has_all_host_bits_set() {
        assert_eq!(p("10.1.2.0/26").last().to_string(), "10.1.2.63");
        assert_eq!(p("2001:db8::/126").last().to_string(), "2001:db8::3");
        assert_eq!(Prefix::default_route(Family::Ipv4).to_string(), "0.0.0.0/0");
        assert_eq!(Prefix::default_route(Family::Ipv6).to_string(), "::/0");
    }
}
