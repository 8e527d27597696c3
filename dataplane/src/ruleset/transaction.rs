//! A change of our table as one transaction, collected in any order and carried out in one that the kernel takes.
//!
//! What is referred to exists first, and what goes is removed after all that refers to it: sets, maps and chains are
//! made empty, then come the elements, rules, verdicts; removed are verdicts, rules, maps, chains, sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{Chain, Hook, Key, KeyType, MapKey, Ruleset, Set, Verdict, VerdictMap};

/// What is to be changed. Its size is that of the change, not of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    table: Option<Table>,
    made_sets: BTreeMap<String, KeyType>,
    made_maps: BTreeMap<String, MapKey>,
    made_chains: BTreeMap<String, Arc<Chain>>,
    refilled: BTreeMap<String, Arc<Chain>>,
    elements: BTreeMap<String, Elements>,
    verdicts: BTreeMap<String, Verdicts>,
    gone_sets: BTreeSet<String>,
    gone_maps: BTreeSet<String>,
    gone_chains: BTreeSet<String>,
}

/// What becomes of the table as a whole, before all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    /// Made.
    New,
    /// Removed with all that is in it, and made anew.
    Anew,
    /// Removed.
    Gone,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Elements {
    gone: Vec<Key>,
    new: Vec<Key>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Verdicts {
    gone: Vec<(Key, Verdict)>,
    new: Vec<(Key, Verdict)>,
}

/// One operation of a transaction, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// Makes the table, unless it is there.
    AddTable,
    /// Removes the table with all that is in it.
    DeleteTable,
    /// Makes an empty set.
    AddSet(&'a str, KeyType),
    /// Makes an empty map.
    AddMap(&'a str, MapKey),
    /// Makes an empty chain.
    AddChain(&'a str, Option<&'a Hook>),
    /// Takes elements out of a set.
    DeleteElements(&'a str, &'a [Key]),
    /// Puts elements into a set.
    AddElements(&'a str, &'a [Key]),
    /// Takes elements out of a map.
    DeleteVerdicts(&'a str, &'a [(Key, Verdict)]),
    /// Puts elements into a map.
    AddVerdicts(&'a str, &'a [(Key, Verdict)]),
    /// Empties a chain.
    Flush(&'a str),
    /// Appends a chain's rules to the empty one of that name.
    Fill(&'a str, &'a Arc<Chain>),
    /// Removes a map.
    DeleteMap(&'a str),
    /// Removes an empty chain.
    DeleteChain(&'a str),
    /// Removes a set.
    DeleteSet(&'a str),
}

impl Transaction {
    /// Removes the table.
    pub fn removal() -> Transaction {
        Transaction { table: Some(Table::Gone), ..Transaction::default() }
    }

    /// Puts a table in place of whatever is there.
    pub fn replacement(want: &Ruleset) -> Transaction {
        Transaction { table: Some(Table::Anew), ..Transaction::making(want) }
    }

    fn making(want: &Ruleset) -> Transaction {
        let mut change = Transaction { table: Some(Table::New), ..Transaction::default() };
        want.sets.iter().for_each(|(name, set)| change.make_set(name, set));
        want.maps.iter().for_each(|(name, map)| change.make_map(name, map));
        want.chains.iter().for_each(|(name, chain)| change.make_chain(name, chain.clone()));
        change
    }

    pub(super) fn between(have: Option<&Ruleset>, want: &Ruleset) -> Transaction {
        let Some(have) = have else { return Transaction::making(want) };
        if !is_reachable(have, want) {
            return Transaction::replacement(want);
        }
        let mut change = Transaction::default();
        for (name, set) in &want.sets {
            match have.sets.get(name) {
                None => change.make_set(name, set),
                Some(before) if before.elements == set.elements => {}
                Some(before) => {
                    change.remove_elements(name, before.elements.difference(&set.elements).cloned());
                    change.add_elements(name, set.elements.difference(&before.elements).cloned());
                }
            }
        }
        for (name, map) in &want.maps {
            match have.maps.get(name) {
                None => change.make_map(name, map),
                Some(before) => change.change_map(name, before, map),
            }
        }
        for (name, chain) in &want.chains {
            match have.chains.get(name) {
                None => change.make_chain(name, chain.clone()),
                Some(before) if Arc::ptr_eq(before, chain) || before.rules == chain.rules => {}
                Some(_) => change.refill(name, chain.clone()),
            }
        }
        let gone = |has: bool, name: &String| (!has).then(|| name.clone());
        change.gone_sets = have.sets.keys().filter_map(|name| gone(want.sets.contains_key(name), name)).collect();
        change.gone_maps = have.maps.keys().filter_map(|name| gone(want.maps.contains_key(name), name)).collect();
        change.gone_chains = have.chains.keys().filter_map(|name| gone(want.chains.contains_key(name), name)).collect();
        change
    }

    fn change_map(&mut self, name: &str, before: &VerdictMap, map: &VerdictMap) {
        let pairs = |of: &VerdictMap, other: &VerdictMap| -> Vec<(Key, Verdict)> {
            let differs = |(key, verdict): &(&Key, &Verdict)| other.elements.get(key) != Some(verdict);
            of.elements.iter().filter(differs).map(|(key, verdict)| (key.clone(), verdict.clone())).collect()
        };
        let (gone, new) = (pairs(before, map), pairs(map, before));
        if !gone.is_empty() || !new.is_empty() {
            self.verdicts.insert(name.into(), Verdicts { gone, new });
        }
    }

    /// Makes a set with its elements.
    pub fn make_set(&mut self, name: &str, set: &Set) {
        self.made_sets.insert(name.into(), set.key);
        self.add_elements(name, set.elements.iter().cloned());
    }

    /// Removes a set, with all that is in it.
    pub fn remove_set(&mut self, name: &str) {
        self.gone_sets.insert(name.into());
    }

    /// Puts elements into a set, where they are not yet.
    ///
    /// A range that grows is one removed and another added.
    pub fn add_elements(&mut self, set: &str, keys: impl IntoIterator<Item = Key>) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_some() {
            self.elements.entry(set.into()).or_default().new.extend(keys);
        }
    }

    /// Takes elements out of a set, where they are. A key that is also added is in the set in the end.
    pub fn remove_elements(&mut self, set: &str, keys: impl IntoIterator<Item = Key>) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_some() {
            self.elements.entry(set.into()).or_default().gone.extend(keys);
        }
    }

    /// Makes a map with its elements.
    pub fn make_map(&mut self, name: &str, map: &VerdictMap) {
        self.made_maps.insert(name.into(), map.key);
        let elements: Vec<_> = map.elements.iter().map(|(key, verdict)| (key.clone(), verdict.clone())).collect();
        if !elements.is_empty() {
            self.verdicts.entry(name.into()).or_default().new.extend(elements);
        }
    }

    /// Removes a map, with all that is in it.
    pub fn remove_map(&mut self, name: &str) {
        self.gone_maps.insert(name.into());
    }

    /// Changes one element of a map from what it is to what it shall be; none is no element.
    pub fn set_verdict(&mut self, map: &str, key: Key, before: Option<Verdict>, after: Option<Verdict>) {
        if before == after {
            return;
        }
        let verdicts = self.verdicts.entry(map.into()).or_default();
        verdicts.gone.extend(before.map(|verdict| (key.clone(), verdict)));
        verdicts.new.extend(after.map(|verdict| (key, verdict)));
    }

    /// Makes a chain with its rules.
    pub fn make_chain(&mut self, name: &str, chain: Arc<Chain>) {
        self.made_chains.insert(name.into(), chain);
    }

    /// Puts a chain's rules in place of those of the chain that is there, which has the same hook.
    pub fn refill(&mut self, name: &str, chain: Arc<Chain>) {
        self.refilled.insert(name.into(), chain);
    }

    /// Removes a chain with its rules.
    pub fn remove_chain(&mut self, name: &str) {
        self.gone_chains.insert(name.into());
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Transaction::default()
    }

    /// In the order for the kernel.
    pub fn ops(&self) -> Vec<Op<'_>> {
        let mut ops = match self.table {
            None => vec![],
            Some(Table::New) => vec![Op::AddTable],
            // Made if missing, so that there is something to remove.
            Some(Table::Anew) => vec![Op::AddTable, Op::DeleteTable, Op::AddTable],
            Some(Table::Gone) => return vec![Op::AddTable, Op::DeleteTable],
        };
        ops.extend(self.made_sets.iter().map(|(name, key)| Op::AddSet(name, *key)));
        ops.extend(self.made_maps.iter().map(|(name, key)| Op::AddMap(name, *key)));
        ops.extend(self.made_chains.iter().map(|(name, chain)| Op::AddChain(name, chain.hook.as_ref())));
        for (name, Elements { gone, new }) in &self.elements {
            ops.extend((!gone.is_empty()).then_some(Op::DeleteElements(name, gone)));
            ops.extend((!new.is_empty()).then_some(Op::AddElements(name, new)));
        }
        ops.extend(self.made_chains.iter().map(|(name, chain)| Op::Fill(name, chain)));
        for (name, Verdicts { gone, new }) in &self.verdicts {
            ops.extend((!gone.is_empty()).then_some(Op::DeleteVerdicts(name, gone)));
            ops.extend((!new.is_empty()).then_some(Op::AddVerdicts(name, new)));
        }
        for (name, chain) in &self.refilled {
            ops.extend([Op::Flush(name), Op::Fill(name, chain)]);
        }
        ops.extend(self.gone_chains.iter().map(|name| Op::Flush(name)));
        ops.extend(self.gone_maps.iter().map(|name| Op::DeleteMap(name)));
        ops.extend(self.gone_chains.iter().map(|name| Op::DeleteChain(name)));
        ops.extend(self.gone_sets.iter().map(|name| Op::DeleteSet(name)));
        ops
    }
}

/// Whether there is a way that keeps the table: nothing keeps its name and becomes of another kind.
fn is_reachable(have: &Ruleset, want: &Ruleset) -> bool {
    let sets = |(name, set): (&String, &Set)| {
        have.sets.get(name).is_none_or(|before| before.key == set.key) && !have.maps.contains_key(name)
    };
    let maps = |(name, map): (&String, &VerdictMap)| {
        have.maps.get(name).is_none_or(|before| before.key == map.key) && !have.sets.contains_key(name)
    };
    let chains = |(name, chain): (&String, &Arc<Chain>)| {
        have.chains.get(name).is_none_or(|before| Arc::ptr_eq(before, chain) || before.hook == chain.hook)
    };
    want.sets.iter().all(sets) && want.maps.iter().all(maps) && want.chains.iter().all(chains)
}

/// What an operation makes of a table.
pub(super) fn apply(ruleset: &mut Ruleset, op: &Op<'_>) {
    let Ruleset { sets, maps, chains } = ruleset;
    match *op {
        Op::AddTable => {}
        Op::DeleteTable => *ruleset = Ruleset::default(),
        Op::AddSet(name, key) => _ = sets.insert(name.into(), Set::new(key)),
        Op::AddMap(name, key) => _ = maps.insert(name.into(), VerdictMap::new(key)),
        Op::AddChain(name, hook) => {
            _ = chains.insert(name.into(), Arc::new(Chain { hook: hook.cloned(), rules: vec![] }));
        }
        Op::DeleteElements(name, keys) => {
            let Some(set) = sets.get_mut(name) else { return };
            keys.iter().for_each(|key| _ = set.elements.remove(key));
        }
        Op::AddElements(name, keys) => {
            let Some(set) = sets.get_mut(name) else { return };
            set.elements.extend(keys.iter().cloned());
        }
        Op::DeleteVerdicts(name, elements) => {
            let Some(map) = maps.get_mut(name) else { return };
            elements.iter().for_each(|(key, _)| _ = map.elements.remove(key));
        }
        Op::AddVerdicts(name, elements) => {
            let Some(map) = maps.get_mut(name) else { return };
            map.elements.extend(elements.iter().cloned());
        }
        Op::Flush(name) => {
            let Some(chain) = chains.get_mut(name) else { return };
            *chain = Arc::new(Chain { hook: chain.hook.clone(), rules: vec![] });
        }
        // One allocation for all, so that a comparison of chains may end there.
        Op::Fill(name, chain) => _ = chains.insert(name.into(), Arc::clone(chain)),
        Op::DeleteMap(name) => _ = maps.remove(name),
        Op::DeleteChain(name) => _ = chains.remove(name),
        Op::DeleteSet(name) => _ = sets.remove(name),
    }
}

/// As `nft` would be told, shortened.
impl fmt::Display for Op<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |f: &mut fmt::Formatter<'_>, what: &str, of: &str, key: Option<&Key>, count: usize| {
            write!(f, "{what} {count} elements of {of}")?;
            key.map_or(Ok(()), |key| write!(f, " from {key}"))
        };
        match *self {
            Op::AddTable => f.write_str("add table"),
            Op::DeleteTable => f.write_str("delete table"),
            Op::AddSet(name, key) => write!(f, "add set {name} of {key}"),
            Op::AddMap(name, key) => write!(f, "add map {name} of {key}"),
            Op::AddChain(name, _) => write!(f, "add chain {name}"),
            Op::DeleteElements(name, keys) => first(f, "delete", name, keys.first(), keys.len()),
            Op::AddElements(name, keys) => first(f, "add", name, keys.first(), keys.len()),
            Op::DeleteVerdicts(name, all) => first(f, "delete", name, all.first().map(|(key, _)| key), all.len()),
            Op::AddVerdicts(name, all) => first(f, "add", name, all.first().map(|(key, _)| key), all.len()),
            Op::Flush(name) => write!(f, "flush chain {name}"),
            Op::Fill(name, chain) => write!(f, "add {} rules to {name}", chain.rules.len()),
            Op::DeleteMap(name) => write!(f, "delete map {name}"),
            Op::DeleteChain(name) => write!(f, "delete chain {name}"),
            Op::DeleteSet(name) => write!(f, "delete set {name}"),
        }
    }
}
