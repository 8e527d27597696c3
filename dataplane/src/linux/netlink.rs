//! Many netlink requests in one system call, each with its own result; dumps that are of one moment.
//!
//! A [`Batch`] collects requests, [`Netlink::run`] sends them in chunks. The kernel works through a chunk before the
//! send returns, stops at no failure, and answers each failed request and the chunk's last one. So silence is success,
//! and the answers are told apart by sequence number, never counted.

use std::fmt;
use std::io;
use std::time::Duration;

use netlink_packet_core::{Emitable, NLM_F_DUMP};
pub use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE};

use super::attribute::{self, HEADER, Message, messages};
pub use super::batch::{Batch, CHUNK_REQUESTS};
use super::socket::{Protocol, RawSocket};

/// `nlmsg_type` of the requests of rtnetlink (linux/rtnetlink.h).
#[allow(missing_docs)]
pub mod rtm {
    pub const NEWLINK: u16 = 16;
    pub const DELLINK: u16 = 17;
    pub const GETLINK: u16 = 18;
    pub const SETLINK: u16 = 19;
    pub const NEWADDR: u16 = 20;
    pub const DELADDR: u16 = 21;
    pub const GETADDR: u16 = 22;
    pub const NEWROUTE: u16 = 24;
    pub const DELROUTE: u16 = 25;
    pub const GETROUTE: u16 = 26;
    pub const NEWNEIGH: u16 = 28;
    pub const DELNEIGH: u16 = 29;
    pub const GETNEIGH: u16 = 30;
    pub const NEWNEXTHOP: u16 = 104;
    pub const DELNEXTHOP: u16 = 105;
    pub const GETNEXTHOP: u16 = 106;
}

/// How long the kernel may take for one chunk or one piece of a dump before the call fails.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const SOCKET_BUFFER: i32 = 8 << 20;
/// Times a dump is begun anew because the table changed under it.
const DUMP_TRIES: usize = 5;
/// `NLM_F_ACK_TLVS`: attributes with the kernel's own words follow the errno.
const ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`.
const ATTR_MESSAGE: u16 = 1;

/// What the kernel said no to, in its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A positive `errno`.
    pub errno: i32,
    /// The extended acknowledgement's text, where the kernel gives one.
    pub text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", io::Error::from_raw_os_error(self.errno))?;
        self.text.as_ref().map_or(Ok(()), |text| write!(f, ": {text}"))
    }
}

/// Why an exchange with the kernel failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// A system call failed.
    #[error("netlink: cannot {doing}: {error}")]
    Socket {
        /// Which one, as a verb.
        doing: &'static str,
        /// Its error.
        error: io::Error,
    },
    /// No answer in time: what was asked may or may not have been done.
    #[error("netlink: the kernel did not answer in time")]
    Timeout,
    /// Answers were lost (ENOBUFS): what was asked may or may not have been done.
    #[error("netlink: the kernel's answers overran the socket's buffer")]
    Overrun,
    /// The table kept changing while it was read.
    #[error("netlink: the table changed during each of {DUMP_TRIES} dumps")]
    Interrupted,
    /// The one request of the call was refused.
    #[error("{0}")]
    Refused(Refusal),
    /// One of many that go together was refused, and so were all.
    #[error("{part}: {refusal}")]
    RefusedPart {
        /// What was asked for.
        part: String,
        /// The kernel's answer to it.
        refusal: Refusal,
    },
}

impl NetlinkError {
    /// The errno of a refusal.
    pub fn errno(&self) -> Option<i32> {
        match self {
            NetlinkError::Refused(refusal) | NetlinkError::RefusedPart { refusal, .. } => Some(refusal.errno),
            NetlinkError::Socket { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }
}

/// What the kernel answered to a batch. A position in neither list succeeded.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Replies {
    /// Failed requests by position, ascending.
    pub refused: Vec<(usize, Refusal)>,
    /// Answers with content (to GET, or to NLM_F_ECHO): position, kind, payload.
    pub answers: Vec<(usize, u16, Vec<u8>)>,
}

impl Replies {
    /// The refusal of a request, if it was refused.
    pub fn refusal(&self, position: usize) -> Option<&Refusal> {
        let found = self.refused.binary_search_by_key(&position, |(at, _)| *at).ok()?;
        self.refused.get(found).map(|(_, refusal)| refusal)
    }

    /// The first refusal as an error; `Ok` when everything succeeded.
    pub fn all(self) -> Result<Replies, NetlinkError> {
        match self.refused.first() {
            Some((_, refusal)) => Err(NetlinkError::Refused(refusal.clone())),
            None => Ok(self),
        }
    }
}

/// A netlink conversation: requests out, verdicts and dumps in. Events come through [`super::monitor`].
#[derive(Debug)]
pub struct Netlink {
    socket: RawSocket,
    sequence: u32,
}

impl Netlink {
    /// Speaks rtnetlink in the network namespace of the calling thread, wherever the thread goes later.
    pub fn route() -> Result<Netlink, NetlinkError> {
        Netlink::open(Protocol::Route, SOCKET_BUFFER)
    }

    /// Like [`Netlink::route`], at the port that another conversation had before.
    pub fn route_at(port: u32) -> Result<Netlink, NetlinkError> {
        let socket = RawSocket::open_at(port, Protocol::Route, ANSWER_WITHIN, SOCKET_BUFFER)
            .map_err(|error| NetlinkError::Socket { doing: "open a socket", error })?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Its port, by which a [`super::monitor::Monitor`] knows what this conversation did.
    pub fn port(&self) -> Result<u32, NetlinkError> {
        self.socket.port().map_err(|error| NetlinkError::Socket { doing: "name its port", error })
    }

    /// Speaks nfnetlink there. The buffers are larger, as a transaction goes in one send.
    pub fn netfilter() -> Result<Netlink, NetlinkError> {
        Netlink::open(Protocol::Netfilter, 4 * SOCKET_BUFFER)
    }

    /// Like [`Netlink::netfilter`], at the port that another conversation had before.
    pub fn netfilter_at(port: u32) -> Result<Netlink, NetlinkError> {
        let socket = RawSocket::open_at(port, Protocol::Netfilter, ANSWER_WITHIN, 4 * SOCKET_BUFFER)
            .map_err(|error| NetlinkError::Socket { doing: "open a socket", error })?;
        Ok(Netlink { socket, sequence: 0 })
    }

    pub(super) fn open(protocol: Protocol, buffer: i32) -> Result<Netlink, NetlinkError> {
        let socket = RawSocket::open(protocol, ANSWER_WITHIN, buffer)
            .map_err(|error| NetlinkError::Socket { doing: "open a socket", error })?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Bounds the wait for each answer (instead of [`ANSWER_WITHIN`]).
    pub fn answer_within(&mut self, time: Duration) -> Result<(), NetlinkError> {
        self.socket.answer_within(time).map_err(|error| NetlinkError::Socket { doing: "set a timeout", error })
    }

    /// Sends everything, in chunks of at most [`CHUNK_REQUESTS`]; a refused request stops nothing.
    ///
    /// An error means that the fate of the requests is unknown: read the kernel's state again.
    pub fn run(&mut self, batch: &mut Batch) -> Result<Replies, NetlinkError> {
        let mut replies = Replies::default();
        let first = self.reserve(batch.len());
        batch.number(first);
        let mut start = 0;
        while start < batch.len() {
            let end = batch.chunk_end(start);
            batch.acknowledge(end - 1);
            let from = batch.offsets.get(start).copied().unwrap_or_default();
            let to = batch.offsets.get(end).copied().unwrap_or(batch.bytes.len());
            self.send(batch.bytes.get(from..to).unwrap_or_default())?;
            self.collect(first, start..end, &mut replies)?;
            start = end;
        }
        Ok(replies)
    }

    /// Sends one request and waits for its verdict.
    pub fn request(&mut self, kind: u16, flags: u16, body: &impl Emitable) -> Result<Replies, NetlinkError> {
        let mut batch = Batch::new();
        batch.push(kind, flags, body);
        self.run(&mut batch)?.all()
    }

    /// Sends an nfnetlink transaction in one piece: all of it is committed, or none if any request is refused.
    ///
    /// The first and last requests are the begin and end markers; a refusal of the first is one of the whole.
    pub fn transaction(&mut self, batch: &mut Batch) -> Result<Replies, NetlinkError> {
        let first = self.reserve(batch.len());
        batch.number(first);
        let last = batch.len().saturating_sub(2);
        batch.acknowledge(last);
        let room = |error| NetlinkError::Socket { doing: "make room for a large transaction", error };
        self.socket.leave_room_for(batch.bytes.len()).map_err(room)?;
        self.send(&batch.bytes)?;
        let mut replies = Replies::default();
        // A refused commit is answered in the name of the begin marker.
        while !replies.refused.iter().any(|(position, _)| *position == 0) {
            if self.collect_some(first, 0..batch.len(), last, &mut replies)? {
                break;
            }
        }
        Ok(replies)
    }

    /// Everything that answers a GET request, each message read by `parse`; messages it makes nothing of are skipped.
    ///
    /// Begun anew when the table changes meanwhile, so that the result is of one moment.
    pub fn dump<T>(
        &mut self,
        kind: u16,
        body: &impl Emitable,
        mut parse: impl FnMut(&Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..DUMP_TRIES {
            let mut found = Vec::new();
            let first = self.reserve(1);
            let mut batch = Batch::new();
            batch.push(kind, NLM_F_DUMP, body);
            batch.number(first);
            self.send(&batch.bytes)?;
            if self.dump_once(first, |message| found.extend(parse(message)))? {
                return Ok(found);
            }
        }
        Err(NetlinkError::Interrupted)
    }

    /// Reads to the dump's end; false when it was interrupted.
    fn dump_once(&mut self, sequence: u32, mut each: impl FnMut(&Message<'_>)) -> Result<bool, NetlinkError> {
        let mut whole = true;
        loop {
            let datagram = self.receive()?;
            for message in messages(datagram).filter(|m| m.sequence == sequence) {
                whole &= !message.is_interrupted();
                if message.is_verdict() || message.is_done() {
                    return match verdict(&message) {
                        Some(refusal) => Err(NetlinkError::Refused(refusal)),
                        None => Ok(whole),
                    };
                }
                each(&message);
            }
        }
    }

    /// Reads answers until the last request of the range has its verdict.
    fn collect(
        &mut self,
        first: u32,
        range: std::ops::Range<usize>,
        replies: &mut Replies,
    ) -> Result<(), NetlinkError> {
        let last = range.end - 1;
        while !self.collect_some(first, range.clone(), last, replies)? {}
        Ok(())
    }

    /// Reads one datagram of answers; true when `last` has its verdict.
    fn collect_some(
        &mut self,
        first: u32,
        range: std::ops::Range<usize>,
        last: usize,
        replies: &mut Replies,
    ) -> Result<bool, NetlinkError> {
        let datagram = self.receive()?;
        let mut done = false;
        for message in messages(datagram) {
            // Anything else is the late answer to a request whose caller gave up.
            let position = message.sequence.wrapping_sub(first) as usize;
            if !range.contains(&position) {
                continue;
            }
            if message.is_verdict() {
                replies.refused.extend(verdict(&message).map(|refusal| (position, refusal)));
                done |= position == last;
            } else {
                replies.answers.push((position, message.kind, message.payload.to_vec()));
            }
        }
        Ok(done)
    }

    /// The first of `count` fresh sequence numbers. 0 is left to the kernel's own events.
    fn reserve(&mut self, count: usize) -> u32 {
        let count = count as u32;
        let first = match self.sequence.checked_add(1) {
            Some(first) if first.checked_add(count).is_some() => first,
            _ => 1,
        };
        self.sequence = first + count;
        first
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        self.socket.send(bytes).map_err(|error| NetlinkError::Socket { doing: "send", error })
    }

    /// The next datagram, of whatever is in it.
    pub(super) fn receive(&mut self) -> Result<&[u8], NetlinkError> {
        match self.socket.receive() {
            Ok(length) => Ok(self.socket.datagram(length)),
            Err(error) => Err(match error.raw_os_error() {
                Some(libc::ENOBUFS) => {
                    // Until everything is read the kernel drops answers without another word.
                    while self.socket.receive_now().is_ok() {}
                    NetlinkError::Overrun
                }
                Some(libc::EAGAIN) => NetlinkError::Timeout,
                _ => NetlinkError::Socket { doing: "receive", error },
            }),
        }
    }
}

/// The refusal in an NLMSG_ERROR or NLMSG_DONE message, unless its errno is 0.
fn verdict(message: &Message<'_>) -> Option<Refusal> {
    // A DONE of old kernels has no errno.
    let errno = attribute::u32_at(message.payload, 0).unwrap_or_default() as i32;
    if errno == 0 {
        return None;
    }
    // After the errno: the request's header (the rest of it is capped away) in a verdict, nothing in a DONE.
    let tail = if message.is_done() { 4 } else { 4 + HEADER };
    let text = (message.flags & ACK_TLVS != 0)
        .then(|| message.payload.get(tail..))
        .flatten()
        .and_then(|bytes| attribute::attributes(bytes).find(|(kind, _)| *kind == ATTR_MESSAGE))
        .map(|(_, value)| attribute::text(value));
    Some(Refusal { errno: errno.saturating_neg(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_never_wrap_inside_a_batch_and_are_never_zero() {
        let mut netlink = Netlink::route().unwrap();
        netlink.sequence = u32::MAX - 3;
        assert_eq!(netlink.reserve(10), 1);
        assert_eq!(netlink.reserve(1), 12);
    }

    #[test]
    fn lost_answers_are_an_error_and_the_next_request_is_answered_as_if_nothing_had_been() {
        // 512 refusals do not fit the smallest buffer that a socket can have.
        let mut netlink = Netlink::route().unwrap();
        netlink.socket.receive_buffer(1);
        let mut batch = Batch::new();
        for _ in 0..512 {
            batch.push(rtm::NEWADDR, 0, &netlink_packet_route::address::AddressMessage::default());
        }
        let outcome = netlink.run(&mut batch);
        assert!(matches!(outcome, Err(NetlinkError::Overrun)), "{outcome:?}");
        netlink.socket.receive_buffer(1 << 16);
        let mut get = netlink_packet_route::link::LinkMessage::default();
        get.header.index = 1;
        let replies = netlink.request(rtm::GETLINK, 0, &get).unwrap();
        assert_eq!(replies.answers.len(), 1);
        assert_eq!(replies.refused, []);
    }

    #[test]
    fn a_refusal_carries_the_errno_and_the_kernels_own_words() {
        let mut netlink = Netlink::route().unwrap();
        let error = netlink.request(rtm::NEWADDR, 0, &netlink_packet_route::address::AddressMessage::default());
        let text = error.unwrap_err().to_string();
        assert!(text.contains("os error"), "{text}");
    }
}
