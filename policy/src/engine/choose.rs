//! Whether a choice chooses a class, and under which spots of an index the two find each other.

use model::object::{Namespaces, ServiceAccounts};
use model::selector::{Labels, Narrow};

use super::buckets::{Spot, spot};
use super::class::{ClassKey, Kind, is_reserved};
use super::places::{Place, Places};
use crate::rules::{Among, Choice};

/// What is wanted of a class, as far as an index helps.
#[derive(Debug, Hash)]
pub enum Wanted<'a> {
    /// Nothing.
    Nothing,
    /// That it is of a kind.
    Kind(Kind),
    /// A label.
    Label(&'a str, &'a str),
    /// That it lies in a namespace.
    Namespace(&'a str),
    /// Both.
    NamespaceAndLabel(&'a str, &'a str, &'a str),
    /// That its namespace has a label.
    NamespaceLabel(&'a str, &'a str),
    /// That its namespace has a label and it has another.
    NamespaceLabelAndLabel(&'a str, &'a str, &'a str, &'a str),
    /// A port with a name.
    Port(&'a str),
}

/// Of more values than these, a choice is not narrow.
const VALUES: usize = 16;

/// Whether a choice chooses a class.
pub fn chooses(choice: &Choice, class: &ClassKey, places: &Places) -> bool {
    let endpoints = &choice.endpoints;
    let namespace = class.namespace.as_deref();
    match choice.among {
        Among::Nodes => class.kind == Kind::Node && endpoints.labels.chooses_by(&|label| class.own_label(label)),
        Among::Pods => {
            class.kind == Kind::Pod
                && match &endpoints.namespaces {
                    Namespaces::Any => true,
                    Namespaces::Named(name) => namespace == Some(name),
                    Namespaces::Chosen(selector) => {
                        let place = namespace.and_then(|name| places.namespace(name));
                        place.is_some_and(|place| selector.chooses(&place.labels))
                    }
                }
                && endpoints.labels.chooses_by(&|label| class.own_label(label))
        }
        Among::Endpoints => {
            class.kind != Kind::Node
                && match &endpoints.namespaces {
                    Namespaces::Any => true,
                    Namespaces::Named(name) => namespace == Some(name),
                    Namespaces::Chosen(selector) => {
                        held(namespace, |name| places.namespace(name), |labels| selector.chooses_holder(labels))
                    }
                }
                && endpoints.labels.chooses_by(&|label| class.label(label, places))
                && endpoints.service_accounts.as_ref().is_none_or(|accounts| runs_as(class, accounts, places))
        }
    }
}

fn runs_as(class: &ClassKey, accounts: &ServiceAccounts, places: &Places) -> bool {
    let account = class.account.as_deref();
    let of_name = accounts.names.is_empty() || account.is_some_and(|name| accounts.names.iter().any(|n| n == name));
    let namespace = class.namespace.as_deref().unwrap_or_default();
    of_name && held(account, |name| places.account(namespace, name), |labels| accounts.labels.chooses_holder(labels))
}

/// What a selector says of what holds a class: of a holder that nobody has told of, only the name is known.
fn held<'a>(
    name: Option<&str>,
    place: impl Fn(&str) -> Option<&'a Place>,
    chooses: impl Fn(Option<&Labels>) -> bool,
) -> bool {
    let Some(name) = name else { return chooses(None) };
    match place(name) {
        Some(place) => chooses(Some(&place.named)),
        None => chooses(Some(&Place::new(name, &Labels::new()).named)),
    }
}

/// The label that what a choice chooses must have.
fn narrow(choice: &Choice) -> Option<Narrow<'_>> {
    let narrow = choice.endpoints.labels.narrow().filter(|narrow| narrow.values.len() <= VALUES)?;
    (choice.among != Among::Endpoints || !is_reserved(narrow.label)).then_some(narrow)
}

fn narrow_namespaces(choice: &Choice) -> Option<Narrow<'_>> {
    match &choice.endpoints.namespaces {
        Namespaces::Chosen(selector) => selector.narrow().filter(|narrow| narrow.values.len() <= VALUES),
        _ => None,
    }
}

/// Where a choice waits for classes: under any of these spots is every class that it chooses, see [`class_spots`].
pub fn choice_spots(choice: &Choice) -> Vec<Spot> {
    let labels = narrow(choice);
    let labels: Option<Vec<(&str, &str)>> =
        labels.map(|narrow| narrow.values.iter().map(|value| (narrow.label, *value)).collect());
    if let Namespaces::Named(name) = &choice.endpoints.namespaces {
        return match labels {
            Some(labels) => labels.iter().map(|(k, v)| spot(&Wanted::NamespaceAndLabel(name, k, v))).collect(),
            None => vec![spot(&Wanted::Namespace(name))],
        };
    }
    match (narrow_namespaces(choice), labels) {
        (None, None) => vec![spot(&Wanted::Nothing)],
        (None, Some(labels)) => labels.iter().map(|(k, v)| spot(&Wanted::Label(k, v))).collect(),
        (Some(of), None) => of.values.iter().map(|v| spot(&Wanted::NamespaceLabel(of.label, v))).collect(),
        (Some(of), Some(labels)) => {
            let both = |value: &&str| {
                let each = |(k, v): &(&str, &str)| spot(&Wanted::NamespaceLabelAndLabel(of.label, value, k, v));
                labels.iter().map(each).collect::<Vec<_>>()
            };
            of.values.iter().flat_map(both).collect()
        }
    }
}

/// The spots where choices wait that may choose a class, and sets of ports that it may be in.
pub fn class_spots(class: &ClassKey, places: &Places) -> Vec<Spot> {
    let namespace = class.namespace.as_deref();
    let unknown;
    let of_namespace = match namespace.map(|name| (name, places.namespace(name))) {
        None => None,
        Some((_, Some(place))) => Some(place),
        Some((name, None)) => {
            unknown = Place::new(name, &Labels::new());
            Some(&unknown)
        }
    };
    let mut spots = vec![spot(&Wanted::Nothing)];
    spots.extend(namespace.map(|name| spot(&Wanted::Namespace(name))));
    for (k, v) in of_namespace.into_iter().flat_map(Place::each) {
        spots.push(spot(&Wanted::NamespaceLabel(k, v)));
    }
    for (label, value) in &class.labels {
        spots.push(spot(&Wanted::Label(label, value)));
        spots.extend(namespace.map(|name| spot(&Wanted::NamespaceAndLabel(name, label, value))));
        for (k, v) in of_namespace.into_iter().flat_map(Place::each) {
            spots.push(spot(&Wanted::NamespaceLabelAndLabel(k, v, label, value)));
        }
    }
    spots.extend(class.ports.iter().map(|(name, ..)| spot(&Wanted::Port(name))));
    spots
}

/// Where a class is found by choices, see [`found_at`].
pub fn finding_spots(class: &ClassKey) -> Vec<Spot> {
    let mut spots = vec![spot(&Wanted::Nothing), spot(&Wanted::Kind(class.kind))];
    spots.extend(class.namespace.as_deref().map(|name| spot(&Wanted::Namespace(name))));
    spots.extend(class.labels.iter().map(|(label, value)| spot(&Wanted::Label(label, value))));
    spots.extend(class.ports.iter().map(|(name, ..)| spot(&Wanted::Port(name))));
    spots
}

/// Lists of spots, under each of which are all classes that a choice chooses.
pub fn found_at(choice: &Choice, places: &Places) -> Vec<Vec<Spot>> {
    let mut lists = vec![vec![spot(&Wanted::Nothing)]];
    if let Some(narrow) = narrow(choice) {
        lists.push(narrow.values.iter().map(|value| spot(&Wanted::Label(narrow.label, value))).collect());
    }
    match &choice.endpoints.namespaces {
        Namespaces::Named(name) => lists.push(vec![spot(&Wanted::Namespace(name))]),
        Namespaces::Chosen(_) => {
            // A namespace that nobody has told of has no label but Calico's name for it.
            if let Some(narrow) = narrow_namespaces(choice).filter(|n| n.label != model::object::Endpoints::NAME) {
                let namespaces = places.namespaces_with(narrow.label, &narrow.values);
                lists.push(namespaces.iter().map(|name| spot(&Wanted::Namespace(name))).collect());
            }
        }
        Namespaces::Any => {}
    }
    match choice.among {
        Among::Nodes => lists.push(vec![spot(&Wanted::Kind(Kind::Node))]),
        Among::Pods => lists.push(vec![spot(&Wanted::Kind(Kind::Pod))]),
        Among::Endpoints => {}
    }
    lists
}
