//! A directory of YAML files as a source of objects, watched with inotify.
//!
//! Every change makes one more reading of the whole directory, and the difference to the reading before becomes facts.
//! An object whose newest version can't be used stays as it was; so do all objects of a file that can't be read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{Inotify, WatchMask};
use model::object::{self, Document, Found, ObjectError, ObjectKey};

use crate::fact::{Fact, ObjectFact, Source};

/// How long a burst of changes is left to end before the directory is read.
const SETTLE: Duration = Duration::from_millis(30);
/// How long to wait before looking again for a directory that is gone.
const AWAY: Duration = Duration::from_millis(500);
/// The most files that are read.
const FILE_LIMIT: usize = 20_000;

/// One file's text, or why it can't be read.
pub type FileText = Result<String, String>;

/// What the directory held at the last reading.
#[derive(Debug, Default)]
pub struct Reading {
    objects: BTreeMap<ObjectKey, (String, Box<Found>)>,
    errors: Vec<ObjectError>,
}

impl Reading {
    /// As if these objects in force had been read, each from its file.
    pub fn of<'a>(objects: impl Iterator<Item = (&'a ObjectKey, &'a ObjectFact)>) -> Reading {
        let found = |fact: &ObjectFact| {
            let (object, written) = (fact.object.clone(), fact.written.clone());
            (fact.origin.clone(), Box::new(Found { object, written, warnings: Vec::new() }))
        };
        Reading { objects: objects.map(|(key, fact)| (key.clone(), found(fact))).collect(), errors: Vec::new() }
    }

    /// Takes in a new reading of all files, by name, and says what changed. Pure: the same files make the same facts.
    pub fn update(&mut self, files: &BTreeMap<String, FileText>) -> Vec<Fact> {
        let mut objects = BTreeMap::new();
        let mut errors = Vec::new();
        let mut kept = BTreeSet::new();
        let mut unreadable = BTreeSet::new();
        for (file, text) in files {
            let documents = match text {
                Ok(text) => object::parse(file, text).documents,
                Err(message) => vec![Document::Bad(None, error(file, "", message))],
            };
            for document in documents {
                match document {
                    Document::Bad(Some(key), error) => {
                        kept.insert(key);
                        errors.push(error);
                    }
                    Document::Bad(None, error) => {
                        unreadable.insert(file.clone());
                        errors.push(error);
                    }
                    Document::Object(found) => {
                        let key = found.object.key();
                        errors.extend(found.warnings.iter().cloned());
                        if let Some((first, _)) = objects.get(&key) {
                            let message = format!("is already in {first}; this one is not used");
                            errors.push(error(file, &key.to_string(), &message));
                        } else {
                            objects.insert(key, (file.clone(), found));
                        }
                    }
                }
            }
        }
        for (key, old) in &self.objects {
            let stays = kept.contains(key) || unreadable.contains(&old.0);
            if stays && !objects.contains_key(key) {
                objects.insert(key.clone(), old.clone());
            }
        }
        let facts = self.difference(&objects, &errors);
        *self = Reading { objects, errors };
        facts
    }

    fn difference(&self, objects: &BTreeMap<ObjectKey, (String, Box<Found>)>, errors: &[ObjectError]) -> Vec<Fact> {
        let gone = self.objects.keys().filter(|key| !objects.contains_key(*key));
        let mut facts: Vec<Fact> = gone.cloned().map(Fact::ObjectGone).collect();
        for (key, (file, found)) in objects {
            let same = self.objects.get(key).is_some_and(|(f, o)| f == file && o.object == found.object);
            if !same {
                let (object, written) = (found.object.clone(), found.written.clone());
                facts.push(Fact::Object(Box::new(ObjectFact { object, origin: file.clone(), written })));
            }
        }
        if self.errors != errors {
            facts.push(Fact::ObjectErrors(errors.to_vec()));
        }
        facts
    }
}

fn error(file: &str, object: &str, message: &str) -> ObjectError {
    ObjectError { file: file.into(), object: object.into(), field: String::new(), message: message.into() }
}

/// Reads every `.yaml`, `.yml` and `.json` file of a directory; not its subdirectories, not hidden files.
pub fn read_directory(directory: &Path) -> io::Result<BTreeMap<String, FileText>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("").to_string();
        let extension = path.extension().and_then(|e| e.to_str());
        let is_object_file = matches!(extension, Some("yaml" | "yml" | "json")) && !name.starts_with('.');
        if !is_object_file {
            continue;
        }
        let text = match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > object::TEXT_LIMIT as u64 => {
                Err(format!("is larger than {} MiB", object::TEXT_LIMIT >> 20))
            }
            Ok(meta) if !meta.is_file() => continue,
            Ok(_) => std::fs::read_to_string(&path).map_err(|e| format!("can't be read: {e}")),
            // Gone between the listing and now.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => Err(format!("can't be read: {e}")),
        };
        files.insert(name, text);
        if files.len() > FILE_LIMIT {
            return Err(io::Error::other(format!("more than {FILE_LIMIT} files")));
        }
    }
    Ok(files)
}

/// Watches a directory for ever on a thread of its own and hands over facts; ends when `send` says nobody listens.
///
/// Fails at once if the directory is not there. Should it vanish later, the objects stay until it is back.
pub fn watch(directory: PathBuf, send: impl FnMut(Fact) -> bool + Send + 'static) -> io::Result<()> {
    let inotify = subscribe(&directory)?;
    let mut watcher = Watcher { directory, reading: Reading::default(), send };
    std::thread::Builder::new().name("objects".into()).spawn(move || watcher.run(inotify))?;
    Ok(())
}

struct Watcher<S> {
    directory: PathBuf,
    reading: Reading,
    send: S,
}

impl<S: FnMut(Fact) -> bool> Watcher<S> {
    fn run(&mut self, mut inotify: Inotify) {
        let mut in_sync = false;
        loop {
            let read = read_directory(&self.directory);
            if let Err(e) = &read {
                tracing::warn!(directory = %self.directory.display(), error = %e, "objects can't be read; they stay as they were");
            }
            let facts = read.map(|files| self.reading.update(&files)).unwrap_or_default();
            for fact in facts {
                if !(self.send)(fact) {
                    return;
                }
            }
            if !in_sync && !(self.send)(Fact::InSync(Source::Objects)) {
                return;
            }
            in_sync = true;
            if !wait(&mut inotify) {
                inotify = self.subscribe_again();
            }
        }
    }

    /// The directory itself was moved or removed: waits until it is back.
    fn subscribe_again(&self) -> Inotify {
        loop {
            match subscribe(&self.directory) {
                Ok(inotify) => return inotify,
                Err(_) => std::thread::sleep(AWAY),
            }
        }
    }
}

fn subscribe(directory: &Path) -> io::Result<Inotify> {
    let inotify = Inotify::init()?;
    let mask = WatchMask::CLOSE_WRITE
        | WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::MOVE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR;
    inotify.watches().add(directory, mask)?;
    Ok(inotify)
}

/// Waits for a burst of events to begin and to end. False if the directory itself is gone.
fn wait(inotify: &mut Inotify) -> bool {
    use inotify::EventMask;
    let mut buffer = [0; 8192];
    let ends = |events: inotify::Events<'_>| {
        let mut gone = false;
        for event in events {
            gone |= event.mask.intersects(EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF);
        }
        gone
    };
    let mut gone = match inotify.read_events_blocking(&mut buffer) {
        Ok(events) => ends(events),
        Err(_) => return false,
    };
    std::thread::sleep(SETTLE);
    while let Ok(events) = inotify.read_events(&mut buffer) {
        gone |= ends(events);
    }
    !gone
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str =
        "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.0.0.0/16}\n";

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, FileText> {
        list.iter().map(|(n, t)| (n.to_string(), Ok(t.to_string()))).collect()
    }
    fn told(facts: &[Fact]) -> Vec<String> {
        facts
            .iter()
            .map(|fact| match fact {
                Fact::Object(o) => format!("+ {}", o.object.key()),
                Fact::ObjectGone(key) => format!("- {key}"),
                Fact::ObjectErrors(e) => {
                    format!("! {}", e.iter().map(|e| e.to_string()).collect::<Vec<_>>().join(" | "))
                }
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn the_last_good_version_of_an_object_stays_in_force() {
        let mut reading = Reading::default();
        assert_eq!(told(&reading.update(&files(&[("a.yaml", POOL)]))), ["+ IPPool/p"]);
        let bad = POOL.replace("10.0.0.0/16", "10.0.0.1/16");
        let facts = told(&reading.update(&files(&[("a.yaml", &bad)])));
        assert_eq!(facts, ["! a.yaml: IPPool/p: spec.cidr: 10.0.0.1/16 has host bits set: did you mean 10.0.0.0/16?"]);
        let facts = told(&reading.update(&files(&[("a.yaml", "{")])));
        assert_eq!(facts.len(), 1, "an unreadable file takes nothing away: {facts:?}");
        assert_eq!(told(&reading.update(&files(&[("a.yaml", POOL)]))), ["! "]);
        assert_eq!(told(&reading.update(&files(&[]))), ["- IPPool/p"]);
    }

    #[test]
    fn the_same_files_make_no_facts_and_an_object_may_move_between_files() {
        let mut reading = Reading::default();
        reading.update(&files(&[("a.yaml", POOL)]));
        assert!(reading.update(&files(&[("a.yaml", POOL)])).is_empty());
        assert_eq!(told(&reading.update(&files(&[("b.yaml", POOL)]))), ["+ IPPool/p"]);
        let facts = told(&reading.update(&files(&[("b.yaml", POOL), ("c.yaml", POOL)])));
        assert_eq!(facts, ["! c.yaml: IPPool/p: is already in b.yaml; this one is not used"]);
    }

    #[test]
    fn a_change_of_the_directory_arrives_as_a_fact() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, facts) = std::sync::mpsc::channel();
        watch(directory.path().to_path_buf(), move |fact| sender.send(fact).is_ok()).unwrap();
        let next = || told(&[facts.recv_timeout(Duration::from_secs(10)).unwrap()]).remove(0);
        assert_eq!(next(), "InSync(Objects)");
        std::fs::write(directory.path().join("a.yaml"), POOL).unwrap();
        assert_eq!(next(), "+ IPPool/p");
        std::fs::write(directory.path().join(".tmp.yaml"), "not ours").unwrap();
        std::fs::remove_file(directory.path().join("a.yaml")).unwrap();
        assert_eq!(next(), "- IPPool/p");
        assert!(watch(directory.path().join("absent"), |_| true).is_err());
    }
}
