//! Arrows between crates point down only, and the brains' crates do not even depend on what does I/O.

use super::{Breach, House, Room};

/// Which of our crates each of our crates may name. The picture of docs/architecture.md, as a table.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("bgp", &["model"]),
    ("policy", &["model"]),
    ("ipam", &["model"]),
    ("dataplane", &["model"]),
    ("margay-agent", &["model", "bgp", "policy", "ipam", "dataplane"]),
    ("margay-cni", &["model", "dataplane"]),
    ("margayctl", &["model", "policy"]),
    ("e2e", &["model", "bgp", "policy", "ipam", "dataplane"]),
    ("cluster", &["model", "e2e"]),
    ("fuzz", &["model", "bgp", "policy"]),
    ("oracle-tests", &["model", "bgp"]),
    ("xtask", &["model"]),
];

/// Crates that are brain from wall to wall.
pub(super) const PURE: &[&str] = &["model", "bgp", "policy"];

/// Packages that do I/O, keep time or make randomness. `ipam` and `dataplane` have hands, but no runtime either: the
/// shim links `dataplane` and has to start in a fraction of a millisecond.
const WITH_A_RUNTIME: &[&str] = &["tokio", "async-std", "smol", "kube", "hyper", "axum", "rtnetlink"];
const WITH_HANDS: &[&str] =
    &["socket2", "libc", "nix", "rustix", "netlink-sys", "netlink-proto", "mio", "rand", "getrandom", "chrono", "time"];

pub(super) fn check(room: &Room, house: &House, breaches: &mut Vec<Breach>) {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room.name) else {
        breaches.push(Breach {
            place: format!("crate {}", room.name),
            wrong: "no arrow is drawn for this crate".into(),
            remedy: "give it a row in ARROWS (xtask/src/rules/arrows.rs) and a line in docs/architecture.md".into(),
        });
        return;
    };
    for dependency in &room.dependencies {
        let name = dependency.name.as_str();
        if house.has(name) && !allowed.contains(&name) {
            breaches.push(Breach {
                place: format!("crate {}", room.name),
                wrong: format!("depends on {name}: that arrow does not point down"),
                remedy: format!("{} may name {}; move the shared noun into model", room.name, either(allowed)),
            });
        }
        let pure = PURE.contains(&room.name.as_str());
        let no_runtime = pure || ["ipam", "dataplane", "margay-cni"].contains(&room.name.as_str());
        let unfit = (no_runtime && WITH_A_RUNTIME.contains(&name)) || (pure && WITH_HANDS.contains(&name));
        if unfit && !dependency.only_for_tests {
            breaches.push(Breach {
                place: format!("crate {}", room.name),
                wrong: format!("depends on {name}, which has hands"),
                remedy: "take time, bytes and randomness as arguments; the agent does the I/O".into(),
            });
        }
    }
}

fn either(names: &[&str]) -> String {
    if names.is_empty() { "none of our crates".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::Dependency;
    use super::*;

    fn room(name: &str, dependencies: &[(&str, bool)]) -> Room {
        let dependencies = dependencies
            .iter()
            .map(|(name, only_for_tests)| Dependency { name: (*name).into(), only_for_tests: *only_for_tests })
            .collect();
        Room { name: name.into(), dependencies, ..Room::default() }
    }

    fn breaches(name: &str, dependencies: &[(&str, bool)]) -> Vec<String> {
        let house = House { rooms: vec![room("model", &[]), room("bgp", &[]), room("dataplane", &[])] };
        let mut found = Vec::new();
        check(&room(name, dependencies), &house, &mut found);
        found.into_iter().map(|breach| breach.wrong).collect()
    }

    #[test]
    fn an_arrow_upwards_is_a_breach() {
        assert_eq!(breaches("model", &[("bgp", false)]), ["depends on bgp: that arrow does not point down"]);
        assert_eq!(breaches("margay-cni", &[("bgp", true)]), ["depends on bgp: that arrow does not point down"]);
    }

    #[test]
    fn an_arrow_downwards_is_fine() {
        assert!(breaches("bgp", &[("model", false), ("serde", false)]).is_empty());
        assert!(breaches("margay-cni", &[("dataplane", false)]).is_empty());
    }

    #[test]
    fn a_brain_may_not_depend_on_a_runtime_outside_its_tests() {
        assert_eq!(breaches("bgp", &[("tokio", false)]), ["depends on tokio, which has hands"]);
        assert!(breaches("bgp", &[("tokio", true)]).is_empty());
        assert_eq!(breaches("dataplane", &[("tokio", false), ("libc", false)]), ["depends on tokio, which has hands"]);
    }

    #[test]
    fn a_crate_without_a_row_is_a_breach() {
        assert_eq!(breaches("attic", &[]), ["no arrow is drawn for this crate"]);
    }
}
