//! FelixConfiguration and ClusterInformation, as Calico's `api/pkg/apis/projectcalico/v3/{felixconfig,clusterinfo}.go`
//! have them.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::Shown::{Always, Wide};
use super::status::Status;
use super::{Definition, Rule, column, keyword, rule, schema};
use crate::object::cluster_information::ClusterInformationSpec;
use crate::object::felix_configuration::fields::{self, Effect, Field, Form};

pub(super) fn definitions() -> Vec<Definition> {
    vec![configuration(), information()]
}

fn configuration() -> Definition {
    Definition {
        spec: fields_schema(),
        status: Some(schema::<Status>()),
        rules: RULES.to_vec(),
        keywords: vec![
            keyword("spec.nodeSelector", "maxLength", 4096),
            keyword("spec.ipipMTU", "minimum", 0),
            keyword("spec.ipipMTU", "maximum", 65515),
        ],
        ..Definition::new::<()>(
            "FelixConfiguration",
            "felixconfigurations",
            &["felixconfig", "felixconfigs"],
            "Settings of agents: of all (the object named default), of those that nodeSelector chooses, or of one \
             (node.<name>).",
            &[
                column("IPIPMTU", "integer", ".spec.ipipMTU", Always),
                column("NodeSelector", "string", ".spec.nodeSelector", Wide),
            ],
        )
    }
}

fn information() -> Definition {
    Definition {
        rules: vec![rule("", "self.metadata.name == 'default'", "metadata.name must be default")],
        ..Definition::new::<ClusterInformationSpec>(
            "ClusterInformation",
            "clusterinformations",
            &["clusterinfo"],
            "What Calico writes down of a cluster; margay acts on none of it.",
            &[
                column("ClusterGUID", "string", ".spec.clusterGUID", Always),
                column("CalicoVersion", "string", ".spec.calicoVersion", Always),
            ],
        )
    }
}

const RULES: &[Rule] = &[
    rule(
        "",
        "(self.metadata.name == 'default' || self.metadata.name.startsWith('node.')) != \
         (has(self.spec.nodeSelector) && self.spec.nodeSelector != '')",
        "metadata.name must be default (for the cluster) or node.<name> (for one node), and any other object needs \
         spec.nodeSelector",
    ),
    rule(
        "spec",
        "!has(self.ipipMTU) || self.ipipMTU == 0 || self.ipipMTU >= 68",
        "ipipMTU must be 68 to 65515, or 0 for the uplink's less 20",
    ),
    rule(
        "spec",
        "!has(self.natOutgoingAddress) || self.natOutgoingAddress == '' || isIP(self.natOutgoingAddress)",
        "natOutgoingAddress must be an address",
    ),
];

fn fields_schema() -> Schema {
    let properties: Map<String, Value> = fields::all().map(|field| (field.name.into(), field_schema(field))).collect();
    let whole = json!({"type": "object", "additionalProperties": false, "properties": properties});
    // An object is always a schema.
    Schema::try_from(whole).unwrap_or_default()
}

fn field_schema(field: &Field) -> Value {
    let mut schema = form(field.form);
    schema["description"] = match field.effect {
        Effect::Honoured(what) => {
            format!("{}{}.", what.get(..1).unwrap_or_default().to_uppercase(), what.get(1..).unwrap_or_default()).into()
        }
        Effect::NoneWhenOn(why) | Effect::None(why) => format!("No effect: {why}.").into(),
    };
    schema
}

fn form(form: Form) -> Value {
    let ports = json!({"x-kubernetes-int-or-string": true});
    let range = json!({
        "type": "object", "required": ["min", "max"],
        "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}},
    });
    match form {
        Form::Flag => json!({"type": "boolean"}),
        Form::Number => json!({"type": "integer"}),
        Form::Text | Form::Duration => json!({"type": "string", "maxLength": 4096}),
        Form::OneOf(words) => json!({"type": "string", "enum": words}),
        Form::AnyCase(words) => json!({"type": "string", "pattern": format!("^(?i)({})?$", words.join("|"))}),
        Form::Ports => ports,
        Form::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Form::PortsList => json!({"type": "array", "items": ports}),
        Form::ProtocolPorts => json!({"type": "array", "items": {
            "type": "object", "required": ["port"],
            "properties": {
                "protocol": {"type": "string"}, "port": {"type": "integer"}, "net": {"type": "string"},
            },
        }}),
        Form::ByName => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Form::Timeouts => json!({"type": "array", "items": {
            "type": "object", "required": ["name", "timeout"],
            "properties": {"name": {"type": "string"}, "timeout": {"type": "string"}},
        }}),
        Form::Range => range,
        Form::Ranges => json!({"type": "array", "items": range}),
        Form::Fields(names) => {
            let fields: Map<String, Value> =
                names.iter().map(|name| ((*name).into(), json!({"type": "string"}))).collect();
            json!({"type": "object", "properties": fields})
        }
    }
}
