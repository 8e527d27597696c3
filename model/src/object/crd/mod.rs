//! What an API server is told of Calico's kinds: names, schemas, rules and columns of their CustomResourceDefinitions.
//!
//! Schemas come from the types that read the objects (`schemars`); what a type cannot say stands beside it here: rules
//! in CEL with the message that a user reads, bounds, columns. Names, scope and fields are Calico's own
//! (`api/pkg/apis/projectcalico/v3`), so that its users' manifests are taken as they are, with margay's fields beside.

mod bgp_configuration;
mod bgp_filter;
mod bgp_peer;
mod felix;
mod ip_pool;
mod ipam;
mod node_status;
mod policy;
mod scalar;
mod status;

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::Scope;

/// One kind as an API server is told of it.
#[derive(Debug, Clone)]
pub struct Definition {
    /// `kind`.
    pub kind: &'static str,
    /// Where its objects lie.
    pub scope: Scope,
    /// The kind whose fields it has beside its own.
    pub like: Option<&'static str>,
    /// `names.plural`; the CRD's own name is this and the group.
    pub plural: &'static str,
    /// `names.shortNames`.
    pub short_names: &'static [&'static str],
    /// One sentence on what the kind is for.
    pub about: &'static str,
    /// The schema of `spec`, not yet structural.
    pub spec: Schema,
    /// The schema of `status`, for a kind that has one; it is a subresource then.
    pub status: Option<Schema>,
    /// What is checked beyond types.
    pub rules: Vec<Rule>,
    /// Further keywords of fields.
    pub keywords: Vec<Keyword>,
    /// What `kubectl get` shows beside the name and the age.
    pub columns: Vec<Column>,
}

/// A rule in CEL (`x-kubernetes-validations`).
#[derive(Debug, Clone)]
pub struct Rule {
    /// Whose `self`: a path such as `spec.exportV4[]`, empty for the object.
    pub at: Cow<'static, str>,
    /// The expression.
    pub rule: Cow<'static, str>,
    /// What a user is told when it does not hold.
    pub message: &'static str,
}

/// A keyword that a field's type does not say.
#[derive(Debug, Clone)]
pub struct Keyword {
    /// The path of the field, such as `spec.filters[]`.
    pub at: Cow<'static, str>,
    /// The keyword, such as `maxLength`.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
}

/// A column of `kubectl get`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its head.
    pub name: &'static str,
    /// The type: `string`, `boolean`, `integer`.
    pub kind: &'static str,
    /// Where it comes from.
    pub path: &'static str,
    /// Whether a plain `kubectl get` shows it, or only `-o wide`.
    pub shown: Shown,
}

/// When a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Always.
    Always,
    /// With `-o wide`.
    Wide,
}

/// The group of all of them.
pub const GROUP: &str = "projectcalico.org";
/// The version of all of them.
pub const VERSION: &str = "v3";

/// Every kind of Calico's that is installed, by name.
pub fn all() -> Vec<Definition> {
    let mut all = vec![
        bgp_configuration::definition(),
        bgp_filter::definition(),
        bgp_peer::definition(),
        ip_pool::definition(),
        node_status::definition(),
    ];
    all.extend(felix::definitions());
    all.extend(ipam::definitions());
    all.extend(policy::definitions());
    all
}

impl Definition {
    /// A kind of the cluster without rules of its own and without a status.
    fn new<Spec: JsonSchema>(
        kind: &'static str,
        plural: &'static str,
        short_names: &'static [&'static str],
        about: &'static str,
        columns: &[Column],
    ) -> Definition {
        let (scope, spec, columns) = (Scope::Cluster, schema::<Spec>(), columns.to_vec());
        let (rules, keywords) = (Vec::new(), Vec::new());
        Definition { kind, scope, like: None, plural, short_names, about, spec, status: None, rules, keywords, columns }
    }
}

/// The schema of a type, without references.
fn schema<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

const fn rule(at: &'static str, rule: &'static str, message: &'static str) -> Rule {
    Rule { at: Cow::Borrowed(at), rule: Cow::Borrowed(rule), message }
}

fn keyword(at: impl Into<Cow<'static, str>>, name: &'static str, value: impl Into<Value>) -> Keyword {
    Keyword { at: at.into(), name, value: value.into() }
}

const fn column(name: &'static str, kind: &'static str, path: &'static str, shown: Shown) -> Column {
    Column { name, kind, path, shown }
}
