//! `bfd` of a BGPPeer: BFD (RFC 5880) beside the BGP session. Margay's own.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;
use super::parse::Invalid;

/// Shortest and longest interval. Shorter ones no scheduler keeps; longer ones are slower than BGP's own hold timer.
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

/// How the path to a peer is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bfd {
    /// `minTxInterval`: how often to send at most; 300 ms by default.
    pub min_tx_interval: GoDuration,
    /// `minRxInterval`: how often the peer may send; 300 ms by default.
    pub min_rx_interval: GoDuration,
    /// `multiplier`: so many packets lost in a row are a failure; 3 by default.
    pub multiplier: u8,
    /// `multihop`: the peer is not on a common link (RFC 5883).
    pub multihop: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BfdSpec {
    /// How often to send at most: 300ms by default.
    min_tx_interval: Option<GoDuration>,
    /// How often the peer may send: 300ms by default.
    min_rx_interval: Option<GoDuration>,
    /// So many packets lost in a row are a failure: 3 by default.
    multiplier: Option<u8>,
    /// The peer is not on a common link (RFC 5883).
    #[serde(default)]
    multihop: bool,
}

impl BfdSpec {
    pub(super) fn check(self) -> Result<Bfd, Invalid> {
        let interval = |field: &str, given: Option<GoDuration>| match given {
            None => Ok(GoDuration(Duration::from_millis(300))),
            Some(given) if INTERVALS.contains(&given.0) => Ok(given),
            Some(_) => Err(Invalid::field(format!("spec.bfd.{field}"), "must be 10ms to 60s")),
        };
        let min_tx_interval = interval("minTxInterval", self.min_tx_interval)?;
        let min_rx_interval = interval("minRxInterval", self.min_rx_interval)?;
        let multiplier = self.multiplier.unwrap_or(3);
        if multiplier == 0 {
            return Err(Invalid::field("spec.bfd.multiplier", "must be 1 to 255"));
        }
        Ok(Bfd { min_tx_interval, min_rx_interval, multiplier, multihop: self.multihop })
    }
}
