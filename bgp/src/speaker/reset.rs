//! Resets that an operator asks for.

use model::Time;
use model::api::{BgpReset, ResetKind};

use super::Speaker;
use crate::rib::Source;
use crate::session::{Reset, RouteRefreshSupport, Why};
use crate::wire::Notification;
use crate::wire::notification::cease;

/// Why a session was not reset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// Neither an address nor a name says so.
    #[error("there is no peer {0}: margayctl bgp peers shows them")]
    NoPeer(String),
    /// There is no session to tell routes on.
    #[error("the session with {0} is not up: {1}")]
    NotUp(String, String),
    /// It did not announce RFC 2918.
    #[error("{0} does not support route refresh: only a reset of the session would have it tell its routes again")]
    NoRefresh(String),
}

impl Speaker {
    /// Resets every session with a peer: whom it names by address, or by the name of its object. Returns how many.
    pub fn reset(&mut self, now: Time, reset: &BgpReset) -> Result<usize, ResetError> {
        let named = |source: &Source| {
            let peer = self.peer(*source);
            peer.is_some_and(|peer| peer.config.name == reset.peer || peer.key.to_string() == reset.peer)
        };
        let sources: Vec<Source> = self.by_key.values().copied().filter(named).collect();
        if sources.is_empty() {
            return Err(ResetError::NoPeer(reset.peer.clone()));
        }
        for source in &sources {
            match reset.how {
                ResetKind::Session => self.reset_session(now, *source, Reset::Graceful),
                ResetKind::Hard => self.reset_session(now, *source, Reset::Hard),
                ResetKind::SoftIn | ResetKind::SoftOut => self.refresh_by_hand(now, *source, reset.how)?,
            }
        }
        Ok(sources.len())
    }

    /// RFC 4486 §4: Administrative Reset. A session that was to stay down is tried again.
    fn reset_session(&mut self, now: Time, source: Source, reset: Reset) {
        let told = Notification::shutdown(cease::ADMINISTRATIVE_RESET, "");
        self.with_peer(now, source, |fsm, env| fsm.stop(env, &told, reset, Why::ResetByHand, None));
        self.start_peer(now, source);
    }

    fn refresh_by_hand(&mut self, now: Time, source: Source, how: ResetKind) -> Result<(), ResetError> {
        let Some(peer) = self.peer(source) else { return Ok(()) };
        let Some(established) = peer.fsm.established() else {
            return Err(ResetError::NotUp(peer.key.to_string(), peer.fsm.why().to_string()));
        };
        let (key, agreed) = (peer.key, &established.agreed);
        if how == ResetKind::SoftOut {
            let families = agreed.families;
            families.iter().for_each(|family| self.answer(now, source, family));
            return Ok(());
        }
        if agreed.route_refresh == RouteRefreshSupport::Absent {
            return Err(ResetError::NoRefresh(key.to_string()));
        }
        self.ask_again(now, key);
        Ok(())
    }
}
