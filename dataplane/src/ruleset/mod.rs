//! Our nftables table as a value: made from what is wanted, or read back from the kernel, and compared.
//!
//! Both ways lead to the same form, so that a restart finds its own work right and touches nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub mod expr;
mod expression;
mod set;
mod transaction;
mod treat;

pub use expr::Part;
pub(crate) use expr::octets;
pub use expression::{Base, End, Expression, Limit, Load, Log, Register, Sense, Verdict};
pub(crate) use set::successor;
pub use set::{Key, KeyType, MapKey, Range, Set, VerdictMap, apart};
pub use transaction::{Op, Transaction};

/// `table inet margay`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Sets by name; no map has the name of a set.
    pub sets: BTreeMap<String, Set>,
    /// Verdict maps by name.
    pub maps: BTreeMap<String, VerdictMap>,
    /// Chains by name. One without a hook is never edited, but replaced by one of another name.
    pub chains: BTreeMap<String, Arc<Chain>>,
}

/// A chain and its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Where it hooks in; none for a chain that is jumped to.
    pub hook: Option<Hook>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// A rule: its expressions, of which each may end it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// In order.
    pub expressions: Vec<Expression>,
    /// What `nft` shows behind it, at most [`COMMENT`] octets.
    pub comment: Option<String>,
}

/// The longest comment of a rule, and text of what it logs, in octets.
pub const COMMENT: usize = 127;

/// Where a base chain hooks in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hook {
    /// `type`, such as `nat`.
    pub kind: String,
    /// `NF_INET_…`.
    pub number: u32,
    /// Lower is earlier.
    pub priority: i32,
    /// What becomes of packets that no rule decides: `NF_DROP` 0 or `NF_ACCEPT` 1.
    pub policy: u32,
}

/// `NF_INET_PRE_ROUTING`.
pub const PREROUTING: u32 = 0;
/// `NF_INET_LOCAL_IN`.
pub const INPUT: u32 = 1;
/// `NF_INET_FORWARD`.
pub const FORWARD: u32 = 2;
/// `NF_INET_LOCAL_OUT`.
pub const OUTPUT: u32 = 3;
/// `NF_INET_POST_ROUTING`.
pub const POSTROUTING: u32 = 4;
/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;

impl Hook {
    /// `type filter`, with the policy to accept.
    pub fn filter(number: u32, priority: i32) -> Hook {
        Hook { kind: "filter".into(), number, priority, policy: ACCEPT }
    }

    /// `type nat`, with the policy to accept.
    pub fn nat(number: u32, priority: i32) -> Hook {
        Hook { kind: "nat".into(), ..Hook::filter(number, priority) }
    }
}

impl Chain {
    /// One that others jump to.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Chain {
        Chain { hook: None, rules: rules.into_iter().collect() }
    }

    /// One that the kernel hands packets to.
    pub fn base(hook: Hook, rules: impl IntoIterator<Item = Rule>) -> Chain {
        Chain { hook: Some(hook), rules: rules.into_iter().collect() }
    }
}

impl Rule {
    /// The parts in a row: `Rule::of([expr::ct_established(), expr::counter(), expr::accept()])`.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Rule {
        Rule { expressions: parts.into_iter().flatten().collect(), comment: None }
    }

    /// With a text for people, which is cut to [`COMMENT`] octets.
    #[must_use]
    pub fn comment(mut self, text: &str) -> Rule {
        self.comment = Some(cut(text)).filter(|text| !text.is_empty()).map(Into::into);
        self
    }
}

/// As much of a text as a rule can carry, in whole characters and up to a 0 octet.
fn cut(text: &str) -> &str {
    let text = text.split('\0').next().unwrap_or_default();
    let end = (0..=COMMENT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

impl Ruleset {
    /// What leads from one table to another, in one transaction. Without a table there is everything to do.
    pub fn transaction(have: Option<&Ruleset>, want: &Ruleset) -> Transaction {
        Transaction::between(have, want)
    }

    /// What the table is after the transaction. What is not there is not removed: only the kernel minds that.
    pub fn apply(&mut self, transaction: &Transaction) {
        for op in transaction.ops() {
            transaction::apply(self, &op);
        }
    }

    /// In what it differs from another, for a log: the first difference.
    pub fn difference(&self, other: &Ruleset) -> Option<String> {
        fn first<T: PartialEq>(of: &BTreeMap<String, T>, others: &BTreeMap<String, T>) -> Option<String> {
            of.keys().chain(others.keys()).find(|name| of.get(*name) != others.get(*name)).cloned()
        }
        let set = first(&self.sets, &other.sets).map(|name| format!("set {name}"));
        let map = || first(&self.maps, &other.maps).map(|name| format!("map {name}"));
        set.or_else(map).or_else(|| first(&self.chains, &other.chains).map(|name| format!("chain {name}")))
    }
}

/// Much as `nft` prints it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.expressions.iter().map(Expression::to_string).collect();
        f.write_str(&texts.join(" "))?;
        self.comment.as_ref().map_or(Ok(()), |comment| write!(f, " comment \"{comment}\""))
    }
}

/// Much as `nft list table` prints it.
impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {} {{", model::kernel::NFT_TABLE)?;
        for (name, set) in &self.sets {
            let keys: Vec<String> = set.elements.iter().map(Key::to_string).collect();
            writeln!(f, "  set {name} {{ type {}; {} }}", set.key, keys.join(", "))?;
        }
        for (name, map) in &self.maps {
            let elements: Vec<String> =
                map.elements.iter().map(|(key, verdict)| format!("{key} : {verdict}")).collect();
            writeln!(f, "  map {name} {{ type {} : verdict; {} }}", map.key, elements.join(", "))?;
        }
        for (name, chain) in &self.chains {
            writeln!(f, "  chain {name} {{")?;
            if let Some(Hook { kind, number, priority, .. }) = &chain.hook {
                writeln!(f, "    type {kind} hook {number} priority {priority}")?;
            }
            for rule in &chain.rules {
                writeln!(f, "    {rule}")?;
            }
            writeln!(f, "  }}")?;
        }
        writeln!(f, "}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_too_long_for_the_kernel_is_cut_between_characters() {
        let text = format!("{}ü", "x".repeat(COMMENT - 1));
        let rule = Rule::of([expr::log(4, &text)]).comment(&text);
        assert_eq!(rule.comment, Some("x".repeat(COMMENT - 1)));
        assert!(matches!(&rule.expressions[..], [Expression::Log(log)] if log.prefix.len() == COMMENT - 1));
        assert_eq!(Rule::default().comment("a\0b").comment, Some("a".into()));
        assert_eq!(Rule::default().comment("").comment, None);
    }
}
