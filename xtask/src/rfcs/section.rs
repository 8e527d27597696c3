//! A section number as it is written after §, in the order of the document.

use std::cmp::Ordering;
use std::fmt;

/// `6.8`, `3j`, `9.1.2.2 c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section(String);

impl Section {
    /// The section at the beginning of the text after `§`, and what follows it.
    pub fn read(text: &str) -> Option<(Section, &str)> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(text.len());
        let number = text.get(..end)?.trim_end_matches('.');
        if !number.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return None;
        }
        let rest = text.get(number.len()..)?;
        // `§9.1.2.2 c`: one letter that stands alone.
        let letter = rest.strip_prefix(' ').and_then(|r| r.chars().next().filter(char::is_ascii_lowercase));
        let alone = rest.get(2..).is_some_and(|r| !r.starts_with(|c: char| c.is_alphanumeric() || c == ' '));
        match letter {
            Some(letter) if alone && letter != 'a' => {
                Some((Section(format!("{number} {letter}")), rest.get(2..).unwrap_or_default()))
            }
            _ => Some((Section(number.into()), rest)),
        }
    }

    /// Parts that compare as numbers where they are numbers.
    fn parts(&self) -> Vec<(u32, &str)> {
        let part = |part: &'_ str| part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let split = self.0.split('.').map(|text| text.split_at(part(text)));
        split.map(|(number, letters)| (number.parse().unwrap_or(u32::MAX), letters)).collect()
    }
}

impl Ord for Section {
    fn cmp(&self, other: &Section) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}
impl PartialOrd for Section {
    fn partial_cmp(&self, other: &Section) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_as_they_are_written() {
        let read = |text| Section::read(text).map(|(section, rest)| (section.to_string(), rest.to_string()));
        let some = |section: &str, rest: &str| Some((section.to_string(), rest.to_string()));
        assert_eq!(read("6.8: both"), some("6.8", ": both"));
        assert_eq!(read("3j, §5)"), some("3j", ", §5)"));
        assert_eq!(read("9.1.2.2 c)"), some("9.1.2.2 c", ")"));
        assert_eq!(read("4. What"), some("4", ". What"));
        assert_eq!(read("3.2 says"), some("3.2", " says"));
        assert_eq!(read(" "), None);
    }

    #[test]
    fn sections_are_in_the_order_of_the_document() {
        let section = |text| Section::read(text).map(|(section, _)| section);
        let mut all = ["10", "9.1.2.2 c", "4", "3j", "3", "9.1.10", "9.1.2"].map(section);
        all.sort();
        let names: Vec<String> = all.into_iter().flatten().map(|s| s.to_string()).collect();
        assert_eq!(names, ["3", "3j", "4", "9.1.2", "9.1.2.2 c", "9.1.10", "10"]);
    }
}
