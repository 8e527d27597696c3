//! From a schema as `schemars` has it to one that an API server takes as structural.
//!
//! Structural: every part has one type, nothing is negated, no reference
//! (Kubernetes, "Specifying a structural schema"). A keyword that nobody has thought of is an error.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// Whether null is a value of its own. An API server drops null from a field that does not take it, but not from a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Null {
    Dropped,
    Kept,
}

/// The schema made structural.
pub fn structural(schema: &Value) -> Result<Value> {
    part(schema, Null::Dropped)
}

fn part(schema: &Value, null: Null) -> Result<Value> {
    let given = schema.as_object().with_context(|| format!("{schema} is no schema of an object"))?;
    let (mut given, mut nullable) = without_null(given)?;
    merge_choices(&mut given)?;
    let mut made = Map::new();
    for (name, value) in &given {
        match name.as_str() {
            "type" => {
                nullable |= value.as_array().is_some_and(|types| types.iter().any(|one| one == "null"));
                made.insert(name.clone(), one_type(value)?);
            }
            "properties" => {
                let fields = value.as_object().context("properties are no map")?;
                let fields = fields.iter().map(|(field, schema)| {
                    Ok((field.clone(), part(schema, Null::Dropped).with_context(|| field.clone())?))
                });
                made.insert(name.clone(), Value::Object(fields.collect::<Result<_>>()?));
            }
            "items" => {
                made.insert(name.clone(), part(value, Null::Kept)?);
            }
            // With named fields an API server prunes all others by itself, and takes no `additionalProperties`.
            "additionalProperties" if value == false => {}
            "additionalProperties" => {
                made.insert(name.clone(), part(value, Null::Dropped)?);
            }
            "enum" => {
                let values = value.as_array().context("enum is no list")?;
                let values = values.iter().filter(|one| !one.is_null()).cloned().collect();
                made.insert(name.clone(), Value::Array(values));
            }
            "format" => {
                let known = ["int32", "int64", "double", "byte", "date-time"];
                if value.as_str().is_some_and(|format| known.contains(&format)) {
                    made.insert(name.clone(), value.clone());
                } else if value == "uint32" {
                    made.entry("maximum").or_insert(json!(u32::MAX));
                }
            }
            "description" => {
                let text = value.as_str().context("a description is no text")?;
                made.insert(name.clone(), json!(text.split_whitespace().collect::<Vec<_>>().join(" ")));
            }
            // What a type takes by default the agent knows; an API server would write it into users' objects.
            "$schema" | "title" | "default" => {}
            "required" | "maximum" | "minimum" | "maxLength" | "minLength" | "maxItems" | "minItems" | "pattern"
            | "uniqueItems" | "maxProperties" => {
                made.insert(name.clone(), value.clone());
            }
            extension if extension.starts_with("x-kubernetes-") => {
                made.insert(name.clone(), value.clone());
            }
            other => bail!("no rule for the keyword {other} of {schema}"),
        }
    }
    if nullable && null == Null::Kept {
        made.insert("nullable".into(), json!(true));
    }
    Ok(Value::Object(made))
}

/// `anyOf [schema, null]`, as an `Option` of something that has no plain type, made that schema. Says whether it was.
fn without_null(given: &Map<String, Value>) -> Result<(Map<String, Value>, bool)> {
    let Some(choices) = given.get("anyOf").and_then(Value::as_array) else { return Ok((given.clone(), false)) };
    let (nulls, others): (Vec<_>, Vec<_>) = choices.iter().partition(|one| one["type"] == "null");
    let ([_], [only]) = (nulls.as_slice(), others.as_slice()) else { return Ok((given.clone(), false)) };
    let mut merged = only.as_object().context("a choice is no schema")?.clone();
    let outer = given.iter().filter(|(name, _)| *name != "anyOf");
    for (name, value) in outer {
        merged.insert(name.clone(), value.clone());
    }
    Ok((merged, true))
}

/// `oneOf` of constants, as an enum whose values are described, made one `enum` with one description.
fn merge_choices(given: &mut Map<String, Value>) -> Result<()> {
    let Some(choices) = given.remove("oneOf") else { return Ok(()) };
    let choices = choices.as_array().context("oneOf is no list")?;
    let (mut values, mut about) = (Vec::new(), Vec::new());
    about.extend(given.get("description").map(text));
    for choice in choices {
        let of_choice = match (choice.get("const"), choice.get("enum").and_then(Value::as_array)) {
            (Some(one), None) => vec![one.clone()],
            (None, Some(several)) => several.clone(),
            _ => bail!("{choice} is no constant"),
        };
        if let (Some(description), [Value::String(name)]) = (choice.get("description"), of_choice.as_slice()) {
            about.push(format!("{name}: {}", lower_first(&text(description))));
        }
        values.extend(of_choice);
    }
    given.insert("type".into(), json!("string"));
    given.insert("enum".into(), Value::Array(values));
    if !about.is_empty() {
        given.insert("description".into(), json!(about.join(" ")));
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A description that follows a name and a colon.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

fn one_type(value: &Value) -> Result<Value> {
    let Some(types) = value.as_array() else { return Ok(value.clone()) };
    let others: Vec<&Value> = types.iter().filter(|one| *one != "null").collect();
    match others.as_slice() {
        [only] => Ok((*only).clone()),
        _ => bail!("{value} is not one type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_goes_from_fields_and_stays_in_lists() {
        let given = json!({"type": "object", "additionalProperties": false, "properties": {
            "a": {"type": ["integer", "null"], "format": "uint16", "minimum": 0, "default": 1},
            "b": {"type": "array", "items": {"type": ["integer", "null"]}},
            "c": {"anyOf": [{"type": "object", "description": "Inner."}, {"type": "null"}], "description": "Outer."},
            "d": {"type": ["string", "null"], "enum": ["x", "y", null]},
        }});
        let made = json!({"type": "object", "properties": {
            "a": {"type": "integer", "minimum": 0},
            "b": {"type": "array", "items": {"type": "integer", "nullable": true}},
            "c": {"type": "object", "description": "Outer."},
            "d": {"type": "string", "enum": ["x", "y"]},
        }});
        assert_eq!(structural(&given).unwrap(), made);
    }

    #[test]
    fn described_values_become_one_enum() {
        let given = json!({"description": "When.", "oneOf": [
            {"const": "Never", "description": "At no time.", "type": "string"}, {"enum": ["A", "B"], "type": "string"},
        ]});
        let made = json!({"description": "When. Never: at no time.", "enum": ["Never", "A", "B"], "type": "string"});
        assert_eq!(structural(&given).unwrap(), made);
    }

    #[test]
    fn what_no_structural_schema_has_is_an_error() {
        for schema in [json!({"$ref": "#/$defs/X"}), json!({"not": {}}), json!({"type": ["string", "integer"]})] {
            assert!(structural(&json!({"type": "object", "properties": {"a": schema}})).is_err(), "{schema}");
        }
    }
}
