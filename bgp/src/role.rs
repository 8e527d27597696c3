//! What two autonomous systems are to each other, and which of their routes are leaks (RFC 9234).

use model::Asn;

use crate::filter::Refusal;
use crate::wire::capability::{Capabilities, Role};
use crate::wire::{Attributes, Capability, Draft};

/// Whether a peer must announce a role (RFC 9234 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RoleCheck {
    /// One that announces none is believed to be what ours implies.
    #[default]
    Lenient,
    /// One that announces none is refused.
    Strict,
}

/// The one role that the other side of this one may have (RFC 9234 §4.2, table 2).
const fn counterpart(role: Role) -> Option<Role> {
    match role {
        Role::Provider => Some(Role::Customer),
        Role::Customer => Some(Role::Provider),
        Role::RouteServer => Some(Role::RouteServerClient),
        Role::RouteServerClient => Some(Role::RouteServer),
        Role::Peer => Some(Role::Peer),
        Role::Unknown(_) => None,
    }
}

/// Two roles that do not fit; for the peer a Role Mismatch (2/11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub ours: Role,
    /// In the order announced; none at all, or more than one where they differ.
    pub theirs: Vec<Role>,
}

/// Holds the roles that an external peer announces against ours (RFC 9234 §4.2). Returns the peer's, if it has one.
pub(crate) fn agree(ours: Role, check: RoleCheck, theirs: &[Capability]) -> Result<Option<Role>, Mismatch> {
    let mut told: Vec<Role> = theirs.all().iter().filter_map(role_of).collect();
    told.dedup(); // the same one twice counts as one
    match told.as_slice() {
        [] if check == RoleCheck::Lenient => Ok(None),
        [one] if counterpart(ours) == Some(*one) => Ok(Some(*one)),
        _ => Err(Mismatch { ours, theirs: told }),
    }
}

fn role_of(capability: &Capability) -> Option<Role> {
    if let Capability::Role(role) = capability { Some(*role) } else { None }
}

/// What this node is to an external peer, where that is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Ours.
    pub role: Role,
    pub peer_as: Asn,
}

impl Relation {
    /// Why a route of the peer is a leak (RFC 9234 §5, ingress rules 1 and 2).
    pub(crate) fn refuses(&self, attributes: &Attributes) -> Option<Refusal> {
        if !attributes.has_only_to_customer() {
            return None;
        }
        match self.role {
            Role::Provider | Role::RouteServer => Some(Refusal::LeakedByCustomer),
            Role::Peer if attributes.only_to_customer() != Some(self.peer_as) => Some(Refusal::LeakedByPeer),
            _ => None,
        }
    }

    /// The AS for which OTC is to be added to a route of the peer (RFC 9234 §5, ingress rule 3).
    pub(crate) fn marks(&self, attributes: &Attributes) -> Option<Asn> {
        let from_above = matches!(self.role, Role::Customer | Role::Peer | Role::RouteServerClient);
        (from_above && !attributes.has_only_to_customer()).then_some(self.peer_as)
    }
}

/// Whether a route may be told to a peer to which we are this (RFC 9234 §5, egress rule 2).
pub(crate) fn may_tell(role: Option<Role>, attributes: &Attributes) -> bool {
    let upwards = matches!(role, Some(Role::Customer | Role::Peer | Role::RouteServerClient));
    !(upwards && attributes.has_only_to_customer())
}

/// Adds OTC to what is told to a peer to which we are this (RFC 9234 §5, egress rule 1).
pub(crate) fn mark_outgoing(role: Option<Role>, local_as: Asn, learned: &Attributes, draft: &mut Draft) {
    let downwards = matches!(role, Some(Role::Provider | Role::Peer | Role::RouteServer));
    if downwards && !learned.has_only_to_customer() {
        draft.set_only_to_customer(local_as);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Role; 5] = [Role::Provider, Role::RouteServer, Role::RouteServerClient, Role::Customer, Role::Peer];

    fn says(roles: &[Role]) -> Vec<Capability> {
        roles.iter().map(|role| Capability::Role(*role)).collect()
    }

    #[test]
    fn rfc9234_4_2_of_all_pairs_of_roles_five_fit() {
        let fits = |ours, theirs: &Role| agree(ours, RoleCheck::Lenient, &says(&[*theirs])).is_ok();
        let pairs = ALL.iter().flat_map(|ours| ALL.iter().filter(|theirs| fits(*ours, theirs)).map(|t| (*ours, *t)));
        assert_eq!(
            pairs.collect::<Vec<_>>(),
            [
                (Role::Provider, Role::Customer),
                (Role::RouteServer, Role::RouteServerClient),
                (Role::RouteServerClient, Role::RouteServer),
                (Role::Customer, Role::Provider),
                (Role::Peer, Role::Peer),
            ]
        );
    }

    #[test]
    fn rfc9234_4_2_the_same_role_twice_is_one_and_two_roles_are_a_mismatch() {
        let agree = |theirs: &[Role]| agree(Role::Customer, RoleCheck::Strict, &says(theirs));
        assert_eq!(agree(&[Role::Provider, Role::Provider]), Ok(Some(Role::Provider)));
        assert!(agree(&[Role::Provider, Role::Peer]).is_err());
        assert!(agree(&[Role::Unknown(9)]).is_err());
    }

    #[test]
    fn rfc9234_4_2_a_peer_without_a_role_is_refused_only_where_that_is_wished() {
        assert_eq!(agree(Role::Peer, RoleCheck::Lenient, &[]), Ok(None));
        assert_eq!(agree(Role::Peer, RoleCheck::Strict, &[]), Err(Mismatch { ours: Role::Peer, theirs: vec![] }));
    }
}
