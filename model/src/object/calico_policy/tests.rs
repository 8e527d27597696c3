//! What is read of policies of Calico's, and what is refused.

use super::*;
use crate::object::{Document, Object, parse};

fn document(kind: &str, name: &str, spec: &str) -> Result<(Object, Vec<String>), String> {
    let text = format!(
        "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}"
    );
    match parse("f.yaml", &text).documents.pop() {
        Some(Document::Object(found)) => Ok((found.object, found.warnings.iter().map(ToString::to_string).collect())),
        Some(Document::Bad(_, error)) => Err(error.to_string()),
        None => Err("nothing".into()),
    }
}
fn namespaced(spec: &str) -> Result<(CalicoPolicy, Vec<String>), String> {
    match document("NetworkPolicy", "p", spec)? {
        (Object::CalicoNetworkPolicy(policy), warnings) => Ok((*policy, warnings)),
        (other, _) => Err(format!("{other:?}")),
    }
}
fn global(spec: &str) -> Result<CalicoPolicy, String> {
    match document("GlobalNetworkPolicy", "p", spec)? {
        (Object::GlobalNetworkPolicy(policy), _) => Ok(*policy),
        (other, _) => Err(format!("{other:?}")),
    }
}

#[test]
fn what_is_left_out_is_as_calico_has_it() -> Result<(), String> {
    let ways = |policy: &CalicoPolicy| (policy.ingress.as_ref().map(Vec::len), policy.egress.as_ref().map(Vec::len));
    let (policy, _) = namespaced("{}")?;
    assert_eq!((policy.tier.as_str(), policy.order, ways(&policy)), ("default", Order::LAST, (Some(0), None)));
    assert_eq!(policy.subject.namespaces, Namespaces::Named("shop".into()));
    assert_eq!(ways(&global("{egress: [{action: Allow}]}")?), (None, Some(1)));
    assert_eq!(ways(&global("{egress: [{action: Allow}], ingress: [{action: Deny}]}")?), (Some(1), Some(1)));
    assert_eq!(ways(&global("{types: [Egress, Ingress]}")?), (Some(0), Some(0)));
    let (policy, warnings) = namespaced("{types: [Ingress], egress: [{action: Allow}]}")?;
    assert_eq!(ways(&policy), (Some(0), None));
    assert_eq!(
        warnings,
        ["f.yaml: NetworkPolicy.projectcalico.org/shop/p: spec.egress: has no effect: types does not name Egress"]
    );
    assert_eq!(global("{}")?.subject.namespaces, Namespaces::Any);
    Ok(())
}
