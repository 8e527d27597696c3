//! Autonomous system numbers.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 4-octet autonomous system number (RFC 6793). Never 0, which RFC 7607 reserves.
///
/// Reads as a plain number or as the dotted form `x.y` (RFC 5396) that Calico accepts; writes as a plain number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(NonZeroU32);

/// Why a text or number is not an autonomous system number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AsnError {
    /// 0 is reserved (RFC 7607).
    #[error("AS number 0 is reserved (RFC 7607)")]
    Zero,
    /// Neither `n` nor `x.y`, or out of range.
    #[error("{0:?} is not an AS number (1 to 4294967295, or x.y)")]
    Syntax(String),
}

impl Asn {
    /// AS_TRANS (RFC 6793 §9): stands for a number above 65535 where only two octets fit.
    pub const TRANS: Asn = Asn(NonZeroU32::new(23456).unwrap());
    /// Calico's default cluster AS.
    pub const CALICO_DEFAULT: Asn = Asn(NonZeroU32::new(64512).unwrap());

    /// The number, unless it is 0.
    pub const fn new(number: u32) -> Option<Asn> {
        match NonZeroU32::new(number) {
            Some(n) => Some(Asn(n)),
            None => None,
        }
    }

    /// The plain number.
    pub const fn value(self) -> u32 {
        self.0.get()
    }

    /// What goes into a 2-octet field: the number, or AS_TRANS (RFC 6793 §4.2.2).
    pub fn two_octet(self) -> u16 {
        u16::try_from(self.0.get()).unwrap_or(23456)
    }
}

impl FromStr for Asn {
    type Err = AsnError;
    fn from_str(s: &str) -> Result<Asn, AsnError> {
        let bad = || AsnError::Syntax(s.to_string());
        let number = match s.split_once('.') {
            None => s.parse::<u32>().map_err(|_| bad())?,
            Some((high, low)) => {
                let high: u16 = high.parse().map_err(|_| bad())?;
                let low: u16 = low.parse().map_err(|_| bad())?;
                (u32::from(high) << 16) | u32::from(low)
            }
        };
        Asn::new(number).ok_or(AsnError::Zero)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

impl Serialize for Asn {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u32(self.value())
    }
}
impl<'de> Deserialize<'de> for Asn {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Asn, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u32),
            Text(String),
        }
        match Form::deserialize(d) {
            Ok(Form::Number(n)) => Asn::new(n).ok_or(AsnError::Zero),
            Ok(Form::Text(t)) => t.parse(),
            Err(_) => Err(AsnError::Syntax("value".into())),
        }
        .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_plain_or_dotted_and_zero_is_refused() {
        assert_eq!("65001".parse(), Ok(Asn::new(65001).unwrap_or(Asn::TRANS)));
        assert_eq!("1.2".parse::<Asn>().map(Asn::value), Ok(65538));
        assert_eq!("0".parse::<Asn>(), Err(AsnError::Zero));
        assert!("70000.1".parse::<Asn>().is_err());
        assert!("4294967296".parse::<Asn>().is_err());
    }

    #[test]
    fn a_number_above_65535_is_as_trans_in_two_octets() {
        assert_eq!("1.2".parse::<Asn>().map(Asn::two_octet), Ok(23456));
        assert_eq!("64512".parse::<Asn>().map(Asn::two_octet), Ok(64512));
    }
}
