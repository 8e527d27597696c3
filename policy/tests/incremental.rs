//! The engine, told of one thing after another, beside one that is told of all at once.
#![allow(clippy::unwrap_used)]

mod worlds;

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::object::{Object, ObjectKey};
use model::{NodeName, PodRef};
use policy::{Engine, Program, Scope};
use worlds::{Dice, Maker, Stack};

/// How many stories, and how many things happen in each.
const STORIES: u64 = 150;
const EVENTS: usize = 60;

/// What is so now.
#[derive(Default)]
struct Now {
    objects: BTreeMap<ObjectKey, Object>,
    attached: BTreeMap<PodRef, Vec<IpAddr>>,
}

fn node() -> Scope {
    Scope::Node(NodeName::try_from("node0".to_string()).unwrap())
}

impl Now {
    /// From nothing, in an order of its own.
    fn at_once(&self, dice: &mut Dice) -> Program {
        let mut engine = Engine::new(node());
        let mut objects: Vec<&Object> = self.objects.values().collect();
        for at in (1..objects.len()).rev() {
            objects.swap(at, dice.below(at + 1));
        }
        let attach_first = dice.one_in(2);
        let attach = |engine: &mut Engine| {
            self.attached.iter().for_each(|(pod, addresses)| engine.attach(pod.clone(), addresses.clone()));
        };
        if attach_first {
            attach(&mut engine);
        }
        objects.into_iter().for_each(|object| engine.learn(object));
        if !attach_first {
            attach(&mut engine);
        }
        engine.update();
        engine.program().clone()
    }

    /// One thing happens.
    fn happen(&mut self, engine: &mut Engine, maker: &mut Maker) {
        let n = maker.dice.below(10);
        match maker.dice.below(10) {
            0 | 1 => {
                let pod = Object::Pod(maker.pod(&format!("p{n}"), n));
                engine.learn(&pod);
                self.objects.insert(pod.key(), pod);
            }
            2 => {
                let pod = maker.pod(&format!("p{n}"), n).reference();
                // Now and then with an address that another has, too, or with none before its status tells.
                let shift = maker.dice.below(2);
                let addresses = maker.pod("", n + shift).addresses;
                let addresses = if maker.dice.one_in(5) { Vec::new() } else { addresses };
                engine.attach(pod.clone(), addresses.clone());
                self.attached.insert(pod, addresses);
            }
            3 => {
                let pods: Vec<PodRef> = self.attached.keys().cloned().collect();
                if !pods.is_empty() {
                    let pod = maker.dice.one_of(&pods);
                    engine.detach(&pod);
                    self.attached.remove(&pod);
                }
            }
            4 | 5 => {
                let keys: Vec<ObjectKey> = self.objects.keys().cloned().collect();
                if !keys.is_empty() {
                    let key = maker.dice.one_of(&keys);
                    engine.forget(&key);
                    self.objects.remove(&key);
                }
            }
            _ => {
                let object = maker.object(n);
                engine.learn(&object);
                self.objects.insert(object.key(), object);
            }
        }
    }
}

#[test]
fn told_one_by_one_in_any_order_the_program_and_its_changes_come_to_the_same() {
    let mut seen = [0; 3];
    for seed in 0..STORIES {
        let mut maker = Maker::new(seed, Stack::Dual);
        let (mut now, mut engine, mut copy) = (Now::default(), Engine::new(node()), Program::default());
        for event in 0..EVENTS {
            now.happen(&mut engine, &mut maker);
            if !maker.dice.one_in(3) {
                continue;
            }
            let delta = engine.update();
            delta.apply(&mut copy, engine.program());
            assert_eq!(copy, *engine.program(), "seed {seed}, event {event}: the changes {delta:?} come to another");
            let at_once = now.at_once(&mut maker.dice);
            assert_eq!(*engine.program(), at_once, "seed {seed}, event {event}: told at once it is another");
            assert!(engine.update().is_empty(), "seed {seed}, event {event}: a change without a reason");
            let counts = [delta.sets.len(), delta.chains_made.len(), delta.endpoints.len()];
            seen.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
        }
    }
    assert!(seen.iter().all(|count| *count > 500), "little happened: {seen:?}");
}

#[test]
fn chains_are_those_that_endpoints_have_and_their_sets_are_there() {
    for seed in 0..STORIES {
        let mut maker = Maker::new(seed, Stack::Dual);
        let (mut now, mut engine) = (Now::default(), Engine::new(node()));
        (0..EVENTS).for_each(|_| now.happen(&mut engine, &mut maker));
        engine.update();
        let program = engine.program();
        let mut chains: Vec<_> = program.endpoints.values().flat_map(|chains| chains.each()).collect();
        chains.sort();
        chains.dedup();
        assert_eq!(chains, program.chains.keys().collect::<Vec<_>>(), "seed {seed}");
        let named: std::collections::BTreeSet<_> = program.chains.values().flat_map(|chain| chain.sets()).collect();
        let missing: Vec<_> = named.iter().filter(|key| !program.sets.contains_key(key)).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
    }
}
