//! `serviceClusterIPs`, `serviceExternalIPs`, `serviceLoadBalancerIPs` of a BGPConfiguration: which service addresses are
//! announced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parse::Invalid;
use crate::Prefix;

/// Which service addresses are announced, by what they are addresses of. Calico `api/pkg/apis/projectcalico/v3/bgpconfig.go`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBlocks {
    /// `serviceClusterIPs[].cidr`.
    pub cluster: Vec<Prefix>,
    /// `serviceExternalIPs[].cidr`.
    pub external: Vec<Prefix>,
    /// `serviceLoadBalancerIPs[].cidr`.
    pub load_balancer: Vec<Prefix>,
    /// `serviceLoadBalancerAggregation`.
    pub aggregation: Aggregation,
}

/// `serviceLoadBalancerAggregation`: how addresses of load balancers are announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Aggregation {
    /// Their blocks by every node; an address by itself where its traffic policy is Local.
    #[default]
    #[serde(alias = "")]
    Enabled,
    /// Each address by itself, and no block.
    Disabled,
}

/// A block of service addresses.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceBlock {
    /// The prefix.
    cidr: Prefix,
}

impl ServiceBlocks {
    /// Whether no service address is announced, and no Service has to be known.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Prefix> {
        self.cluster.iter().chain(&self.external).chain(&self.load_balancer)
    }

    /// Reads the three lists, each with its field: cluster, external, load balancer.
    pub(super) fn check(
        lists: [(&str, Option<Vec<ServiceBlock>>); 3],
        aggregation: Aggregation,
    ) -> Result<ServiceBlocks, Invalid> {
        let [cluster, external, load_balancer] = lists;
        Ok(ServiceBlocks {
            cluster: read(cluster)?,
            external: read(external)?,
            load_balancer: read(load_balancer)?,
            aggregation,
        })
    }
}

/// A list without what is there twice.
fn read((field, list): (&str, Option<Vec<ServiceBlock>>)) -> Result<Vec<Prefix>, Invalid> {
    let mut blocks = Vec::new();
    for (i, ServiceBlock { cidr }) in list.unwrap_or_default().into_iter().enumerate() {
        if cidr.is_default() {
            // Every packet that this node forwards would count as one to a service.
            return Err(Invalid::field(format!("{field}[{i}].cidr"), "must not be a default route"));
        }
        if !blocks.contains(&cidr) {
            blocks.push(cidr);
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use crate::object::{Aggregation, Document, Object, ServiceBlocks, parse};

    fn read(name: &str, spec: &str) -> Result<(ServiceBlocks, Vec<String>), String> {
        let text = format!(
            "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {{name: {name}}}\nspec: {spec}"
        );
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) => match found.object {
                Object::BgpConfiguration(c) => {
                    Ok((c.services, found.warnings.iter().map(ToString::to_string).collect()))
                }
                other => panic!("{other:?}"),
            },
            Some(Document::Bad(_, error)) => Err(error.to_string()),
            None => panic!(),
        }
    }

    #[test]
    fn blocks_are_read_once_each_and_only_for_all_nodes() {
        let (blocks, warnings) = read(
            "default",
            "{serviceClusterIPs: [{cidr: 10.96.0.0/12}, {cidr: 10.96.0.0/12}], serviceLoadBalancerAggregation: Disabled}",
        )
        .unwrap();
        assert_eq!((blocks.cluster.len(), blocks.aggregation, warnings.len()), (1, Aggregation::Disabled, 0));
        let (_, warnings) = read("node.n1", "{serviceExternalIPs: [{cidr: 203.0.113.0/24}]}").unwrap();
        assert_eq!(
            warnings,
            [
                "f.yaml: BGPConfiguration/node.n1: spec: service addresses have no effect here: BGPConfiguration default \
              has them for all nodes"
            ]
        );
        assert!(read("node.n1", "{}").unwrap().0.is_empty());
    }

    #[test]
    fn a_block_that_cannot_be_is_named() {
        for (spec, error) in [
            (
                "{serviceExternalIPs: [{cidr: 0.0.0.0/0}]}",
                "spec.serviceExternalIPs[0].cidr: must not be a default route",
            ),
            (
                "{serviceClusterIPs: [{cidr: 10.96.0.1/12}]}",
                "spec.serviceClusterIPs[0].cidr: 10.96.0.1/12 has host bits",
            ),
            ("{serviceLoadBalancerIPs: [{}]}", "spec.serviceLoadBalancerIPs[0]: missing field `cidr`"),
            ("{serviceLoadBalancerAggregation: Some}", "spec.serviceLoadBalancerAggregation: unknown variant `Some`"),
        ] {
            let said = read("default", spec).unwrap_err();
            assert!(said.starts_with(&format!("f.yaml: BGPConfiguration/default: {error}")), "{said}");
        }
    }
}
