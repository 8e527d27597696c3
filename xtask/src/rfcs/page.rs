//! The page itself: a table of documents, then each with its sections and its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::table::{self, Row, Status};
use super::{COMMAND, Citation, Place, Test, citations, tests};
use crate::rules::House;

/// The page as it should be. The same code gives the same octets: no line numbers, everything in order.
pub fn page(house: &House) -> String {
    let (citations, tests) = (citations(house), tests(house));
    let mut documents: BTreeMap<u32, Document<'_>> = BTreeMap::new();
    for citation in &citations {
        documents.entry(citation.rfc).or_default().citations.push(citation);
    }
    for test in &tests {
        documents.entry(test.rfc).or_default().tests.push(test);
    }
    let (ours, named): (Vec<_>, Vec<_>) =
        documents.iter().map(|(rfc, document)| (row(*rfc), document)).partition(|(row, _)| row.status != Status::Named);

    let mut out = format!(
        "<!-- Written by `{COMMAND}` from the citations in the code: change those, or xtask/src/rfcs/table.rs. -->\n\
         # BGP, document by document\n\n\
         What the speaker does of each RFC, where, and which tests hold it. A description is the sentence that stands beside \
         the citation in the code. How the parts work together is in [speaker.md](speaker.md), [bfd.md](bfd.md) and \
         [malformed-messages.md](malformed-messages.md).\n\n\
         | RFC | title | done | places | tests |\n|---|---|---|---|---|\n"
    );
    for (row, document) in &ours {
        let done = match row.status {
            Status::Partly(missing) => format!("partly: {missing}"),
            Status::Done | Status::Named => "yes".into(),
        };
        let Row { rfc, title, .. } = row;
        let (places, tests) = (document.places(), document.tests.len());
        put(&mut out, format_args!("| [{rfc}](#rfc-{rfc}) | {title} | {} | {places} | {tests} |\n", cell(&done)));
    }
    for (row, document) in &ours {
        put(&mut out, format_args!("\n## RFC {}\n{}\n\n", row.rfc, row.title));
        document.put_citations(&mut out);
        document.put_tests(&mut out);
    }
    out.push_str(
        "\n## Named only\nDocuments that are not about BGP, or of which the code takes one rule or one number.\n\n",
    );
    out.push_str("| RFC | title | where |\n|---|---|---|\n");
    for (row, document) in &named {
        let paths: BTreeSet<&str> = document.paths().collect();
        let links: Vec<String> = paths.into_iter().map(link).collect();
        put(&mut out, format_args!("| {} | {} | {} |\n", row.rfc, row.title, links.join(", ")));
    }
    out
}

fn row(rfc: u32) -> Row {
    table::row(rfc).unwrap_or(Row { rfc, title: "(no title in xtask/src/rfcs/table.rs)", status: Status::Named })
}

/// What the code says of a document.
#[derive(Default)]
struct Document<'a> {
    citations: Vec<&'a Citation>,
    tests: Vec<&'a Test>,
}

impl Document<'_> {
    fn places(&self) -> usize {
        self.rows().len()
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.citations.iter().map(|c| c.path.as_str()).chain(self.tests.iter().map(|t| t.path.as_str()))
    }

    /// Places, each with all its sections, in the order of the first section.
    fn rows(&self) -> Vec<(String, &str, String)> {
        let mut places: BTreeMap<(&str, String, &str), BTreeSet<_>> = BTreeMap::new();
        for citation in &self.citations {
            let item = match &citation.place {
                Place::File => String::new(),
                Place::Item(name) => format!("`{name}` in "),
            };
            let sections = places.entry((&citation.path, item, &citation.says)).or_default();
            sections.extend(citation.section.clone());
        }
        let mut rows: Vec<_> =
            places.into_iter().map(|((path, item, says), sections)| (sections, path, item, says)).collect();
        rows.sort_by(|a, b| (a.0.first(), a.1, &a.2, a.3).cmp(&(b.0.first(), b.1, &b.2, b.3)));
        let texts = rows.into_iter().map(|(sections, path, item, says)| {
            let sections: Vec<String> = sections.iter().map(ToString::to_string).collect();
            (sections.join(", "), says, format!("{item}{}", link(path)))
        });
        texts.collect()
    }

    fn put_citations(&self, out: &mut String) {
        let rows = self.rows();
        if rows.is_empty() {
            return;
        }
        out.push_str("| § | what | where |\n|---|---|---|\n");
        for (sections, says, place) in rows {
            put(out, format_args!("| {sections} | {} | {place} |\n", cell(says)));
        }
    }

    fn put_tests(&self, out: &mut String) {
        if self.tests.is_empty() {
            return;
        }
        let gap = if self.citations.is_empty() { "" } else { "\n" };
        put(out, format_args!("{gap}Tests:\n"));
        let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for test in &self.tests {
            files.entry(&test.path).or_default().extend(test.name.as_deref());
        }
        for (path, names) in files {
            let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
            let all = if names.is_empty() { "all of it".to_string() } else { names.join(", ") };
            put(out, format_args!("- {}: {all}\n", link(path)));
        }
    }
}

fn link(path: &str) -> String {
    format!("[{path}](../{path})")
}

/// Text for a cell: a bar would end it, and a name in brackets would be taken for a link.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('[', "\\[").replace('<', "\\<")
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes all that is written to it.
    let _ = out.write_fmt(text);
}
