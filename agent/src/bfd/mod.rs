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
        self.wanted.clone_from(&wanted);
        let running = match &mut self.running {
            Some(running) => running,
            none => match start(self.board.clone()) {
                Ok(running) => none.insert(running),
                Err(error) => return error!(%error, "BFD cannot be started: paths to peers are not watched"),
            },
        };
        // A thread that is gone has panicked, and said so.
        drop(running.orders.send(Order::Want(wanted)));
        running.ring();
    }

    /// Sessions that were Up and are no more, as soon as there are some. For one reader. Cancel-safe.
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
    let thread = Thread::new(queue, rung, board);
    let thread = std::thread::Builder::new().name("bfd".into()).spawn(move || thread.run())?;
    Ok(Running { orders, bell, thread })
}
