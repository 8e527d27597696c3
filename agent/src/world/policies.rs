//! The policies' engine, fed with what is known: objects, and the addresses of this node's pods.

use std::fmt;
use std::net::IpAddr;

use model::object::{Object, ObjectKey};
use model::{NodeName, PodRef};
use policy::engine::{Engine, Scope};
use policy::program::Program;
use policy::{Delta, EndpointKey};

/// What policies say of this node's pods and links, kept up to date.
pub struct Policies {
    engine: Engine,
}

/// A cluster's pods are no line of a log.
impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = self.program().endpoints.keys().filter(|key| matches!(key, EndpointKey::Pod(_)));
        write!(f, "Policies about {} pods", pods.count())
    }
}

impl Policies {
    /// Of a node.
    pub fn of(node: NodeName) -> Policies {
        Policies { engine: Engine::new(Scope::Node(node)) }
    }

    /// Takes an object in.
    pub fn learn(&mut self, object: &Object) {
        self.engine.learn(object);
    }

    /// Lets an object go.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.engine.forget(key);
    }

    /// A pod of this node has these addresses; none: it is no pod of this node any more.
    pub fn attach(&mut self, pod: &PodRef, addresses: Vec<IpAddr>) {
        match addresses.is_empty() {
            true => self.engine.detach(pod),
            false => self.engine.attach(pod.clone(), addresses),
        }
    }

    /// What changed since this was last asked.
    pub fn update(&mut self) -> Delta {
        self.engine.update()
    }

    /// What policies said when that was last asked.
    pub fn program(&self) -> &Program {
        self.engine.program()
    }

    /// The engine, to be asked.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}
