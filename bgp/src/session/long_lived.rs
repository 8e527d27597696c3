//! The capability of long-lived graceful restart (RFC 9494 §3.1): what we say, and what we make of what the peer says.

use std::time::Duration;

use model::Family;

use crate::config::PeerConfig;
use crate::wire::capability::LongLivedFamily;
use crate::wire::{Capability, FamilySet};

/// 24 bits of seconds.
const LONGEST: u32 = 0xff_ffff;

/// What the peer's OPEN said of its long restarts, bounded by what we are ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerLongLived {
    /// How long its routes are kept after its restart time: by family in AFI order, zero for not at all.
    times: [Duration; 2],
    /// Families where forwarding went on during the restart that is just over (F bit).
    pub forwarding_kept: FamilySet,
}

impl PeerLongLived {
    pub(crate) fn time(&self, family: Family) -> Duration {
        let [ipv4, ipv6] = self.times;
        match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        }
    }

    /// Whether routes of any family are kept.
    pub(crate) fn keeps_any(&self) -> bool {
        self.times.iter().any(|time| !time.is_zero())
    }
}

/// What we announce: with a time, how long our routes may be kept; without, only that we know what a stale route is.
pub(super) fn offer(peer: &PeerConfig, families: FamilySet, forwarding_kept: bool) -> Capability {
    let time = peer.long_lived_restart_time.filter(|time| !time.is_zero());
    let family = |(family, time): (Family, Duration)| LongLivedFamily {
        family: family.into(),
        forwarding_kept,
        stale_seconds: u32::try_from(time.as_secs()).unwrap_or(LONGEST).min(LONGEST),
    };
    let timed = families.iter().filter_map(|family| Some((family, time?)));
    Capability::LongLivedGracefulRestart(timed.map(family).collect())
}

/// What comes of what the peer announces (RFC 9494 §4.2): our own time is the upper bound.
pub(super) fn agree(told: &[LongLivedFamily], peer: &PeerConfig, agreed: FamilySet) -> PeerLongLived {
    let most = peer.long_lived_restart_time.unwrap_or_default();
    let told = |family: Family| told.iter().rev().find(|told| told.family.family() == Some(family));
    let time = |family: Family| match told(family) {
        Some(told) if agreed.contains(family) => Duration::from_secs(u64::from(told.stale_seconds)).min(most),
        _ => Duration::ZERO,
    };
    let kept = |family: &Family| told(*family).is_some_and(|told| told.forwarding_kept);
    PeerLongLived {
        times: [time(Family::Ipv4), time(Family::Ipv6)],
        forwarding_kept: Family::ALL.into_iter().filter(kept).collect::<FamilySet>().and(agreed),
    }
}
