//! From the objects' own forms to the common one.

mod calico;
mod cluster;
mod kubernetes;
mod ports;

use model::object::{Object, StagedAction};

use crate::rules::{Force, Policy};

/// The policy that an object is; None of an object that is no policy, and of a staged one that is not to be counted.
pub fn policy(object: &Object) -> Option<Policy> {
    let key = object.key();
    let staged = |action: StagedAction| (action == StagedAction::Set).then_some(Force::Staged);
    Some(match object {
        Object::NetworkPolicy(policy) => kubernetes::policy(key, policy, Force::Enforced),
        Object::StagedKubernetesNetworkPolicy(policy) => kubernetes::policy(key, policy, staged(policy.action)?),
        Object::CalicoNetworkPolicy(policy) | Object::GlobalNetworkPolicy(policy) => {
            calico::policy(key, policy, Force::Enforced)
        }
        Object::StagedNetworkPolicy(policy) | Object::StagedGlobalNetworkPolicy(policy) => {
            calico::policy(key, policy, staged(policy.action)?)
        }
        Object::ClusterNetworkPolicy(policy) => cluster::policy(key, policy),
        _ => return None,
    })
}
