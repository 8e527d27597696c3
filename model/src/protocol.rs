//! IP protocols by name and number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

    const NAMES: [(Protocol, &'static str); 6] = [
        (Protocol(1), "ICMP"),
        (Protocol::TCP, "TCP"),
        (Protocol::UDP, "UDP"),
        (Protocol(58), "ICMPv6"),
        (Protocol::SCTP, "SCTP"),
        (Protocol(136), "UDPLite"),
    ];
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
impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Protocol, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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
    }
}
