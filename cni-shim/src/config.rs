//! The network configuration on stdin. Keys that nobody here knows are tolerated, as the spec wants.

use std::net::IpAddr;
use std::path::PathBuf;

use model::api::{Attachment, DEFAULT_SOCKET};
use serde_json::{Map, Value};

use crate::call::parse_address;
use crate::error::{CniError, code};

/// The smallest MTU that IPv4 works with (RFC 791), and the largest that a veth takes.
const MTU: std::ops::RangeInclusive<u64> = 68..=65535;

/// A version of the CNI spec that is spoken here, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Version {
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl Version {
    /// All, from old to new.
    pub const ALL: [Version; 4] = [Version::V0_3_1, Version::V0_4_0, Version::V1_0_0, Version::V1_1_0];
    /// The one in which errors are told before the caller's is known.
    pub const NEWEST: Version = Version::V1_1_0;

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }

    /// `cniVersion` of a network configuration.
    pub fn of(object: &Map<String, Value>) -> Result<Version, CniError> {
        let incompatible = |what: String| {
            let ours: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
            CniError::new(code::VERSION, format!("{what} is not supported; these are: {}", ours.join(", ")))
        };
        let text = match object.get("cniVersion") {
            None | Some(Value::Null) => {
                return Err(incompatible("cniVersion is missing, which means 0.1.0; that".into()));
            }
            Some(Value::String(text)) => text,
            Some(_) => return Err(CniError::config("cniVersion is not a text")),
        };
        let shown: String = text.chars().take(40).collect();
        let found = Version::ALL.into_iter().find(|version| version.as_str() == text);
        found.ok_or_else(|| incompatible(format!("cniVersion {shown:?}")))
    }
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// A network configuration, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `cniVersion`.
    pub version: Version,
    /// `name`.
    pub name: String,
    /// `socket`: where the agent listens.
    pub socket: PathBuf,
    /// `mtu`, in octets; None leaves it to the agent.
    pub mtu: Option<u32>,
    /// `log_level`.
    pub log_level: LogLevel,
    /// Addresses asked for: `args.cni.ips`, or `runtimeConfig.ips` (capability `ips`).
    pub addresses: Vec<IpAddr>,
    /// MAC address asked for: `args.cni.mac`, or `runtimeConfig.mac` (capability `mac`).
    pub mac: Option<[u8; 6]>,
    /// `prevResult`.
    pub previous: Option<Map<String, Value>>,
    /// `cni.dev/valid-attachments`; None where the key is missing.
    pub valid: Option<Vec<Attachment>>,
    /// `ipam` has a type: told that it is ignored.
    pub ignores_ipam: bool,
}

/// stdin as a JSON object.
pub fn parse(input: &[u8]) -> Result<Map<String, Value>, CniError> {
    match serde_json::from_slice(input) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(CniError::decode("the network configuration is no JSON object")),
        Err(error) => Err(CniError::decode(format!("the network configuration is no JSON: {error}"))),
    }
}

impl Config {
    /// Reads a network configuration whose version is known.
    pub fn read(version: Version, object: &Map<String, Value>) -> Result<Config, CniError> {
        let name = text(object, "name")?.unwrap_or_default();
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !first || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
            let shown: String = name.chars().take(40).collect();
            return Err(CniError::config(format!(
                "name {shown:?}: a network name starts with a letter or digit, followed by letters, digits, '_', '.', '-'"
            )));
        }
        let previous = match value(object, "prevResult") {
            None => None,
            Some(Value::Object(previous)) => Some(previous.clone()),
            Some(_) => return Err(CniError::config("prevResult is no object")),
        };
        let ignores_ipam = match value(object, "ipam") {
            None => false,
            Some(Value::Object(ipam)) => text(ipam, "type")?.is_some_and(|kind| !kind.is_empty()),
            Some(_) => return Err(CniError::config("ipam is no object")),
        };
        let wishes = [
            nested(object, "args", "cni")?,
            Some(object).and_then(|o| section(o, "runtimeConfig").transpose()).transpose()?,
        ];
        Ok(Config {
            version,
            name: name.to_string(),
            socket: PathBuf::from(text(object, "socket")?.filter(|s| !s.is_empty()).unwrap_or(DEFAULT_SOCKET)),
            mtu: mtu(object)?,
            log_level: log_level(object)?,
            addresses: addresses(&wishes)?,
            mac: mac(&wishes)?,
            previous,
            valid: valid(object)?,
            ignores_ipam,
        })
    }

    /// Says something on stderr, where the runtime keeps its log.
    pub fn log(&self, level: LogLevel, message: &str) {
        if level <= self.log_level {
            eprintln!("margay-cni: {}: {message}", format!("{level:?}").to_lowercase());
        }
    }
}

fn value<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, CniError> {
    match value(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(CniError::config(format!("{key} is not a text"))),
    }
}

fn section<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a Map<String, Value>>, CniError> {
    match value(object, key) {
        None => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(CniError::config(format!("{key} is no object"))),
    }
}

fn nested<'a>(
    object: &'a Map<String, Value>,
    outer: &str,
    inner: &str,
) -> Result<Option<&'a Map<String, Value>>, CniError> {
    section(object, outer)?.map_or(Ok(None), |outer| section(outer, inner))
}

fn mtu(object: &Map<String, Value>) -> Result<Option<u32>, CniError> {
    let Some(value) = value(object, "mtu") else { return Ok(None) };
    match value.as_u64() {
        Some(0) => Ok(None),
        Some(mtu) if MTU.contains(&mtu) => Ok(u32::try_from(mtu).ok()),
        _ => Err(CniError::config(format!("mtu is not 0 or a number from {} to {}", MTU.start(), MTU.end()))),
    }
}

fn log_level(object: &Map<String, Value>) -> Result<LogLevel, CniError> {
    Ok(match text(object, "log_level")?.unwrap_or("warn").to_ascii_lowercase().as_str() {
        "error" => LogLevel::Error,
        "" | "warn" | "warning" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "debug" | "trace" => LogLevel::Debug,
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(CniError::config(format!("log_level {other:?} is none of error, warn, info, debug")));
        }
    })
}

fn addresses(wishes: &[Option<&Map<String, Value>>]) -> Result<Vec<IpAddr>, CniError> {
    for wish in wishes.iter().flatten() {
        let Some(ips) = value(wish, "ips") else { continue };
        let problem = || CniError::config("ips is no list of addresses");
        let ips = ips.as_array().filter(|ips| ips.len() <= 64).ok_or_else(problem)?;
        let read = |ip: &Value| ip.as_str().and_then(parse_address).ok_or_else(problem);
        return ips.iter().map(read).collect();
    }
    Ok(Vec::new())
}

fn mac(wishes: &[Option<&Map<String, Value>>]) -> Result<Option<[u8; 6]>, CniError> {
    for wish in wishes.iter().flatten() {
        let Some(text) = text(wish, "mac")? else { continue };
        let octets: Option<Vec<u8>> = text.split([':', '-']).map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
        let mac: Option<[u8; 6]> = octets.and_then(|octets| octets.try_into().ok());
        // A multicast address is no address of a link.
        return match mac.filter(|[first, ..]| first & 1 == 0) {
            Some(mac) => Ok(Some(mac)),
            None => Err(CniError::config("mac is not a MAC address of one link")),
        };
    }
    Ok(None)
}

fn valid(object: &Map<String, Value>) -> Result<Option<Vec<Attachment>>, CniError> {
    let key = "cni.dev/valid-attachments";
    let Some(list) = value(object, key) else { return Ok(None) };
    let list = list.as_array().ok_or_else(|| CniError::config(format!("{key} is no list")))?;
    let read = |entry: &Value| {
        let field =
            |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_string);
        let attachment = field("containerID").zip(field("ifname"));
        let (container_id, ifname) =
            attachment.ok_or_else(|| CniError::config(format!("{key}: an entry has no containerID or no ifname")))?;
        Ok(Attachment { container_id, ifname })
    };
    list.iter().map(read).collect::<Result<_, _>>().map(Some)
}
