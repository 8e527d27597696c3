//! Errors in CNI's words: a code that the runtime acts on, a message for a person.

use std::io;

use dataplane::linux::pod::PodError;
use model::api::{Refusal, RefusalCode};

/// CNI spec, "Error": codes 1 to 99 are the spec's, from 100 on the plugin's.
pub mod code {
    /// Incompatible CNI version.
    pub const VERSION: u32 = 1;
    /// The container is unknown or does not exist.
    pub const UNKNOWN: u32 = 3;
    /// Invalid environment variables.
    pub const ENVIRONMENT: u32 = 4;
    /// I/O failure.
    pub const IO: u32 = 5;
    /// What stands on stdin cannot be decoded.
    pub const DECODE: u32 = 6;
    /// Invalid network configuration.
    pub const CONFIG: u32 = 7;
    /// Try again later.
    pub const TRY_AGAIN: u32 = 11;
    /// STATUS: ADD cannot be served.
    pub const UNAVAILABLE: u32 = 50;
    /// Ours: the pod could not be plumbed.
    pub const PLUMBING: u32 = 100;
    /// Ours: something that is not ours is in the way.
    pub const FOREIGN: u32 = 101;
    /// Ours, CHECK: the pod is not as it was left.
    pub const DEFECT: u32 = 102;
    /// Ours: something broke inside.
    pub const INTERNAL: u32 = 999;
}

/// What the runtime is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniError {
    /// See [`code`].
    pub code: u32,
    /// In one line.
    pub message: String,
    /// More, where there is more; else empty.
    pub details: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: u32, message: impl Into<String>) -> CniError {
        CniError { code, message: message.into(), details: String::new() }
    }

    /// Adds details.
    pub fn with_details(mut self, details: impl Into<String>) -> CniError {
        self.details = details.into();
        self
    }

    /// A variable is missing or makes no sense.
    pub fn environment(message: impl Into<String>) -> CniError {
        CniError::new(code::ENVIRONMENT, message)
    }

    /// A key of the network configuration makes no sense.
    pub fn config(message: impl Into<String>) -> CniError {
        CniError::new(code::CONFIG, message)
    }

    /// Not JSON, or not an object.
    pub fn decode(message: impl Into<String>) -> CniError {
        CniError::new(code::DECODE, message)
    }

    /// A file or socket failed.
    pub fn io(doing: &str, error: &io::Error) -> CniError {
        CniError::new(code::IO, format!("{doing}: {error}"))
    }

    /// Something that cannot be.
    pub fn internal(message: impl Into<String>) -> CniError {
        CniError::new(code::INTERNAL, message)
    }

    /// The agent said no.
    pub fn refused(refusal: Refusal) -> CniError {
        let code = match refusal.code {
            RefusalCode::Invalid => code::CONFIG,
            RefusalCode::TryAgain | RefusalCode::NotReady => code::TRY_AGAIN,
            RefusalCode::Unknown => code::UNKNOWN,
            RefusalCode::Internal => code::INTERNAL,
        };
        CniError::new(code, refusal.message)
    }

    /// The pod could not be plumbed.
    pub fn plumbing(error: &PodError) -> CniError {
        match error {
            PodError::Foreign(_) => CniError::new(code::FOREIGN, error.to_string()),
            PodError::Netns(_) => CniError::environment(format!("CNI_NETNS: {error}")),
            PodError::Netlink { .. } | PodError::Refused { .. } | PodError::Sysctl(_) => {
                CniError::new(code::PLUMBING, format!("the pod could not be plumbed: {error}"))
            }
        }
    }
}
