//! The rules beside policy: what pods send out is masqueraded, and packets to service addresses that nobody has end here.

use std::sync::Arc;

use model::Family;

use super::{Chain, End, FORWARD, Hook, POSTROUTING, Rule, Ruleset, Sense, Set, expr};
use crate::want::{Nat, Strays};

/// After kube-proxy's own chains, which refuse what it knows and cannot serve (at -110 and 0).
const AFTER_FILTER: i32 = 10;
/// After `srcnat` (100), where kube-proxy translates what it has marked, and where the order would be chance.
const AFTER_SRCNAT: i32 = 110;

impl Ruleset {
    /// The table that treats packets as wanted; none when there is nothing to do.
    pub fn treating(nat: &Nat) -> Option<Ruleset> {
        let mut ruleset = Ruleset::default();
        let (mut forward, mut postrouting) = (Vec::new(), Vec::new());
        for family in Family::ALL {
            let (from, services) = (Set::prefixes(family, &nat.masquerade), Set::prefixes(family, &nat.services));
            if from.elements.is_empty() && services.elements.is_empty() {
                continue;
            }
            let digit = if family == Family::Ipv4 { 4 } else { 6 };
            let inside = format!("inside{digit}");
            let outward = || expr::address_in(family, End::Destination, &inside, Sense::IsNot);
            if !from.elements.is_empty() {
                let name = format!("masquerade{digit}");
                postrouting.push(Rule::of([
                    expr::family(family),
                    expr::address_in(family, End::Source, &name, Sense::Is),
                    outward(),
                    expr::masquerade(),
                ]));
                ruleset.sets.insert(name, from);
            }
            if !services.elements.is_empty() {
                let name = format!("services{digit}");
                let end = match nat.strays {
                    Strays::Drop => expr::drop(),
                    Strays::Reject => expr::reject(),
                };
                forward.push(Rule::of([
                    expr::family(family),
                    expr::address_in(family, End::Destination, &name, Sense::Is),
                    outward(),
                    end,
                ]));
                ruleset.sets.insert(name, services);
            }
            ruleset.sets.insert(inside, Set::prefixes(family, &nat.inside));
        }
        let mut chain = |name: &str, hook, rules: Vec<Rule>| {
            if !rules.is_empty() {
                ruleset.chains.insert(name.into(), Arc::new(Chain::base(hook, rules)));
            }
        };
        chain("forward", Hook::filter(FORWARD, AFTER_FILTER), forward);
        chain("postrouting", Hook::nat(POSTROUTING, AFTER_SRCNAT), postrouting);
        (!ruleset.sets.is_empty()).then_some(ruleset)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::Prefix;

    use super::*;

    fn prefixes(texts: &[&str]) -> BTreeSet<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn without_a_pool_to_masquerade_there_is_no_table() {
        let inside = prefixes(&["10.1.0.0/16"]);
        assert_eq!(Ruleset::treating(&Nat { inside: inside.clone(), ..Nat::default() }), None);
        let ruleset = Ruleset::treating(&Nat { masquerade: inside.clone(), inside, ..Nat::default() }).unwrap();
        assert_eq!(ruleset.sets.keys().collect::<Vec<_>>(), ["inside4", "masquerade4"]);
        assert_eq!(
            ruleset.to_string(),
            "table inet margay {\n  \
               set inside4 { type ipv4_addr; 10.1.0.0-10.1.255.255 }\n  \
               set masquerade4 { type ipv4_addr; 10.1.0.0-10.1.255.255 }\n  \
               chain postrouting {\n    \
                 type nat hook 4 priority 110\n    \
                 meta nfproto == [2] @nh,96,32 @masquerade4 @nh,128,32 != @inside4 masquerade fully-random\n  \
               }\n}\n"
        );
    }

    #[test]
    fn packets_to_services_end_where_they_are_forwarded_unless_a_pod_has_the_address() {
        let nat = Nat {
            services: prefixes(&["10.96.0.0/16", "fd00:96::/112"]),
            inside: prefixes(&["10.1.0.0/16"]),
            strays: Strays::Reject,
            ..Nat::default()
        };
        let ruleset = Ruleset::treating(&nat).unwrap();
        assert_eq!(ruleset.sets.keys().collect::<Vec<_>>(), ["inside4", "inside6", "services4", "services6"]);
        assert_eq!(
            ruleset.chains["forward"].rules[0].to_string(),
            "meta nfproto == [2] @nh,128,32 @services4 @nh,128,32 != @inside4 reject with icmpx 3"
        );
        assert_eq!(ruleset.chains.keys().collect::<Vec<_>>(), ["forward"]);
    }

    #[test]
    fn the_first_difference_is_named() {
        let nat = |texts: &[&str]| {
            let inside = prefixes(texts);
            Ruleset::treating(&Nat { masquerade: prefixes(&["10.1.0.0/16"]), inside, ..Nat::default() }).unwrap()
        };
        let (one, two) = (nat(&["10.1.0.0/16"]), nat(&["10.0.0.0/15"]));
        assert_eq!(one.difference(&two), Some("set inside4".into()));
        let mut changed = one.clone();
        changed.chains.clear();
        assert_eq!(one.difference(&changed), Some("chain postrouting".into()));
        assert_eq!(one.difference(&one), None);
    }
}
