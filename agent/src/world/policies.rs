//! The policies' engine, fed with what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::PodRef;
use model::object::{Object, ObjectKey};
use policy::program::{EndpointKey, Item, Program};
use policy::{Delta, Scene, SetChange, compile};

/// The policies' engine.
#[derive(Debug, Default)]
pub struct Policies {
    objects: BTreeMap<ObjectKey, Object>,
    attached: BTreeMap<PodRef, Vec<IpAddr>>,
    program: Program,
}

impl Policies {
    /// Takes an object in. False if policies have nothing to do with its kind.
    pub fn learn(&mut self, object: &Object) -> bool {
        let concerns = matches!(object, Object::Pod(_) | Object::Namespace(_) | Object::NetworkPolicy(_));
        if concerns {
            self.objects.insert(object.key(), object.clone());
        }
        concerns
    }

    /// Lets an object go.
    pub fn forget(&mut self, key: &ObjectKey) -> bool {
        self.objects.remove(key).is_some()
    }

    /// A pod of this node has these addresses; none: it is no pod of this node any more.
    pub fn attach(&mut self, pod: &PodRef, addresses: Vec<IpAddr>) {
        match addresses.is_empty() {
            true => self.attached.remove(pod),
            false => self.attached.insert(pod.clone(), addresses),
        };
    }

    /// What changed since this was last asked.
    pub fn update(&mut self) -> Delta {
        let mut objects: Vec<Object> = self.objects.values().cloned().collect();
        for object in &mut objects {
            if let Object::Pod(pod) = object
                && let Some(addresses) = self.attached.get(&pod.reference())
            {
                pod.addresses = addresses.clone();
            }
        }
        let mut program = compile::program(&Scene::new(&objects));
        let here = |key: &EndpointKey| matches!(key, EndpointKey::Pod(pod) if self.attached.contains_key(pod));
        program.endpoints.retain(|key, _| here(key));
        let chains: BTreeSet<_> =
            program.endpoints.values().flat_map(|c| c.ingress.iter().chain(&c.egress)).cloned().collect();
        program.chains.retain(|key, _| chains.contains(key));
        let steps = program.chains.values().flat_map(|chain| &chain.tiers).flat_map(|tier| &tier.items);
        let tests = steps.flat_map(|item| match item {
            Item::Step(step) => std::slice::from_ref(step),
            Item::Staged { steps, .. } => steps,
        });
        let sets: BTreeSet<_> = tests.flat_map(|step| &step.tests).filter_map(|test| test.set().cloned()).collect();
        program.sets.retain(|key, _| sets.contains(key));
        let delta = between(&self.program, &program);
        self.program = program;
        delta
    }

    /// What policies say.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

fn between(before: &Program, now: &Program) -> Delta {
    let mut delta = Delta::default();
    let keys: BTreeSet<_> = before.sets.keys().chain(now.sets.keys()).collect();
    for key in keys {
        match (before.sets.get(key), now.sets.get(key)) {
            (Some(a), Some(b)) if a.members == b.members => {}
            (_, Some(_)) => _ = delta.sets.insert(key.clone(), SetChange::Made),
            (_, None) => _ = delta.sets.insert(key.clone(), SetChange::Gone),
        }
    }
    let keys: BTreeSet<_> = before.endpoints.keys().chain(now.endpoints.keys()).collect();
    for key in keys {
        if before.endpoints.get(key) != now.endpoints.get(key) {
            delta.endpoints.insert(key.clone());
        }
    }
    delta
}
