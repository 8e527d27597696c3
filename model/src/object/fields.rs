//! Values whose objects have names for their fields: what serde would fill from a list by position is refused.

use std::fmt;

use serde::Deserializer;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Error as _, IntoDeserializer, Visitor};
use serde_json::{Error, Value};

/// A value that is read as an API server would: `[]` is no object without fields, and `[TCP, 80]` no port.
pub(super) struct Fields(pub(super) Value);

/// What a value is, in the words of who writes it.
struct Sort<'a>(&'a Value);

impl fmt::Display for Sort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Array(_) => f.write_str("a list"),
            Value::Object(_) => f.write_str("an object"),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => write!(f, "{}", self.0),
        }
    }
}

impl<'de> Deserializer<'de> for Fields {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Fields));
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Value::Object(map) => {
                let mut entries = MapDeserializer::new(map.into_iter().map(|(key, value)| (key, Fields(value))));
                let value = visitor.visit_map(&mut entries)?;
                entries.end()?;
                Ok(value)
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            other => Err(Error::custom(format!("must be an object with fields, not {}", Sort(other)))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Fields {
    type Deserializer = Fields;
    fn into_deserializer(self) -> Fields {
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::object::{Document, parse};

    fn error(kind: &str, spec: &str) -> Option<String> {
        let text = format!("{kind}\nmetadata: {{name: a}}\nspec: {spec}\n");
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Bad(_, error)) => Some(format!("{}: {}", error.field, error.message)),
            _ => None,
        }
    }

    #[test]
    fn a_list_is_no_object_with_fields() {
        for (spec, expected) in [
            ("[]", "spec: must be an object with fields, not a list"),
            ("{podSelector: []}", "spec.podSelector: must be an object with fields, not a list"),
            ("{podSelector: app}", "spec.podSelector: must be an object with fields, not \"app\""),
            ("{ingress: [[]]}", "spec.ingress[0]: must be an object with fields, not a list"),
            ("{ingress: [null]}", "spec.ingress[0]: must be an object with fields, not null"),
            (
                "{ingress: [{ports: [[TCP, 80]]}]}",
                "spec.ingress[0].ports[0]: must be an object with fields, not a list",
            ),
            (
                "{ingress: [{from: [{ipBlock: [10.0.0.0/8]}]}]}",
                "spec.ingress[0].from[0].ipBlock: must be an object with fields, not a list",
            ),
        ] {
            let kind = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy";
            assert_eq!(error(kind, spec).as_deref(), Some(expected), "{spec}");
        }
    }

    #[test]
    fn objects_lists_and_maps_are_read_at_any_depth() {
        for (kind, spec) in [
            (
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy",
                "{podSelector: {matchLabels: {a: b}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, \
                 except: [10.1.0.0/16]}}], ports: [{port: http}, {port: 80, endPort: 90}]}]}",
            ),
            (
                "apiVersion: projectcalico.org/v3\nkind: IPAMHandle",
                "{handleID: h, block: {10.244.0.0/26: 2}, deleted: false}",
            ),
        ] {
            assert_eq!(error(kind, spec), None, "{spec}");
        }
    }
}
