//! `projectcalico.org/v3` CalicoNodeStatus: asks a node to write down how it is.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Meta;
use super::parse::{Envelope, Invalid, Warnings};
use crate::NodeName;

/// What a node is to write into the object's status, and how often. Calico `api/pkg/apis/projectcalico/v3/nodestatus.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalicoNodeStatus {
    /// `metadata`.
    pub meta: Meta,
    /// `node`: who is to write.
    pub node: NodeName,
    /// `classes`: what, each once, in order.
    pub classes: Vec<StatusClass>,
    /// `updatePeriodSeconds`, ten seconds by default; none is never.
    pub update_period: Option<Duration>,
}

/// `classes` of a CalicoNodeStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum StatusClass {
    /// The speaker: version, router id, since when.
    Agent,
    /// Its peers.
    #[serde(rename = "BGP")]
    Bgp,
    /// Its routes, and the kernel's.
    Routes,
}

const UPDATE_PERIOD: Duration = Duration::from_secs(10);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CalicoNodeStatusSpec {
    /// The node that is to write.
    node: NodeName,
    /// What it is to write.
    #[serde(default)]
    classes: Vec<StatusClass>,
    /// How often it writes, in seconds: 10 by default, 0 is never.
    #[serde(default)]
    update_period_seconds: Option<u32>,
}

impl Envelope<CalicoNodeStatusSpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<CalicoNodeStatus, Invalid> {
        let CalicoNodeStatusSpec { node, mut classes, update_period_seconds } = self.spec;
        if classes.is_empty() {
            warnings.add("spec.classes", "names none of Agent, BGP, Routes: nothing will be written");
        }
        classes.sort_unstable();
        classes.dedup();
        let update_period = match update_period_seconds {
            None => Some(UPDATE_PERIOD),
            Some(0) => None,
            Some(seconds) => Some(Duration::from_secs(seconds.into())),
        };
        Ok(CalicoNodeStatus { meta: self.metadata, node, classes, update_period })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Document, Object, parse};

    fn read(spec: &str) -> Result<(CalicoNodeStatus, Vec<String>), String> {
        let text =
            format!("apiVersion: projectcalico.org/v3\nkind: CalicoNodeStatus\nmetadata: {{name: s}}\nspec: {spec}");
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) => match found.object {
                Object::CalicoNodeStatus(status) => {
                    Ok((status, found.warnings.iter().map(ToString::to_string).collect()))
                }
                other => Err(format!("{other:?}")),
            },
            Some(Document::Bad(_, error)) => Err(error.to_string()),
            None => Err("nothing".into()),
        }
    }

    #[test]
    fn ten_seconds_is_the_default_and_zero_is_never() -> Result<(), String> {
        let period = |spec: &str| read(spec).map(|(status, _)| status.update_period);
        assert_eq!(period("{node: n1, classes: [BGP]}")?, Some(Duration::from_secs(10)));
        assert_eq!(period("{node: n1, classes: [BGP], updatePeriodSeconds: 30}")?, Some(Duration::from_secs(30)));
        assert_eq!(period("{node: n1, classes: [BGP], updatePeriodSeconds: 0}")?, None);
        Ok(())
    }

    #[test]
    fn classes_are_read_each_once_and_none_at_all_is_odd() -> Result<(), String> {
        let (status, warnings) = read("{node: n1, classes: [Routes, Agent, BGP, Routes]}")?;
        assert_eq!(status.classes, [StatusClass::Agent, StatusClass::Bgp, StatusClass::Routes]);
        assert!(warnings.is_empty());
        let (_, warnings) = read("{node: n1}")?;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("f.yaml: CalicoNodeStatus/s: spec.classes: "), "{warnings:?}");
        assert!(read("{classes: [BGP]}").unwrap_err().contains("spec"), "a status belongs to a node");
        assert!(read("{node: n1, classes: [Felix]}").unwrap_err().contains("spec.classes[0]"));
        Ok(())
    }
}
