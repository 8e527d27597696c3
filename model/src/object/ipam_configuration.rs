//! IPAMConfiguration (in the older storage IPAMConfig): how blocks are claimed.

use serde::{Deserialize, Serialize};

use super::Meta;
use super::parse::{Envelope, Invalid, Warnings};

/// The blocks a node may claim where nothing is said, as Calico has it.
const MAX_BLOCKS: u32 = 20;

/// Settings of address management; only the one named `default` is used. Calico `api/pkg/apis/projectcalico/v3/ipamconfig.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamConfiguration {
    /// `metadata`.
    pub meta: Meta,
    /// `strictAffinity`: no node borrows from another's block.
    pub strict_affinity: bool,
    /// `autoAllocateBlocks`: nodes claim blocks by themselves.
    pub auto_allocate_blocks: bool,
    /// `maxBlocksPerHost`, 20 where it is 0 or not said.
    pub max_blocks_per_host: u32,
}

impl Default for IpamConfiguration {
    fn default() -> IpamConfiguration {
        IpamConfiguration {
            meta: Meta { name: "default".into(), ..Meta::default() },
            strict_affinity: false,
            auto_allocate_blocks: true,
            max_blocks_per_host: MAX_BLOCKS,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IpamConfigurationSpec {
    #[serde(default)]
    strict_affinity: bool,
    #[serde(default = "yes")]
    auto_allocate_blocks: bool,
    #[serde(default)]
    max_blocks_per_host: i64,
    #[serde(default, rename = "kubeVirtVMAddressPersistence")]
    kube_virt_vm_address_persistence: Option<String>,
    #[serde(default)]
    ip_cooldown_seconds: Option<i64>,
    /// The same, as Calico once called it.
    #[serde(default, rename = "minIPReclaimAgeSeconds")]
    min_ip_reclaim_age_seconds: Option<i64>,
}

fn yes() -> bool {
    true
}

impl Envelope<IpamConfigurationSpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<IpamConfiguration, Invalid> {
        let spec = self.spec;
        let max_blocks_per_host = match u32::try_from(spec.max_blocks_per_host) {
            Ok(0) => MAX_BLOCKS,
            Ok(most) => most,
            Err(_) => return Err(Invalid::field("spec.maxBlocksPerHost", "must be 0 or more")),
        };
        if spec.kube_virt_vm_address_persistence.as_deref().is_some_and(|mode| mode == "Enabled") {
            warnings.add("spec.kubeVirtVMAddressPersistence", "has no effect: virtual machines are pods like others");
        }
        let cooldowns = [
            ("spec.ipCooldownSeconds", spec.ip_cooldown_seconds),
            ("spec.minIPReclaimAgeSeconds", spec.min_ip_reclaim_age_seconds),
        ];
        for (field, _) in cooldowns.iter().filter(|(_, seconds)| seconds.is_some_and(|seconds| seconds > 0)) {
            warnings.add(*field, "has no effect: the address that is free the longest is given first");
        }
        if self.metadata.name != "default" {
            warnings.add("metadata.name", "has no effect: only the one named default is used");
        }
        Ok(IpamConfiguration {
            meta: self.metadata,
            strict_affinity: spec.strict_affinity,
            auto_allocate_blocks: spec.auto_allocate_blocks,
            max_blocks_per_host,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::object::{Document, Object, parse};

    #[test]
    fn the_older_kind_and_the_newer_say_the_same_and_zero_blocks_are_twenty() {
        for kind in [
            "apiVersion: crd.projectcalico.org/v1\nkind: IPAMConfig",
            "apiVersion: projectcalico.org/v3\nkind: IPAMConfiguration",
        ] {
            let text = format!(
                "{kind}\nmetadata: {{name: default}}\nspec: {{strictAffinity: true, maxBlocksPerHost: 0, ipCooldownSeconds: 60}}"
            );
            let documents = parse("f", &text).documents;
            let [Document::Object(found)] = documents.as_slice() else { panic!("{documents:?}") };
            let Object::IpamConfiguration(it) = &found.object else { panic!("{found:?}") };
            assert_eq!((it.strict_affinity, it.auto_allocate_blocks, it.max_blocks_per_host), (true, true, 20));
            assert_eq!(found.warnings.len(), 1);
        }
    }
}
