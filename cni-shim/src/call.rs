//! The environment of a call: the verb, and for whom. CNI spec, "Parameters".

use std::net::IpAddr;

use model::PodRef;
use model::api::Attachment;
use model::kernel::{INTERFACE_NAME_LIMIT, is_interface_name};

use crate::config::Version;
use crate::error::{CniError, code};

/// `CNI_COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

impl Command {
    /// Reads `CNI_COMMAND`.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Command, CniError> {
        let text = variable("CNI_COMMAND").unwrap_or_default();
        Ok(match text.as_str() {
            "ADD" => Command::Add,
            "DEL" => Command::Del,
            "CHECK" => Command::Check,
            "GC" => Command::Gc,
            "STATUS" => Command::Status,
            "VERSION" => Command::Version,
            "" => return Err(CniError::environment("CNI_COMMAND is missing")),
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(CniError::environment(format!("CNI_COMMAND {other:?} is not known")));
            }
        })
    }

    /// Does this version of the spec have the verb?
    pub fn allowed(self, version: Version) -> Result<(), CniError> {
        let (since, name) = match self {
            Command::Check => (Version::V0_4_0, "CHECK"),
            Command::Gc => (Version::V1_1_0, "GC"),
            Command::Status => (Version::V1_1_0, "STATUS"),
            Command::Add | Command::Del | Command::Version => return Ok(()),
        };
        if version >= since {
            return Ok(());
        }
        let message = format!("cniVersion {} has no {name}: it came with {}", version.as_str(), since.as_str());
        Err(CniError::new(code::VERSION, message))
    }
}

/// A call and for whom it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The verb.
    pub command: Command,
    /// `CNI_CONTAINERID` and `CNI_IFNAME`; empty for GC and STATUS.
    pub attachment: Attachment,
    /// `CNI_NETNS`; empty where it is not given (DEL).
    pub netns: String,
    /// `CNI_ARGS`.
    pub args: Args,
}

/// `CNI_ARGS`, as far as it is understood; other keys are tolerated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Args {
    /// `K8S_POD_NAMESPACE` and `K8S_POD_NAME`.
    pub pod: Option<PodRef>,
    /// `K8S_POD_UID`.
    pub uid: Option<String>,
    /// `IP`: an address, or several between commas; a prefix length is ignored.
    pub addresses: Vec<IpAddr>,
}

impl Call {
    /// Reads and checks what the verb needs.
    pub fn read(command: Command, variable: &dyn Fn(&str) -> Option<String>) -> Result<Call, CniError> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let needed: &[&str] = match command {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Command::Gc | Command::Status | Command::Version => &[],
        };
        let missing: Vec<&str> = needed.iter().copied().filter(|name| given(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(CniError::environment(format!("missing: {}", missing.join(", "))));
        }
        let mut call = Call {
            command,
            attachment: Attachment { container_id: String::new(), ifname: String::new() },
            netns: given("CNI_NETNS").unwrap_or_default(),
            args: Args::default(),
        };
        if !needed.is_empty() {
            call.attachment = Attachment {
                container_id: container_id(given("CNI_CONTAINERID").unwrap_or_default())?,
                ifname: ifname(given("CNI_IFNAME").unwrap_or_default())?,
            };
            call.args = Args::read(&variable("CNI_ARGS").unwrap_or_default())?;
        }
        Ok(call)
    }
}

/// A container id starts with a letter or digit, followed by letters, digits, `_`, `.`, `-`.
pub fn container_id(text: String) -> Result<String, CniError> {
    let shown: String = text.chars().take(40).collect();
    if text.len() > 1024 {
        return Err(CniError::environment(format!("CNI_CONTAINERID {shown:?}… is longer than 1024 octets")));
    }
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest {
        Ok(text)
    } else {
        Err(CniError::environment(format!("CNI_CONTAINERID {shown:?} is not a container id")))
    }
}

/// An interface name is what the kernel takes.
pub fn ifname(text: String) -> Result<String, CniError> {
    let shown: String = text.chars().take(40).collect();
    let refused = |why: &str| Err(CniError::environment(format!("CNI_IFNAME {shown:?} {why}")));
    match text.len() {
        1..=INTERFACE_NAME_LIMIT if is_interface_name(&text) => Ok(text),
        1..=INTERFACE_NAME_LIMIT => refused("is not an interface name"),
        _ => refused("does not have 1 to 15 octets"),
    }
}

impl Args {
    fn read(text: &str) -> Result<Args, CniError> {
        let mut args = Args::default();
        let (mut namespace, mut name) = (None, None);
        for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                let pair: String = pair.chars().take(40).collect();
                return Err(CniError::environment(format!("CNI_ARGS: {pair:?} is not KEY=VALUE")));
            };
            let value = value.trim();
            match key.trim() {
                "K8S_POD_NAMESPACE" if !value.is_empty() => namespace = Some(value.to_string()),
                "K8S_POD_NAME" if !value.is_empty() => name = Some(value.to_string()),
                "K8S_POD_UID" if !value.is_empty() => args.uid = Some(value.to_string()),
                "IP" if !value.is_empty() => {
                    for address in value.split(',') {
                        let parsed = parse_address(address);
                        let problem = || CniError::environment(format!("CNI_ARGS: IP {address:?} is not an address"));
                        args.addresses.push(parsed.ok_or_else(problem)?);
                    }
                }
                _ => {}
            }
        }
        args.pod = match (namespace, name) {
            (Some(namespace), Some(name)) => Some(PodRef { namespace, name }),
            _ => None,
        };
        Ok(args)
    }
}

/// An address, with or without a prefix length.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.split_once('/').map_or(text, |(address, _)| address).parse().ok()
}
