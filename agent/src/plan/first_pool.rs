//! The first pools of a cluster that has none: what the one file that installs us cannot hold itself, because `kubectl apply`
//! looks for an object's kind before it has made it.

use std::str::FromStr;

use model::{Family, Prefix};
use serde_json::{Value, json};

/// What a new cluster's pools are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstPools {
    /// At most one of a family.
    cidrs: Vec<Prefix>,
    ipip: Ipip,
}

/// `IPPool.spec.ipipMode`, as a setting spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipip(&'static str);

impl FromStr for Ipip {
    type Err = String;
    fn from_str(text: &str) -> Result<Ipip, String> {
        let known = ["Never", "CrossSubnet", "Always"].into_iter().find(|mode| mode.eq_ignore_ascii_case(text));
        known.map(Ipip).ok_or_else(|| format!("{text:?} is none of Never, CrossSubnet, Always"))
    }
}

impl FirstPools {
    /// From a CIDR, or one of each family with a comma between; none if the text is empty.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn new(cidrs: &str, ipip: Ipip) -> Result<Option<FirstPools>, String> {
        let texts = cidrs.split(',').map(str::trim).filter(|text| !text.is_empty());
        let read = |text: &str| text.parse::<Prefix>().map_err(|error| format!("{text}: {error}"));
        let cidrs: Vec<Prefix> = texts.map(read).collect::<Result<_, _>>()?;
        for family in Family::ALL {
            if cidrs.iter().filter(|cidr| cidr.family() == family).count() > 1 {
                return Err("one CIDR of each family: further pools are made as objects".into());
            }
        }
        Ok((!cidrs.is_empty()).then_some(FirstPools { cidrs, ipip }))
    }

    /// As objects, named as Calico names them.
    pub fn objects(&self) -> Vec<Value> {
        let object = |cidr: &Prefix| {
            let (name, ipip, block) = match cidr.family() {
                Family::Ipv4 => ("default-ipv4-ippool", self.ipip.0, 26),
                Family::Ipv6 => ("default-ipv6-ippool", "Never", 122),
            };
            // A pool that is smaller than a block is one block.
            let block = block.max(cidr.length());
            json!({
                "apiVersion": "projectcalico.org/v3",
                "kind": "IPPool",
                "metadata": { "name": name },
                "spec": {
                    "cidr": cidr.to_string(),
                    "blockSize": block,
                    "ipipMode": ipip,
                    "natOutgoing": true,
                    "nodeSelector": "all()",
                },
            })
        };
        self.cidrs.iter().map(object).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(cidrs: &str, ipip: &str) -> Result<Vec<Value>, String> {
        Ok(FirstPools::new(cidrs, ipip.parse()?)?.map(|pools| pools.objects()).unwrap_or_default())
    }

    #[test]
    fn what_is_made_is_an_object_that_margay_reads_without_a_word() {
        for object in pools("10.244.0.0/16, fd00:10:244::/56", "crosssubnet").expect("pools") {
            let text = serde_json::to_string(&object).expect("JSON");
            for document in model::object::parse("setting", &text).documents {
                match document {
                    model::object::Document::Object(found) => {
                        assert!(found.warnings.is_empty(), "{:?}", found.warnings)
                    }
                    model::object::Document::Bad(_, error) => panic!("{error}"),
                }
            }
        }
        assert_eq!(pools("10.244.0.0/16", "Always").expect("pools")[0]["spec"]["ipipMode"], "Always");
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_said() {
        assert_eq!(pools("", "Never"), Ok(vec![]));
        assert!(pools("10.244.0.1/16", "Never").is_err_and(|error| error.contains("10.244.0.1/16")));
        assert!(pools("10.0.0.0/16,10.1.0.0/16", "Never").is_err());
        assert!(pools("10.0.0.0/16", "Sometimes").is_err_and(|error| error.contains("CrossSubnet")));
    }
}
