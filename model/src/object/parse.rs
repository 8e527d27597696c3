//! From YAML text to objects, with errors that name file, object and field.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::*;

/// What was found in one text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// What each document holds, in order.
    pub documents: Vec<Document>,
}

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// An object that can be used.
    Object(Box<Found>),
    /// Something that can't; where its kind and name could be read, the object's last good version stays in force.
    Bad(Option<ObjectKey>, ObjectError),
}

/// An object that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it says.
    pub object: Object,
    /// As it was written; of Secrets, Services and EndpointSlices nothing.
    pub written: Value,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
}

/// Why an object can't be used. Prints as `FILE: KIND/NAME: FIELD: MESSAGE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
pub struct ObjectError {
    /// The file.
    pub file: String,
    /// `Kind/name`; empty where not even that could be read.
    pub object: String,
    /// Path of the field, such as `spec.asNumber`; empty where the whole is meant.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A field that is read but has no effect, or not the one expected. Prints as an error does.
pub type Warning = ObjectError;

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.file, &self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// A field and what is wrong with it.
pub(super) struct Invalid {
    pub(super) field: String,
    pub(super) message: String,
}
impl Invalid {
    pub(super) fn field(field: impl Into<String>, message: impl Into<String>) -> Invalid {
        Invalid { field: field.into(), message: message.into() }
    }
    /// The same, seen from further out.
    pub(super) fn within(self, outer: &str) -> Invalid {
        let field = if self.field.is_empty() { outer.to_string() } else { format!("{outer}.{}", self.field) };
        Invalid { field, ..self }
    }
}
impl From<(String, String)> for Invalid {
    fn from((field, message): (String, String)) -> Invalid {
        Invalid { field, message }
    }
}

/// Fields and what is odd about them.
#[derive(Default)]
pub(super) struct Warnings(Vec<(String, String)>);
impl Warnings {
    pub(super) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push((field.into(), message.into()));
    }
}

/// Reads all objects of a file's text ([`values`]). `file` names it in errors.
pub fn parse(file: &str, text: &str) -> Parsed {
    let documents = match values(text, TEXT_LIMIT) {
        Ok(values) => values.into_iter().map(|value| document(file, value)).collect(),
        Err(message) => {
            let error = ObjectError { file: file.to_string(), object: String::new(), field: String::new(), message };
            vec![Document::Bad(None, error)]
        }
    };
    Parsed { documents }
}

/// Reads one object as an API server has it. `origin` stands where errors name a file.
pub fn read_value(origin: &str, value: Value) -> Document {
    document(origin, value)
}

fn document(file: &str, value: Value) -> Document {
    let text = |path: &[&str]| {
        let found = path.iter().try_fold(&value, |v, key| v.get(key));
        found.and_then(Value::as_str).unwrap_or("").to_string()
    };
    let (api_version, kind_name) = (text(&["apiVersion"]), text(&["kind"]));
    let (namespace, name) = (text(&["metadata", "namespace"]), text(&["metadata", "name"]));
    let bad = |key: Option<ObjectKey>, invalid: Invalid| {
        let object = match &key {
            Some(key) => key.to_string(),
            None if kind_name.is_empty() && name.is_empty() => String::new(),
            None => format!("{kind_name}/{name}"),
        };
        let Invalid { field, message } = invalid;
        Document::Bad(key, ObjectError { file: file.to_string(), object, field, message })
    };
    let named = Kind::ALL.iter().filter(|(_, _, k)| *k == kind_name);
    let of_version = named.clone().find(|(_, version, _)| *version == api_version).map(|(kind, ..)| *kind);
    let Some(kind) = Kind::of_older_storage(&api_version, &kind_name).or(of_version) else {
        let versions: Vec<&str> = named.map(|(_, version, _)| *version).collect();
        return bad(
            None,
            match (kind_name.as_str(), versions.as_slice()) {
                ("", _) => Invalid::field("kind", "is missing"),
                (_, []) => Invalid::field("kind", format!("{kind_name} is not a kind that margay reads")),
                _ => Invalid::field("apiVersion", format!("must be {}, not {api_version:?}", versions.join(" or "))),
            },
        );
    };
    if name.is_empty() {
        let message = match value.pointer("/metadata/name") {
            Some(written @ (Value::Bool(_) | Value::Number(_))) => format!("must be text: {written} needs quotes"),
            _ => "is missing".to_string(),
        };
        return bad(None, Invalid::field("metadata.name", message));
    }
    let namespace = kind.namespace((!namespace.is_empty()).then_some(namespace));
    let key = ObjectKey { kind, namespace, name: name.clone() };
    let mut warnings = Warnings::default();
    // A Secret's is nobody's business, and there are too many endpoints to keep what is not used of them.
    let kept = !matches!(kind, Kind::Secret | Kind::Service | Kind::EndpointSlice);
    let written = if kept { value.clone() } else { Value::Null };
    match read(kind, value, &mut warnings) {
        Err(invalid) => bad(Some(key), invalid),
        Ok(object) => {
            let named = |(field, message)| Warning { file: file.to_string(), object: key.to_string(), field, message };
            let warnings = warnings.0.into_iter().map(named).collect();
            Document::Object(Box::new(Found { object, written, warnings }))
        }
    }
}

fn read(kind: Kind, mut value: Value, warnings: &mut Warnings) -> Result<Object, Invalid> {
    zero::leave_out(&mut value);
    Ok(match kind {
        Kind::Node => Object::Node(Node::try_from(typed::<node::NodeWire>(value)?)?),
        Kind::Pod => Object::Pod(typed::<pod::PodWire>(value)?.check(warnings)),
        Kind::Namespace => Object::Namespace(typed::<pod::NamespaceWire>(value)?.into()),
        Kind::Secret => Object::Secret(Secret::try_from(typed::<secret::SecretWire>(value)?)?),
        Kind::Service => Object::Service(Service::try_from(typed::<service::ServiceWire>(value)?)?),
        Kind::EndpointSlice => Object::EndpointSlice(typed::<endpoint_slice::EndpointSliceWire>(value)?.into()),
        Kind::BgpConfiguration => {
            Object::BgpConfiguration(calico::<bgp_configuration::BgpConfigurationSpec>(value)?.check(warnings)?)
        }
        Kind::BgpPeer => Object::BgpPeer(Box::new(calico::<bgp_peer::BgpPeerSpec>(value)?.check(warnings)?)),
        Kind::IpPool => Object::IpPool(calico::<ip_pool::IpPoolSpec>(value)?.check(warnings)?),
        Kind::BgpFilter => Object::BgpFilter(calico::<bgp_filter::BgpFilterSpec>(value)?.check(warnings)?),
        Kind::FelixConfiguration => Object::FelixConfiguration(Box::new(
            calico::<felix_configuration::FelixConfigurationSpec>(value)?.check(warnings)?,
        )),
        Kind::ClusterInformation => {
            Object::ClusterInformation(calico::<cluster_information::ClusterInformationSpec>(value)?.check(warnings)?)
        }
        Kind::CalicoNodeStatus => {
            Object::CalicoNodeStatus(calico::<calico_node_status::CalicoNodeStatusSpec>(value)?.check(warnings)?)
        }
        // A field that is not understood could be one that forbids something.
        Kind::NetworkPolicy => {
            Object::NetworkPolicy(Box::new(calico::<network_policy::NetworkPolicySpec>(value)?.check(warnings)?))
        }
        Kind::StagedKubernetesNetworkPolicy => {
            let (action, spec) = staged::<network_policy::NetworkPolicySpec>(value)?;
            Object::StagedKubernetesNetworkPolicy(Box::new(Staged { action, policy: spec.check(warnings)? }))
        }
        Kind::CalicoNetworkPolicy => Object::CalicoNetworkPolicy(Box::new(
            calico::<calico_policy::CalicoNetworkPolicySpec>(value)?.check(warnings)?,
        )),
        Kind::StagedNetworkPolicy => {
            let (action, spec) = staged::<calico_policy::CalicoNetworkPolicySpec>(value)?;
            Object::StagedNetworkPolicy(Box::new(Staged { action, policy: spec.check(warnings)? }))
        }
        Kind::GlobalNetworkPolicy => Object::GlobalNetworkPolicy(Box::new(
            calico::<calico_policy::GlobalNetworkPolicySpec>(value)?.check(warnings)?,
        )),
        Kind::StagedGlobalNetworkPolicy => {
            let (action, spec) = staged::<calico_policy::GlobalNetworkPolicySpec>(value)?;
            Object::StagedGlobalNetworkPolicy(Box::new(Staged { action, policy: spec.check(warnings)? }))
        }
        Kind::ClusterNetworkPolicy => Object::ClusterNetworkPolicy(Box::new(
            calico::<cluster_network_policy::ClusterNetworkPolicySpec>(value)?.check(warnings)?,
        )),
        Kind::Tier => Object::Tier(calico::<tier::TierSpec>(value)?.check()?),
        Kind::NetworkSet => Object::NetworkSet(calico::<network_set::NetworkSetSpec>(value)?.check(warnings)?),
        Kind::GlobalNetworkSet => {
            Object::GlobalNetworkSet(calico::<network_set::NetworkSetSpec>(value)?.check(warnings)?)
        }
        Kind::HostEndpoint => {
            Object::HostEndpoint(Box::new(calico::<host_endpoint::HostEndpointSpec>(value)?.check(warnings)?))
        }
        Kind::ServiceAccount => Object::ServiceAccount(typed::<service_account::ServiceAccountWire>(value)?.into()),
        Kind::IpReservation => Object::IpReservation(calico::<ip_reservation::IpReservationSpec>(value)?.check()?),
        Kind::IpamConfiguration => {
            Object::IpamConfiguration(calico::<ipam_configuration::IpamConfigurationSpec>(value)?.check(warnings)?)
        }
        Kind::IpamBlock => Object::IpamBlock(Box::new(wrapped::<IpamBlockSpec>(value)?.check()?)),
        Kind::BlockAffinity => Object::BlockAffinity(Box::new(wrapped::<BlockAffinitySpec>(value)?.check()?)),
        Kind::IpamHandle => Object::IpamHandle(Box::new(wrapped::<IpamHandleSpec>(value)?.check()?)),
    })
}

/// What an object is wrapped in whose every field is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<S> {
    #[serde(rename = "apiVersion")]
    _api_version: serde::de::IgnoredAny,
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    pub(super) metadata: Meta,
    pub(super) spec: S,
    #[serde(default, rename = "status")]
    _status: serde::de::IgnoredAny,
}

/// Types an object whose every field is read. A field of its `spec` that is null is not said.
fn calico<'de, S: Deserialize<'de>>(mut value: Value) -> Result<Envelope<S>, Invalid> {
    if let Some(spec) = value.get_mut("spec") {
        zero::leave_out_all(spec);
    }
    wrapped(value)
}

/// Types an object with a `spec`; one without it is one with an empty `spec`.
fn wrapped<'de, S: Deserialize<'de>>(mut value: Value) -> Result<Envelope<S>, Invalid> {
    if let Some(map) = value.as_object_mut() {
        map.entry("spec").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    typed(value)
}

/// Types a staged policy: the action, and the policy that it would be.
fn staged<'de, S: Deserialize<'de>>(mut value: Value) -> Result<(StagedAction, Envelope<S>), Invalid> {
    let action = staged::take_action(&mut value)?;
    Ok((action, calico(value)?))
}

/// Types a value; an error carries the path of the field it is about.
pub(super) fn typed<'de, T: Deserialize<'de>>(value: Value) -> Result<T, Invalid> {
    serde_path_to_error::deserialize(fields::Fields(value)).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        let field = if path == "." { String::new() } else { path };
        Invalid { field, message }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_error(text: &str) -> String {
        match parse("f.yaml", text).documents.pop() {
            Some(Document::Bad(_, error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
    fn only_object(text: &str) -> Object {
        match parse("f.yaml", text).documents.pop() {
            Some(Document::Object(found)) => found.object,
            other => panic!("{other:?}"),
        }
    }
    fn peer(spec: &str) -> String {
        format!("apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{name: rack1}}\nspec: {spec}")
    }
    fn pool(spec: &str) -> String {
        format!("apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{name: p}}\nspec: {spec}")
    }

    #[test]
    fn a_field_that_is_not_understood_is_an_error_that_names_file_object_and_field() {
        let error = only_error(&peer("{peerIP: 10.0.0.1, asNumber: 65000, colour: red}"));
        assert!(error.starts_with("f.yaml: BGPPeer/rack1: spec.colour: unknown field `colour`"), "{error}");
        let error = only_error(&peer("{peerIP: 10.0.0.1, asNumber: x}"));
        assert_eq!(error, "f.yaml: BGPPeer/rack1: spec.asNumber: \"x\" is not an AS number (1 to 4294967295, or x.y)");
        let error = only_error(&peer("{peerIP: 10.0.0.300, asNumber: 65000}"));
        assert!(error.starts_with("f.yaml: BGPPeer/rack1: spec.peerIP: \"10.0.0.300\" is not an address"), "{error}");
        let error = only_error(&pool("{cidr: 10.1.2.3/16}"));
        assert_eq!(error, "f.yaml: IPPool/p: spec.cidr: 10.1.2.3/16 has host bits set: did you mean 10.1.0.0/16?");
        let error = only_error(&peer("{peerIP: 10.0.0.1, asNumber: 1, nodeSelector: 'rack ='}"));
        assert!(error.starts_with("f.yaml: BGPPeer/rack1: spec.nodeSelector: selector \"rack =\""), "{error}");
    }

    #[test]
    fn fields_that_exclude_each_other_are_named() {
        for (spec, field) in [
            ("{}", "spec.peerIP"),
            ("{peerIP: 10.0.0.1}", "spec.asNumber"),
            ("{peerSelector: all(), asNumber: 1}", "spec.asNumber"),
            ("{peerIP: 10.0.0.1, asNumber: 1, peerSelector: all()}", "spec.peerSelector"),
            ("{peerIP: 10.0.0.1, asNumber: 1, node: a, nodeSelector: all()}", "spec.nodeSelector"),
            ("{peerIP: 10.0.0.1, asNumber: 1, holdTime: 2s}", "spec.holdTime"),
            ("{peerIP: 10.0.0.1, asNumber: 1, ttlSecurity: 0}", "spec.ttlSecurity"),
            ("{peerIP: 10.0.0.1, asNumber: 1, addPath: Always}", "spec.addPath"),
            ("{peerIP: 10.0.0.1, asNumber: 1, addPathLimit: 0}", "spec.addPathLimit"),
            ("{peerIP: 10.0.0.1, asNumber: 1, addPathLimit: 300}", "spec.addPathLimit"),
            ("{peerIP: 10.0.0.1, asNumber: 1, role: Sibling}", "spec.role"),
            ("{peerIP: 10.0.0.1, asNumber: 1, maxPrefixes: 0}", "spec.maxPrefixes"),
            ("{peerIP: 10.0.0.1, asNumber: 1, maxPrefixesAction: Warn}", "spec.maxPrefixesAction"),
            ("{peerIP: 10.0.0.1, asNumber: 1, maxPrefixes: 9, maxPrefixesAction: Ignore}", "spec.maxPrefixesAction"),
            ("{peerIP: 10.0.0.1, asNumber: 1, maxPrefixes: 9, maxPrefixesWarning: 101}", "spec.maxPrefixesWarning"),
            (
                "{peerIP: 10.0.0.1, asNumber: 1, maxPrefixes: 9, maxPrefixesAction: Drop, maxPrefixesRestartTime: 5s}",
                "spec.maxPrefixesRestartTime",
            ),
            ("{peerIP: 10.0.0.1, asNumber: 1, roleStrict: true}", "spec.roleStrict"),
            ("{peerIP: 10.0.0.1, asNumber: 1, bfd: {minTxInterval: 9ms}}", "spec.bfd.minTxInterval"),
            ("{peerIP: 10.0.0.1, asNumber: 1, bfd: {minRxInterval: 61s}}", "spec.bfd.minRxInterval"),
            ("{peerIP: 10.0.0.1, asNumber: 1, bfd: {multiplier: 0}}", "spec.bfd.multiplier"),
            ("{peerIP: 10.0.0.1, asNumber: 1, bfd: {multiplier: 256}}", "spec.bfd.multiplier"),
            ("{peerIP: 10.0.0.1, asNumber: 1, bfd: {echo: true}}", "spec.bfd.echo"),
            ("{listenRange: 10.0.0.0/16, peerIP: 10.0.0.1, asNumber: 1}", "spec.listenRange"),
            ("{listenRange: 10.0.0.1/16, asNumber: 1}", "spec.listenRange"),
            ("{listenRange: 'fe80::/64', asNumber: 1}", "spec.listenRange"),
            ("{listenRange: 10.0.0.0/16}", "spec.asNumber"),
            ("{listenRange: 10.0.0.0/16, asNumber: 1, peerType: eBGP}", "spec.peerType"),
            ("{listenRange: 10.0.0.0/16, peerType: external}", "spec.peerType"),
            ("{listenRange: 10.0.0.0/16, peerType: eBGP, maxDynamicPeers: 0}", "spec.maxDynamicPeers"),
            ("{peerIP: 10.0.0.1, asNumber: 1, maxDynamicPeers: 5}", "spec.maxDynamicPeers"),
            ("{peerIP: 'fe80::1', asNumber: 1}", "spec.peerIP"),
            ("{peerIP: 'fd00::1%eth0', asNumber: 1}", "spec.peerIP"),
            ("{peerIP: 'fe80::1%eth0', peerInterface: eth1, asNumber: 1}", "spec.peerInterface"),
            ("{peerIP: 10.0.0.1, peerInterface: eth1, asNumber: 1}", "spec.peerInterface"),
            ("{peerInterface: 'eth 1', asNumber: 1}", "spec.peerInterface"),
            ("{peerInterface: eth1, reachableBy: 10.0.0.1, asNumber: 1}", "spec.reachableBy"),
            ("{peerIP: 10.0.0.1, reachableBy: 'fd00::1', asNumber: 1}", "spec.reachableBy"),
            ("{peerIP: 10.0.0.1, reachableBy: gw, asNumber: 1}", "spec.reachableBy"),
            ("{peerIP: 10.0.0.1, sourceAddress: eth0, asNumber: 1}", "spec.sourceAddress"),
            ("{peerIP: 10.0.0.1, sourceAddress: 'fd00::2', asNumber: 1}", "spec.sourceAddress"),
        ] {
            let error = only_error(&peer(spec));
            assert!(error.starts_with(&format!("f.yaml: BGPPeer/rack1: {field}: ")), "{spec}: {error}");
        }
        assert!(only_error(&pool("{cidr: 'fd00::/48', ipipMode: Always}")).contains("spec.ipipMode"));
        assert!(only_error(&pool("{cidr: 10.0.0.0/16, vxlanMode: Always}")).contains("spec.vxlanMode"));
        assert!(only_error(&pool("{cidr: 10.0.0.0/16, blockSize: 19}")).contains("spec.blockSize"));
        assert!(only_error(&pool("{cidr: 169.254.0.0/17}")).contains("spec.cidr"));
    }

    #[test]
    fn what_is_not_an_object_says_where_it_fails() {
        assert!(only_error("a: [").starts_with("f.yaml: is not YAML: "), "{}", only_error("a: ["));
        assert_eq!(only_error("a: 1"), "f.yaml: kind: is missing");
        assert_eq!(
            only_error("kind: Deployment\nmetadata: {name: d}"),
            "f.yaml: Deployment/d: kind: Deployment is not a kind that margay reads"
        );
        assert!(only_error("apiVersion: crd.x/v1\nkind: IPPool").contains("apiVersion: must be projectcalico.org/v3"));
        assert_eq!(only_error("apiVersion: v1\nkind: Node"), "f.yaml: Node/: metadata.name: is missing");
        let number = only_error("apiVersion: v1\nkind: Node\nmetadata: {name: 12}");
        assert_eq!(number, "f.yaml: Node/: metadata.name: must be text: 12 needs quotes");
    }

    #[test]
    fn one_bad_document_leaves_the_others_of_its_file_alone() {
        let text = format!("{}\n---\n{}\n---\n", pool("{cidr: 10.0.0.0/33}"), pool("{cidr: 10.0.0.0/16}"));
        let documents = parse("f.yaml", &text).documents;
        assert!(matches!(documents.as_slice(), [Document::Bad(Some(_), _), Document::Object(_)]), "{documents:?}");
    }

    #[test]
    fn a_node_is_read_as_a_cluster_holds_it() {
        let text = r#"
apiVersion: v1
kind: Node
metadata:
  name: n1
  creationTimestamp: "2026-01-01T00:00:00Z"
  labels: {rack: r1}
  annotations:
    projectcalico.org/IPv4Address: 10.0.0.1/24
    projectcalico.org/ASNumber: "64999"
    projectcalico.org/RouteReflectorClusterID: 244.0.0.1
spec:
  podCIDR: 10.244.0.0/24
  podCIDRs: [10.244.0.0/24, "fd00:10:244::/64"]
  taints: []
status:
  addresses: [{type: InternalIP, address: 192.0.2.9}, {type: InternalIP, address: "2001:db8::9"}]
  images: []
"#;
        let Object::Node(node) = only_object(text) else { panic!() };
        assert_eq!(node.ipv4().map(|a| a.to_string()).as_deref(), Some("10.0.0.1"));
        assert_eq!(node.ipv4.map(|a| a.subnet.to_string()).as_deref(), Some("10.0.0.0/24"));
        assert_eq!(node.ipv6().map(|a| a.to_string()).as_deref(), Some("2001:db8::9"));
        assert_eq!(node.asn.map(|a| a.value()), Some(64999));
        assert_eq!(node.pod_cidrs.len(), 2);
        let error = only_error(
            "apiVersion: v1\nkind: Node\nmetadata: {name: n, annotations: {projectcalico.org/IPv4Address: '::1'}}",
        );
        assert!(error.starts_with("f.yaml: Node/n: metadata.annotations[projectcalico.org/IPv4Address]: "), "{error}");
    }

    #[test]
    fn defaults_are_calicos() {
        let Object::IpPool(p) = only_object(&pool("{cidr: 10.244.0.0/16}")) else { panic!() };
        assert_eq!((p.block_size, p.ipip_mode, p.nat_outgoing, p.disabled), (26, EncapMode::Never, false, false));
        assert!(p.node_selector.is_all() && p.serves_workloads());
        let Object::IpPool(p) = only_object(&pool("{cidr: 'fd00::/48', ipipMode: '', nodeSelector: ''}")) else {
            panic!()
        };
        assert_eq!(p.block_size, 122);
        let Object::BgpPeer(p) =
            only_object(&peer("{peerIP: '[fd00::1]:1790', asNumber: '1.1', keepOriginalNextHop: true}"))
        else {
            panic!()
        };
        assert_eq!(serde_json::to_string(&p.whom).ok().as_deref(), Some(r#"{"address":"[fd00::1]:1790"}"#));
        assert_eq!((p.next_hop_mode, p.source_address), (NextHopMode::Keep, SourceAddress::UseNodeIP));
    }

    #[test]
    fn names_of_communities_are_resolved() {
        let text = "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {ignoredInterfaces: [eth9], \
            communities: [{name: blue, value: '65000:1'}], prefixAdvertisements: [{cidr: 10.0.0.0/8, communities: [blue, '1:2:3']}]}";
        let documents = parse("f.yaml", text).documents;
        let [Document::Object(found)] = documents.as_slice() else { panic!("{documents:?}") };
        let Object::BgpConfiguration(c) = &found.object else { panic!("{found:?}") };
        assert_eq!(c.prefix_advertisements[0].communities, [Community::Standard(65000, 1), Community::Large(1, 2, 3)]);
        assert_eq!(found.warnings.len(), 1);
        assert!(only_error(&text.replace("[blue,", "[green,")).contains("spec.prefixAdvertisements[0].communities"));
    }

    #[test]
    fn stations_have_a_port_and_a_table_unless_told_otherwise_and_are_named_once() {
        let text = |bmp: &str| {
            format!(
                "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {{name: default}}\nspec: {{bmp: {bmp}}}"
            )
        };
        let both = "[{station: 10.0.0.5}, {station: 'fd00::5', port: 5000, tables: [AdjOut, LocRIB]}]";
        let Object::BgpConfiguration(c) = only_object(&text(both)) else { panic!() };
        let [first, second] = c.bmp.as_slice() else { panic!("{c:?}") };
        assert_eq!((first.address().to_string().as_str(), first.tables.len()), ("10.0.0.5:11019", 1));
        assert_eq!((second.address().to_string().as_str(), second.tables.len()), ("[fd00::5]:5000", 2));
        let twice = "[{station: 10.0.0.5}, {station: 10.0.0.5, port: 11019}]";
        assert!(only_error(&text(twice)).contains("spec.bmp[1].station: 10.0.0.5:11019 is named twice"));
        assert!(only_error(&text("[{station: 10.0.0.5, port: 0}]")).contains("spec.bmp[0].port"));
        assert!(only_error(&text("[{station: 10.0.0.5, tables: []}]")).contains("spec.bmp[0].tables"));
        assert!(only_error(&text("[{station: 10.0.0.5, tables: [AdjIn]}]")).contains("spec.bmp[0].tables[0]"));
        assert!(only_error(&text("[{station: 10.0.0.5, prot: 1}]")).contains("prot"));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            text += &format!("a{i}: &a{i} [{refs}]\n");
        }
        assert!(only_error(&text).starts_with("f.yaml: is not YAML: "));
    }
}
