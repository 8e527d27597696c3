//! Communities: marks on routes (RFC 1997, RFC 4360, RFC 8092).

use std::fmt;
use std::str::FromStr;

/// A community (RFC 1997), written `high:low`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    /// RFC 8326: the route goes away soon, prefer any other.
    pub const GRACEFUL_SHUTDOWN: Community = Community(0xffff_0000);
    /// RFC 9494: the route is stale.
    pub const LLGR_STALE: Community = Community(0xffff_0006);
    /// RFC 9494: do not keep the route as stale.
    pub const NO_LLGR: Community = Community(0xffff_0007);
    /// RFC 7999: drop packets to it.
    pub const BLACKHOLE: Community = Community(0xffff_029a);
    /// RFC 1997: not beyond this AS.
    pub const NO_EXPORT: Community = Community(0xffff_ff01);
    /// RFC 1997: not to any peer.
    pub const NO_ADVERTISE: Community = Community(0xffff_ff02);
    /// RFC 1997: not to any external peer.
    pub const NO_EXPORT_SUBCONFED: Community = Community(0xffff_ff03);
}

/// A large community (RFC 8092), written `global:first:second`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    /// Global administrator: an AS number.
    pub global: u32,
    /// Local data part 1.
    pub first: u32,
    /// Local data part 2.
    pub second: u32,
}

/// An extended community (RFC 4360): type and value in eight octets, written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl ExtendedCommunity {
    /// Whether it may leave the AS: the T bit is 0 (RFC 4360 §2).
    pub const fn is_transitive(self) -> bool {
        let [kind, ..] = self.0;
        kind & 0x40 == 0
    }
}

/// A text is not a community.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a community (such as 64512:100, or 64512:1:2 for a large one)")]
pub struct CommunityError(String);

/// `n` decimal numbers between colons.
fn numbers<const N: usize, T: FromStr + Default + Copy>(s: &str) -> Option<[T; N]> {
    let mut out = [T::default(); N];
    let mut parts = s.split(':');
    for slot in &mut out {
        *slot = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

impl FromStr for Community {
    type Err = CommunityError;
    fn from_str(s: &str) -> Result<Community, CommunityError> {
        let [high, low] = numbers::<2, u16>(s).ok_or_else(|| CommunityError(s.to_string()))?;
        Ok(Community(u32::from(high) << 16 | u32::from(low)))
    }
}
impl FromStr for LargeCommunity {
    type Err = CommunityError;
    fn from_str(s: &str) -> Result<LargeCommunity, CommunityError> {
        let [global, first, second] = numbers::<3, u32>(s).ok_or_else(|| CommunityError(s.to_string()))?;
        Ok(LargeCommunity { global, first, second })
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}
impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.first, self.second)
    }
}
impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}
impl fmt::Debug for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Debug for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Debug for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_community_reads_as_it_is_written() {
        for text in ["0:0", "64512:100", "65535:65281"] {
            assert_eq!(text.parse::<Community>().map(|c| c.to_string()), Ok(text.to_string()));
        }
        assert_eq!("65535:65281".parse(), Ok(Community::NO_EXPORT));
        for text in ["0:0:0", "4200000001:1:4294967295"] {
            assert_eq!(text.parse::<LargeCommunity>().map(|c| c.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn what_is_no_community_is_named() {
        for text in ["", "1", "1:", ":1", "1:2:3", "65536:1", "1:65536", "a:b", "1:-1", "1: 2"] {
            assert_eq!(text.parse::<Community>(), Err(CommunityError(text.to_string())), "{text}");
        }
        for text in ["1:2", "1:2:3:4", "1:2:4294967296"] {
            assert_eq!(text.parse::<LargeCommunity>(), Err(CommunityError(text.to_string())), "{text}");
        }
    }
}
