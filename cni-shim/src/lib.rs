//! The CNI spec's verbs, without a network of their own: the agent decides, the dataplane plumbs, this says it in CNI's words.
//!
//! ```text
//! environment, stdin ─▶ call, config ─▶ verb ─▶ agent (plan) ─▶ dataplane (plumbing) ─▶ result ─▶ stdout
//! ```
//! CNI spec 1.1.0, and 0.3.1, 0.4.0, 1.0.0: <https://github.com/containernetworking/cni/blob/main/SPEC.md>

pub mod agent;
pub mod call;
pub mod config;
pub mod error;
pub mod result;
mod verb;

use std::io;

use serde_json::json;

use crate::call::{Call, Command};
use crate::config::{Config, Version};
use crate::error::CniError;

/// The longest network configuration that is read, in octets.
pub const INPUT_LIMIT: usize = 1 << 20;

/// What the runtime gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// A result, an error object, or nothing.
    pub stdout: String,
    /// The exit status is not 0.
    pub failed: bool,
}

impl Outcome {
    /// Never to be seen: the last resort.
    pub fn panicked() -> Outcome {
        failure(Version::NEWEST, &CniError::internal("margay-cni panicked"))
    }
}

/// One call: environment and stdin in, stdout out.
pub fn invoke(variable: &dyn Fn(&str) -> Option<String>, input: io::Result<&[u8]>) -> Outcome {
    let mut version = Version::NEWEST;
    match serve(variable, input, &mut version) {
        Ok(stdout) => Outcome { stdout, failed: false },
        Err(error) => failure(version, &error),
    }
}

fn serve(
    variable: &dyn Fn(&str) -> Option<String>,
    input: io::Result<&[u8]>,
    version: &mut Version,
) -> Result<String, CniError> {
    let command = Command::read(variable)?;
    let input = input.map_err(|error| CniError::io("cannot read stdin", &error))?;
    if input.len() > INPUT_LIMIT {
        return Err(CniError::decode(format!("stdin holds more than {INPUT_LIMIT} octets")));
    }
    if command == Command::Version {
        return verb::version(input);
    }
    let object = config::parse(input)?;
    *version = Version::of(&object)?;
    command.allowed(*version)?;
    let call = Call::read(command, variable)?;
    let config = Config::read(*version, &object)?;
    verb::run(&call, &config)
}

fn failure(version: Version, error: &CniError) -> Outcome {
    let mut object = json!({ "cniVersion": version.as_str(), "code": error.code, "msg": error.message });
    if !error.details.is_empty() {
        object["details"] = json!(error.details);
    }
    Outcome { stdout: format!("{object:#}\n"), failed: true }
}
