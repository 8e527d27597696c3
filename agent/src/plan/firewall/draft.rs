//! The table as it should be, and which of its parts have been touched since the kernel was last told: a change costs what
//! was touched, whatever the table's size.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::ruleset::{Chain, Key, Ruleset, Set, Transaction, Verdict, VerdictMap};

/// The table, and what of it was touched.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    table: Ruleset,
    touched: Touched,
}

/// Names, and in large things places, that may be other than the kernel has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    sets: BTreeMap<String, Places>,
    maps: BTreeMap<String, Places>,
    chains: BTreeSet<String>,
}

/// How much of a set or a map was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Places {
    Some(BTreeSet<Key>),
    All,
}

impl Touched {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.maps.is_empty() && self.chains.is_empty()
    }
}

impl Draft {
    /// The table as it should be.
    pub fn table(&self) -> &Ruleset {
        &self.table
    }

    /// Whether anything was touched since it was last taken.
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// What was touched since this was last asked.
    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// Makes the set so, or removes it.
    pub fn set(&mut self, name: &str, set: Option<Set>) {
        if self.table.sets.get(name) == set.as_ref() {
            return;
        }
        self.touched.sets.insert(name.into(), Places::All);
        match set {
            Some(set) => _ = self.table.sets.insert(name.into(), set),
            None => _ = self.table.sets.remove(name),
        }
    }

    /// Makes the map so, or removes it.
    pub fn map(&mut self, name: &str, map: Option<VerdictMap>) {
        if self.table.maps.get(name) == map.as_ref() {
            return;
        }
        self.touched.maps.insert(name.into(), Places::All);
        match map {
            Some(map) => _ = self.table.maps.insert(name.into(), map),
            None => _ = self.table.maps.remove(name),
        }
    }

    /// Makes the chain so, or removes it.
    pub fn chain(&mut self, name: &str, chain: Option<Chain>) {
        if self.table.chains.get(name).map(|before| &**before) == chain.as_ref() {
            return;
        }
        self.touched.chains.insert(name.into());
        match chain {
            Some(chain) => _ = self.table.chains.insert(name.into(), Arc::new(chain)),
            None => _ = self.table.chains.remove(name),
        }
    }

    /// Puts an element into a set that is there.
    pub fn put(&mut self, set: &str, key: Key) {
        let Some(found) = self.table.sets.get_mut(set) else { return };
        if found.elements.insert(key.clone()) {
            touch(&mut self.touched.sets, set, key);
        }
    }

    /// Takes an element out of a set.
    pub fn take(&mut self, set: &str, key: &Key) {
        let Some(found) = self.table.sets.get_mut(set) else { return };
        if found.elements.remove(key) {
            touch(&mut self.touched.sets, set, key.clone());
        }
    }

    /// Makes a key of a map that is there lead to a verdict, or to none.
    pub fn lead(&mut self, map: &str, key: Key, verdict: Option<Verdict>) {
        let Some(found) = self.table.maps.get_mut(map) else { return };
        if found.elements.get(&key) == verdict.as_ref() {
            return;
        }
        match verdict {
            Some(verdict) => _ = found.elements.insert(key.clone(), verdict),
            None => _ = found.elements.remove(&key),
        }
        touch(&mut self.touched.maps, map, key);
    }

    /// What leads from the table that the kernel has to this one, provided that they differ in nothing but what was touched.
    pub fn transaction(&self, have: &Ruleset, touched: &Touched) -> Transaction {
        self.by_touch(have, touched).unwrap_or_else(|| Ruleset::transaction(Some(have), &self.table))
    }

    /// None where something keeps its name and becomes of another kind.
    fn by_touch(&self, have: &Ruleset, touched: &Touched) -> Option<Transaction> {
        let mut change = Transaction::default();
        for (name, places) in &touched.sets {
            match (have.sets.get(name), self.table.sets.get(name)) {
                (None, None) => {}
                (None, Some(set)) => change.make_set(name, set),
                (Some(_), None) => change.remove_set(name),
                (Some(before), Some(set)) if before.key != set.key => return None,
                (Some(before), Some(set)) => {
                    let (gone, new): (Vec<&Key>, Vec<&Key>) = match places {
                        Places::All => (
                            before.elements.difference(&set.elements).collect(),
                            set.elements.difference(&before.elements).collect(),
                        ),
                        Places::Some(keys) => (
                            keys.iter().filter(|k| before.elements.contains(k) && !set.elements.contains(k)).collect(),
                            keys.iter().filter(|k| !before.elements.contains(k) && set.elements.contains(k)).collect(),
                        ),
                    };
                    change.remove_elements(name, gone.into_iter().cloned());
                    change.add_elements(name, new.into_iter().cloned());
                }
            }
        }
        for (name, places) in &touched.maps {
            match (have.maps.get(name), self.table.maps.get(name)) {
                (None, None) => {}
                (None, Some(map)) => change.make_map(name, map),
                (Some(_), None) => change.remove_map(name),
                (Some(before), Some(map)) if before.key != map.key => return None,
                (Some(before), Some(map)) => {
                    let all = || before.elements.keys().chain(map.elements.keys()).cloned().collect();
                    let keys: BTreeSet<Key> = match places {
                        Places::All => all(),
                        Places::Some(keys) => keys.clone(),
                    };
                    for key in keys {
                        let (was, is) = (before.elements.get(&key).cloned(), map.elements.get(&key).cloned());
                        change.set_verdict(name, key, was, is);
                    }
                }
            }
        }
        for name in &touched.chains {
            match (have.chains.get(name), self.table.chains.get(name)) {
                (None, None) => {}
                (None, Some(chain)) => change.make_chain(name, chain.clone()),
                (Some(_), None) => change.remove_chain(name),
                (Some(before), Some(chain)) if before.hook != chain.hook => return None,
                (Some(before), Some(chain)) if before.rules == chain.rules => {}
                (Some(_), Some(chain)) => change.refill(name, chain.clone()),
            }
        }
        // A set and a map share their names' space.
        let crossed = touched.sets.keys().any(|name| touched.maps.contains_key(name));
        (!crossed).then_some(change)
    }
}

fn touch(touched: &mut BTreeMap<String, Places>, name: &str, key: Key) {
    if let Places::Some(keys) = touched.entry(name.into()).or_insert_with(|| Places::Some(BTreeSet::new())) {
        keys.insert(key);
    }
}
