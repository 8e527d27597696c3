//! `check`: object files held against the same parser as the agent's, without an agent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use model::api::show::ObjectErrorView;
use model::object::{self, Document, ObjectError, ObjectKey};
use serde::Serialize;

use crate::Verdict;
use crate::output::{Format, counted, print, print_structured};

/// What was found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Findings {
    /// Objects that can be used.
    objects: usize,
    /// What would not be in force.
    errors: Vec<ObjectErrorView>,
    /// What is in force and has no effect, or not the one expected.
    warnings: Vec<ObjectErrorView>,
}

/// Checks a directory, or one file. Warnings alone are no problem.
pub fn check(path: &Path, format: Format) -> anyhow::Result<Verdict> {
    let mut findings = Findings::default();
    let mut first: BTreeMap<ObjectKey, String> = BTreeMap::new();
    for file in files(path)? {
        read(&file, &mut findings, &mut first);
    }
    match format {
        Format::Table | Format::Wide => print(&text(&findings))?,
        structured => print_structured(&findings, structured)?,
    }
    Ok(if findings.errors.is_empty() { Verdict::Fine } else { Verdict::Problems })
}

/// The files that the agent would read: `.yaml`, `.yml`, `.json`, not hidden, not in subdirectories.
pub fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let named = || path.display().to_string();
    if fs::metadata(path).with_context(named)?.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(named)? {
        let file = entry.with_context(named)?.path();
        let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = file.extension().and_then(|e| e.to_str());
        // What can't be looked at (a link that leads nowhere) is one that can't be read.
        let is_file = fs::metadata(&file).map_or(true, |there| there.is_file());
        if !hidden && matches!(extension, Some("yaml" | "yml" | "json")) && is_file {
            files.push(file);
        }
    }
    if files.is_empty() {
        bail!("{}: no .yaml, .yml or .json file in it", named());
    }
    files.sort();
    Ok(files)
}

/// The directories in a directory, but for hidden ones: nobody reads them.
pub fn directories(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let named = || path.display().to_string();
    let mut directories = Vec::new();
    if fs::metadata(path).with_context(named)?.is_dir() {
        for entry in fs::read_dir(path).with_context(named)? {
            directories.push(entry.with_context(named)?.path());
        }
    }
    let hidden = |path: &Path| path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    directories.retain(|path| path.is_dir() && !hidden(path));
    directories.sort();
    Ok(directories)
}

fn read(file: &Path, findings: &mut Findings, first: &mut BTreeMap<ObjectKey, String>) {
    let name = file.display().to_string();
    let whole =
        |object: String, message: String| ObjectErrorView { file: name.clone(), object, field: String::new(), message };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return findings.errors.push(whole(String::new(), format!("can't be read: {error}"))),
    };
    for document in object::parse(&name, &text).documents {
        match document {
            Document::Bad(_, error) => findings.errors.push(view(error)),
            Document::Object(found) => {
                findings.warnings.extend(found.warnings.into_iter().map(view));
                let key = found.object.key();
                match first.get(&key) {
                    Some(other) => findings.errors.push(whole(key.to_string(), format!("is already in {other}"))),
                    None => {
                        findings.objects += 1;
                        first.insert(key, name.clone());
                    }
                }
            }
        }
    }
}

fn view(error: ObjectError) -> ObjectErrorView {
    let ObjectError { file, object, field, message } = error;
    ObjectErrorView { file, object, field, message }
}

/// `FILE: KIND/NAME: FIELD: MESSAGE`.
pub fn line(word: &str, error: &ObjectErrorView) -> String {
    let place = [&error.file, &error.object, &error.field].into_iter().filter(|part| !part.is_empty());
    let place: String = place.map(|part| format!("{part}: ")).collect();
    format!("{place}{word}{}\n", error.message)
}

fn text(findings: &Findings) -> String {
    let mut text: String = findings.errors.iter().map(|e| line("", e)).collect();
    text.extend(findings.warnings.iter().map(|w| line("warning: ", w)));
    let (errors, warnings) = (findings.errors.len(), findings.warnings.len());
    let counts = [counted(findings.objects, "good object"), counted(errors, "error"), counted(warnings, "warning")];
    text + &counts.join(", ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_in_a_directory_can_be_told() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["more", "also", ".git"] {
            fs::create_dir(directory.path().join(name)).expect("made");
        }
        let file = directory.path().join("a.yaml");
        fs::write(&file, "").expect("written");
        let names = |path: &Path| {
            let told = directories(path).expect("listed").into_iter();
            told.map(|path| path.file_name().map(|name| name.to_string_lossy().to_string())).collect::<Vec<_>>()
        };
        assert_eq!(names(directory.path()), [Some("also".to_string()), Some("more".to_string())]);
        assert_eq!(names(&file), []);
    }

    const POOL: &str = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: CIDR}\n";

    fn findings(files: &[(&str, &str)]) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("written");
        }
        let mut findings = Findings::default();
        let mut first = BTreeMap::new();
        for file in super::files(directory.path()).expect("files") {
            read(&file, &mut findings, &mut first);
        }
        text(&findings).replace(&format!("{}/", directory.path().display()), "")
    }

    #[test]
    fn each_finding_names_file_object_and_field() {
        let good = POOL.replace("CIDR", "10.0.0.0/16");
        assert_eq!(findings(&[("a.yaml", &good)]), "1 good object, 0 errors, 0 warnings\n");
        let bad = POOL.replace("CIDR", "10.0.0.1/16");
        assert_eq!(
            findings(&[("a.yaml", &bad)]),
            "a.yaml: IPPool/p: spec.cidr: 10.0.0.1/16 has host bits set: did you mean 10.0.0.0/16?\n\
             0 good objects, 1 error, 0 warnings\n"
        );
        assert_eq!(
            findings(&[("a.yaml", &good), ("b.yml", &good), ("c.txt", "not ours"), (".d.yaml", "nor this")]),
            "b.yml: IPPool/p: is already in a.yaml\n1 good object, 1 error, 0 warnings\n"
        );
    }
}
