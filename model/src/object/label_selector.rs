//! Kubernetes' label selectors, read into Calico's selector language.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::parse::Invalid;
use crate::selector::{self, Selector};

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
            named(key, &format!("{field}.matchLabels"))?;
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
        named(key, &format!("{field}.key"))?;
        let values = values.as_deref().unwrap_or(&[]);
        let lists = matches!(operator, Operator::In | Operator::NotIn);
        if lists == values.is_empty() {
            let must = if lists { "must not be empty" } else { "must be empty" };
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

/// That a label can have this name: anything else would be read as words of the language.
fn named(key: &str, field: &str) -> Result<(), Invalid> {
    let is_name = !key.is_empty() && key.chars().all(selector::is_label_character);
    if is_name { Ok(()) } else { Err(Invalid::field(field, format!("{key:?} is not a label's name"))) }
}

/// A label's value between quotes; no valid value holds one.
fn quoted(value: &str, field: &str) -> Result<String, Invalid> {
    if value.contains(['\'', '"']) {
        return Err(Invalid::field(field, format!("{value:?} is not a label's value")));
    }
    Ok(format!("'{value}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let selector: LabelSelector = serde_json::from_str(text).expect("a selector");
        selector
            .selector("s")
            .map(|selector| selector.to_string())
            .map_err(|Invalid { field, message }| format!("{field}: {message}"))
    }

    #[test]
    fn a_label_whose_name_is_a_word_of_the_language_is_a_label() {
        for key in ["in", "not", "has", "all", "global", "starts", "1a", "a.b/c-d_e", "true"] {
            for (requirement, term) in [
                (format!(r#"{{"matchLabels": {{"{key}": "v"}}}}"#), format!("{key} == 'v'")),
                (
                    format!(r#"{{"matchExpressions": [{{"key": "{key}", "operator": "Exists"}}]}}"#),
                    format!("has({key})"),
                ),
            ] {
                assert_eq!(read(&requirement), Ok(term), "{requirement}");
            }
        }
    }

    #[test]
    fn a_name_that_no_label_has_is_no_way_into_the_language() {
        for key in ["", "a b", "a == 'x' || b", "has(a) || b", "é"] {
            let labels = format!(r#"{{"matchLabels": {{"{key}": "v"}}}}"#);
            assert_eq!(read(&labels), Err(format!("s.matchLabels: {key:?} is not a label's name")));
            for rest in [r#""operator": "Exists""#, r#""operator": "In", "values": ["v"]"#] {
                let expressions = format!(r#"{{"matchExpressions": [{{"key": "{key}", {rest}}}]}}"#);
                assert_eq!(
                    read(&expressions),
                    Err(format!("s.matchExpressions[0].key: {key:?} is not a label's name"))
                );
            }
        }
    }
}
