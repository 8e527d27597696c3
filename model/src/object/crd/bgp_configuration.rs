//! BGPConfiguration, as Calico's `api/pkg/apis/projectcalico/v3/bgpconfig.go` has it.

use super::Shown::Always;
use super::bgp_peer::{DURATION, as_number, duration};
use super::status::Status;
use super::{Column, Definition, Rule, column, keyword, rule, schema};
use crate::object::bgp_configuration::BgpConfigurationSpec;

pub(super) fn definition() -> Definition {
    Definition {
        status: Some(schema::<Status>()),
        rules: rules(),
        keywords: vec![
            keyword("spec.listenPort", "minimum", 1),
            keyword("spec.bmp", "maxItems", 16),
            keyword("spec.bmp[].port", "minimum", 1),
            keyword("spec.bmp[].station", "maxLength", 45),
            keyword("spec.bmp[].tables", "minItems", 1),
        ],
        ..Definition::new::<BgpConfigurationSpec>(
            "BGPConfiguration",
            "bgpconfigurations",
            &["bgpconfig", "bgpconfigs"],
            "BGP settings of the cluster (the object named default) or of one node (node.<name>).",
            COLUMNS,
        )
    }
}

const COLUMNS: &[Column] = &[
    column("MeshEnabled", "boolean", ".spec.nodeToNodeMeshEnabled", Always),
    column("ASNumber", "string", ".spec.asNumber", Always),
    column("ListenPort", "integer", ".spec.listenPort", Always),
];

fn rules() -> Vec<Rule> {
    let mut rules = vec![
        rule(
            "",
            "self.metadata.name == 'default' || (self.metadata.name.startsWith('node.') && size(self.metadata.name) > 5)",
            "metadata.name must be default (for the cluster) or node.<name> (for one node)",
        ),
        as_number("spec.asNumber"),
        rule(
            "spec",
            "!has(self.nodeMeshPassword) || !has(self.nodeToNodeMeshEnabled) || self.nodeToNodeMeshEnabled",
            "nodeMeshPassword has no use with nodeToNodeMeshEnabled: false",
        ),
        rule(
            "spec",
            "!has(self.nodeMeshMaxRestartTime) || !has(self.nodeToNodeMeshEnabled) || self.nodeToNodeMeshEnabled",
            "nodeMeshMaxRestartTime has no use with nodeToNodeMeshEnabled: false",
        ),
        rule("spec.bmp[].station", "isIP(self)", "must be an address"),
    ];
    for (at, most, message) in [
        ("spec.nodeMeshMaxRestartTime", "4095s", "must be at most 4095s (RFC 4724 §3)"),
        ("spec.longLivedRestartTime", "16777215s", "must be at most 16777215s (RFC 9494 §3.1)"),
        ("spec.gracefulShutdownTime", "3600s", "must be at most 1h"),
    ] {
        rules.push(rule(at, DURATION, "must be a duration such as 120s or 2m"));
        rules.push(duration(at, "0s", most, message));
    }
    rules
}
