//! Hears of changes in the runtime's directories.

use std::io;
use std::path::Path;
use std::time::Duration;

use inotify::{Inotify, WatchMask};
use tokio::sync::mpsc;

/// How long a burst of changes is left to end: a package's files arrive one after the other.
const SETTLE: Duration = Duration::from_millis(200);
/// How often to look where the kernel tells nothing: a node has few inotify instances, and they may all be taken.
const LOOK: Duration = Duration::from_secs(10);

/// What tells; None if one has to look.
pub(super) struct Watcher(Option<mpsc::Receiver<()>>);

impl Watcher {
    /// Of these directories.
    pub(super) fn new(directories: &[&Path]) -> Watcher {
        let heard = subscribe(directories).and_then(|inotify| {
            let (sender, heard) = mpsc::channel(1);
            std::thread::Builder::new().name("cni-directories".into()).spawn(move || hear(inotify, &sender))?;
            Ok(heard)
        });
        if let Err(error) = &heard {
            tracing::info!(%error, "no word of changes in the runtime's directories: looking now and then");
        }
        Watcher(heard.ok())
    }

    /// Waits for a change, and for the end of its burst.
    pub(super) async fn changed(&mut self) {
        let Some(heard) = &mut self.0 else { return tokio::time::sleep(LOOK).await };
        if heard.recv().await.is_none() {
            self.0 = None;
        }
    }
}

fn subscribe(directories: &[&Path]) -> io::Result<Inotify> {
    let inotify = Inotify::init()?;
    let mask = WatchMask::CLOSE_WRITE | WatchMask::DELETE | WatchMask::MOVE | WatchMask::ATTRIB | WatchMask::ONLYDIR;
    for directory in directories {
        inotify.watches().add(directory, mask)?;
    }
    Ok(inotify)
}

fn hear(mut inotify: Inotify, sender: &mpsc::Sender<()>) {
    let mut buffer = [0; 8192];
    while inotify.read_events_blocking(&mut buffer).is_ok() {
        std::thread::sleep(SETTLE);
        while inotify.read_events(&mut buffer).is_ok_and(|mut events| events.next().is_some()) {}
        // One that waits already stands for this one too.
        if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
            return;
        }
    }
}
