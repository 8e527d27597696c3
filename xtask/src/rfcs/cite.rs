//! Finds where the code cites an RFC, and what is said there.

use super::section::Section;
use crate::rules::{House, Source};

/// One citation in the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// Its number.
    pub rfc: u32,
    /// The section; none where the whole document is meant.
    pub section: Option<Section>,
    /// The file, from the root of the repository.
    pub path: String,
    /// What is described.
    pub place: Place,
    /// The sentence with the citation; empty where it says nothing else.
    pub says: String,
}

/// What a comment describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The whole file.
    File,
    /// `Type`, `Type::Variant`, `function`.
    Item(String),
}

/// A test of what an RFC says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// Its number.
    pub rfc: u32,
    /// The file.
    pub path: String,
    /// The function; none where the whole file is about the RFC.
    pub name: Option<String>,
}

/// All citations outside tests, in the order of the files.
pub fn citations(house: &House) -> Vec<Citation> {
    let mut all = Vec::new();
    for (path, source) in files(house) {
        for note in notes(source).into_iter().filter(|note| !note.in_test) {
            for (rfc, section, at) in read(&note.text) {
                let says = sentence(&note.text, at);
                let place = note.item.clone().map_or(Place::File, Place::Item);
                all.push(Citation { rfc, section, path: path.clone(), place, says });
            }
        }
    }
    all
}

/// All tests that name or cite an RFC, each once, in order.
pub fn tests(house: &House) -> Vec<Test> {
    let mut all = Vec::new();
    for (path, source) in files(house) {
        for note in notes(source).into_iter().filter(|note| note.in_test) {
            for (rfc, ..) in read(&note.text) {
                all.push(Test { rfc, path: path.clone(), name: note.item.clone() });
            }
        }
        for line in source.text.lines() {
            let Some(name) = line.trim_start().strip_prefix("fn ").and_then(|rest| rest.split('(').next()) else {
                continue;
            };
            if let Some(rfc) = name.strip_prefix("rfc").and_then(|rest| rest.split('_').next()?.parse().ok()) {
                all.push(Test { rfc, path: path.clone(), name: Some(name.into()) });
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

/// Every file that may cite, with its path from the root. This crate only speaks of citations.
fn files(house: &House) -> impl Iterator<Item = (String, &Source)> {
    let rooms = house.rooms.iter().filter(|room| room.name != "xtask");
    rooms.flat_map(|room| room.sources.iter().map(|source| (format!("{}/{}", room.folder, source.path), source)))
}

/// A comment, joined to one line, and what it is about.
struct Note {
    text: String,
    item: Option<String>,
    in_test: bool,
}

/// The comments of a file.
fn notes(source: &Source) -> Vec<Note> {
    let lines: Vec<&str> = source.text.lines().collect();
    let test_file = source.path.starts_with("tests/") || source.path.ends_with("/tests.rs");
    let tests_from = lines.iter().position(|line| line.trim() == "mod tests {").unwrap_or(lines.len());
    let mut notes = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let start = at;
        at += 1;
        let Some((mark, text)) = comment(line) else { continue };
        let mut text = text.to_string();
        let whole_line = line.trim_start().starts_with("//");
        while whole_line
            && let Some(next) = lines.get(at)
            && next.trim_start().starts_with("//")
            && let Some((same, more)) = comment(next)
            && same == mark
        {
            text.push(' ');
            text.push_str(more);
            at += 1;
        }
        if !text.contains("RFC ") {
            continue;
        }
        let item = match mark {
            "//!" => None,
            "///" => described(&lines, at),
            _ if whole_line => enclosing(&lines, start).or_else(|| described(&lines, at)),
            _ => enclosing(&lines, start).or_else(|| described(&lines, start)),
        };
        let in_test = test_file || (tests_from..).contains(&start);
        notes.push(Note { text: text.trim().into(), item, in_test });
    }
    notes
}

/// The mark and the text of a comment, of its own or behind code.
fn comment(line: &str) -> Option<(&'static str, &str)> {
    let trimmed = line.trim_start();
    for mark in ["//!", "///", "//"] {
        if let Some(text) = trimmed.strip_prefix(mark) {
            return Some((mark, text.trim()));
        }
    }
    // Of a string with two slashes only what looks like a comment: none of ours has a blank after them.
    line.split_once(" // ").map(|(_, text)| ("//", text.trim()))
}

/// What is declared at this line or below its attributes, with the type that it is a part of.
fn described(lines: &[&str], from: usize) -> Option<String> {
    let rest = lines.get(from..)?.iter().enumerate();
    let (offset, line) = rest.take(12).find(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("#[") && !line.starts_with("//") && line != ")]"
    })?;
    let at = from + offset;
    let declared = name(line)?;
    let indent = indent(line);
    if indent == 0 {
        return Some(declared);
    }
    // A macro's rule is no name: what is inside keeps its own.
    Some(owner(lines, at, indent).map_or(declared.clone(), |owner| format!("{owner}::{declared}")))
}

/// The function around a line.
fn enclosing(lines: &[&str], at: usize) -> Option<String> {
    let mut inner = indent(lines.get(at)?);
    for (at, line) in lines.get(..at)?.iter().enumerate().rev() {
        let head = line.trim();
        let depth = indent(line);
        if head.is_empty() || depth >= inner {
            continue;
        }
        if head.starts_with("fn ") || head.contains(" fn ") && !head.starts_with("//") {
            let function = name(line)?;
            let owner = if depth == 0 { None } else { owner(lines, at, depth) };
            return Some(owner.map_or(function.clone(), |owner| format!("{owner}::{function}")));
        }
        if ["}", "};", "});", ")]"].contains(&head) {
            return None;
        }
        // The end of a signature of several lines: its beginning is at the same depth.
        inner = if head.starts_with(')') { depth + 1 } else { depth };
    }
    None
}

/// The type, trait or module whose part a declaration with this indent is.
fn owner(lines: &[&str], at: usize, inner: usize) -> Option<String> {
    let above = lines.get(..at)?.iter().rev();
    let line = above.into_iter().find(|line| {
        !line.trim().is_empty() && indent(line) < inner && line.trim_end().ends_with('{') && !line.contains("//")
    })?;
    match name(line) {
        Some(name) if name == "tests" => None,
        name => name,
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name that a line declares: of an item, an impl's type, a field or a variant.
fn name(line: &str) -> Option<String> {
    let mut rest = line.trim();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const fn ", "async fn ", "unsafe fn ", "fn "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    for word in ["struct ", "enum ", "trait ", "type ", "const ", "static ", "mod ", "macro_rules! "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    if let Some(of) = rest.strip_prefix("impl") {
        let of = of.split_once(" for ").map_or(of, |(_, of)| of);
        let of = of.split_once("> ").map_or(of, |(head, tail)| if head.starts_with('<') { tail } else { of });
        rest = of.trim_start();
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let word = rest.get(..end)?;
    let keyword = ["let", "if", "match", "return", "for", "while", "loop", "else", "use", "assert"].contains(&word);
    (!word.is_empty() && !keyword).then(|| word.to_string())
}

/// The citations in a text, and where each begins.
fn read(text: &str) -> Vec<(u32, Option<Section>, usize)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("RFC ") {
        let rest = text.get(at + 4..).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Some(rfc) = rest.get(..end).and_then(|digits| digits.parse().ok()) else { continue };
        let mut rest = rest.get(end..).unwrap_or_default();
        let mut any = false;
        while let Some(after) = [" §", ", §", " and §", " to §"].iter().find_map(|mark| rest.strip_prefix(mark))
            && let Some((section, more)) = Section::read(after)
        {
            found.push((rfc, Some(section), at));
            (any, rest) = (true, more);
        }
        if !any {
            found.push((rfc, None, at));
        }
    }
    found
}

/// The sentence around a place; empty if nothing is left of it without its citations.
fn sentence(text: &str, at: usize) -> String {
    let ends = |part: &str, from: usize| {
        part.get(from..).and_then(|rest| {
            let mut stops = rest.match_indices(['.', '?']).filter(|(i, _)| {
                let after = rest.get(i + 1..).unwrap_or_default();
                after.is_empty()
                    || after.starts_with(' ') && after.trim_start().starts_with(|c: char| !c.is_lowercase())
            });
            stops.next().map(|(i, _)| from + i + 1)
        })
    };
    let mut start = 0;
    while let Some(end) = ends(text, start) {
        if end > at {
            break;
        }
        start = end;
    }
    let end = ends(text, at).unwrap_or(text.len());
    let whole = text.get(start..end).unwrap_or(text).trim();
    let bare: String = whole.split("RFC ").map(|part| part.trim_start_matches(|c: char| !c.is_alphabetic())).collect();
    if bare.chars().filter(|c| c.is_alphabetic()).count() < 8 { String::new() } else { whole.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Room;

    const TEXT: &str = "//! The whole of it (RFC 9000 §2).\n\n/// A role (RFC 9234 §4.1): what the sender is.\n\
        #[derive(Debug)]\npub enum Role {\n    /// RFC 9234 §5, §6.2.\n    Customer,\n}\n\nimpl Role {\n    \
        fn of(self) {\n        // First this. As RFC 7606 §3j says, it stays. Then that.\n        x();\n    }\n}\n\n\
        #[cfg(test)]\nmod tests {\n    #[test]\n    fn rfc4271_it_holds() {\n        // RFC 9072\n    }\n}\n";

    fn house() -> House {
        let sources = vec![Source { path: "src/a.rs".into(), text: TEXT.into() }];
        House { rooms: vec![Room { name: "bgp".into(), folder: "bgp".into(), sources, ..Room::default() }] }
    }

    #[test]
    fn a_citation_says_what_where_and_of_which_section() {
        let said: Vec<String> = citations(&house())
            .into_iter()
            .map(|c| {
                let section = c.section.map(|s| s.to_string()).unwrap_or_default();
                let place = match c.place {
                    Place::File => "file".to_string(),
                    Place::Item(name) => name,
                };
                format!("{} {section} | {place} | {}", c.rfc, c.says)
            })
            .collect();
        assert_eq!(
            said,
            [
                "9000 2 | file | The whole of it (RFC 9000 §2).",
                "9234 4.1 | Role | A role (RFC 9234 §4.1): what the sender is.",
                "9234 5 | Role::Customer | ",
                "9234 6.2 | Role::Customer | ",
                "7606 3j | Role::of | As RFC 7606 §3j says, it stays.",
            ]
        );
    }

    #[test]
    fn a_test_is_of_the_rfc_in_its_name_and_of_those_that_it_cites() {
        let found: Vec<(u32, Option<String>)> = tests(&house()).into_iter().map(|t| (t.rfc, t.name)).collect();
        let name = || Some("rfc4271_it_holds".to_string());
        assert_eq!(found, [(4271, name()), (9072, name())]);
    }
}
