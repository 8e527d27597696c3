//! The speaker's sockets and clock: [`bgp::Speaker`] on a real network.
//!
//! ```text
//!   peers ──▶ connection tasks ──▶ inbox ──▶ loop (owns the Speaker) ──▶ Changes ──▶ reconcile loop
//!             frame, decode, write ◀─ orders ──┘        ▲ Wanted (last value wins), commands
//! ```
//! The loop awaits nothing but its inboxes and its timer, so neither a slow kernel nor a slow peer makes a KEEPALIVE late.
//! Time becomes [`model::Time`] here and nowhere else.

mod changes;
mod connection;
mod dial;
mod listen;
mod refused;
mod run;
pub mod sockopt;
mod stations;

use std::sync::Arc;

use bgp::speaker::{DumpPiece, PeersChanged, Rehearsal, ResetError, Why};
use bgp::{PeerKey, Speaker, SpeakerConfig};
use model::api::BgpReset;
use model::api::show::{BgpRoutes, DumpCursor, FilterTest, FilterTestView, PeerView, RoutePage, StationView};
use model::{Prefix, Time};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use changes::Batch;
pub use listen::Listen;

use self::changes::Changes;
use self::refused::Refused;
use self::run::Loop;

/// Questions that may wait for an answer.
const COMMANDS: usize = 16;

/// What the speaker is to be and where it listens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wanted {
    /// None while the objects do not say who this node is: no session then.
    pub config: Option<SpeakerConfig>,
    /// Where peers can connect to.
    pub listen: Listen,
}

/// The speaker has ended, and with it the agent is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the BGP speaker has ended")]
pub struct Ended;

/// A way to talk to the running speaker. The speaker lives as long as its handles.
#[derive(Debug, Clone)]
pub struct Handle {
    wanted: Arc<watch::Sender<Wanted>>,
    commands: mpsc::Sender<Command>,
    changes: Arc<Changes>,
    refused: Arc<Refused>,
}

/// Asked between two messages; answered at once.
#[derive(Debug)]
enum Command {
    Peers { answer: oneshot::Sender<Vec<PeerView>> },
    Routes { question: BgpRoutes, answer: oneshot::Sender<RoutePage> },
    FilterTest { question: FilterTest, answer: oneshot::Sender<Vec<FilterTestView>> },
    Why { prefix: Prefix, answer: oneshot::Sender<Option<(Prefix, Why)>> },
    Dump { after: Option<DumpCursor>, answer: oneshot::Sender<Result<DumpPiece, PeersChanged>> },
    Stations { answer: oneshot::Sender<Vec<StationView>> },
    Problems { answer: oneshot::Sender<Vec<String>> },
    Drained { answer: oneshot::Sender<bool> },
    Refresh { peer: PeerKey },
    Reset { reset: BgpReset, answer: oneshot::Sender<Result<usize, ResetError>> },
    Rehearse { config: Option<Box<SpeakerConfig>>, answer: oneshot::Sender<Copied> },
    Shutdown { message: String, done: oneshot::Sender<()> },
}

/// The most prefixes in tables that are copied for a rehearsal: some 50 MB.
const COPIED: usize = 200_000;

/// What a rehearsal begins with.
#[derive(Debug)]
enum Copied {
    /// A copy, which knows what time it is.
    Speaker(Box<Speaker>, Time, Box<SpeakerConfig>),
    /// Of sessions only, as there are so many prefixes.
    Sessions(Box<Rehearsal>, usize),
    /// Nobody has said yet who this node is, nor would the new configuration.
    Nothing,
}

/// What a configuration would do.
#[derive(Debug)]
pub struct Rehearsed {
    /// None where there is no speaker.
    pub rehearsal: Option<Rehearsal>,
    /// What of it is not known.
    pub notes: Vec<String>,
}

/// Starts the speaker on the current runtime. It does nothing before the first [`Handle::want`]. The task ends after
/// [`Handle::shut_down`] or with the last handle; if it ends otherwise it panicked, and the agent should end as well.
pub fn spawn() -> (Handle, JoinHandle<()>) {
    let (wanted, wish) = watch::channel(Wanted::default());
    let (commands, orders) = mpsc::channel(COMMANDS);
    let (changes, refused) = (Arc::new(Changes::default()), Arc::new(Refused::default()));
    let task = tokio::spawn(Loop::new(changes.clone(), refused.clone()).run(wish, orders));
    (Handle { wanted: Arc::new(wanted), commands, changes, refused }, task)
}

impl Handle {
    /// Says what the speaker shall be from now on. The last word wins; the same word again does nothing.
    pub fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|now| {
            let new = *now != wanted;
            if new {
                *now = wanted;
            }
            new
        });
    }

    /// What the speaker believes that it did not before, as soon as there is something. For one reader. Cancel-safe.
    pub async fn changes(&self) -> Batch {
        self.changes.next().await
    }

    /// All peers, in order of address.
    pub async fn peers(&self) -> Result<Vec<PeerView>, Ended> {
        self.ask(|answer| Command::Peers { answer }).await
    }

    /// One page of routes.
    pub async fn routes(&self, question: BgpRoutes) -> Result<RoutePage, Ended> {
        self.ask(|answer| Command::Routes { question, answer }).await
    }

    /// Which rule of which filter decides on a route.
    pub async fn filter_test(&self, question: FilterTest) -> Result<Vec<FilterTestView>, Ended> {
        self.ask(|answer| Command::FilterTest { question, answer }).await
    }

    /// All about the paths of this prefix, or else of the longest that covers it.
    pub async fn why(&self, prefix: Prefix) -> Result<Option<(Prefix, Why)>, Ended> {
        self.ask(|answer| Command::Why { prefix, answer }).await
    }

    /// Why it does not listen where it should, or does not watch the paths to peers, one sentence each.
    pub async fn problems(&self) -> Result<Vec<String>, Ended> {
        self.ask(|answer| Command::Problems { answer }).await
    }

    /// Whether the node is out of service, its peers' time to turn to others being over.
    pub async fn is_drained(&self) -> Result<bool, Ended> {
        self.ask(|answer| Command::Drained { answer }).await
    }

    /// What this configuration would do, worked out on a copy and on a thread apart. Nothing is done.
    pub async fn rehearse(&self, config: Option<SpeakerConfig>) -> Result<Rehearsed, Ended> {
        let config = config.map(Box::new);
        Ok(match self.ask(|answer| Command::Rehearse { config, answer }).await? {
            Copied::Nothing => Rehearsed { rehearsal: None, notes: Vec::new() },
            Copied::Sessions(rehearsal, prefixes) => Rehearsed {
                rehearsal: Some(*rehearsal),
                notes: vec![format!(
                    "the speaker's tables hold {prefixes} prefixes, more than {COPIED}: what would change of routes was not \
                     worked out"
                )],
            },
            Copied::Speaker(speaker, now, config) => {
                let work = tokio::task::spawn_blocking(move || speaker.rehearse(now, *config));
                Rehearsed { rehearsal: Some(work.await.map_err(|_| Ended)?), notes: Vec::new() }
            }
        })
    }

    /// Some records of an MRT file.
    pub async fn dump(&self, after: Option<DumpCursor>) -> Result<Result<DumpPiece, PeersChanged>, Ended> {
        self.ask(|answer| Command::Dump { after, answer }).await
    }

    /// All BMP stations, in order of address.
    pub async fn stations(&self) -> Result<Vec<StationView>, Ended> {
        self.ask(|answer| Command::Stations { answer }).await
    }

    /// Begins sessions anew, or has their routes told again. How many.
    pub async fn reset(&self, reset: BgpReset) -> Result<Result<usize, ResetError>, Ended> {
        self.ask(|answer| Command::Reset { reset, answer }).await
    }

    /// Asks a peer for its routes again (RFC 2918).
    pub async fn refresh(&self, peer: PeerKey) -> Result<(), Ended> {
        self.commands.send(Command::Refresh { peer }).await.map_err(|_| Ended)
    }

    /// Tells every peer that this node leaves for good (RFC 9003) and ends the speaker. Not for a restart: an agent that
    /// will be back just exits, and its peers keep its routes (RFC 4724).
    pub async fn shut_down(&self, message: impl Into<String>) -> Result<(), Ended> {
        let message = message.into();
        self.ask(|done| Command::Shutdown { message, done }).await
    }

    /// Connections refused so far: of strangers, or too many of one peer.
    pub fn refused(&self) -> u64 {
        self.refused.total()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }
}
