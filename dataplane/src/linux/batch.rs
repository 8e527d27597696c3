//! Netlink requests that are sent together, as octets.

use netlink_packet_core::{Emitable, NLM_F_ACK, NLM_F_REQUEST};

use super::attribute::{self, HEADER};

/// Requests per send: few enough that all of them may fail and the answers still fit the socket's buffer.
pub const CHUNK_REQUESTS: usize = 512;
/// Octets per send: fits a send buffer of the default size too.
const CHUNK_BYTES: usize = 128 << 10;

/// Requests to be sent together, in order.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where each request begins.
    pub(super) offsets: Vec<usize>,
}

impl Batch {
    /// An empty one.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Appends a request: an `rtm::` kind, `NLM_F_…` flags beyond REQUEST and ACK, and its body.
    /// Returns its position, by which [`Replies`] names it.
    pub fn push(&mut self, kind: u16, flags: u16, body: &impl Emitable) -> usize {
        let length = body.buffer_len();
        self.push_with(kind, flags, length, |room| body.emit(room))
    }

    /// Like [`Batch::push`], for a body that is octets already.
    pub fn push_bytes(&mut self, kind: u16, flags: u16, body: &[u8]) -> usize {
        self.push_with(kind, flags, body.len(), |room| room.copy_from_slice(body))
    }

    /// Like [`Batch::push`], for a body that is written in place; `write` appends a multiple of 4 octets.
    pub fn push_written(&mut self, kind: u16, flags: u16, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let position = self.push_with(kind, flags, 0, |_| ());
        let start = self.offsets.last().copied().unwrap_or_default();
        write(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.set(start, &length.to_ne_bytes());
        position
    }

    fn push_with(&mut self, kind: u16, flags: u16, length: usize, write: impl FnOnce(&mut [u8])) -> usize {
        let start = self.bytes.len();
        let total = HEADER + length;
        self.bytes.extend_from_slice(&u32::try_from(total).unwrap_or(u32::MAX).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.resize(start + total, 0);
        if let Some(room) = self.bytes.get_mut(start + HEADER..) {
            write(room);
        }
        self.bytes.resize((start + total).next_multiple_of(4), 0);
        self.offsets.push(start);
        self.offsets.len() - 1
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.offsets.clear();
    }

    fn set(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }

    /// Numbers the requests from `first` on.
    pub(super) fn number(&mut self, first: u32) {
        for position in 0..self.offsets.len() {
            let Some(&offset) = self.offsets.get(position) else { continue };
            self.set(offset + 8, &first.wrapping_add(position as u32).to_ne_bytes());
        }
    }

    /// Asks for an acknowledgement of one request.
    pub(super) fn acknowledge(&mut self, position: usize) {
        let Some(&offset) = self.offsets.get(position) else { return };
        let flags = attribute::u16_at(&self.bytes, offset + 6).unwrap_or_default() | NLM_F_ACK;
        self.set(offset + 6, &flags.to_ne_bytes());
    }

    /// Where the chunk that begins at a position ends.
    pub(super) fn chunk_end(&self, start: usize) -> usize {
        let begin = self.offsets.get(start).copied().unwrap_or_default();
        let after = |position: usize| self.offsets.get(position + 1).copied().unwrap_or(self.bytes.len());
        let most = self.len().min(start + CHUNK_REQUESTS);
        let mut end = start + 1;
        while end < most && after(end) - begin <= CHUNK_BYTES {
            end += 1;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netlink::rtm;

    #[test]
    fn a_chunk_ends_at_512_requests_or_at_128_kib() {
        let mut batch = Batch::new();
        for _ in 0..1025 {
            batch.push_bytes(rtm::GETLINK, 0, &[0; 17]);
        }
        assert_eq!((batch.chunk_end(0), batch.chunk_end(512), batch.chunk_end(1024)), (512, 1024, 1025));
        let mut batch = Batch::new();
        for _ in 0..5 {
            batch.push_bytes(rtm::GETLINK, 0, &[0; 60_000]);
        }
        assert_eq!((batch.chunk_end(0), batch.chunk_end(2), batch.chunk_end(4)), (2, 4, 5));
    }
}
