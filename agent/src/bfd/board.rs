//! What the BFD thread tells the speaker's loop: the latest of each session, however slow the reader.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use bgp::bfd::Fall;
use model::api::show::BfdView;
use tokio::sync::Notify;

/// News of sessions. As long as the number of peers, however much happened.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What a session looks like; none if it is gone.
    pub views: BTreeMap<IpAddr, Option<BfdView>>,
    /// Sessions that were Up and are no more.
    pub falls: Falls,
    /// What cannot be done, one sentence each, if that is other than before.
    pub problems: Option<Vec<String>>,
}

/// Sessions that were Up and are no more.
#[derive(Debug, Default)]
pub(super) struct Falls(BTreeMap<IpAddr, Fall>);

impl Falls {
    /// A fall that ends BGP sessions is not forgotten for one that does not.
    pub(super) fn fell(&mut self, peer: IpAddr, fall: Fall) {
        if fall != Fall::AdminDown || !self.0.contains_key(&peer) {
            self.0.insert(peer, fall);
        }
    }
}

impl News {
    fn is_empty(&self) -> bool {
        self.views.is_empty() && self.falls.0.is_empty() && self.problems.is_none()
    }
}

#[derive(Debug, Default)]
struct Posted {
    views: BTreeMap<IpAddr, BfdView>,
    falls: Falls,
    problems: Vec<String>,
    /// The writer has ended since this was last looked at.
    ended: Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ended {
    Yes,
    #[default]
    No,
}

/// One writer, who never waits, and readers.
#[derive(Debug, Default)]
pub(super) struct Board {
    posted: Mutex<Posted>,
    fallen: Notify,
}

impl Board {
    /// Puts the news up, unless somebody reads just now: then they stay where they are, to be posted a little later.
    pub(super) fn post(&self, news: &mut News) -> Result<(), Busy> {
        if news.is_empty() {
            return Ok(());
        }
        let mut posted = match self.posted.try_lock() {
            Ok(posted) => posted,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Busy),
        };
        let News { views, falls, problems } = std::mem::take(news);
        for (peer, view) in views {
            match view {
                Some(view) => drop(posted.views.insert(peer, view)),
                None => drop(posted.views.remove(&peer)),
            }
        }
        if let Some(problems) = problems {
            posted.problems = problems;
        }
        if !falls.0.is_empty() {
            falls.0.into_iter().for_each(|(peer, fall)| posted.falls.fell(peer, fall));
            self.fallen.notify_one();
        }
        Ok(())
    }

    /// The writer has ended: what it knew is of no worth any more.
    pub(super) fn end(&self) {
        let mut posted = self.lock();
        posted.views.clear();
        posted.problems.clear();
        posted.ended = Ended::Yes;
        self.fallen.notify_one();
    }

    /// Sessions that fell; none if the writer has ended.
    pub(super) async fn falls(&self) -> Vec<(IpAddr, Fall)> {
        loop {
            let fallen = self.fallen.notified();
            {
                let mut posted = self.lock();
                let falls = std::mem::take(&mut posted.falls.0);
                if std::mem::take(&mut posted.ended) == Ended::Yes || !falls.is_empty() {
                    return falls.into_iter().collect();
                }
            }
            fallen.await;
        }
    }

    pub(super) fn problems(&self) -> Vec<String> {
        self.lock().problems.clone()
    }

    pub(super) fn view(&self, peer: IpAddr) -> Option<BfdView> {
        self.lock().views.get(&peer).cloned()
    }

    /// The maps are whole even if a writer panicked: each change is one insertion.
    fn lock(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody reads just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_fall_that_ends_sessions_is_not_forgotten_for_one_that_does_not() {
        let (board, mut news) = (Board::default(), News::default());
        let silence = Fall::Silence(Duration::from_millis(900));
        for fall in [Fall::AdminDown, silence, Fall::AdminDown] {
            news.falls.fell(PEER, fall);
            assert_eq!(board.post(&mut news), Ok(()));
        }
        assert_eq!(board.falls().await, [(PEER, silence)]);
    }

    #[test]
    fn the_writer_does_not_wait_for_a_reader() {
        let (board, mut news) = (Board::default(), News::default());
        news.falls.fell(PEER, Fall::AdminDown);
        let reading = board.lock();
        assert_eq!((board.post(&mut news), news.falls.0.len()), (Err(Busy), 1));
        drop(reading);
        assert_eq!((board.post(&mut news), news.falls.0.len()), (Ok(()), 0));
    }
}
