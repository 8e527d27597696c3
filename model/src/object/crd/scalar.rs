//! Schemas of the types that have a text form of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::object::port::CalicoPort;
use crate::object::{Community, GoDuration, SourceAddress};
use crate::selector::Selector;
use crate::{Asn, NodeName, Prefix, Protocol};

macro_rules! written_as {
    ($($type:ty = $schema:tt;)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

written_as! {
    NodeName = { "type": "string", "minLength": 1, "maxLength": 253 };
    Protocol = { "x-kubernetes-int-or-string": true };
    CalicoPort = { "x-kubernetes-int-or-string": true };
    Prefix = { "type": "string", "maxLength": 49 };
    Asn = { "x-kubernetes-int-or-string": true };
    Selector = { "type": "string", "maxLength": 4096 };
    GoDuration = { "type": "string", "maxLength": 64 };
    Community = { "type": "string", "maxLength": 32, "pattern": r"^(\d{1,5}:\d{1,5}|\d{1,10}:\d{1,10}:\d{1,10})$" };
    SourceAddress = { "type": "string", "maxLength": 64 };
}
