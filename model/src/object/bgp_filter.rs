//! `projectcalico.org/v3` BGPFilter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parse::{Envelope, Invalid, Warnings};
use super::{Community, Meta};
use crate::filter::{
    Action, Glob, List, MAX_PRIORITY, MatchOperator, MatchSource, Operation, PeerType, PrefixMatch, Rule,
};
use crate::{Asn, Prefix};

/// Which routes are taken from a peer and told to it. Calico `api/pkg/apis/projectcalico/v3/bgpfilter.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpFilter {
    /// `metadata`.
    pub meta: Meta,
    /// `exportV4`.
    pub export_v4: Vec<Rule>,
    /// `importV4`.
    pub import_v4: Vec<Rule>,
    /// `exportV6`.
    pub export_v6: Vec<Rule>,
    /// `importV6`.
    pub import_v6: Vec<Rule>,
}

impl BgpFilter {
    /// The rules of one list, in order.
    pub fn rules(&self, list: List) -> &[Rule] {
        match list {
            List::ExportV4 => &self.export_v4,
            List::ImportV4 => &self.import_v4,
            List::ExportV6 => &self.export_v6,
            List::ImportV6 => &self.import_v6,
        }
    }
}

/// The most rules in one list.
pub(super) const RULES: usize = 10_000;
/// The most operations of one rule, and AS numbers of one operation (Calico's bounds).
pub(super) const OPERATIONS: usize = 10;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BgpFilterSpec {
    /// What the peer is told of IPv4 routes: the first rule that matches decides.
    export_v4: Option<Vec<RuleWire>>,
    /// What is taken of its IPv4 routes.
    import_v4: Option<Vec<RuleWire>>,
    /// What the peer is told of IPv6 routes.
    export_v6: Option<Vec<RuleWire>>,
    /// What is taken of its IPv6 routes.
    import_v6: Option<Vec<RuleWire>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleWire {
    /// Accept or Reject.
    #[schemars(extend("enum" = ["Accept", "Reject"]))]
    action: String,
    /// Only routes whose prefix lies to this one as matchOperator says.
    cidr: Option<String>,
    /// Equal, NotEqual, In or NotIn cidr.
    #[schemars(extend("enum" = ["Equal", "NotEqual", "In", "NotIn"]))]
    match_operator: Option<String>,
    /// Only lengths between these; by default from cidr's own to the longest.
    prefix_length: Option<PrefixLength>,
    /// RemotePeers: only routes that were learnt from a peer.
    #[schemars(extend("enum" = ["RemotePeers"]))]
    source: Option<String>,
    /// Only routes that go out by an interface of this name, where * stands for any letters.
    interface: Option<String>,
    /// Only with peers of this type.
    #[schemars(extend("enum" = ["eBGP", "iBGP"]))]
    peer_type: Option<String>,
    /// Only routes that carry this community.
    communities: Option<Communities>,
    /// Only routes whose AS path begins with these.
    #[serde(default)]
    as_path_prefix: Vec<Asn>,
    /// Only routes of this priority.
    #[schemars(range(min = 1, max = MAX_PRIORITY))]
    priority: Option<u32>,
    /// What is done to a route that is accepted, in this order.
    #[serde(default)]
    operations: Vec<OperationWire>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PrefixLength {
    /// The shortest.
    min: Option<u8>,
    /// The longest.
    max: Option<u8>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Communities {
    /// Exactly one community, aa:nn or aa:nn:mm.
    values: Vec<Community>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OperationWire {
    /// Adds a community.
    add_community: Option<AddCommunity>,
    /// Puts AS numbers before the AS path.
    #[serde(rename = "prependASPath")]
    prepend_as_path: Option<PrependAsPath>,
    /// Sets the priority.
    set_priority: Option<SetPriority>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddCommunity {
    /// The community.
    value: Community,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PrependAsPath {
    /// The AS numbers, 1 to 10.
    #[schemars(length(min = 1, max = 10))]
    prefix: Vec<Asn>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetPriority {
    /// The priority.
    #[schemars(range(min = 1, max = MAX_PRIORITY))]
    value: u32,
}

impl Envelope<BgpFilterSpec> {
    pub(super) fn check(self, _warnings: &mut Warnings) -> Result<BgpFilter, Invalid> {
        let spec = self.spec;
        Ok(BgpFilter {
            meta: self.metadata,
            export_v4: rules(List::ExportV4, spec.export_v4)?,
            import_v4: rules(List::ImportV4, spec.import_v4)?,
            export_v6: rules(List::ExportV6, spec.export_v6)?,
            import_v6: rules(List::ImportV6, spec.import_v6)?,
        })
    }
}

fn rules(list: List, given: Option<Vec<RuleWire>>) -> Result<Vec<Rule>, Invalid> {
    let given = given.unwrap_or_default();
    if given.len() > RULES {
        return Err(Invalid::field(format!("spec.{list}"), format!("has more than {RULES} rules")));
    }
    given.into_iter().enumerate().map(|(number, rule)| rule.check(list, &format!("spec.{list}[{number}]"))).collect()
}

impl RuleWire {
    fn check(self, list: List, place: &str) -> Result<Rule, Invalid> {
        let prefix = self.prefix(list, place)?;
        let wrong = |field: &str, message: String| Invalid::field(format!("{place}.{field}"), message);
        let action = one_of("action", &self.action, &[("Accept", Action::Accept), ("Reject", Action::Reject)]);
        let action = action.map_err(|(field, message)| wrong(field, message))?;
        let source = choice("source", &self.source, &[("RemotePeers", MatchSource::RemotePeers)]);
        let peer_type = choice("peerType", &self.peer_type, &PeerType::NAMES);
        let interface: Option<Glob> = non_empty(&self.interface)
            .map(|text| text.parse().map_err(|e| wrong("interface", format!("{e}"))))
            .transpose()?;
        let values = self.communities.map(|c| c.values);
        if values.as_ref().is_some_and(|values| values.len() != 1) {
            return Err(wrong("communities.values", "must hold exactly one community".into()));
        }
        if self.priority.is_some_and(|priority| !(1..=MAX_PRIORITY).contains(&priority)) {
            return Err(wrong("priority", format!("must be 1 to {MAX_PRIORITY}")));
        }
        if action == Action::Reject && !self.operations.is_empty() {
            return Err(wrong("operations", "excludes action Reject".into()));
        }
        if self.operations.len() > OPERATIONS {
            return Err(wrong("operations", format!("must be at most {OPERATIONS}")));
        }
        let operations = self.operations.into_iter().enumerate();
        let operations = operations.map(|(number, one)| one.check(&format!("{place}.operations[{number}]")));
        Ok(Rule {
            action,
            prefix,
            source: source.map_err(|(field, message)| wrong(field, message))?,
            interface,
            peer_type: peer_type.map_err(|(field, message)| wrong(field, message))?,
            community: values.and_then(|values| values.into_iter().next()),
            as_path_prefix: self.as_path_prefix,
            priority: self.priority,
            operations: operations.collect::<Result<_, _>>()?,
        })
    }

    fn prefix(&self, list: List, place: &str) -> Result<Option<PrefixMatch>, Invalid> {
        let wrong = |field: &str, message: String| Invalid::field(format!("{place}.{field}"), message);
        let operators = [
            ("Equal", MatchOperator::Equal),
            ("NotEqual", MatchOperator::NotEqual),
            ("In", MatchOperator::In),
            ("NotIn", MatchOperator::NotIn),
        ];
        let operator = choice("matchOperator", &self.match_operator, &operators);
        let operator = operator.map_err(|(field, message)| wrong(field, message))?;
        let cidr: Option<Prefix> =
            non_empty(&self.cidr).map(|text| text.parse().map_err(|e| wrong("cidr", format!("{e}")))).transpose()?;
        let (cidr, operator) = match (cidr, operator) {
            (Some(cidr), Some(operator)) => (cidr, operator),
            (Some(_), None) => return Err(wrong("matchOperator", "is missing: cidr needs one".into())),
            (None, Some(_)) => return Err(wrong("cidr", "is missing: matchOperator needs one".into())),
            (None, None) if self.prefix_length.is_some() => {
                return Err(wrong("cidr", "is missing: prefixLength needs one".into()));
            }
            (None, None) => return Ok(None),
        };
        let bits = list.family().bits();
        if cidr.family() != list.family() {
            return Err(wrong("cidr", format!("{cidr} is not {}, as all of {list} is", list.family())));
        }
        let range = self.prefix_length.as_ref();
        let min = range.and_then(|range| range.min).unwrap_or(cidr.length());
        let max = range.and_then(|range| range.max).unwrap_or(bits);
        if max > bits || min > max {
            let message = format!("{min} to {max} is no range of lengths within 0 to {bits}");
            return Err(wrong("prefixLength", message));
        }
        Ok(Some(PrefixMatch { operator, cidr, min, max }))
    }
}

impl OperationWire {
    fn check(self, place: &str) -> Result<Operation, Invalid> {
        match (self.add_community, self.prepend_as_path, self.set_priority) {
            (Some(add), None, None) => Ok(Operation::AddCommunity(add.value)),
            (None, Some(path), None) if (1..=OPERATIONS).contains(&path.prefix.len()) => {
                Ok(Operation::PrependAsPath(path.prefix))
            }
            (None, Some(_), None) => {
                let message = format!("must hold 1 to {OPERATIONS} AS numbers");
                Err(Invalid::field(format!("{place}.prependASPath.prefix"), message))
            }
            (None, None, Some(set)) if (1..=MAX_PRIORITY).contains(&set.value) => Ok(Operation::SetPriority(set.value)),
            (None, None, Some(_)) => {
                Err(Invalid::field(format!("{place}.setPriority.value"), format!("must be 1 to {MAX_PRIORITY}")))
            }
            _ => Err(Invalid::field(place, "must be exactly one of addCommunity, prependASPath, setPriority")),
        }
    }
}

/// A text that is not empty: Calico's clients write empty ones for absent ones.
fn non_empty(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn choice<'a, T: Copy>(
    field: &'a str,
    text: &Option<String>,
    all: &[(&str, T)],
) -> Result<Option<T>, (&'a str, String)> {
    non_empty(text).map(|text| one_of(field, text, all)).transpose()
}

fn one_of<'a, T: Copy>(field: &'a str, text: &str, all: &[(&str, T)]) -> Result<T, (&'a str, String)> {
    let found = all.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        (field, format!("must be {}, not {text:?}", names.join(" or ")))
    })
}
