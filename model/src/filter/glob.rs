//! Patterns for names of interfaces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A pattern for the name of an interface: `*` stands for any characters, `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

/// A text is no pattern for the name of an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pattern for an interface's name (1 to 15 letters, digits, or any of _ . - * ?)")]
pub struct GlobError(String);

impl Glob {
    /// Whether the whole name is as the pattern says.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        // The set of places in the pattern that the name read so far can have led to, one bit each.
        let past_stars = |places: u32| {
            pattern.iter().enumerate().fold(places, |places, (at, octet)| {
                if *octet == b'*' && places & (1 << at) != 0 { places | (1 << (at + 1)) } else { places }
            })
        };
        let end = name.iter().fold(past_stars(1), |places, given| {
            let next = pattern.iter().enumerate().filter(|(at, _)| places & (1 << at) != 0);
            past_stars(next.fold(0, |next, (at, octet)| match octet {
                b'*' => next | (1 << at),
                b'?' => next | (1 << (at + 1)),
                octet if octet == given => next | (1 << (at + 1)),
                _ => next,
            }))
        });
        end & (1 << pattern.len()) != 0
    }
}

impl FromStr for Glob {
    type Err = GlobError;
    fn from_str(text: &str) -> Result<Glob, GlobError> {
        let good = |c: char| c.is_ascii_alphanumeric() || "_.-*?".contains(c);
        let fits = (1..=15).contains(&text.len()) && text.chars().all(good);
        if fits { Ok(Glob(text.to_string())) } else { Err(GlobError(text.to_string())) }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Glob, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_a_question_mark_for_one() {
        for (pattern, name, matches) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth*", "beth0", false),
            ("*.calico", "vxlan.calico", true),
            ("*.calico", "calico", false),
            ("*", "", true),
            ("e*h*0", "eth10", true),
            ("e*h*0", "eth1", false),
            ("eth?", "eth", false),
            ("eth?", "eth9", true),
            ("**a", "ba", true),
        ] {
            assert_eq!(pattern.parse::<Glob>().map(|glob| glob.matches(name)), Ok(matches), "{pattern} {name}");
        }
    }

    #[test]
    fn what_cannot_name_an_interface_is_no_pattern() {
        for text in ["", "a b", "eth0/1", "sixteen-letters-"] {
            assert_eq!(text.parse::<Glob>(), Err(GlobError(text.to_string())), "{text}");
        }
    }
}
