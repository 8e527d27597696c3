//! One CustomResourceDefinition, whole.

use anyhow::{Context, Result, bail};
use model::object::crd::{Definition, GROUP, Shown, VERSION};
use serde_json::{Map, Value, json};

use super::structural::structural;

/// The CustomResourceDefinition of a kind, as `kubectl apply` takes it.
pub fn manifest(definition: &Definition) -> Result<Value> {
    let Definition { kind, plural, short_names, .. } = definition;
    let mut names = json!({
        "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase(),
        "categories": ["calico", "margay"],
    });
    if !short_names.is_empty() {
        names["shortNames"] = json!(short_names);
    }
    let mut version = json!({
        "name": VERSION, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema(definition)?},
        "additionalPrinterColumns": columns(definition),
    });
    if definition.status.is_some() {
        version["subresources"] = json!({"status": {}});
    }
    Ok(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}"), "labels": {"app.kubernetes.io/part-of": "margay"}},
        "spec": {"group": GROUP, "names": names, "scope": format!("{:?}", definition.scope), "versions": [version]},
    }))
}

fn columns(definition: &Definition) -> Vec<Value> {
    let column = |name: &str, kind: &str, path: &str, shown: Shown| {
        let mut column = json!({"name": name, "type": kind, "jsonPath": path});
        if shown == Shown::Wide {
            column["priority"] = json!(1);
        }
        column
    };
    let own = definition.columns.iter().map(|c| column(c.name, c.kind, c.path, c.shown));
    own.chain([column("Age", "date", ".metadata.creationTimestamp", Shown::Always)]).collect()
}

/// The schema of the whole object, with rules and keywords where they belong.
pub fn schema(definition: &Definition) -> Result<Value> {
    let text = |about: &str| json!({"type": "string", "description": about});
    let mut spec = structural(definition.spec.as_value()).context("spec")?;
    spec.as_object_mut().context("spec is no object")?.remove("description");
    let mut fields = json!({
        "apiVersion": text("The version of this schema."),
        "kind": text("The kind of the object."),
        "metadata": {"type": "object"},
        "spec": spec,
    });
    if let Some(status) = &definition.status {
        let mut status = structural(status.as_value()).context("status")?;
        if let Some(conditions) = status.pointer_mut("/properties/conditions") {
            conditions["x-kubernetes-list-type"] = json!("map");
            conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
        }
        status["description"] = json!("What margay says of the object.");
        fields["status"] = status;
    }
    let required = ["metadata", "spec"];
    let mut whole =
        json!({"type": "object", "description": definition.about, "properties": fields, "required": required});
    for keyword in &definition.keywords {
        field(&mut whole, &keyword.at)?.insert(keyword.name.into(), keyword.value.clone());
    }
    for rule in &definition.rules {
        let rules = field(&mut whole, &rule.at)?.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
        let rules = rules.as_array_mut().context("x-kubernetes-validations is no list")?;
        rules.push(json!({"rule": rule.rule, "message": rule.message}));
    }
    Ok(whole)
}

/// The part of a schema at a path such as `spec.exportV4[].cidr`; the whole at an empty one.
fn field<'a>(whole: &'a mut Value, path: &str) -> Result<&'a mut Map<String, Value>> {
    let mut part = whole;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let name = step.trim_end_matches("[]");
        part = part.get_mut("properties").and_then(|fields| fields.get_mut(name)).with_context(|| missing(path))?;
        if name != step {
            part = part.get_mut("items").with_context(|| missing(path))?;
        }
    }
    let Some(found) = part.as_object_mut() else { bail!(missing(path)) };
    Ok(found)
}

fn missing(path: &str) -> String {
    format!("there is no field {path}")
}
