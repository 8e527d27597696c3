//! How this node's own addresses are to be found (`--ip-autodetection-method`), in Calico's words.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use model::Prefix;
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Patterns or prefixes of one method.
const MOST: usize = 32;
/// Octets of one pattern.
const LONGEST: usize = 256;

/// What was asked for, one family at a time; where nothing was, the Node object says which address it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Autodetection {
    /// Calico `IP_AUTODETECTION_METHOD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Method>,
    /// Calico `IP6_AUTODETECTION_METHOD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Method>,
}

impl Autodetection {
    /// Whether what it finds hangs on the kernel's routes.
    pub fn asks_for_routes(&self) -> bool {
        [&self.ipv4, &self.ipv6].into_iter().flatten().any(|method| matches!(method, Method::CanReach(_)))
    }
}

/// How an address is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// `first-found`: the first on an interface that is not known to be somebody's own.
    FirstFound,
    /// `kubernetes-internal-ip`: the InternalIP of the Node.
    KubernetesInternalIp,
    /// `can-reach=ADDRESS`: on the interface by which the address is reached.
    CanReach(IpAddr),
    /// `interface=REGEX,REGEX`: on an interface whose name matches one of them.
    Interface(Vec<Pattern>),
    /// `skip-interface=REGEX,REGEX`: as `first-found`, but on none of these either.
    SkipInterface(Vec<Pattern>),
    /// `cidr=CIDR,CIDR`: inside one of them.
    Cidr(Vec<Prefix>),
}

/// A regular expression that an interface's name is held against; it matches anywhere in it, as Calico's do.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Whether the name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// What is wrong with a method's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// No such method.
    #[error(
        "{0:?} is none of first-found, kubernetes-internal-ip, can-reach=ADDRESS, interface=REGEX, skip-interface=REGEX, \
         cidr=CIDR"
    )]
    Unknown(String),
    /// can-reach takes an address: a name would have to be asked for before there is a network.
    #[error("can-reach={0}: must be an address")]
    NotAnAddress(String),
    /// An expression that cannot be read.
    #[error("{0:?} is not a regular expression of at most {LONGEST} octets")]
    Pattern(String),
    /// Not a prefix.
    #[error("cidr={0}: {1}")]
    Cidr(String, String),
    /// Nothing after the `=`, or too much.
    #[error("{0} takes 1 to {MOST} values, separated by commas")]
    Count(&'static str),
}

impl FromStr for Method {
    type Err = MethodError;
    fn from_str(text: &str) -> Result<Method, MethodError> {
        match text.split_once('=') {
            None if text == "first-found" => Ok(Method::FirstFound),
            None if text == "kubernetes-internal-ip" => Ok(Method::KubernetesInternalIp),
            Some(("can-reach", address)) => {
                address.parse().map(Method::CanReach).map_err(|_| MethodError::NotAnAddress(address.into()))
            }
            Some(("interface", names)) => list("interface", names, pattern).map(Method::Interface),
            Some(("skip-interface", names)) => list("skip-interface", names, pattern).map(Method::SkipInterface),
            Some(("cidr", prefixes)) => list("cidr", prefixes, prefix).map(Method::Cidr),
            _ => Err(MethodError::Unknown(text.into())),
        }
    }
}

fn list<T>(
    method: &'static str,
    text: &str,
    read: impl Fn(&str) -> Result<T, MethodError>,
) -> Result<Vec<T>, MethodError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let all = parts.map(read).collect::<Result<Vec<T>, MethodError>>()?;
    if all.is_empty() || all.len() > MOST { Err(MethodError::Count(method)) } else { Ok(all) }
}

fn pattern(text: &str) -> Result<Pattern, MethodError> {
    let regex = Some(text).filter(|text| text.len() <= LONGEST).and_then(|text| Regex::new(text).ok());
    regex.map(Pattern).ok_or_else(|| MethodError::Pattern(text.into()))
}

fn prefix(text: &str) -> Result<Prefix, MethodError> {
    text.parse().map_err(|error| MethodError::Cidr(text.into(), format!("{error}")))
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |patterns: &[Pattern]| patterns.iter().map(|p| p.0.as_str()).collect::<Vec<_>>().join(",");
        match self {
            Method::FirstFound => f.write_str("first-found"),
            Method::KubernetesInternalIp => f.write_str("kubernetes-internal-ip"),
            Method::CanReach(address) => write!(f, "can-reach={address}"),
            Method::Interface(patterns) => write!(f, "interface={}", joined(patterns)),
            Method::SkipInterface(patterns) => write!(f, "skip-interface={}", joined(patterns)),
            Method::Cidr(prefixes) => {
                let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
                write!(f, "cidr={}", prefixes.join(","))
            }
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Method, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calicos_methods_are_read_and_written_as_they_were() {
        for text in [
            "first-found",
            "kubernetes-internal-ip",
            "can-reach=192.0.2.1",
            "interface=eth.*,en.*",
            "skip-interface=^docker.*",
            "cidr=10.0.0.0/8,fd00::/8",
        ] {
            assert_eq!(text.parse::<Method>().map(|method| method.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused_with_the_reason() {
        for (text, why) in [
            ("firstfound", "none of first-found"),
            ("can-reach=example.org", "must be an address"),
            ("interface=", "1 to 32 values"),
            ("interface=eth(", "is not a regular expression"),
            ("cidr=10.0.0.1/8", "cidr=10.0.0.1/8: "),
        ] {
            let error = text.parse::<Method>().map(|method| method.to_string()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
