//! What the API server's objects were when they were last told, and what a new telling changes. Pure.
//!
//! Each feed is a list and the watch that follows it. Of an object that is in force only a fingerprint is kept, since
//! the world has the object itself; whole objects are kept of the older group only, as they come in force again when the
//! newer group lets go of them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use model::object::{self, Document, Kind, Object, ObjectError, ObjectKey};
use serde_json::{Value, json};

use super::kinds::{OLDER, Part, spelled};
use super::older;
use crate::fact::{Fact, ObjectFact};
use crate::plan::needs::{self, Needs};

/// The most problems that are told; a thousand say as much as ten thousand.
const TOLD: usize = 1000;

/// Which list: of a kind or a part of it, in a group of Calico's two, or of one Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Feed {
    /// The kind, as the newer group has it.
    pub kind: Kind,
    /// How much of it. No object is in the lists of two parts at a time.
    pub part: Part,
    /// From which group.
    pub group: Group,
    /// The only object's name, where it is but one.
    pub name: Option<String>,
}

/// Which of two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// `projectcalico.org/v3`, or the only group the kind has.
    Present,
    /// `crd.projectcalico.org/v1`.
    Older,
}

impl Feed {
    /// Where its objects come from, for a person.
    pub fn origin(&self) -> &'static str {
        match self.group {
            Group::Present => "API server",
            Group::Older => "API server (crd.projectcalico.org/v1)",
        }
    }
}

/// What was told last.
#[derive(Debug, Default)]
pub struct Reading {
    feeds: BTreeMap<Feed, Held>,
    problems: BTreeMap<(ObjectKey, Group, About), Vec<ObjectError>>,
    problems_changed: bool,
    needs: BTreeMap<ObjectKey, Needs>,
    prints: RandomState,
}

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// What the object says.
    Object,
    /// That it is in both groups.
    Both,
    /// The feed as a whole.
    Feed,
}

/// A feed's objects.
#[derive(Debug, Default)]
struct Held {
    /// None if no version was ever readable.
    objects: BTreeMap<ObjectKey, Option<Version>>,
    /// While a list is under way: what it has not named yet.
    unseen: Option<BTreeSet<ObjectKey>>,
}

impl Held {
    fn seen(&mut self, key: &ObjectKey) {
        if let Some(unseen) = &mut self.unseen {
            unseen.remove(key);
        }
    }
}

/// The last good version of an object.
#[derive(Debug)]
struct Version {
    /// Of all it says, secrets too; keyed, so that nobody can make two objects look the same.
    print: u64,
    /// The same without metadata.
    of_spec: u64,
    /// In the older group only.
    whole: Option<Box<ObjectFact>>,
}

impl Reading {
    /// A list begins: what it does not name will be gone.
    pub fn begin(&mut self, feed: &Feed) {
        let held = self.feeds.entry(feed.clone()).or_default();
        held.unseen = Some(held.objects.keys().cloned().collect());
    }

    /// The list is complete.
    pub fn complete(&mut self, feed: &Feed) -> Vec<Fact> {
        let unseen = self.feeds.get_mut(feed).and_then(|held| held.unseen.take()).unwrap_or_default();
        unseen.into_iter().flat_map(|key| self.forget(feed, &key)).collect()
    }

    /// Nothing of this feed is wanted any more, or its kind is not there.
    pub fn end(&mut self, feed: &Feed) -> Vec<Fact> {
        self.begin(feed);
        let facts = self.complete(feed);
        self.feeds.remove(feed);
        facts
    }

    /// An object as it is now.
    pub fn object(&mut self, feed: &Feed, value: Value) -> Option<Fact> {
        let (key, read) = read(feed, value)?;
        let held = self.feeds.entry(feed.clone()).or_default();
        held.seen(&key);
        let before = held.objects.entry(key.clone()).or_default();
        let (fact, problems) = match read {
            Err(problem) => {
                self.trouble(&key, feed.group, About::Object, vec![problem]);
                return None;
            }
            Ok(read) => read,
        };
        let (print, of_spec) = prints(&self.prints, &fact.object);
        let same = before.as_ref().is_some_and(|version| version.print == print);
        let whole = (feed.group == Group::Older).then(|| Box::new(fact.clone()));
        *before = Some(Version { print, of_spec, whole });
        self.trouble(&key, feed.group, About::Object, problems);
        self.compare(&key);
        let shadowed = feed.group == Group::Older && self.version(&key, Group::Present).is_some();
        if same || shadowed {
            return None;
        }
        Some(self.in_force(key, fact))
    }

    /// An object is no longer there.
    pub fn gone(&mut self, feed: &Feed, namespace: Option<&str>, name: &str) -> Option<Fact> {
        self.forget(feed, &of(feed, namespace, name))
    }

    /// All that is wrong with the objects, if that has changed since it was last asked.
    pub fn problems(&mut self) -> Option<Fact> {
        if !std::mem::take(&mut self.problems_changed) {
            return None;
        }
        let mut told: Vec<ObjectError> = self.problems.values().flatten().take(TOLD).cloned().collect();
        let all = self.problems.values().map(Vec::len).sum::<usize>();
        if all > TOLD {
            let message = format!("{} further problems with objects are not told", all - TOLD);
            told.push(ObjectError { file: "API server".into(), object: String::new(), field: String::new(), message });
        }
        Some(Fact::ObjectErrors(told))
    }

    /// A problem with a feed as a whole, or none any more.
    pub fn feed_problem(&mut self, feed: &Feed, problem: Option<String>) {
        let name = feed.name.clone().unwrap_or_default();
        let key = key(feed.kind, None, &name);
        let object = if name.is_empty() { feed.kind.to_string() } else { format!("{}/{name}", feed.kind) };
        let told = |message| ObjectError { file: feed.origin().into(), object, field: String::new(), message };
        self.trouble(&key, feed.group, About::Feed, problem.map(told).into_iter().collect());
    }

    /// What the objects in force make necessary to watch.
    pub fn needs(&self) -> Needs {
        self.needs.values().cloned().fold(Needs::default(), Needs::and)
    }

    /// How many objects are held.
    pub fn len(&self) -> usize {
        self.feeds.values().map(|held| held.objects.len()).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn forget(&mut self, feed: &Feed, key: &ObjectKey) -> Option<Fact> {
        let held = self.feeds.get_mut(feed)?;
        held.seen(key);
        let gone = held.objects.remove(key)?;
        if self.is_in_other_part(feed, key) {
            return None;
        }
        self.trouble(key, feed.group, About::Object, Vec::new());
        self.compare(key);
        // A version that could not be read was never in force.
        gone.as_ref()?;
        match feed.group {
            Group::Older if self.version(key, Group::Present).is_some() => None,
            Group::Present => match self.version(key, Group::Older).and_then(|v| v.whole.clone()) {
                Some(older) => Some(self.in_force(key.clone(), *older)),
                None => Some(self.out_of_force(key)),
            },
            Group::Older => Some(self.out_of_force(key)),
        }
    }

    /// Whether a new object of the same name has come in another list meanwhile: a pod that moved to another node.
    fn is_in_other_part(&self, feed: &Feed, key: &ObjectKey) -> bool {
        let beside = |other: &Feed| (other.kind, other.group) == (feed.kind, feed.group) && other != feed;
        self.feeds.iter().any(|(other, held)| beside(other) && held.objects.contains_key(key))
    }

    fn in_force(&mut self, key: ObjectKey, fact: ObjectFact) -> Fact {
        let needs = needs::of(&fact.object);
        match needs.is_empty() {
            true => self.needs.remove(&key),
            false => self.needs.insert(key, needs),
        };
        Fact::Object(Box::new(fact))
    }

    fn out_of_force(&mut self, key: &ObjectKey) -> Fact {
        self.needs.remove(key);
        Fact::ObjectGone(key.clone())
    }

    fn version(&self, key: &ObjectKey, group: Group) -> Option<&Version> {
        // Of a kind that is in two groups, all is watched.
        let feed = Feed { kind: key.kind, part: Part::Whole, group, name: None };
        self.feeds.get(&feed)?.objects.get(key)?.as_ref()
    }

    /// Says that an object is in both groups, if the two say different things. Calico's own API server shows the objects
    /// of the one group in the other.
    fn compare(&mut self, key: &ObjectKey) {
        let (present, older) = (self.version(key, Group::Present), self.version(key, Group::Older));
        let differ = present.zip(older).is_some_and(|(present, older)| present.of_spec != older.of_spec);
        let told = || {
            let version = spelled(key.kind).0;
            let message = format!("is also there in {version}, which says something else; this one is not used");
            ObjectError { file: OLDER.into(), object: key.to_string(), field: String::new(), message }
        };
        self.trouble(key, Group::Older, About::Both, differ.then(told).into_iter().collect());
    }

    fn trouble(&mut self, key: &ObjectKey, group: Group, about: About, problems: Vec<ObjectError>) {
        let place = (key.clone(), group, about);
        let before = match problems.is_empty() {
            true => self.problems.remove(&place),
            false => self.problems.insert(place.clone(), problems),
        };
        self.problems_changed |= before.as_ref() != self.problems.get(&place);
    }
}

type Read = Result<(ObjectFact, Vec<ObjectError>), ObjectError>;

/// Reads an object; None if it has not even a name.
fn read(feed: &Feed, mut value: Value) -> Option<(ObjectKey, Read)> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_string);
    let key = of(feed, text("/metadata/namespace").as_deref(), &text("/metadata/name")?);
    let bad = |field: &str, message: String| {
        let (file, object, field) = (feed.origin().to_string(), key.to_string(), field.to_string());
        Err(ObjectError { file, object, field, message })
    };
    let (version, kind) = spelled(feed.kind);
    if feed.group == Group::Older {
        value = match older::unpack(value, kind, &key.name) {
            Ok(value) => value,
            Err(message) => return Some((key.clone(), bad(older::FIELD, message))),
        };
    } else if feed.part == Part::Metadata {
        value = json!({ "metadata": value.get("metadata") });
    }
    if let Some(map) = value.as_object_mut() {
        // Items of a list do not say what they are.
        map.insert("apiVersion".into(), version.into());
        map.insert("kind".into(), kind.into());
    }
    let read = match object::read_value(feed.origin(), value) {
        Document::Bad(_, error) => Err(error),
        Document::Object(found) => {
            let object::Found { object, written, warnings } = *found;
            Ok((ObjectFact { object, origin: feed.origin().to_string(), written }, warnings))
        }
    };
    Some((key, read))
}

/// The key of a feed's object, given the name that it is stored by.
fn of(feed: &Feed, namespace: Option<&str>, name: &str) -> ObjectKey {
    let name = match feed.group {
        Group::Present => name,
        Group::Older => older::name(feed.kind, name),
    };
    key(feed.kind, namespace, name)
}

fn key(kind: Kind, namespace: Option<&str>, name: &str) -> ObjectKey {
    ObjectKey { kind, namespace: namespace.map(str::to_string), name: name.to_string() }
}

/// Fingerprints of all that an object says, secrets too, and of the same without its metadata.
fn prints(keyed: &RandomState, object: &Object) -> (u64, u64) {
    if let Object::Secret(secret) = object {
        // Serialised it has no values.
        let values: Vec<(&String, &[u8])> = secret.values.iter().map(|(key, value)| (key, value.expose())).collect();
        let of_values = keyed.hash_one(&values);
        return (keyed.hash_one((of_values, &secret.meta.uid, &secret.meta.labels)), of_values);
    }
    let mut value = serde_json::to_value(object).unwrap_or_default();
    let whole = keyed.hash_one(value.to_string());
    if let Some(object) = value.get_mut("object").and_then(Value::as_object_mut) {
        object.remove("meta");
    }
    (whole, keyed.hash_one(value.to_string()))
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
