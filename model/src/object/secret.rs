//! Secrets, and references to them.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Meta;
use crate::base64;

/// `v1` Secret: what a BGP password is read from.
///
/// In files `stringData` is the readable form; `data` is base64, as a server stores it. The values never print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// `metadata`.
    pub meta: Meta,
    /// Key to value: `stringData` laid over decoded `data`.
    pub values: BTreeMap<String, Password>,
}

/// A value that is never printed, logged or recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// Wraps the octets.
    pub fn new(octets: impl Into<Box<[u8]>>) -> Password {
        Password(octets.into())
    }
    /// The octets, for the kernel only.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<password>")
    }
}

/// `secretKeyRef`: one key of one Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The Secret's name.
    pub name: String,
    /// The key in it.
    pub key: String,
    /// Accepted as Kubernetes has it; a missing password is an error on the peer either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// `password:` of a BGPPeer, `nodeMeshPassword:` of a BGPConfiguration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PasswordSource {
    /// Where it is: a key of a Secret in margay's own namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// A Secret is serialised without its values: a recording must not hold a password.
#[derive(Serialize, Deserialize)]
struct Redacted {
    meta: Meta,
    keys: Vec<String>,
}
impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Redacted { meta: self.meta.clone(), keys: self.values.keys().cloned().collect() }.serialize(s)
    }
}
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
        let Redacted { meta, keys } = Redacted::deserialize(d)?;
        let values = keys.into_iter().map(|k| (k, Password::new(*b"redacted"))).collect();
        Ok(Secret { meta, values })
    }
}

/// The wire form of a Secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretWire {
    metadata: Meta,
    #[serde(default)]
    data: BTreeMap<String, String>,
    #[serde(default)]
    string_data: BTreeMap<String, String>,
}

impl TryFrom<SecretWire> for Secret {
    type Error = (String, String);
    fn try_from(mut wire: SecretWire) -> Result<Secret, (String, String)> {
        // kubectl keeps the whole object in one of them.
        wire.metadata.annotations.clear();
        let mut values = BTreeMap::new();
        for (key, encoded) in wire.data {
            let octets =
                base64::decode(&encoded).ok_or_else(|| (format!("data.{key}"), "is not base64".to_string()))?;
            values.insert(key, Password::new(octets));
        }
        for (key, text) in wire.string_data {
            values.insert(key, Password::new(text.into_bytes()));
        }
        Ok(Secret { meta: wire.metadata, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed_or_serialised() {
        let values = BTreeMap::from([("k".to_string(), Password::new(*b"tiger"))]);
        let secret = Secret { meta: Meta::default(), values };
        assert!(!format!("{secret:?}").contains("tiger"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("tiger"));
    }
}
