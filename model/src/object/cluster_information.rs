//! `projectcalico.org/v3` ClusterInformation: what Calico writes down of a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Meta;
use super::parse::{Envelope, Invalid, Warnings};

/// What Calico writes down of a cluster, in the object `default`; margay acts on none of it.
/// Calico `api/pkg/apis/projectcalico/v3/clusterinfo.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInformation {
    /// `metadata`.
    pub meta: Meta,
    /// `clusterGUID`.
    pub cluster_guid: Option<String>,
    /// `calicoVersion`.
    pub calico_version: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ClusterInformationSpec {
    /// A name for the cluster that no other has.
    #[serde(rename = "clusterGUID")]
    cluster_guid: Option<String>,
    /// What the cluster is.
    #[serde(rename = "clusterType")]
    _cluster_type: Option<String>,
    /// The version of Calico that wrote this.
    calico_version: Option<String>,
    /// Whether Calico's programs may work. No effect: margay's agents always may.
    datastore_ready: Option<bool>,
    /// Which Calico.
    #[serde(rename = "variant")]
    _variant: Option<String>,
}

impl Envelope<ClusterInformationSpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<ClusterInformation, Invalid> {
        let ClusterInformationSpec { cluster_guid, calico_version, datastore_ready, .. } = self.spec;
        if datastore_ready == Some(false) {
            warnings.add("spec.datastoreReady", "has no effect: margay's agents go on");
        }
        Ok(ClusterInformation { meta: self.metadata, cluster_guid, calico_version })
    }
}
