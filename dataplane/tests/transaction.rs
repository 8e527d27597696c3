//! Transactions of packet rules, pure: they lead where they should, in an order that the kernel would take.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod tables;

use std::sync::Arc;

use dataplane::ruleset::{Chain, Expression, Key, MapKey, Op, Rule, Ruleset, Transaction, Verdict, VerdictMap, expr};
use proptest::prelude::*;
use tables::any_table;

/// The table as the kernel has it, which refuses what refers to nothing and the removal of what is referred to.
#[derive(Debug, Default)]
struct Kernel(Option<Ruleset>);

type Refused = Result<(), String>;

fn check(holds: bool, why: &str) -> Refused {
    if holds { Ok(()) } else { Err(why.into()) }
}

impl Kernel {
    fn commit(&mut self, transaction: &Transaction) -> Refused {
        for op in transaction.ops() {
            self.apply(&op).map_err(|why| format!("{op}: {why}"))?;
        }
        Ok(())
    }

    fn apply(&mut self, op: &Op<'_>) -> Refused {
        match op {
            Op::AddTable => return Ok(_ = self.0.get_or_insert_default()),
            Op::DeleteTable => return self.0.take().map(|_| ()).ok_or_else(|| "no table".into()),
            _ => {}
        }
        let table = self.0.as_mut().ok_or("no table")?;
        let free = |name: &str| check(!table.sets.contains_key(name) && !table.maps.contains_key(name), "exists");
        match *op {
            Op::AddSet(name, _) | Op::AddMap(name, _) => free(name)?,
            Op::AddChain(name, _) => check(!table.chains.contains_key(name), "exists")?,
            Op::DeleteElements(name, keys) => {
                let set = table.sets.get(name).ok_or("no set")?;
                check(keys.iter().all(|key| set.elements.contains(key)), "no element")?;
            }
            Op::AddElements(name, keys) => {
                let set = table.sets.get(name).ok_or("no set")?;
                check(keys.iter().all(|key| set.elements.iter().all(|there| apart(key, there))), "overlap")?;
            }
            Op::DeleteVerdicts(name, all) => {
                let map = table.maps.get(name).ok_or("no map")?;
                check(all.iter().all(|(key, verdict)| map.elements.get(key) == Some(verdict)), "no element")?;
            }
            Op::AddVerdicts(name, all) => {
                let map = table.maps.get(name).ok_or("no map")?;
                check(all.iter().all(|(key, _)| !map.elements.contains_key(key)), "exists")?;
                check(all.iter().filter_map(|(_, v)| target(v)).all(|to| table.chains.contains_key(to)), "no target")?;
            }
            Op::Flush(name) => check(table.chains.contains_key(name), "no chain")?,
            Op::Fill(name, chain) => {
                check(table.chains.get(name).is_some_and(|chain| chain.rules.is_empty()), "no empty chain")?;
                check(chain.rules.iter().flat_map(|rule| &rule.expressions).all(|e| refers_to(e, table)), "no object")?;
            }
            Op::DeleteMap(name) => {
                check(table.maps.contains_key(name), "no map")?;
                check(!expressions(table).any(|e| matches!(e, Expression::Dispatch(_, map) if map == name)), "used")?;
            }
            Op::DeleteSet(name) => {
                check(table.sets.contains_key(name), "no set")?;
                check(!expressions(table).any(|e| matches!(e, Expression::Lookup(_, _, set) if set == name)), "used")?;
            }
            Op::DeleteChain(name) => {
                check(table.chains.get(name).is_some_and(|chain| chain.rules.is_empty()), "no empty chain")?;
                let of_rules = expressions(table).filter_map(|e| match e {
                    Expression::Verdict(verdict) => target(verdict),
                    _ => None,
                });
                let of_maps = table.maps.values().flat_map(|map| map.elements.values()).filter_map(target);
                check(of_rules.chain(of_maps).all(|to| to != name), "used")?;
            }
            Op::AddTable | Op::DeleteTable => {}
        }
        // What the operation does was looked at; that all of them do it together is what is tested.
        table.apply_one(op);
        Ok(())
    }
}

trait ApplyOne {
    fn apply_one(&mut self, op: &Op<'_>);
}

impl ApplyOne for Ruleset {
    fn apply_one(&mut self, op: &Op<'_>) {
        match *op {
            Op::AddSet(name, key) => _ = self.sets.insert(name.into(), dataplane::ruleset::Set::new(key)),
            Op::AddMap(name, key) => _ = self.maps.insert(name.into(), VerdictMap::new(key)),
            Op::AddChain(name, hook) => {
                let chain = Chain { hook: hook.cloned(), rules: vec![] };
                self.chains.insert(name.into(), Arc::new(chain));
            }
            Op::DeleteElements(name, keys) => {
                self.sets.get_mut(name).unwrap().elements.retain(|key| !keys.contains(key));
            }
            Op::AddElements(name, keys) => self.sets.get_mut(name).unwrap().elements.extend(keys.iter().cloned()),
            Op::DeleteVerdicts(name, all) => {
                self.maps.get_mut(name).unwrap().elements.retain(|key, _| all.iter().all(|(gone, _)| gone != key));
            }
            Op::AddVerdicts(name, all) => self.maps.get_mut(name).unwrap().elements.extend(all.iter().cloned()),
            Op::Flush(name) => Arc::make_mut(self.chains.get_mut(name).unwrap()).rules.clear(),
            Op::Fill(name, chain) => {
                Arc::make_mut(self.chains.get_mut(name).unwrap()).rules.extend(chain.rules.iter().cloned());
            }
            Op::DeleteMap(name) => _ = self.maps.remove(name),
            Op::DeleteSet(name) => _ = self.sets.remove(name),
            Op::DeleteChain(name) => _ = self.chains.remove(name),
            Op::AddTable | Op::DeleteTable => {}
        }
    }
}

/// Whether two elements may be in one set.
fn apart(one: &Key, other: &Key) -> bool {
    match (one, other) {
        (Key::Range(a), Key::Range(b)) => a.last < b.first || b.last < a.first,
        (Key::Ports(a, b), Key::Ports(c, d)) => b < c || d < a,
        _ => one != other,
    }
}

fn target(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
        _ => None,
    }
}

fn expressions(table: &Ruleset) -> impl Iterator<Item = &Expression> {
    table.chains.values().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.expressions)
}

fn refers_to(expression: &Expression, table: &Ruleset) -> bool {
    match expression {
        Expression::Lookup(_, _, set) => table.sets.contains_key(set),
        Expression::Dispatch(_, map) => table.maps.contains_key(map),
        Expression::Verdict(verdict) => target(verdict).is_none_or(|to| table.chains.contains_key(to)),
        _ => true,
    }
}

proptest! {
    #[test]
    fn a_transaction_leads_from_any_table_to_any_other_in_an_order_that_the_kernel_takes(a in any_table(), b in any_table()) {
        let mut kernel = Kernel::default();
        kernel.commit(&Ruleset::transaction(None, &a)).unwrap();
        prop_assert_eq!(kernel.0.as_ref(), Some(&a));
        let transaction = Ruleset::transaction(Some(&a), &b);
        kernel.commit(&transaction).unwrap();
        prop_assert_eq!(kernel.0.as_ref(), Some(&b));
        let mut applied = a.clone();
        applied.apply(&transaction);
        prop_assert_eq!(&applied, &b);
        prop_assert_eq!(transaction.is_empty(), a == b);
        prop_assert!(Ruleset::transaction(Some(&b), &b).is_empty());
    }

    #[test]
    fn a_replacement_leads_from_whatever_is_there(a in any_table(), b in any_table()) {
        let mut kernel = Kernel(Some(a.clone()));
        kernel.commit(&Transaction::replacement(&b)).unwrap();
        prop_assert_eq!(kernel.0.as_ref(), Some(&b));
        let mut applied = a;
        applied.apply(&Transaction::replacement(&b));
        prop_assert_eq!(applied, b);
        kernel.commit(&Transaction::removal()).unwrap();
        prop_assert_eq!(kernel.0, None);
    }
}

#[test]
fn a_change_by_hand_needs_no_order() {
    let chain = |port: u16| {
        let end = dataplane::ruleset::End::Destination;
        let is = dataplane::ruleset::Sense::Is;
        Arc::new(Chain::new([Rule::of([expr::port_between(end, port..=port, is), expr::accept()])]))
    };
    let mut table = Ruleset::default();
    let pod = Key::Interface("cali0".into());
    let goto = |name: &str| Verdict::Goto(name.into());
    table.chains.insert("old".into(), chain(80));
    table
        .maps
        .insert("ingress".into(), VerdictMap { key: MapKey::Interface, elements: [(pod.clone(), goto("old"))].into() });
    let mut kernel = Kernel::default();
    kernel.commit(&Ruleset::transaction(None, &table)).unwrap();
    let mut change = Transaction::default();
    change.remove_chain("old");
    change.set_verdict("ingress", pod.clone(), Some(goto("old")), Some(goto("new")));
    change.make_chain("new", chain(81));
    kernel.commit(&change).unwrap();
    table.apply(&change);
    assert_eq!(table.chains.keys().collect::<Vec<_>>(), ["new"]);
    assert_eq!(table.maps["ingress"].elements[&pod], goto("new"));
    assert_eq!(kernel.0, Some(table));
}
