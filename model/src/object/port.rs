//! Ports as Calico writes them.

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::PortMatch;

/// A number, a range as `first:last`, or a name. Calico `api/pkg/lib/numorstring/port.go`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CalicoPort(pub(super) PortMatch);

impl CalicoPort {
    fn from_number(number: u64) -> Result<CalicoPort, String> {
        let port = u16::try_from(number).ok().filter(|number| *number > 0);
        let port = port.ok_or_else(|| format!("{number} is not a port from 1 to 65535"))?;
        Ok(CalicoPort(PortMatch::Numbers(port..=port)))
    }

    fn from_text(text: &str) -> Result<CalicoPort, String> {
        let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0);
        let bad = || format!("{text:?} is not a port: a number, a range as first:last, or a name");
        if let Some((first, last)) = text.split_once(':') {
            let (first, last) = number(first).zip(number(last)).ok_or_else(bad)?;
            if first > last {
                return Err(format!("{text:?} begins after its end"));
            }
            return Ok(CalicoPort(PortMatch::Numbers(first..=last)));
        }
        if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) {
            return number(text).map(|port| CalicoPort(PortMatch::Numbers(port..=port))).ok_or_else(bad);
        }
        let is_name = |octet: u8| octet.is_ascii_alphanumeric() || b"_.-".contains(&octet);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(is_name) {
            return Err(bad());
        }
        Ok(CalicoPort(PortMatch::Name(text.to_string())))
    }
}

impl<'de> Deserialize<'de> for CalicoPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CalicoPort, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = CalicoPort;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port: a number, a range as first:last, or a name")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<CalicoPort, E> {
                CalicoPort::from_number(number).map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CalicoPort, E> {
                CalicoPort::from_text(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_ranges_and_names() {
        let read = |text: &str| serde_json::from_str::<CalicoPort>(text).map(|port| port.0).map_err(|e| e.to_string());
        for (text, port) in [
            ("80", PortMatch::Numbers(80..=80)),
            ("\"80\"", PortMatch::Numbers(80..=80)),
            ("\"1:65535\"", PortMatch::Numbers(1..=65535)),
            ("\"http-2.x\"", PortMatch::Name("http-2.x".into())),
        ] {
            assert_eq!(read(text), Ok(port), "{text}");
        }
        for text in ["0", "65536", "-1", "\"0\"", "\"9:8\"", "\"0:8\"", "\"1:\"", "\"\"", "\"a b\"", "\"70000\"", "1.5"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
