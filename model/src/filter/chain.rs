//! The filters of a peer, one after the other: the first rule that matches decides.

use std::sync::Arc;

use super::{Action, Direction, List, Operation, Route, Rule};
use crate::Family;
use crate::object::BgpFilter;

/// All filters of a peer, in order. Cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filters {
    export_v4: Arc<Chain>,
    import_v4: Arc<Chain>,
    export_v6: Arc<Chain>,
    import_v6: Arc<Chain>,
}

/// The rules of a peer's filters in one [`List`], in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    list: List,
    filters: Vec<Named>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: String,
    /// None where there is no such filter.
    rules: Option<Vec<Rule>>,
}

/// What came of a route, and by which rule. Numbers count from 0, in the chain that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// No rule matches: the default policy decides.
    NoMatch,
    /// A rule decides.
    Rule {
        /// What it says.
        action: Action,
        /// Which of the filters.
        filter: u32,
        /// Which of its rules.
        rule: u32,
    },
    /// A filter does not exist: nothing passes.
    Missing {
        /// Which of the filters.
        filter: u32,
    },
}

impl Decision {
    /// Whether it lets the route pass; nothing where it leaves that to the default policy.
    pub const fn passes(self) -> Option<bool> {
        match self {
            Decision::NoMatch => None,
            Decision::Rule { action: Action::Accept, .. } => Some(true),
            Decision::Rule { action: Action::Reject, .. } | Decision::Missing { .. } => Some(false),
        }
    }
}

impl Default for Filters {
    fn default() -> Filters {
        Filters::new(std::iter::empty())
    }
}

impl Filters {
    /// Filters by name, in order; without an object where there is none of that name.
    pub fn new<'a>(filters: impl Iterator<Item = (&'a str, Option<&'a BgpFilter>)> + Clone) -> Filters {
        let chain = |list: List| {
            let named = filters
                .clone()
                .map(|(name, filter)| Named { name: name.into(), rules: filter.map(|f| f.rules(list).to_vec()) });
            Arc::new(Chain { list, filters: named.collect() })
        };
        Filters {
            export_v4: chain(List::ExportV4),
            import_v4: chain(List::ImportV4),
            export_v6: chain(List::ExportV6),
            import_v6: chain(List::ImportV6),
        }
    }

    /// The rules for routes of a family that go this way.
    pub fn chain(&self, direction: Direction, family: Family) -> &Arc<Chain> {
        match List::of(direction, family) {
            List::ExportV4 => &self.export_v4,
            List::ImportV4 => &self.import_v4,
            List::ExportV6 => &self.export_v6,
            List::ImportV6 => &self.import_v6,
        }
    }

    /// The names of the filters, in order, and how many rules each has; nothing of one that does not exist.
    pub fn names(&self) -> impl Iterator<Item = (&str, Option<usize>)> {
        let chains = [&self.export_v4, &self.import_v4, &self.export_v6, &self.import_v6];
        let rules = move |number: usize| {
            chains.iter().map(|chain| chain.filters.get(number)?.rules.as_ref().map(Vec::len)).sum::<Option<usize>>()
        };
        self.export_v4.filters.iter().enumerate().map(move |(number, filter)| (filter.name.as_str(), rules(number)))
    }

    /// Whether a rule asks for the interface of a route.
    pub fn ask_for_interfaces(&self) -> bool {
        let chains = [&self.export_v4, &self.import_v4, &self.export_v6, &self.import_v6];
        chains.into_iter().any(|chain| chain.rules().any(|rule| rule.interface.is_some()))
    }
}

impl Chain {
    /// Whether there is no filter at all.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether a rule does something to the routes it accepts.
    pub fn changes_routes(&self) -> bool {
        self.rules().any(|rule| !rule.operations.is_empty())
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.filters.iter().flat_map(|filter| filter.rules.iter().flatten())
    }

    /// Whether it says the same of every route: filters without a rule for it make no difference.
    pub fn judges_like(&self, other: &Chain) -> bool {
        let speaks = |filter: &&Named| filter.rules.as_ref().is_none_or(|rules| !rules.is_empty());
        self.list == other.list && self.filters.iter().filter(speaks).eq(other.filters.iter().filter(speaks))
    }

    /// What the filters say of a route.
    pub fn judge(&self, route: &Route<'_>) -> Decision {
        if let Some(missing) = self.filters.iter().position(|filter| filter.rules.is_none()) {
            return Decision::Missing { filter: missing as u32 };
        }
        for (number, filter) in self.filters.iter().enumerate() {
            let mut rules = filter.rules.iter().flatten().enumerate();
            if let Some((place, rule)) = rules.find(|(_, rule)| rule.matches(route)) {
                return Decision::Rule { action: rule.action, filter: number as u32, rule: place as u32 };
            }
        }
        Decision::NoMatch
    }

    /// The filter and the rule behind a decision of this chain's.
    fn decided(&self, decision: Decision) -> Option<(&Named, Option<(usize, &Rule)>)> {
        match decision {
            Decision::NoMatch => None,
            Decision::Missing { filter } => Some((self.filters.get(filter as usize)?, None)),
            Decision::Rule { filter, rule, .. } => {
                let filter = self.filters.get(filter as usize)?;
                let found = filter.rules.as_ref().and_then(|rules| rules.get(rule as usize));
                Some((filter, found.map(|found| (rule as usize, found))))
            }
        }
    }

    /// What the rule that decided does to the route.
    pub fn operations(&self, decision: Decision) -> &[Operation] {
        match self.decided(decision) {
            Some((_, Some((_, rule)))) if rule.action == Action::Accept => &rule.operations,
            _ => &[],
        }
    }

    /// The decision for a person: `rule 2 of importV4 in BGPFilter/tor`. Rules count from 1.
    pub fn words(&self, decision: Decision) -> String {
        match self.decided(decision) {
            None => "no rule matches".into(),
            Some((filter, None)) => {
                format!("BGPFilter/{}, which does not exist: nothing passes until it does", filter.name)
            }
            Some((filter, Some((number, _)))) => {
                format!("rule {} of {} in BGPFilter/{}", number + 1, self.list, filter.name)
            }
        }
    }

    /// Name of the filter that decided, and number of its rule from 1.
    pub fn name_of(&self, decision: Decision) -> Option<(&str, Option<usize>)> {
        let (filter, rule) = self.decided(decision)?;
        Some((&filter.name, rule.map(|(number, _)| number + 1)))
    }
}
