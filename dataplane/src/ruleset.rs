//! Our nftables table as a value: made from what is wanted, or read back from the kernel, and compared.
//!
//! Both ways lead to the same form, so that a restart finds its own work right and touches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use model::{Family, Prefix};

use crate::want::{Nat, Strays};

/// `table inet margay`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Sets of addresses by name.
    pub sets: BTreeMap<String, Set>,
    /// Chains by name.
    pub chains: BTreeMap<String, Chain>,
}

/// A set of address ranges (`flags interval`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Whose addresses.
    pub family: Family,
    /// Ascending, apart from each other.
    pub ranges: Vec<Range>,
}

/// First and last address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first that is in it.
    pub first: IpAddr,
    /// The last that is in it.
    pub last: IpAddr,
}

/// A base chain and its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Where it hooks in; none for a chain that is jumped to.
    pub hook: Option<Hook>,
    /// In order.
    pub rules: Vec<Vec<Expression>>,
}

/// Where a base chain hooks in. Its policy is to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// `type`, such as `nat`.
    pub kind: String,
    /// `NF_INET_…`.
    pub number: u32,
    /// Lower is earlier.
    pub priority: i32,
    /// `NF_DROP` 0 or `NF_ACCEPT` 1.
    pub policy: u32,
}

/// One expression of a rule, of those that we use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads the packet's protocol family (`meta nfproto`).
    LoadFamily,
    /// Goes on if what was loaded equals this.
    Equals(Vec<u8>),
    /// Loads octets of the network header.
    LoadNetworkHeader {
        /// Of the first octet.
        offset: u32,
        /// Number of octets.
        length: u32,
    },
    /// Goes on if what was loaded is in a set of this table.
    In(String),
    /// Goes on if what was loaded is in none of the set's ranges.
    NotIn(String),
    /// Gives the packet the address of the interface it leaves by, and a random port.
    Masquerade {
        /// `NF_NAT_RANGE_…`.
        flags: u32,
    },
    /// Ends the packet in silence.
    Drop,
    /// Ends the packet and tells its sender: ICMP of either family with this code of nftables' (`NFT_REJECT_ICMPX_…`).
    Reject {
        /// Which.
        code: u8,
    },
    /// Something that we never write, by its name.
    Other(String),
}

/// `NFPROTO_IPV4`, as `meta nfproto` loads it.
const NFPROTO_IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
const NFPROTO_IPV6: u8 = 10;
/// `NF_INET_FORWARD`.
const FORWARD: u32 = 2;
/// After kube-proxy's own chains, which refuse what it knows and cannot serve (at -110 and 0).
const AFTER_FILTER: i32 = 10;
/// `NF_INET_POST_ROUTING`.
const POSTROUTING: u32 = 4;
/// After `srcnat` (100), where kube-proxy translates what it has marked, and where the order would be chance.
const AFTER_SRCNAT: i32 = 110;
/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`: two connections that begin at once don't race for one port.
const FULLY_RANDOM: u32 = 1 << 4;
/// `NFT_REJECT_ICMPX_ADMIN_PROHIBITED`.
const ADMIN_PROHIBITED: u8 = 3;

impl Ruleset {
    /// The table that treats packets as wanted; none when there is nothing to do.
    pub fn treating(nat: &Nat) -> Option<Ruleset> {
        let mut ruleset = Ruleset::default();
        let (mut forward, mut postrouting) = (Vec::new(), Vec::new());
        for family in Family::ALL {
            let (from, services) = (ranges(family, &nat.masquerade), ranges(family, &nat.services));
            if from.is_empty() && services.is_empty() {
                continue;
            }
            let digit = if family == Family::Ipv4 { 4 } else { 6 };
            let inside = format!("inside{digit}");
            if !from.is_empty() {
                let masquerade = format!("masquerade{digit}");
                let mut rule = of_family(family);
                rule.extend(header(family, SOURCE, Expression::In(masquerade.clone())));
                rule.extend(header(family, DESTINATION, Expression::NotIn(inside.clone())));
                rule.push(Expression::Masquerade { flags: FULLY_RANDOM });
                postrouting.push(rule);
                ruleset.sets.insert(masquerade, Set { family, ranges: from });
            }
            if !services.is_empty() {
                let name = format!("services{digit}");
                let mut rule = of_family(family);
                rule.extend(header(family, DESTINATION, Expression::In(name.clone())));
                rule.extend(header(family, DESTINATION, Expression::NotIn(inside.clone())));
                rule.push(match nat.strays {
                    Strays::Drop => Expression::Drop,
                    Strays::Reject => Expression::Reject { code: ADMIN_PROHIBITED },
                });
                forward.push(rule);
                ruleset.sets.insert(name, Set { family, ranges: services });
            }
            ruleset.sets.insert(inside, Set { family, ranges: ranges(family, &nat.inside) });
        }
        let mut chain = |name: &str, kind: &str, number, priority, rules: Vec<Vec<Expression>>| {
            if !rules.is_empty() {
                let hook = Hook { kind: kind.into(), number, priority, policy: ACCEPT };
                ruleset.chains.insert(name.into(), Chain { hook: Some(hook), rules });
            }
        };
        chain("forward", "filter", FORWARD, AFTER_FILTER, forward);
        chain("postrouting", "nat", POSTROUTING, AFTER_SRCNAT, postrouting);
        (!ruleset.sets.is_empty()).then_some(ruleset)
    }

    /// In what it differs from another, for a log: the first difference.
    pub fn difference(&self, other: &Ruleset) -> Option<String> {
        let name = |name: &String| name.clone();
        let sets = self.sets.keys().chain(other.sets.keys());
        if let Some(set) = sets.map(name).find(|name| self.sets.get(name) != other.sets.get(name)) {
            return Some(format!("set {set}"));
        }
        let chains = self.chains.keys().chain(other.chains.keys());
        let chain = chains.map(name).find(|name| self.chains.get(name) != other.chains.get(name))?;
        Some(format!("chain {chain}"))
    }
}

/// Which address of a network header, by family: its offset in IPv4 and in IPv6.
type Address = (u32, u32);
const SOURCE: Address = (12, 8);
const DESTINATION: Address = (16, 24);

/// Goes on with packets of a family.
fn of_family(family: Family) -> Vec<Expression> {
    let number = match family {
        Family::Ipv4 => NFPROTO_IPV4,
        Family::Ipv6 => NFPROTO_IPV6,
    };
    vec![Expression::LoadFamily, Expression::Equals(vec![number])]
}

/// Goes on if an address is as the test says.
fn header(family: Family, address: Address, test: Expression) -> [Expression; 2] {
    let (offset, length) = match family {
        Family::Ipv4 => (address.0, 4),
        Family::Ipv6 => (address.1, 16),
    };
    [Expression::LoadNetworkHeader { offset, length }, test]
}

/// The prefixes of a family as ranges that neither overlap nor touch, which the kernel would refuse or list otherwise.
fn ranges(family: Family, prefixes: &BTreeSet<Prefix>) -> Vec<Range> {
    let mut all: Vec<Range> = prefixes
        .iter()
        .filter(|prefix| prefix.family() == family)
        .map(|prefix| Range { first: prefix.address(), last: prefix.last() })
        .collect();
    all.sort();
    let mut merged: Vec<Range> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(before) if successor(before.last).is_none_or(|next| range.first <= next) => {
                before.last = before.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The next address, unless this is the last of all.
pub(crate) fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => a.to_bits().checked_add(1).map(|bits| std::net::Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(a) => a.to_bits().checked_add(1).map(|bits| std::net::Ipv6Addr::from_bits(bits).into()),
    }
}

/// The address before, unless this is the first of all.
pub(crate) fn predecessor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => a.to_bits().checked_sub(1).map(|bits| std::net::Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(a) => a.to_bits().checked_sub(1).map(|bits| std::net::Ipv6Addr::from_bits(bits).into()),
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Much as `nft list table` prints it.
impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {} {{", model::kernel::NFT_TABLE)?;
        for (name, set) in &self.sets {
            let ranges: Vec<String> = set.ranges.iter().map(Range::to_string).collect();
            writeln!(f, "  set {name} {{ type {}_addr; {} }}", set.family, ranges.join(", "))?;
        }
        for (name, chain) in &self.chains {
            writeln!(f, "  chain {name} {{")?;
            if let Some(Hook { kind, number, priority, .. }) = &chain.hook {
                writeln!(f, "    type {kind} hook {number} priority {priority}")?;
            }
            for rule in &chain.rules {
                let texts: Vec<String> = rule.iter().map(Expression::to_string).collect();
                writeln!(f, "    {}", texts.join(" "))?;
            }
            writeln!(f, "  }}")?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::LoadFamily => f.write_str("meta nfproto"),
            Expression::Equals(value) => write!(f, "== {value:?}"),
            Expression::LoadNetworkHeader { offset, length } => write!(f, "@nh,{},{}", offset * 8, length * 8),
            Expression::In(set) => write!(f, "@{set}"),
            Expression::NotIn(set) => write!(f, "!= @{set}"),
            Expression::Masquerade { .. } => f.write_str("masquerade fully-random"),
            Expression::Drop => f.write_str("drop"),
            Expression::Reject { code } => write!(f, "reject with icmpx {code}"),
            Expression::Other(name) => write!(f, "({name})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> BTreeSet<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn shown(family: Family, texts: &[&str]) -> Vec<String> {
        ranges(family, &prefixes(texts)).iter().map(Range::to_string).collect()
    }

    #[test]
    fn overlapping_and_touching_prefixes_are_one_range() {
        assert_eq!(
            shown(Family::Ipv4, &["10.1.0.0/16", "10.1.5.0/24", "10.2.0.0/16", "10.4.0.0/16", "2001:db8::/32"]),
            ["10.1.0.0-10.2.255.255", "10.4.0.0-10.4.255.255"]
        );
        assert_eq!(shown(Family::Ipv4, &["0.0.0.0/0", "255.255.255.255/32"]), ["0.0.0.0-255.255.255.255"]);
        assert_eq!(shown(Family::Ipv6, &["2001:db8:1::/48", "2001:db8::/48"]).len(), 1);
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
            ruleset.chains["forward"].rules[0].iter().map(Expression::to_string).collect::<Vec<_>>().join(" "),
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
