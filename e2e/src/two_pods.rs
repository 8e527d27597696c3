//! The smallest lab with policies: one node, and two pods on it whose objects the agent has.

use std::net::IpAddr;

use anyhow::Result;

use crate::lab::{self, POD_NAMESPACE};
use crate::plan::{Family, Shape};
use crate::trial::Trial;

/// Pods `n1-a` and `n1-b` with label `name` a and b, and the IPv4 address of the second.
pub fn up() -> Result<(Trial, IpAddr)> {
    let trial = Trial::planned(Shape::Tor, |plan| plan.nodes = 1)?;
    trial.up_without_pods()?;
    let node = trial.node(1);
    for pod in ["a", "b"] {
        let (name, host) = (format!("n1-{pod}"), node.name());
        let meta = format!("{{name: {name}, namespace: {POD_NAMESPACE}, labels: {{name: {pod}}}}}");
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {meta}\nspec: {{nodeName: {host}}}");
        node.objects()?.write(&name, &text)?;
    }
    trial.attach(1, "a")?;
    let b = lab::address(&trial.attach(1, "b")?, Family::V4)?;
    Ok((trial, b))
}
