//! Views of the agent as a whole.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::PeerView;
use crate::{Asn, Prefix, RouterId};

/// How this node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatusView {
    /// The node's name.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// When the agent started.
    pub since: String,
    /// When the speaker was last told something new of what it is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<String>,
    /// Our AS number; none while the objects do not say enough to speak BGP.
    #[serde(rename = "asNumber")]
    pub asn: Option<Asn>,
    /// Our BGP identifier.
    pub router_id: Option<RouterId>,
    /// The node's addresses.
    pub addresses: Vec<IpAddr>,
    /// The same with their subnets, and who says so.
    #[serde(default)]
    pub own_addresses: Vec<OwnAddressView>,
    /// An ADD can be served and the kernel is as the objects say.
    pub ready: bool,
    /// The agent enforces policies and nothing else: another plugin wires the pods.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub policy_only: bool,
    /// What is wrong, one sentence each; empty when all is well.
    pub problems: Vec<String>,
    /// What works and would do better otherwise, one sentence each with the next step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
    /// The API server that the objects come from; none where they are files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ApiServerView>,
    /// Set while the node is taken out of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainView>,
    /// In order of address.
    pub peers: Vec<PeerView>,
    /// What the API should say on behalf of this node, and whether it does; empty where there is no API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ReportView>,
}

/// Something that the API should say on behalf of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportView {
    /// About which object, `Node/n1`.
    pub report: String,
    /// Whether it says so.
    pub state: ReportState,
    /// Since when `state` is so.
    pub since: String,
    /// What it says, what another says instead, or why it can't be said.
    pub info: String,
}

/// Whether the API says what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReportState {
    /// Not yet tried, or other nodes are to say it first.
    Pending,
    /// It does.
    Said,
    /// Another says something else there, and its word stands.
    Anothers,
    /// It could not be said, and will be tried again.
    Failed,
}

/// An address of this node, and why it is that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnAddressView {
    /// The address.
    pub address: IpAddr,
    /// What CrossSubnet compares next hops with.
    pub subnet: Prefix,
    /// The annotation, the InternalIP or the method that found it, and the interface.
    pub reason: String,
}

/// The API server as the source of the objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiServerView {
    /// `https://host:port`.
    pub address: String,
    /// Whether it answers.
    pub connected: bool,
    /// Since when it answers, or does not.
    pub since: String,
    /// Why it does not answer; empty while it does.
    pub reason: String,
    /// Kinds that it does not know.
    pub absent: Vec<String>,
    /// What it has not listed yet.
    pub unlisted: Vec<String>,
}

/// A node on its way out of service (RFC 8326).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainView {
    /// How far it is.
    pub state: DrainState,
    /// Who wants it, and how long peers have.
    pub reason: String,
}

/// How far a node is on its way out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DrainState {
    /// Its peers are told to turn to others; packets still come.
    Draining,
    /// Its sessions are down on purpose.
    Drained,
}

/// One file of a support bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiagPart {
    /// File name, without directories.
    pub name: String,
    /// What is in it.
    pub text: String,
}
