//! Whose turn it is to say what every node would say the same: the nodes in an order of their own for each subject.

use std::time::Duration;

use crate::world::World;

/// How long each node leaves the word to the one before it.
const STEP: Duration = Duration::from_secs(1);
/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long this node waits before it says something about a subject: one step for each node whose turn is before.
///
/// The first speaks at once; who is next finds it said, or says it should the first be away. So a cluster of a thousand
/// nodes makes one request a second about an object that is wrong, not a thousand at a time.
pub fn turn(world: &World, subject: &str) -> Duration {
    let own = order(world.node.as_str(), subject);
    let others = world.objects.nodes().filter(|node| node.name != world.node);
    let before = others.filter(|node| order(node.name.as_str(), subject) < own).count();
    let steps = u32::try_from(before).unwrap_or(u32::MAX);
    STEP.checked_mul(steps).unwrap_or(LONGEST).min(LONGEST)
}

fn order(node: &str, subject: &str) -> (u64, String) {
    (hash([node, subject]), node.to_string())
}

/// FNV-1a of 64 bits with a last mixing: the same on every node and in every version, which std's hasher is not.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // 0xff is in no text: "ab", "c" and "a", "bc" differ.
        for byte in part.bytes().chain([0xff]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    state ^= state >> 33;
    state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^ (state >> 33)
}
