//! How many prefixes a peer may send.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;
use super::parse::Invalid;

/// `maxPrefixes` with its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaxPrefixes {
    /// `maxPrefixes`: of all families together.
    pub limit: u32,
    /// `maxPrefixesAction`.
    pub action: MaxPrefixesAction,
    /// `maxPrefixesRestartTime`, 1 s to 24 h; a minute by default.
    pub restart_time: Option<GoDuration>,
    /// `maxPrefixesWarning`: from so many percent on it is said that the bound is near.
    pub warning: Option<u8>,
}

/// `maxPrefixesAction`: what comes of more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum MaxPrefixesAction {
    /// It is said, and nothing else.
    Warn,
    /// The session ends, until it is reset or the bound is changed.
    Drop,
    /// The session ends, and is tried again after `maxPrefixesRestartTime`.
    #[default]
    #[serde(alias = "")]
    Restart,
}

/// The fields as they are written.
pub(super) struct MaxPrefixesSpec {
    pub limit: Option<u32>,
    pub action: Option<MaxPrefixesAction>,
    pub restart_time: Option<GoDuration>,
    pub warning: Option<u16>,
}

impl MaxPrefixesSpec {
    pub(super) fn check(self) -> Result<Option<MaxPrefixes>, Invalid> {
        let Some(limit) = self.limit else {
            let given = [
                ("spec.maxPrefixesAction", self.action.is_some()),
                ("spec.maxPrefixesRestartTime", self.restart_time.is_some()),
                ("spec.maxPrefixesWarning", self.warning.is_some()),
            ];
            let lonely = given.into_iter().find(|(_, given)| *given);
            return lonely.map_or(Ok(None), |(field, _)| Err(Invalid::field(field, "needs spec.maxPrefixes")));
        };
        if limit == 0 {
            return Err(Invalid::field("spec.maxPrefixes", "must be at least 1"));
        }
        let action = self.action.unwrap_or_default();
        if self.restart_time.is_some() && action != MaxPrefixesAction::Restart {
            return Err(Invalid::field("spec.maxPrefixesRestartTime", "is for spec.maxPrefixesAction: Restart"));
        }
        if self.restart_time.is_some_and(|time| !(1..=86_400).contains(&time.0.as_secs())) {
            return Err(Invalid::field("spec.maxPrefixesRestartTime", "must be 1s to 24h"));
        }
        let warning =
            self.warning.map(|percent| u8::try_from(percent).ok().filter(|percent| (1..=100).contains(percent)));
        let Some(warning) = warning.map_or(Some(None), |percent| percent.map(Some)) else {
            return Err(Invalid::field("spec.maxPrefixesWarning", "must be 1 to 100, in percent of spec.maxPrefixes"));
        };
        Ok(Some(MaxPrefixes { limit, action, restart_time: self.restart_time, warning }))
    }
}
