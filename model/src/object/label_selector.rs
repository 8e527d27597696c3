//! Kubernetes' label selectors, read into Calico's selector language.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::parse::Invalid;
use crate::selector::Selector;

/// `metav1.LabelSelector`: all of its requirements together; none of them chooses everything.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LabelSelector {
    /// Labels with exactly these values.
    #[serde(default)]
    match_labels: Option<BTreeMap<String, String>>,
    /// What else labels have to be like.
    #[serde(default)]
    match_expressions: Option<Vec<Requirement>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Requirement {
    /// The label.
    key: String,
    /// In, NotIn, Exists or DoesNotExist.
    operator: Operator,
    /// For In and NotIn.
    #[serde(default)]
    values: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// The same in Calico's language; `field` is where it stands.
    pub(super) fn selector(&self, field: &str) -> Result<Selector, Invalid> {
        let mut terms = Vec::new();
        for (key, value) in self.match_labels.iter().flatten() {
            terms.push(format!("{key} == {}", quoted(value, &format!("{field}.matchLabels[{key}]"))?));
        }
        for (index, requirement) in self.match_expressions.iter().flatten().enumerate() {
            terms.push(requirement.term(&format!("{field}.matchExpressions[{index}]"))?);
        }
        let text = if terms.is_empty() { "all()".to_string() } else { terms.join(" && ") };
        text.parse().map_err(|error| Invalid::field(field, format!("{error}")))
    }
}

impl Requirement {
    fn term(&self, field: &str) -> Result<String, Invalid> {
        let Requirement { key, operator, values } = self;
        let values = values.as_deref().unwrap_or(&[]);
        let named = matches!(operator, Operator::In | Operator::NotIn);
        if named == values.is_empty() {
            let must = if named { "must not be empty" } else { "must be empty" };
            return Err(Invalid::field(format!("{field}.values"), format!("{must} with operator {operator:?}")));
        }
        let set = || {
            let quoted: Result<Vec<String>, Invalid> =
                values.iter().map(|value| quoted(value, &format!("{field}.values"))).collect();
            quoted.map(|values| format!("{{{}}}", values.join(", ")))
        };
        Ok(match operator {
            Operator::In => format!("{key} in {}", set()?),
            Operator::NotIn => format!("{key} not in {}", set()?),
            Operator::Exists => format!("has({key})"),
            Operator::DoesNotExist => format!("!has({key})"),
        })
    }
}

/// A label's value between quotes; no valid value holds one.
fn quoted(value: &str, field: &str) -> Result<String, Invalid> {
    if value.contains(['\'', '"']) {
        return Err(Invalid::field(field, format!("{value:?} is not a label's value")));
    }
    Ok(format!("'{value}'"))
}
