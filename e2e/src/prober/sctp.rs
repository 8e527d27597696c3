//! The first two packets of an SCTP association, made and read by hand: a kernel need not have SCTP for them.
//!
//! The common header, INIT, INIT ACK and CRC32c of SCTP, and nothing else of it.

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const HEADER: usize = 12;
/// The length of INIT without parameters: all the fixed fields.
const CHUNK: u16 = 20;
/// A receive window that every peer takes.
const WINDOW: u32 = 65_536;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks for an association; `token` is its initiate tag.
    Init,
    /// The answer; `token` is its verification tag, which is the initiate tag of the question.
    InitAck,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Question or answer.
    pub kind: Kind,
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Ties an answer to its question; not 0.
    pub token: u32,
}

impl Packet {
    /// As it is on the wire, after the IP header.
    pub fn bytes(&self) -> Vec<u8> {
        let (chunk, verification) = match self.kind {
            Kind::Init => (INIT, 0),
            Kind::InitAck => (INIT_ACK, self.token),
        };
        let mut bytes = Vec::with_capacity(HEADER + usize::from(CHUNK));
        bytes.extend(self.source.to_be_bytes());
        bytes.extend(self.destination.to_be_bytes());
        bytes.extend(u32::to_be_bytes(verification));
        bytes.extend([0; 4]); // the checksum, below
        bytes.extend([chunk, 0]);
        bytes.extend(CHUNK.to_be_bytes());
        bytes.extend(self.token.to_be_bytes());
        bytes.extend(WINDOW.to_be_bytes());
        bytes.extend(u16::to_be_bytes(1)); // outbound streams
        bytes.extend(u16::to_be_bytes(1)); // inbound streams
        bytes.extend(self.token.to_be_bytes()); // initial TSN
        let checksum = crc32c(&bytes).to_le_bytes();
        for (byte, sum) in bytes.iter_mut().skip(8).zip(checksum) {
            *byte = sum;
        }
        bytes
    }

    /// What was received, after the IP header; none if it is neither of the two.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (kind, token) = match *bytes.get(HEADER)? {
            INIT => (Kind::Init, word(16)?),
            INIT_ACK => (Kind::InitAck, word(4)?),
            _ => return None,
        };
        Some(Self { kind, source: half(0)?, destination: half(2)?, token })
    }
}

/// The Castagnoli polynomial, reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        for kind in [Kind::Init, Kind::InitAck] {
            let packet = Packet { kind, source: 20_000, destination: 80, token: 77 };
            assert_eq!(Packet::read(&packet.bytes()), Some(packet));
        }
        assert_eq!(Packet::read(&[0; 12]), None);
    }
}
