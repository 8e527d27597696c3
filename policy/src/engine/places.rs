//! What selectors see of namespaces and ServiceAccounts.

use std::collections::{BTreeMap, HashMap};

use model::object::{Endpoints, Meta};
use model::selector::Labels;

use super::buckets::{Buckets, spot};
use super::choose::Wanted;

/// Labels of something by which others are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As they are written.
    pub labels: Labels,
    /// With the name among them, as Calico sees them.
    pub named: Labels,
}

impl Place {
    pub(super) fn new(name: &str, labels: &Labels) -> Place {
        let mut named = labels.clone();
        named.insert(Endpoints::NAME.into(), name.into());
        Place { labels: labels.clone(), named }
    }

    /// Every label that it has in either form.
    pub fn each(&self) -> impl Iterator<Item = (&str, &str)> {
        let written = self.labels.get_key_value(Endpoints::NAME);
        self.named.iter().chain(written).map(|(label, value)| (label.as_str(), value.as_str()))
    }
}

/// Namespaces and ServiceAccounts.
#[derive(Debug, Clone, Default)]
pub struct Places {
    namespaces: HashMap<String, Place>,
    accounts: HashMap<String, BTreeMap<String, Place>>,
    by_label: Buckets<String>,
}

impl Places {
    /// A namespace, if it was told of.
    pub fn namespace(&self, name: &str) -> Option<&Place> {
        self.namespaces.get(name)
    }

    /// A ServiceAccount, if it was told of.
    pub fn account(&self, namespace: &str, name: &str) -> Option<&Place> {
        self.accounts.get(namespace)?.get(name)
    }

    /// The namespaces that have a label.
    pub fn namespaces_with(&self, label: &str, values: &[&str]) -> Vec<String> {
        let spots: Vec<u64> = values.iter().map(|value| spot(&Wanted::NamespaceLabel(label, value))).collect();
        self.by_label.any(&spots)
    }

    /// Sets a namespace, or takes it away; whether that changed anything.
    pub fn set_namespace(&mut self, name: &str, meta: Option<&Meta>) -> bool {
        let new = meta.map(|meta| Place::new(name, &meta.labels));
        if self.namespaces.get(name) == new.as_ref() {
            return false;
        }
        let spots = |place: &Place| -> Vec<u64> {
            place.each().map(|(label, value)| spot(&Wanted::NamespaceLabel(label, value))).collect()
        };
        if let Some(old) = self.namespaces.remove(name) {
            self.by_label.remove(&spots(&old), &name.to_string());
        }
        if let Some(new) = new {
            self.by_label.insert(&spots(&new), &name.to_string());
            self.namespaces.insert(name.to_string(), new);
        }
        true
    }

    /// Sets a ServiceAccount, or takes it away; whether that changed anything.
    pub fn set_account(&mut self, namespace: &str, name: &str, meta: Option<&Meta>) -> bool {
        let new = meta.map(|meta| Place::new(name, &meta.labels));
        let accounts = self.accounts.entry(namespace.to_string()).or_default();
        let changed = accounts.get(name) != new.as_ref();
        match new {
            Some(new) => _ = accounts.insert(name.to_string(), new),
            None => _ = accounts.remove(name),
        }
        if accounts.is_empty() {
            self.accounts.remove(namespace);
        }
        changed
    }
}
