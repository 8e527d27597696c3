//! One TCP connection: a task that frames, decodes and writes, so that a hostile peer costs only itself.

use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, IoSlice};
use std::time::Duration;

use bgp::speaker::{CloseReason, ConnId};
use bgp::wire::{Context, Framer, Message, Notification};
use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::run::Event;

/// Octets asked of the kernel at once.
const READ: usize = 16 << 10;
/// Messages in one event: the speaker looks at its clock between events.
const BATCH: usize = 64;
/// Buffers in one write.
const GATHER: usize = 32;
/// How long a connection that was given up may take to write what it still has, and then to hear the peer's goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// A connection as its task sees it.
pub(super) struct Connection {
    pub(super) conn: ConnId,
    /// How to decode; the latest counts.
    pub(super) context: watch::Receiver<Context>,
    /// What to write. Its end is the order to close. Its length is bounded by the speaker, which counts what it sent
    /// against [`Event::Drained`].
    pub(super) orders: mpsc::UnboundedReceiver<Bytes>,
    /// Where to tell. Bounded: a peer that talks faster than the speaker listens waits here, and its TCP window closes.
    pub(super) inbox: mpsc::Sender<Event>,
}

/// How a connection came to its end.
enum End {
    /// Not by our doing.
    Gone(CloseReason),
    /// As ordered, with all written.
    Done,
    /// As ordered, but the peer did not take what was still to be written.
    Stuck,
}

impl Connection {
    /// Serves the connection to its end.
    pub(super) async fn serve(mut self, mut stream: TcpStream) {
        match self.converse(&mut stream).await {
            // The receiver is gone only when everything ends.
            End::Gone(reason) => drop(self.inbox.send(Event::Closed { conn: self.conn, reason }).await),
            End::Done => say_goodbye(stream).await,
            End::Stuck => abort(&stream),
        }
    }

    async fn converse(&mut self, stream: &mut TcpStream) -> End {
        let Connection { conn, context, orders, inbox } = self;
        let (mut reader, mut writer) = stream.split();
        let mut reading = std::pin::pin!(read(*conn, &mut reader, inbox, context.clone()));
        tokio::select! {
            reason = &mut reading => End::Gone(reason),
            end = write(*conn, &mut writer, inbox, orders, context.clone()) => match end {
                // What the peer said before it went, such as a NOTIFICATION, may still be unread.
                End::Gone(reason) => End::Gone(timeout(LINGER, reading).await.unwrap_or(reason)),
                ordered => ordered,
            },
        }
    }
}

/// Reads, frames, decodes and tells, until the peer is gone. After something that cannot be decoded it tells so and
/// reads no more: the speaker answers with a NOTIFICATION and closes.
async fn read(
    conn: ConnId,
    reader: &mut ReadHalf<'_>,
    inbox: &mpsc::Sender<Event>,
    mut context: watch::Receiver<Context>,
) -> CloseReason {
    let mut framer = Framer::new();
    loop {
        // Most sessions are silent most of the time: room for what may come is made when it has come.
        let read = match reader.readable().await {
            Ok(()) => reader.try_read_buf(framer.space(READ)),
            Err(e) => Err(e),
        };
        match read {
            Ok(0) => return CloseReason::Ended,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                framer.rest();
                continue;
            }
            Err(e) => return close_reason(&e),
        }
        loop {
            let Decoded { messages, then } = {
                let context = context.borrow_and_update();
                framer.follow(&context);
                decode(&mut framer, &context)
            };
            if !messages.is_empty() && inbox.send(Event::Messages { conn, messages }).await.is_err() {
                return pending().await;
            }
            match then {
                Then::Read => {
                    framer.rest();
                    break;
                }
                Then::Decode => {}
                // A peer in a hurry sends UPDATEs right after its OPEN, which says how they are to be decoded. If the
                // speaker does not accept it, it gives the connection up instead.
                Then::AwaitContext => {
                    if context.changed().await.is_err() {
                        return pending().await;
                    }
                }
                Then::Break(notification) => {
                    drop(inbox.send(Event::Broken { conn, notification }).await);
                    return pending().await;
                }
            }
        }
    }
}

/// Messages, and what comes after them.
struct Decoded {
    messages: Vec<Message>,
    then: Then,
}

enum Then {
    /// All that came is decoded.
    Read,
    /// There is more.
    Decode,
    /// The last one was an OPEN.
    AwaitContext,
    /// What follows cannot be decoded.
    Break(Notification),
}

/// Up to [`BATCH`] messages.
fn decode(framer: &mut Framer, context: &Context) -> Decoded {
    let mut messages = Vec::new();
    let then = loop {
        if messages.len() == BATCH {
            break Then::Decode;
        }
        match framer.next_frame().and_then(|frame| frame.map(|f| Message::decode(f, context)).transpose()) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => break Then::Read,
            Err(notification) => break Then::Break(notification),
        }
        if matches!(messages.last(), Some(Message::Open(_))) {
            break Then::AwaitContext;
        }
    };
    Decoded { messages, then }
}

/// Writes what is ordered until there is nothing more to order. Once the connection is given up, what is left has
/// [`LINGER`] to go out.
async fn write(
    conn: ConnId,
    writer: &mut WriteHalf<'_>,
    inbox: &mpsc::Sender<Event>,
    orders: &mut mpsc::UnboundedReceiver<Bytes>,
    context: watch::Receiver<Context>,
) -> End {
    let writing = async {
        let mut queue: VecDeque<Bytes> = VecDeque::new();
        while let Some(bytes) = orders.recv().await {
            queue.push_back(bytes);
            while !queue.is_empty() {
                while queue.len() < GATHER
                    && let Ok(bytes) = orders.try_recv()
                {
                    queue.push_back(bytes);
                }
                match write_some(writer, &mut queue).await {
                    // The receiver is gone only when everything ends.
                    Ok(octets) => drop(inbox.send(Event::Drained { conn, octets }).await),
                    Err(e) => return End::Gone(close_reason(&e)),
                }
            }
        }
        End::Done
    };
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        end = &mut writing => end,
        () = given_up(context) => timeout(LINGER, writing).await.unwrap_or(End::Stuck),
    }
}

/// One gathering write: how many octets the kernel took.
async fn write_some(writer: &mut WriteHalf<'_>, queue: &mut VecDeque<Bytes>) -> io::Result<usize> {
    let written = {
        let slices: Vec<IoSlice<'_>> = queue.iter().map(|bytes| IoSlice::new(bytes)).collect();
        writer.write_vectored(&slices).await?
    };
    let mut left = written;
    while let Some(first) = queue.front_mut() {
        if left < first.len() {
            first.advance(left);
            break;
        }
        left -= first.len();
        queue.pop_front();
    }
    if written == 0 && !queue.is_empty() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

/// Resolves when the speaker lets go of the connection.
async fn given_up(mut context: watch::Receiver<Context>) {
    while context.changed().await.is_ok() {}
}

/// Ends our direction and waits a little for the end of the other. Closing with octets unread would send RST, at which
/// the peer's kernel may throw away the NOTIFICATION that was last.
async fn say_goodbye(mut stream: TcpStream) {
    let goodbye = async {
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // An error means that the peer was quicker, which is as well.
    if timeout(LINGER, goodbye).await.is_err() {
        abort(&stream);
    }
}

/// Makes the coming close an RST. A peer that has heard nothing of the end, as its acknowledgements do not get through
/// or it does not read, hears of it now; and the kernel does not keep for minutes what the peer has not taken.
fn abort(stream: &TcpStream) {
    // Where the option fails the close is an ordinary one.
    drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
}

fn close_reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CloseReason::Reset,
        io::ErrorKind::TimedOut => CloseReason::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => CloseReason::Unreachable,
        _ => CloseReason::Other(error.to_string()),
    }
}
