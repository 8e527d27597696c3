//! `status` of the kinds on which an agent says what became of them.

use schemars::JsonSchema;

/// `status.conditions`.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(super) struct Status {
    /// What became of the object.
    conditions: Option<Vec<Condition>>,
}

/// A condition (metav1.Condition of Kubernetes).
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Condition {
    /// What it is about, such as Allocatable.
    #[serde(rename = "type")]
    #[schemars(length(max = 316))]
    kind: String,
    /// Whether it holds.
    status: Held,
    /// The generation of the object that it is about.
    observed_generation: Option<i64>,
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    last_transition_time: String,
    /// Why, in one word.
    #[schemars(length(min = 1, max = 1024))]
    reason: String,
    /// Why, in a sentence.
    #[schemars(length(max = 32768))]
    message: String,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
enum Held {
    True,
    False,
    Unknown,
}
