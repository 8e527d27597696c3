//! Out of service and back (`margayctl node drain`, `undrain`): remembered over restarts and reboots, as a cordon is.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use model::Time;
use model::api::show::{DrainState, DrainView};
use model::api::{Answer, RefusalCode, Reply};
use model::object::{GRACEFUL_SHUTDOWN, Standing};

use super::{Reconciler, refuse};
use crate::fact::Fact;
use crate::plan::drain::drain;

/// In the state directory; holds the message for the peers.
const FILE: &str = "drained";
/// The longest message in octets (RFC 9003 §2).
const LONGEST: usize = 255;

impl Reconciler {
    /// Learns what was remembered when the agent starts.
    pub(super) fn recall_drain(&mut self, now: Time) {
        match fs::read_to_string(self.drain_file()) {
            Ok(message) => self.learn(Fact::Drained(Some(cut(message))), now),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                // Traffic that keeps away from a node in service is a nuisance; traffic that is led to one that somebody
                // takes apart is lost.
                let file = self.drain_file();
                tracing::error!(%error, file = %file.display(), "the node is taken as drained: that cannot be read");
                self.learn(Fact::Drained(Some(String::new())), now);
            }
        }
    }

    pub(super) fn drain(&mut self, message: String, now: Time) -> Reply {
        let message = cut(message);
        let file = self.drain_file();
        if let Err(error) = write(&file, &message) {
            return refuse(RefusalCode::Internal, format!("{}: {error}: not drained", file.display()));
        }
        tracing::info!(message, "the node is taken out of service");
        self.learn(Fact::Drained(Some(message)), now);
        Reply::Ok(Answer::Done)
    }

    pub(super) fn undrain(&mut self, now: Time) -> Reply {
        let file = self.drain_file();
        let removed = fs::remove_file(&file).and_then(|()| sync_directory(&file));
        if let Err(error) = removed
            && error.kind() != ErrorKind::NotFound
        {
            return refuse(RefusalCode::Internal, format!("{}: {error}: not undrained", file.display()));
        }
        self.learn(Fact::Drained(None), now);
        let node = self.world.objects.node(&self.world.node);
        if node.is_some_and(|node| node.service == Standing::OutOfService) {
            let message = format!("the node stays drained: its Node object has the annotation {GRACEFUL_SHUTDOWN}");
            return refuse(RefusalCode::Invalid, message);
        }
        tracing::info!("the node is back in service");
        Reply::Ok(Answer::Done)
    }

    /// Who wants it; how far it is only the speaker knows.
    pub(super) fn drain_view(&self) -> Option<DrainView> {
        let (_, reason) = drain(&self.world, self.world.objects.node(&self.world.node)?)?;
        Some(DrainView { state: DrainState::Draining, reason })
    }

    fn drain_file(&self) -> PathBuf {
        self.state_dir.join(FILE)
    }
}

/// In place only when it is whole.
fn write(path: &Path, message: &str) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = fs::File::create(&next)?;
    file.write_all(message.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    sync_directory(path)
}

/// A name that is new or gone outlives a power failure only once its directory is written.
fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(LONGEST));
    message
}
