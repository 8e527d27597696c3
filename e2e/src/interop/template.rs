//! A daemon's configuration: the common one of `base/`, with a case's own lines put in where it has places for them.
//!
//! A line `#@ name` begins a section. In the base's text, `@name@` is where section `name` goes, and `@name ADDRESS@` the same
//! with every `@peer@` of the section being that address. Sections that the base gives are what a case gets if it says nothing.
//! A section `whole` of a case takes the place of the base's text.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// How deep sections may name each other.
const DEPTH: usize = 5;
const WHOLE: &str = "whole";
/// Lines for the daemon's client, once it runs.
const ASK: &str = "ask";

/// A file in sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sections {
    /// What stands before the first one.
    text: String,
    named: BTreeMap<String, String>,
}

/// What a daemon is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its configuration.
    pub config: String,
    /// Lines for its client, once it runs.
    pub ask: Vec<String>,
}

impl Sections {
    fn read(file: &str) -> Self {
        let mut found = Self::default();
        let mut section: Option<&mut String> = None;
        for line in file.lines() {
            if let Some(name) = line.strip_prefix("#@ ") {
                section = Some(found.named.entry(name.trim().to_owned()).or_default());
                continue;
            }
            let text = match &mut section {
                Some(text) => text,
                None => &mut found.text,
            };
            text.push_str(line);
            text.push('\n');
        }
        found
    }
}

/// Puts the lines of a case into the base; `places` are sections that only the one who runs it knows.
pub fn render(base: &str, case: &str, places: &[(&str, String)]) -> Result<Told> {
    let mut sections = Sections::read(base);
    let case = Sections::read(case);
    let loose = case.text.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
    ensure!(loose.is_none(), "line {loose:?} is in no section (`#@ name`)");
    for (name, text) in case.named {
        ensure!(name == WHOLE || sections.named.contains_key(&name), "the base has no section {name:?}");
        sections.named.insert(name, text);
    }
    sections.named.extend(places.iter().map(|(name, text)| ((*name).to_owned(), text.clone())));
    let whole = sections.named.get(WHOLE).unwrap_or(&sections.text).clone();
    let config = fill(&whole, &sections.named, DEPTH)?;
    let ask = sections.named.get(ASK).cloned().unwrap_or_default();
    let ask = fill(&ask, &sections.named, DEPTH)?;
    let ask = ask.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Ok(Told { config, ask })
}

fn fill(text: &str, sections: &BTreeMap<String, String>, depth: usize) -> Result<String> {
    ensure!(depth > 0, "sections name each other without end");
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        let (place, after) =
            after.split_once('@').with_context(|| format!("an @ without its other half: {after:?}"))?;
        let (name, peer) = place.split_once(' ').unwrap_or((place, ""));
        let section = sections.get(name).with_context(|| format!("no section {name:?} for @{place}@"))?;
        out.push_str(before);
        out.push_str(fill(&section.replace("@peer@", peer), sections, depth - 1)?.trim_end_matches('\n'));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str =
        "router @as@\n@session 10.0.0.1@\n@session 10.0.0.2@\n#@ as\n65001\n#@ session\n#@ ask\nrib @more@\n#@ more\n";

    #[test]
    fn a_case_says_only_what_differs() {
        let told = render(BASE, "# why\n#@ session\npeer @peer@\n", &[]).unwrap();
        assert_eq!(told.config, "router 65001\npeer 10.0.0.1\npeer 10.0.0.2\n");
        assert_eq!(told.ask, ["rib"]);
    }

    #[test]
    fn a_whole_configuration_takes_the_place_of_the_base() {
        assert_eq!(render(BASE, "#@ whole\nrouter of @as@\n", &[]).unwrap().config, "router of 65001\n");
    }

    #[test]
    fn a_section_that_the_base_has_no_place_for_is_refused() {
        assert!(render(BASE, "#@ sesion\nx\n", &[]).is_err());
        assert!(render(BASE, "x\n", &[]).is_err());
    }
}
