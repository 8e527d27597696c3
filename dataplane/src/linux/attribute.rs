//! Netlink's bytes: messages in a datagram, attributes in a message. The only place that indexes them.

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

/// The value of the first attribute of a kind.
pub fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// The big-endian number in the first attribute of a kind.
pub fn number(bytes: &[u8], wanted: u16) -> Option<u32> {
    find(bytes, wanted).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes)
}

/// The big-endian number of 64 bits in the first attribute of a kind.
pub fn long_number(bytes: &[u8], wanted: u16) -> Option<u64> {
    find(bytes, wanted).and_then(|value| value.try_into().ok()).map(u64::from_be_bytes)
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

/// Writes attributes one after the other, each aligned to 4 octets.
#[derive(Debug)]
pub struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    /// Appends to a message's body, whose length is a multiple of 4.
    pub fn new(bytes: &'a mut Vec<u8>) -> Writer<'a> {
        Writer(bytes)
    }

    /// A value as it is.
    pub fn octets(&mut self, kind: u16, value: &[u8]) {
        let start = self.begin(kind);
        self.0.extend_from_slice(value);
        self.end(start);
    }

    /// A big-endian number, as nftables has it.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.octets(kind, &value.to_be_bytes());
    }

    /// A big-endian number of 16 bits.
    pub fn short_number(&mut self, kind: u16, value: u16) {
        self.octets(kind, &value.to_be_bytes());
    }

    /// A big-endian number of 64 bits.
    pub fn long_number(&mut self, kind: u16, value: u64) {
        self.octets(kind, &value.to_be_bytes());
    }

    /// A number in host byte order, as rtnetlink has it.
    pub fn host_number(&mut self, kind: u16, value: u32) {
        self.octets(kind, &value.to_ne_bytes());
    }

    /// An address of 4 or 16 octets.
    pub fn address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.octets(kind, &address.octets()),
            IpAddr::V6(address) => self.octets(kind, &address.octets()),
        }
    }

    /// A text, with a 0 octet at its end.
    pub fn text(&mut self, kind: u16, value: &str) {
        let start = self.begin(kind);
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
        self.end(start);
    }

    /// An attribute that holds others.
    pub fn nested(&mut self, kind: u16, write: impl FnOnce(&mut Writer<'_>)) {
        const NESTED: u16 = 1 << 15;
        let start = self.begin(kind | NESTED);
        write(&mut Writer(self.0));
        self.end(start);
    }

    fn begin(&mut self, kind: u16) -> usize {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    /// Writes the length, without the padding that follows. What would not fit 16 bits is cut short, so that the kernel
    /// refuses the message.
    fn end(&mut self, start: usize) {
        let length = u16::try_from(self.0.len() - start).unwrap_or(0);
        if let Some(place) = self.0.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
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
    fn what_is_written_reads_back() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.text(1, "margay");
        writer.nested(2, |w| w.number(3, 7));
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(text(read[0].1), "margay");
        assert_eq!(attributes(read[1].1).collect::<Vec<_>>(), [(3, &[0, 0, 0, 7][..])]);
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
