//! `projectcalico.org/v3` StagedNetworkPolicy, StagedGlobalNetworkPolicy and StagedKubernetesNetworkPolicy.

use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parse::{Invalid, typed};

/// A policy that is tried out: it is counted what it would do, and nothing is done.
/// Calico `api/pkg/apis/projectcalico/v3/staged*networkpolicy.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged<P> {
    /// `stagedAction`.
    pub action: StagedAction,
    /// What it would be.
    pub policy: P,
}

/// What would become of the policy of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum StagedAction {
    /// It would be this one: only such are counted.
    #[default]
    Set,
    /// It would be deleted.
    Delete,
    /// It is being learnt.
    Learn,
    /// It is not to be considered.
    Ignore,
}

impl<P> Deref for Staged<P> {
    type Target = P;
    fn deref(&self) -> &P {
        &self.policy
    }
}

/// Takes `stagedAction` out of a staged policy, so that the rest is read as the policy that it would be.
pub(super) fn take_action(value: &mut Value) -> Result<StagedAction, Invalid> {
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(StagedAction::Set) };
    let action = match spec.remove("stagedAction") {
        None | Some(Value::Null) => StagedAction::Set,
        Some(text) if text == "" => StagedAction::Set,
        Some(text) => typed(text).map_err(|invalid| invalid.within("spec.stagedAction"))?,
    };
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        value => value == "",
    };
    // A server writes these by itself.
    let by_default = |name: &str| ["tier", "types", "policyTypes"].contains(&name);
    if action == StagedAction::Delete
        && let Some((name, _)) = spec.iter().find(|(name, value)| !by_default(name) && !is_empty(value))
    {
        return Err(Invalid::field(format!("spec.{name}"), "is excluded by stagedAction Delete"));
    }
    Ok(action)
}
