//! One block: giving ordinals, handing them over, taking them back. As Calico counts, so do we.

use std::collections::BTreeMap;

use model::object::{AllocationAttribute, IpamBlockSpec};

/// Who is to hold an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// `handle_id`.
    pub handle: String,
    /// `secondary`: `node`, `namespace`, `pod`, `type`, `timestamp`.
    pub secondary: BTreeMap<String, String>,
}

impl Holding {
    /// Whether this is what an attribute says.
    pub fn is(&self, attribute: &AllocationAttribute) -> bool {
        attribute.handle_id.as_ref() == Some(&self.handle) && attribute.secondary == self.secondary
    }

    fn attribute(&self) -> AllocationAttribute {
        AllocationAttribute {
            handle_id: Some(self.handle.clone()),
            secondary: self.secondary.clone(),
            ..AllocationAttribute::default()
        }
    }
}

/// Gives an ordinal to a holder, whoever had it before. It carries the number that the block has now, so that whoever has
/// seen an earlier holder can tell.
pub fn give(block: &mut IpamBlockSpec, ordinal: usize, to: &Holding) {
    let Some(before) = block.allocations.get(ordinal).copied() else { return };
    let at = block.attributes.iter().position(|attribute| attribute.rest.is_empty() && to.is(attribute));
    let at = at.unwrap_or_else(|| {
        block.attributes.push(to.attribute());
        block.attributes.len() - 1
    });
    if let Some(slot) = block.allocations.get_mut(ordinal) {
        *slot = Some(at);
    }
    block.unallocated.retain(|&free| free != ordinal);
    block.sequence_number_for_allocation.insert(ordinal.to_string(), block.sequence_number);
    forget_unused(block, before);
}

/// Takes an ordinal back: it is the last to be given again.
pub fn release(block: &mut IpamBlockSpec, ordinal: usize) {
    let Some(slot) = block.allocations.get_mut(ordinal) else { return };
    let Some(before) = slot.take() else { return };
    block.unallocated.push(ordinal);
    block.sequence_number_for_allocation.remove(&ordinal.to_string());
    forget_unused(block, Some(before));
}

/// Removes an attribute that no ordinal names any more; those behind it move up.
fn forget_unused(block: &mut IpamBlockSpec, at: Option<usize>) {
    let Some(at) = at else { return };
    if at >= block.attributes.len() || block.allocations.contains(&Some(at)) {
        return;
    }
    block.attributes.remove(at);
    for index in block.allocations.iter_mut().flatten().filter(|index| **index > at) {
        *index -= 1;
    }
}

/// Why an address was not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// Nobody holds it.
    #[error("nobody holds it")]
    Free,
    /// It was given again since.
    #[error("it was given again meanwhile: number {now}, not {then}")]
    GivenAgain {
        /// The number that was seen.
        then: u64,
        /// The number it has.
        now: u64,
    },
}

/// Takes an ordinal back as it was seen: given with this number, and not given again since.
pub fn release_as_seen(block: &mut IpamBlockSpec, ordinal: usize, given_at: u64) -> Result<(), NotReleased> {
    if block.holder(ordinal).is_none() {
        return Err(NotReleased::Free);
    }
    match block.given_at(ordinal) {
        now if now != given_at => Err(NotReleased::GivenAgain { then: given_at, now }),
        _ => {
            release(block, ordinal);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(handle: &str) -> Holding {
        Holding { handle: handle.into(), secondary: BTreeMap::from([("node".to_string(), "n1".to_string())]) }
    }
    fn block() -> IpamBlockSpec {
        IpamBlockSpec::empty("10.0.0.0/30".parse().unwrap(), "host:n1".into(), 100)
    }

    #[test]
    fn attributes_are_shared_while_used_and_forgotten_after() {
        let mut it = block();
        give(&mut it, 0, &holding("a"));
        give(&mut it, 2, &holding("b"));
        give(&mut it, 3, &holding("b"));
        assert_eq!((it.allocations.clone(), it.attributes.len()), (vec![Some(0), None, Some(1), Some(1)], 2));
        release(&mut it, 0);
        assert_eq!((it.allocations.clone(), it.attributes.len()), (vec![None, None, Some(0), Some(0)], 1));
        assert_eq!(it.unallocated, [1, 0], "the one that is free the longest comes first");
        give(&mut it, 2, &holding("c"));
        assert_eq!(it.holder(2).and_then(|a| a.handle_id.as_deref()), Some("c"));
        assert_eq!(it.holder(3).and_then(|a| a.handle_id.as_deref()), Some("b"));
    }

    #[test]
    fn an_address_that_was_given_again_is_not_taken_from_its_new_holder() {
        let mut it = block();
        give(&mut it, 1, &holding("a"));
        let seen = it.given_at(1);
        it.sequence_number += 1;
        release(&mut it, 1);
        assert_eq!(release_as_seen(&mut it, 1, seen), Err(NotReleased::Free));
        give(&mut it, 1, &holding("b"));
        assert_eq!(release_as_seen(&mut it, 1, seen), Err(NotReleased::GivenAgain { then: 100, now: 101 }));
        assert_eq!(release_as_seen(&mut it, 1, 101), Ok(()));
        assert_eq!(it, IpamBlockSpec { unallocated: vec![0, 2, 3, 1], sequence_number: 101, ..block() });
    }
}
