//! Numbers of attributes (linux/netfilter/nf_tables.h), by what they belong to.
#![allow(missing_docs)]

/// Attribute 1 of chains, rules, sets and lists of elements, and of a table itself: the table's name.
pub const TABLE: u16 = 1;

pub mod table {
    pub const FLAGS: u16 = 2;
}

pub mod chain {
    pub const NAME: u16 = 3;
    pub const HOOK: u16 = 4;
    pub const POLICY: u16 = 5;
    pub const TYPE: u16 = 7;
}

pub mod hook {
    pub const NUMBER: u16 = 1;
    pub const PRIORITY: u16 = 2;
}

pub mod rule {
    pub const CHAIN: u16 = 2;
    pub const EXPRESSIONS: u16 = 4;
    pub const USERDATA: u16 = 7;
}

pub mod set {
    pub const NAME: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const KEY_TYPE: u16 = 4;
    pub const KEY_LENGTH: u16 = 5;
    pub const DATA_TYPE: u16 = 6;
    pub const DESCRIPTION: u16 = 9;
    pub const ID: u16 = 10;
    pub const USERDATA: u16 = 13;
}

pub mod description {
    pub const FIELDS: u16 = 2;
}

pub mod field {
    pub const LENGTH: u16 = 1;
}

pub mod elements {
    pub const SET: u16 = 2;
    pub const ELEMENTS: u16 = 3;
}

pub mod element {
    pub const KEY: u16 = 1;
    pub const DATA: u16 = 2;
    pub const FLAGS: u16 = 3;
}

/// One of a list, of elements, fields or expressions.
pub const ITEM: u16 = 1;
/// A value as it is, inside an attribute for data.
pub const VALUE: u16 = 1;
/// A verdict, inside an attribute for data.
pub const VERDICT: u16 = 2;

pub mod verdict {
    pub const CODE: u16 = 1;
    pub const CHAIN: u16 = 2;
}

pub mod generation {
    pub const ID: u16 = 1;
}

pub mod expression {
    pub const NAME: u16 = 1;
    pub const DATA: u16 = 2;
}

/// Attribute 1 of all that load something: the register.
pub const DESTINATION: u16 = 1;

pub mod meta {
    pub const KEY: u16 = 2;
    pub const SOURCE: u16 = 3;
}

pub mod connection {
    pub const KEY: u16 = 2;
}

pub mod payload {
    pub const BASE: u16 = 2;
    pub const OFFSET: u16 = 3;
    pub const LENGTH: u16 = 4;
}

pub mod bitwise {
    pub const SOURCE: u16 = 1;
    pub const DESTINATION: u16 = 2;
    pub const LENGTH: u16 = 3;
    pub const MASK: u16 = 4;
    pub const XOR: u16 = 5;
    pub const OPERATION: u16 = 6;
}

pub mod compare {
    pub const SOURCE: u16 = 1;
    pub const OPERATION: u16 = 2;
    pub const DATA: u16 = 3;
}

pub mod range {
    pub const SOURCE: u16 = 1;
    pub const OPERATION: u16 = 2;
    pub const FROM: u16 = 3;
    pub const TO: u16 = 4;
}

pub mod lookup {
    pub const SET: u16 = 1;
    pub const SOURCE: u16 = 2;
    pub const DESTINATION: u16 = 3;
    pub const FLAGS: u16 = 5;
}

pub mod counter {
    pub const OCTETS: u16 = 1;
    pub const PACKETS: u16 = 2;
}

pub mod limit {
    pub const RATE: u16 = 1;
    pub const UNIT: u16 = 2;
    pub const BURST: u16 = 3;
    pub const TYPE: u16 = 4;
    pub const FLAGS: u16 = 5;
}

pub mod log {
    pub const GROUP: u16 = 1;
    pub const PREFIX: u16 = 2;
    pub const OCTETS: u16 = 3;
    pub const THRESHOLD: u16 = 4;
}

pub mod masquerade {
    pub const FLAGS: u16 = 1;
}

pub mod immediate {
    pub const DESTINATION: u16 = 1;
    pub const DATA: u16 = 2;
}

pub mod reject {
    pub const TYPE: u16 = 1;
    pub const CODE: u16 = 2;
}
