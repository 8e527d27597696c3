//! IP protocols by name and number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Family;

/// An IP protocol number. Prints as its name where it has a usual one: `TCP`, `UDP`, `ICMP`, `ICMPv6`, `SCTP`, `UDPLite`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// 6.
    pub const TCP: Protocol = Protocol(6);
    /// 17.
    pub const UDP: Protocol = Protocol(17);
    /// 132.
    pub const SCTP: Protocol = Protocol(132);
    /// 1.
    pub const ICMP: Protocol = Protocol(1);
    /// 58.
    pub const ICMPV6: Protocol = Protocol(58);

    const NAMES: [(Protocol, &'static str); 6] = [
        (Protocol::ICMP, "ICMP"),
        (Protocol::TCP, "TCP"),
        (Protocol::UDP, "UDP"),
        (Protocol::ICMPV6, "ICMPv6"),
        (Protocol::SCTP, "SCTP"),
        (Protocol(136), "UDPLite"),
    ];

    /// Whether policies can name its ports.
    pub fn has_ports(self) -> bool {
        [Protocol::TCP, Protocol::UDP, Protocol::SCTP].contains(&self)
    }

    /// The only family that it is of.
    pub fn family(self) -> Option<Family> {
        match self {
            Protocol::ICMP => Some(Family::Ipv4),
            Protocol::ICMPV6 => Some(Family::Ipv6),
            _ => None,
        }
    }
}

/// Why a text is not a protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a protocol: TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite, or a number from 1 to 255")]
pub struct ProtocolError(String);

impl FromStr for Protocol {
    type Err = ProtocolError;
    fn from_str(text: &str) -> Result<Protocol, ProtocolError> {
        let named = Protocol::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(p, _)| *p);
        let number = || text.parse::<u8>().ok().filter(|number| *number > 0).map(Protocol);
        named.or_else(number).ok_or_else(|| ProtocolError(text.to_string()))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Protocol::NAMES.iter().find(|(protocol, _)| protocol == self) {
            Some((_, name)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
/// From a text or a number.
impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Protocol, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Protocol;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a protocol: its name, or a number from 1 to 255")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Protocol, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Protocol, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_read_by_name_and_by_number_and_printed_by_name() {
        for (text, printed) in [("TCP", "TCP"), ("tcp", "TCP"), ("6", "TCP"), ("ICMPv6", "ICMPv6"), ("47", "47")] {
            assert_eq!(text.parse::<Protocol>().map(|p| p.to_string()), Ok(printed.to_string()));
        }
        for text in ["", "0", "256", "TCPX", "-1"] {
            assert!(text.parse::<Protocol>().is_err(), "{text}");
        }
        let read = |text: &str| serde_json::from_str::<Protocol>(text).ok();
        assert_eq!(
            (read("6"), read("\"UDP\""), read("0"), read("256")),
            (Some(Protocol::TCP), Some(Protocol::UDP), None, None)
        );
    }
}
