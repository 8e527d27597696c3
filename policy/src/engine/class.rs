//! What selectors can tell endpoints apart by. Endpoints that they can't tell apart are one class: what is true of one is true
//! of all, so that a pod more costs no more than its addresses.

use std::collections::HashSet;
use std::sync::Arc;

use model::Protocol;
use model::object::{ContainerPort, Endpoints};
use model::selector::Labels;

use super::places::Places;

/// A text that many have: held once.
pub type Text = Arc<str>;

/// What the members of a class have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassKey {
    /// What they are.
    pub kind: Kind,
    /// Where they lie; None: in no namespace.
    pub namespace: Option<Text>,
    /// As whom they run: of pods.
    pub account: Option<Text>,
    /// Their labels, in order.
    pub labels: Box<[(Text, Text)]>,
    /// Their ports with names, in order.
    pub ports: Box<[(Text, Protocol, u16)]>,
}

/// What can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Pods.
    Pod,
    /// Host endpoints that let pass what every tier has passed on.
    OpenHost,
    /// Host endpoints that do not.
    ClosedHost,
    /// Network sets.
    Nets,
    /// Nodes.
    Node,
}

impl ClassKey {
    /// One of its own labels.
    pub fn own_label(&self, label: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(name, _)| (**name).cmp(label)).ok()?;
        self.labels.get(at).map(|(_, value)| &**value)
    }

    /// A label as Calico sees it: its own, or one that follows from what it is, where it lies and as whom it runs. Own labels
    /// never pass for such.
    pub fn label<'a>(&'a self, label: &str, places: &'a Places) -> Option<&'a str> {
        if !is_reserved(label) {
            return self.own_label(label);
        }
        let namespace = self.namespace.as_deref();
        if let Some(of_namespace) = label.strip_prefix(Endpoints::OF_NAMESPACE) {
            return match places.namespace(namespace?) {
                Some(place) => place.named.get(of_namespace).map(String::as_str),
                None => namespace.filter(|_| of_namespace == Endpoints::NAME),
            };
        }
        let account = self.account.as_deref();
        if let Some(of_account) = label.strip_prefix(Endpoints::OF_SERVICE_ACCOUNT) {
            return match places.account(namespace?, account?) {
                Some(place) => place.named.get(of_account).map(String::as_str),
                None => account.filter(|_| of_account == Endpoints::NAME),
            };
        }
        match label {
            Endpoints::NAMESPACE => namespace,
            Endpoints::SERVICE_ACCOUNT => account,
            _ => (self.kind == Kind::Pod).then_some(Endpoints::KUBERNETES),
        }
    }

    /// The numbers of its ports with any of these names.
    pub fn ports_named<'a>(&'a self, names: &'a [String], protocol: Protocol) -> impl Iterator<Item = u16> + 'a {
        let is = move |name: &str, of: Protocol| of == protocol && names.iter().any(|wanted| wanted == name);
        self.ports.iter().filter(move |(name, of, _)| is(name, *of)).map(|(.., number)| *number)
    }
}

/// Whether a label follows from where something lies or as whom it runs, so that its own labels have no say.
pub fn is_reserved(label: &str) -> bool {
    label.starts_with(Endpoints::OF_NAMESPACE)
        || label.starts_with(Endpoints::OF_SERVICE_ACCOUNT)
        || [Endpoints::NAMESPACE, Endpoints::ORCHESTRATOR, Endpoints::SERVICE_ACCOUNT].contains(&label)
}

/// Texts that are held once.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    pool: HashSet<Text>,
}

impl Texts {
    /// A text, the one that is held if there is one.
    pub fn of(&mut self, text: &str) -> Text {
        if let Some(held) = self.pool.get(text) {
            return held.clone();
        }
        let new: Text = text.into();
        self.pool.insert(new.clone());
        new
    }

    /// Labels, in order.
    pub fn labels(&mut self, labels: &Labels) -> Box<[(Text, Text)]> {
        labels.iter().map(|(name, value)| (self.of(name), self.of(value))).collect()
    }

    /// Ports, in order.
    pub fn ports(&mut self, ports: &[ContainerPort]) -> Box<[(Text, Protocol, u16)]> {
        let mut ports: Vec<_> = ports.iter().map(|port| (self.of(&port.name), port.protocol, port.port)).collect();
        ports.sort();
        ports.dedup();
        ports.into()
    }

    /// Forgets the texts of a class that is no more, unless others have them, too.
    pub fn release(&mut self, class: Arc<ClassKey>) {
        let Some(key) = Arc::into_inner(class) else { return };
        let texts = key.labels.into_iter().flat_map(|(name, value)| [name, value]);
        let texts = texts.chain(key.ports.into_iter().map(|(name, ..)| name)).chain(key.namespace).chain(key.account);
        for text in texts {
            // The pool's own and this one.
            if Arc::strong_count(&text) == 2 {
                self.pool.remove(&text);
            }
        }
    }
}
