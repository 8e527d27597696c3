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
    pub falls: BTreeMap<IpAddr, Fall>,
}

impl News {
    /// A fall that ends BGP sessions is not forgotten for one that does not.
    pub(super) fn fell(&mut self, peer: IpAddr, fall: Fall) {
        if fall != Fall::AdminDown || !self.falls.contains_key(&peer) {
            self.falls.insert(peer, fall);
        }
    }

    fn is_empty(&self) -> bool {
        self.views.is_empty() && self.falls.is_empty()
    }
}

#[derive(Debug, Default)]
struct Posted {
    views: BTreeMap<IpAddr, BfdView>,
    falls: News,
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
        let News { views, falls } = std::mem::take(news);
        for (peer, view) in views {
            match view {
                Some(view) => drop(posted.views.insert(peer, view)),
                None => drop(posted.views.remove(&peer)),
            }
        }
        if !falls.is_empty() {
            falls.into_iter().for_each(|(peer, fall)| posted.falls.fell(peer, fall));
            self.fallen.notify_one();
        }
        Ok(())
    }

    pub(super) async fn falls(&self) -> Vec<(IpAddr, Fall)> {
        loop {
            let fallen = self.fallen.notified();
            let falls = std::mem::take(&mut self.lock().falls.falls);
            if !falls.is_empty() {
                return falls.into_iter().collect();
            }
            fallen.await;
        }
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
            news.fell(PEER, fall);
            assert_eq!(board.post(&mut news), Ok(()));
        }
        assert_eq!(board.falls().await, [(PEER, silence)]);
    }

    #[test]
    fn the_writer_does_not_wait_for_a_reader() {
        let (board, mut news) = (Board::default(), News::default());
        news.fell(PEER, Fall::AdminDown);
        let reading = board.lock();
        assert_eq!((board.post(&mut news), news.falls.len()), (Err(Busy), 1));
        drop(reading);
        assert_eq!((board.post(&mut news), news.falls.len()), (Ok(()), 0));
    }
}
