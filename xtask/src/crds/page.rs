//! `docs/objects.md`: every kind with every field, from the same schemas as the CustomResourceDefinitions.

use std::fmt::Write;

use anyhow::{Context, Result};
use model::object::Scope;
use model::object::crd::{self, Definition};
use serde_json::Value;

use super::COMMAND;
use super::manifest::schema;

/// What stands before the kinds.
const BEFORE: &str = include_str!("before.md");
/// What stands after them.
const AFTER: &str = include_str!("after.md");

/// The page as it should be.
pub fn page() -> Result<String> {
    let mut kinds = crd::all();
    kinds.sort_by_key(|definition| definition.kind);
    let mut out = format!(
        "<!-- Written by `{COMMAND}` from model/src/object and xtask/src/crds/*.md: change those. -->\n{BEFORE}"
    );
    for definition in &kinds {
        kind(&mut out, definition).with_context(|| definition.kind.to_string())?;
    }
    out.push('\n');
    out.push_str(AFTER);
    Ok(out)
}

fn kind(out: &mut String, definition: &Definition) -> Result<()> {
    let Definition { kind, plural, short_names, about, .. } = definition;
    let names: Vec<String> = [plural].into_iter().chain(*short_names).map(|name| format!("`{name}`")).collect();
    let place = match definition.scope {
        Scope::Cluster => "",
        Scope::Namespaced => " It lies in a namespace.",
    };
    write!(out, "\n## {kind}\n{about}{place} `kubectl get` knows it as {}.\n\n", names.join(", "))?;
    let schema = schema(definition)?;
    let mut rows = Vec::new();
    fields(&mut rows, "", &schema["properties"]["spec"]);
    if let Some(other) = definition.like {
        let others = crd::all();
        let other = others.iter().find(|one| one.kind == other).context("like no other kind")?;
        writeln!(out, "All fields of [{}](#{}), and:\n", other.kind, other.kind.to_lowercase())?;
        rows.retain(|row| other.spec.as_value().pointer(&format!("/properties/{}", top(&row.path))).is_none());
    }
    let (without, with): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.about.starts_with("No effect"));
    if !with.is_empty() {
        out.push_str("| field | form | |\n|---|---|---|\n");
    }
    for Row { path, form, about } in &with {
        writeln!(out, "| `{path}` | {form} | {about} |")?;
    }
    if without.len() > 8 {
        out.push_str("\nTaken from Calico's users, and without effect:\n\n| why | fields |\n|---|---|\n");
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for row in &without {
            let why = row.about.trim_start_matches("No effect: ").trim_end_matches('.').to_string();
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, fields)) => fields.push(format!("`{}`", row.path)),
                None => reasons.push((why, vec![format!("`{}`", row.path)])),
            }
        }
        for (why, fields) in reasons {
            writeln!(out, "| {why} | {} |", fields.join(", "))?;
        }
    } else {
        for Row { path, form, about } in &without {
            writeln!(out, "| `{path}` | {form} | {about} |")?;
        }
    }
    if definition.like.is_some() {
        return Ok(());
    }
    let rules: Vec<&str> = definition
        .rules
        .iter()
        .filter(|rule| rule.at.is_empty() || rule.at == "spec")
        .map(|rule| rule.message)
        .collect();
    if !rules.is_empty() {
        out.push_str("\nA server refuses what breaks one of these:\n\n");
        for rule in rules {
            writeln!(out, "- {rule}")?;
        }
    }
    Ok(())
}

/// The first field of a path.
fn top(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// A line of a kind's table.
struct Row {
    path: String,
    form: String,
    about: String,
}

fn fields(rows: &mut Vec<Row>, outer: &str, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required = schema["required"].as_array();
    for (name, field) in properties {
        let path = if outer.is_empty() { name.clone() } else { format!("{outer}.{name}") };
        let must = required.is_some_and(|names| names.iter().any(|one| one == name));
        let mut form = form(field);
        if must {
            form.push_str(", required");
        }
        if let Some(default) = field.get("default") {
            form = format!("{form}, default `{}`", default.as_str().map_or(default.to_string(), str::to_owned));
        }
        let about = field["description"].as_str().unwrap_or_default().replace('|', "\\|");
        // What has no effect has none inside either.
        let inside = !about.starts_with("No effect");
        rows.push(Row { path: path.clone(), form, about });
        if inside {
            fields(rows, &path, field);
            fields(rows, &format!("{path}[]"), &field["items"]);
        }
    }
}

fn form(field: &Value) -> String {
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .filter_map(Value::as_str)
            .filter(|word| !word.is_empty())
            .map(|word| format!("`{word}`"))
            .collect();
        return words.join(" ");
    }
    if field["x-kubernetes-int-or-string"] == true {
        return "number or text".into();
    }
    let bounds = match (field["minimum"].as_i64(), field["maximum"].as_i64()) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) if least > 0 => format!(", from {least}"),
        (None, Some(most)) => format!(", to {most}"),
        _ => String::new(),
    };
    match field["type"].as_str() {
        Some("string") => "text".into(),
        Some("boolean") => "true or false".into(),
        Some("integer") => format!("number{bounds}"),
        Some("array") => format!("list of {}", form(&field["items"])),
        Some("object") if field.get("additionalProperties").is_some() => "by name".into(),
        _ => "object".into(),
    }
}
