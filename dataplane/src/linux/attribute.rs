//! Reading netlink bytes: messages in a datagram, attributes in a message. The only place that indexes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR};

/// Length of `struct nlmsghdr`.
pub const HEADER: usize = 16;

/// One message out of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: that of the request it answers, 0 for an event of another's making.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// Ends a dump.
    pub fn is_done(&self) -> bool {
        self.kind == NLMSG_DONE
    }
    /// An acknowledgement or a refusal.
    pub fn is_verdict(&self) -> bool {
        self.kind == NLMSG_ERROR
    }
    /// The table changed under the dump, which is therefore of no one moment.
    pub fn is_interrupted(&self) -> bool {
        self.flags & NLM_F_DUMP_INTR != 0
    }
}

/// The messages of a datagram, up to the first that is cut short.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = Message {
            kind: u16_at(rest, 4)?,
            flags: u16_at(rest, 6)?,
            sequence: u32_at(rest, 8)?,
            payload: rest.get(HEADER..length)?,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes (`struct nlattr`, `struct rtattr`) in `bytes`, up to the first that is cut short.
///
/// The kind comes without the flags for nesting and byte order.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The octet at an offset.
pub fn u8_at(bytes: &[u8], offset: usize) -> Option<u8> {
    bytes.get(offset).copied()
}

/// The number in host byte order at an offset.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

/// The number in host byte order at an offset.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

/// An address of 4 or 16 octets.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).into())
}

/// A text that ends at its first 0 octet.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&b| b == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_end_at_the_first_that_is_cut_short() {
        let mut bytes = vec![8, 0, 1, 0, 10, 0, 0, 1, 5, 0, 2, 0x80, 7, 0, 0, 0];
        let read: Vec<_> = attributes(&bytes).map(|(kind, value)| (kind, value.to_vec())).collect();
        assert_eq!(read, [(1, vec![10, 0, 0, 1]), (2, vec![7])]);
        bytes.truncate(12);
        assert_eq!(attributes(&bytes).count(), 1);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0, "a length below that of the header");
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0, "a length of 0 does not loop");
    }

    #[test]
    fn messages_end_at_the_first_that_is_cut_short() {
        let mut bytes = vec![0u8; 20];
        bytes[0] = 20;
        bytes[4] = 24;
        bytes[8] = 9;
        assert_eq!(messages(&bytes).map(|m| (m.kind, m.sequence, m.payload.len())).collect::<Vec<_>>(), [(24, 9, 4)]);
        assert_eq!(messages(&bytes[..19]).count(), 0);
        bytes[0] = 0;
        assert_eq!(messages(&bytes).count(), 0, "a length of 0 does not loop");
    }
}
