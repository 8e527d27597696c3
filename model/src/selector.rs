//! Calico's selector language: which labels a selector chooses.
//!
//! `all()` · `global()` · `has(k)` · `k == 'v'` · `k != 'v'` · `k in {'a', 'b'}` · `k not in {'a'}` · `k contains 'v'` ·
//! `k starts with 'v'` · `k ends with 'v'` · `!x` · `x && y` · `x || y` · `(x)`.
//! An absent label is different from every value: `k != 'v'` and `k not in {'v'}` choose what has no `k`. The words of an
//! operator may be written together (`notin`). Calico `libcalico-go/lib/selector`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Labels of an object: `metadata.labels`.
pub type Labels = BTreeMap<String, String>;

/// How deep parentheses and negations may nest: the text comes from outside.
const DEPTH_LIMIT: usize = 32;
/// The longest selector in octets.
const LENGTH_LIMIT: usize = 16 * 1024;

/// A parsed selector. Prints as it was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    text: String,
    root: Node,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Node {
    All,
    Global,
    Has(String),
    Equals(String, String),
    In(String, Vec<String>),
    Contains(String, String),
    StartsWith(String, String),
    EndsWith(String, String),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

/// Why a text is not a selector, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selector {text:?}: {problem} at octet {at}")]
pub struct SelectorError {
    text: String,
    at: usize,
    problem: String,
}

impl Selector {
    /// `all()`.
    pub fn all() -> Selector {
        Selector { text: "all()".into(), root: Node::All }
    }

    /// Whether an object with these labels is chosen.
    pub fn chooses(&self, labels: &Labels) -> bool {
        self.root.chooses(&in_map(labels), Globals::Alike)
    }

    /// The same of an object whose labels are looked up one by one.
    pub fn chooses_by<'a>(&self, label: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        self.root.chooses(label, Globals::Alike)
    }

    /// A label that everything that it chooses has, with one of few values; None if there is no such.
    pub fn narrow(&self) -> Option<Narrow<'_>> {
        self.root.narrow()
    }

    /// Whether it chooses everything by its form: empty, `all()` or `global()`.
    pub fn is_all(&self) -> bool {
        matches!(self.root, Node::All | Node::Global)
    }

    /// Whether nothing is written.
    pub fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Whether it is `global()` and nothing else.
    pub fn is_global(&self) -> bool {
        self.root == Node::Global
    }

    /// Whether `global()` is anywhere in it.
    pub fn names_global(&self) -> bool {
        self.root.names_global()
    }

    /// Whether something is chosen by the labels of what holds it: its namespace, its ServiceAccount. Of something that
    /// nothing holds None: `all()` chooses only what is held, `global()` only what is not, and no label is there.
    pub fn chooses_holder(&self, labels: Option<&Labels>) -> bool {
        match labels {
            Some(labels) => self.root.chooses(&in_map(labels), Globals::No),
            None => self.root.chooses(&|_| None, Globals::Only),
        }
    }
}

/// What an index can find objects by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrow<'a> {
    /// The label.
    pub label: &'a str,
    /// The values, of which it has one.
    pub values: Vec<&'a str>,
}

fn in_map<'a>(labels: &'a Labels) -> impl Fn(&str) -> Option<&'a str> {
    move |label: &str| labels.get(label).map(String::as_str)
}

/// What `all()` and `global()` mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Globals {
    /// Both everything.
    Alike,
    /// Of something that is held: `global()` nothing.
    No,
    /// Of something that is not: `all()` nothing.
    Only,
}

impl Node {
    fn chooses<'a>(&self, label: &dyn Fn(&str) -> Option<&'a str>, globals: Globals) -> bool {
        let holds = |key: &String, test: &dyn Fn(&str) -> bool| label(key).is_some_and(test);
        match self {
            Node::All => globals != Globals::Only,
            Node::Global => globals != Globals::No,
            Node::Has(k) => label(k).is_some(),
            Node::Equals(k, v) => holds(k, &|x| x == v),
            Node::In(k, set) => holds(k, &|x| set.iter().any(|v| v == x)),
            Node::Contains(k, v) => holds(k, &|x| x.contains(v.as_str())),
            Node::StartsWith(k, v) => holds(k, &|x| x.starts_with(v.as_str())),
            Node::EndsWith(k, v) => holds(k, &|x| x.ends_with(v.as_str())),
            Node::Not(n) => !n.chooses(label, globals),
            Node::And(all) => all.iter().all(|n| n.chooses(label, globals)),
            Node::Or(any) => any.iter().any(|n| n.chooses(label, globals)),
        }
    }

    fn narrow(&self) -> Option<Narrow<'_>> {
        match self {
            Node::Equals(label, value) => Some(Narrow { label, values: vec![value] }),
            Node::In(label, values) => Some(Narrow { label, values: values.iter().map(String::as_str).collect() }),
            Node::And(all) => all.iter().filter_map(Node::narrow).min_by_key(|narrow| narrow.values.len()),
            // Only if all of them are of one label.
            Node::Or(any) => any.iter().map(Node::narrow).reduce(|one, other| {
                let (mut one, other) = (one?, other?);
                one.values.extend(other.values);
                (one.label == other.label).then_some(one)
            })?,
            _ => None,
        }
    }

    fn names_global(&self) -> bool {
        match self {
            Node::Global => true,
            Node::Not(n) => n.names_global(),
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().any(Node::names_global),
            _ => false,
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Selector, SelectorError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        if text.len() > LENGTH_LIMIT {
            return Err(parser.error("longer than 16 KiB"));
        }
        parser.space();
        if parser.rest().is_empty() {
            return Ok(Selector { text: text.to_string(), root: Node::All });
        }
        let root = parser.or()?;
        if !parser.rest().is_empty() {
            return Err(parser.error("expected && or || or the end"));
        }
        Ok(Selector { text: text.to_string(), root })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }
    fn error(&self, problem: &str) -> SelectorError {
        let text: String = self.text.chars().take(200).collect();
        SelectorError { text, at: self.at, problem: problem.to_string() }
    }
    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }
    /// Takes a token of punctuation, and the space behind it.
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
            self.space();
        }
        found
    }
    /// Takes a word: one that no label character follows.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let ends = rest.strip_prefix(word).is_some_and(|r| !r.starts_with(is_label_character));
        ends && self.take(word)
    }

    /// Takes two words, which may stand together. False if not even the first is there.
    fn words(&mut self, first: &str, second: &str) -> Result<bool, SelectorError> {
        let found = self.take(first);
        if found && !self.word(second) {
            return Err(self.error(&format!("expected {second}")));
        }
        Ok(found)
    }

    fn or(&mut self) -> Result<Node, SelectorError> {
        let mut nodes = vec![self.and()?];
        while self.take("||") {
            nodes.push(self.and()?);
        }
        Ok(single(nodes, Node::Or))
    }
    fn and(&mut self) -> Result<Node, SelectorError> {
        let mut nodes = vec![self.operand()?];
        while self.take("&&") {
            nodes.push(self.operand()?);
        }
        Ok(single(nodes, Node::And))
    }
    fn operand(&mut self) -> Result<Node, SelectorError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.error("nested too deep"));
        }
        let node = self.operand_inside()?;
        self.depth -= 1;
        Ok(node)
    }
    fn operand_inside(&mut self) -> Result<Node, SelectorError> {
        if self.take("!") {
            return Ok(Node::Not(Box::new(self.operand()?)));
        }
        if self.take("(") {
            let inside = self.or()?;
            return if self.take(")") { Ok(inside) } else { Err(self.error("expected )")) };
        }
        let key = self.key()?;
        if self.take("(") {
            return self.function(&key);
        }
        self.comparison(key)
    }
    fn function(&mut self, name: &str) -> Result<Node, SelectorError> {
        let node = match name {
            "all" => Node::All,
            "global" => Node::Global,
            "has" => Node::Has(self.key()?),
            _ => return Err(self.error("expected all(), global() or has(label)")),
        };
        if self.take(")") { Ok(node) } else { Err(self.error("expected )")) }
    }
    fn comparison(&mut self, key: String) -> Result<Node, SelectorError> {
        if self.take("==") {
            return Ok(Node::Equals(key, self.value()?));
        }
        if self.take("!=") {
            return Ok(Node::Not(Box::new(Node::Equals(key, self.value()?))));
        }
        if self.word("contains") {
            return Ok(Node::Contains(key, self.value()?));
        }
        if self.words("starts", "with")? {
            return Ok(Node::StartsWith(key, self.value()?));
        }
        if self.words("ends", "with")? {
            return Ok(Node::EndsWith(key, self.value()?));
        }
        if self.word("in") {
            return Ok(Node::In(key, self.set()?));
        }
        if self.words("not", "in")? {
            return Ok(Node::Not(Box::new(Node::In(key, self.set()?))));
        }
        Err(self.error("expected ==, !=, in, not in, contains, starts with or ends with"))
    }
    fn key(&mut self) -> Result<String, SelectorError> {
        let rest = self.rest();
        let end = rest.find(|c| !is_label_character(c)).unwrap_or(rest.len());
        let key = rest.get(..end).unwrap_or("");
        if key.is_empty() {
            return Err(self.error("expected a label or a function"));
        }
        self.at += end;
        self.space();
        Ok(key.to_string())
    }
    fn value(&mut self) -> Result<String, SelectorError> {
        let mut characters = self.rest().chars();
        let quote = match characters.next() {
            Some(q @ ('\'' | '"')) => q,
            _ => return Err(self.error("expected a value in quotes")),
        };
        let inside = characters.as_str();
        let end = inside.find(quote).ok_or_else(|| self.error("the quote is not closed"))?;
        let value = inside.get(..end).unwrap_or("").to_string();
        self.at += end + 2;
        self.space();
        Ok(value)
    }
    fn set(&mut self) -> Result<Vec<String>, SelectorError> {
        let mut values = Vec::new();
        if !self.take("{") {
            return Err(self.error("expected {"));
        }
        if self.take("}") {
            return Ok(values);
        }
        loop {
            values.push(self.value()?);
            if self.take("}") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(self.error("expected , or }"));
            }
            // Calico takes a comma behind the last one.
            if self.take("}") {
                return Ok(values);
            }
        }
    }
}

fn single(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match (nodes.len(), nodes.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            nodes.extend(last);
            join(nodes)
        }
    }
}

/// Whether labels' names may hold it.
pub(crate) fn is_label_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
impl Default for Selector {
    fn default() -> Selector {
        Selector::all()
    }
}
impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}
impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Selector, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chooses(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        selector.parse::<Selector>().unwrap().chooses(&labels)
    }

    #[test]
    fn a_selector_is_narrow_by_a_label_that_all_it_chooses_have() {
        for (selector, narrow) in [
            ("a == 'x' && has(b)", Some(("a", vec!["x"]))),
            ("a in {'x', 'y'} && b == 'z'", Some(("b", vec!["z"]))),
            ("a == 'x' || a in {'y'}", Some(("a", vec!["x", "y"]))),
            ("a == 'x' || b == 'x'", None),
            ("a == 'x' || has(a)", None),
            ("!(a == 'x')", None),
            ("a in {}", Some(("a", vec![]))),
            ("all()", None),
        ] {
            let read: Selector = selector.parse().unwrap();
            assert_eq!(read.narrow().map(|narrow| (narrow.label, narrow.values)), narrow, "{selector}");
        }
    }

    #[test]
    fn selectors_choose_as_calico_documents() {
        let rack = [("rack", "r1"), ("kubernetes.io/hostname", "n1")];
        for (selector, expected) in [
            ("", true),
            ("all()", true),
            ("global()", true),
            ("has(rack)", true),
            ("!has(rack)", false),
            ("rack == 'r1'", true),
            ("rack == \"r1\"", true),
            ("rack != 'r1'", false),
            ("absent != 'x'", true),
            ("absent == 'x'", false),
            ("rack in {'r0', 'r1'}", true),
            ("rack in {}", false),
            ("rack not in {'r0'}", true),
            ("absent not in {'r0'}", true),
            ("rack contains '1'", true),
            ("rack starts with 'r'", true),
            ("rack ends with '2'", false),
            ("kubernetes.io/hostname == 'n1' && rack == 'r2' || has(rack)", true),
            ("kubernetes.io/hostname == 'n1' && (rack == 'r2' || has(x))", false),
            ("!(rack == 'r2')&&!!has(rack)", true),
            ("rack notin{'r0',}", true),
            ("rack startswith'r' && rack ends  with \"1\"", true),
            ("rack in {\t'r1' , }", true),
            ("in != 'x' && !(not in {'x'})", true),
        ] {
            assert_eq!(chooses(selector, &rack), expected, "{selector}");
        }
    }

    #[test]
    fn a_bad_selector_says_what_was_expected_and_where() {
        for (selector, problem) in [
            ("rack = 'r1'", "expected ==, !=, in, not in, contains, starts with or ends with at octet 5"),
            ("rack == r1", "expected a value in quotes at octet 8"),
            ("rack == 'r1", "the quote is not closed at octet 8"),
            ("all() rack", "expected && or || or the end at octet 6"),
            ("some(rack)", "expected all(), global() or has(label)"),
            ("(all()", "expected ) at octet 6"),
            ("rack not contains '1'", "expected in at octet 9"),
            ("rack starts '1'", "expected with at octet 12"),
            ("rack in {,}", "expected a value in quotes at octet 9"),
        ] {
            let error = selector.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains(problem), "{selector}: {error}");
        }
        assert!("!".repeat(10_000).parse::<Selector>().is_err());
        assert!("(".repeat(10_000).parse::<Selector>().is_err());
    }

    #[test]
    fn a_selector_prints_as_written() {
        let selector: Selector = "rack  ==  'r1'".parse().unwrap();
        assert_eq!(selector.to_string(), "rack  ==  'r1'");
        assert_eq!(serde_json::to_string(&selector).unwrap(), "\"rack  ==  'r1'\"");
    }

    #[test]
    fn of_what_is_held_all_chooses_what_is_and_global_what_is_not() {
        let labels = Labels::from([("a".to_string(), "b".to_string())]);
        for (selector, held, free) in [
            ("all()", true, false),
            ("", true, false),
            ("global()", false, true),
            ("has(a)", true, false),
            ("!has(a)", false, true),
            ("a != 'c'", true, true),
        ] {
            let parsed: Selector = selector.parse().unwrap();
            assert_eq!((parsed.chooses_holder(Some(&labels)), parsed.chooses_holder(None)), (held, free), "{selector}");
        }
        let names = |text: &str| text.parse::<Selector>().unwrap().names_global();
        assert!(names("has(a) || !(b == 'c' && global())") && !names("has(global) && a == 'global()'"));
        assert!(" global( ) ".parse::<Selector>().unwrap().is_global());
    }

    /// What a text means that was written by [`Meant::write`], found in another way than by the parser.
    #[derive(Debug, Clone)]
    enum Meant {
        All,
        Has(String),
        Is(String, &'static str, String),
        In(String, bool, Vec<String>),
        Not(Box<Meant>),
        Both(Box<Meant>, Box<Meant>),
        Either(Box<Meant>, Box<Meant>),
    }

    impl Meant {
        fn holds(&self, labels: &Labels) -> bool {
            match self {
                Meant::All => true,
                Meant::Has(key) => labels.contains_key(key),
                Meant::Is(key, "!=", value) => labels.get(key) != Some(value),
                Meant::Is(key, how, value) => labels.get(key).is_some_and(|label| match *how {
                    "==" => label == value,
                    "contains" => label.contains(value.as_str()),
                    "starts with" => label.starts_with(value.as_str()),
                    _ => label.ends_with(value.as_str()),
                }),
                Meant::In(key, wanted, values) => {
                    labels.get(key).is_some_and(|label| values.contains(label)) == *wanted
                }
                Meant::Not(one) => !one.holds(labels),
                Meant::Both(one, other) => one.holds(labels) && other.holds(labels),
                Meant::Either(one, other) => one.holds(labels) || other.holds(labels),
            }
        }

        fn write(&self) -> String {
            match self {
                Meant::All => "all()".into(),
                Meant::Has(key) => format!("has( {key})"),
                Meant::Is(key, how, value) => format!("{key} {how} \"{value}\""),
                Meant::In(key, wanted, values) => {
                    let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
                    format!("{key} {} {{{}}}", if *wanted { "in" } else { "not in" }, values.join(","))
                }
                Meant::Not(one) => format!("!({})", one.write()),
                // && binds closer.
                Meant::Both(one, other) => format!("({}) && ({})", one.write(), other.write()),
                Meant::Either(one, other) => format!("{} || {}", one.write(), other.write()),
            }
        }
    }

    fn meant() -> impl Strategy<Value = Meant> {
        let key = || "[ab]";
        let value = || "[xy]{0,2}";
        let how = prop::sample::select(vec!["==", "!=", "contains", "starts with", "ends with"]);
        let leaf = prop_oneof![
            Just(Meant::All),
            key().prop_map(Meant::Has),
            (key(), how, value()).prop_map(|(key, how, value)| Meant::Is(key, how, value)),
            (key(), any::<bool>(), prop::collection::vec(value(), 0..3)).prop_map(|(k, w, v)| Meant::In(k, w, v)),
        ];
        leaf.prop_recursive(4, 24, 2, |inner| {
            let two = (inner.clone(), inner.clone());
            prop_oneof![
                inner.prop_map(|one| Meant::Not(Box::new(one))),
                two.clone().prop_map(|(one, other)| Meant::Both(Box::new(one), Box::new(other))),
                two.prop_map(|(one, other)| Meant::Either(Box::new(one), Box::new(other))),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_selector_chooses_what_was_meant_also_when_printed_and_parsed_again(
            meant in meant(), labels in prop::collection::btree_map("[ab]", "[xy]{0,2}", 0..3)
        ) {
            let selector: Selector = meant.write().parse().unwrap();
            prop_assert_eq!(selector.chooses(&labels), meant.holds(&labels), "{}", selector);
            let again: Selector = selector.to_string().parse().unwrap();
            prop_assert_eq!(again, selector);
        }
    }
}
