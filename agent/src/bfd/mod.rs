//! BFD's sockets and clock: [`bgp::bfd::Sessions`] on a real network, on a thread of its own.
//!
//! ```text
//!   peers ──▶ thread (owns the Sessions) ──▶ Board ──▶ the speaker's loop
//!                    ▲ orders, and a bell            (falls, views)
//! ```
//! The thread waits for its sockets and its timer and for nothing else: no runtime, no lock, no other thread. It asks the
//! kernel to be run before others, so that however busy the agent or the node is, no packet is late.

mod board;
pub(crate) mod kernel;
mod thread;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use bgp::bfd::{Config, Fall};
use bgp::{PeerConfig, PeerKey};
use model::api::show::BfdView;
use tracing::error;

use self::board::Board;
use self::thread::{Order, Thread};

/// A session to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peering {
    config: Config,
    /// The source address; the kernel's choice if absent.
    local: Option<IpAddr>,
}

/// BFD of this node. The thread is started with the first session that is wanted; dropped, it tells every peer AdminDown
/// and ends.
#[derive(Debug, Default)]
pub struct Bfd {
    wanted: BTreeMap<IpAddr, Peering>,
    board: Arc<Board>,
    running: Option<Running>,
    /// Why the thread could not be started.
    failure: Option<String>,
}

#[derive(Debug)]
struct Running {
    orders: mpsc::Sender<Order>,
    /// Wakes the thread for its orders.
    bell: UnixStream,
    thread: JoinHandle<()>,
}

impl Bfd {
    /// The sessions to have: one for each address that has a peer with BFD. Of several peers at one address the one with
    /// the lowest port counts.
    pub fn want<'a>(&mut self, peers: impl IntoIterator<Item = (&'a PeerKey, &'a PeerConfig)>) {
        let mut wanted = BTreeMap::new();
        for (key, peer) in peers {
            if let Some(config) = peer.bfd {
                wanted.entry(key.address).or_insert(Peering { config, local: peer.local_address });
            }
        }
        if wanted == self.wanted {
            return;
        }
        self.wanted = wanted;
        self.order();
    }

    /// Starts the thread if it is not there, and tells it what is wanted.
    fn order(&mut self) {
        if self.running.as_ref().is_none_or(|running| running.thread.is_finished()) {
            match start(self.board.clone()) {
                Ok(running) => (self.running, self.failure) = (Some(running), None),
                Err(error) => {
                    let failure = format!("BFD cannot be started: {error}: paths to peers are not watched");
                    if self.failure.as_ref() != Some(&failure) {
                        error!("{failure}");
                    }
                    (self.running, self.failure) = (None, Some(failure));
                }
            }
        }
        if let Some(running) = &self.running {
            // One that has ended in between is started again.
            drop(running.orders.send(Order::Want(self.wanted.clone())));
            running.ring();
        }
    }

    /// Whether sessions are wanted and nobody keeps them.
    pub fn is_broken(&self) -> bool {
        !self.wanted.is_empty() && self.running.as_ref().is_none_or(|running| running.thread.is_finished())
    }

    /// Starts a thread that could not be started, or has panicked, again.
    pub fn retry(&mut self) {
        if self.is_broken() {
            if self.running.is_some() {
                error!("BFD's thread has ended: it is started again");
            }
            self.order();
        }
    }

    /// What cannot be done, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let ended = self.is_broken() && self.failure.is_none();
        let ended = ended.then(|| "BFD's thread has ended: paths to peers are not watched".to_string());
        self.failure.clone().into_iter().chain(ended).chain(self.board.problems()).collect()
    }

    /// Sessions that were Up and are no more, as soon as there are some; none of them when [`Bfd::is_broken`] is to be
    /// asked. For one reader. Cancel-safe.
    pub async fn falls(&self) -> Vec<(IpAddr, Fall)> {
        self.board.falls().await
    }

    /// What the session with this address looks like, if there is one.
    pub fn view(&self, peer: IpAddr) -> Option<BfdView> {
        self.board.view(peer)
    }
}

impl Drop for Bfd {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        drop(running.orders.send(Order::End));
        running.ring();
        // It ends within a turn. A panic of its own has been told.
        drop(running.thread.join());
    }
}

impl Running {
    /// A bell that is full has been rung.
    fn ring(&self) {
        drop((&self.bell).write(&[1]));
    }
}

fn start(board: Arc<Board>) -> io::Result<Running> {
    let (bell, rung) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    rung.set_nonblocking(true)?;
    let (orders, queue) = mpsc::channel();
    let (thread, ending) = (Thread::new(queue, rung, board.clone()), Ending(board));
    let thread = std::thread::Builder::new().name("bfd".into()).spawn(move || {
        // Dropped last, however the thread ends.
        let _ending = ending;
        thread.run();
    })?;
    Ok(Running { orders, bell, thread })
}

/// Says, however the thread ends, that it has ended.
struct Ending(Arc<Board>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}
