//! Numbers of attributes (linux/netfilter/nf_tables.h), by what they belong to.
#![allow(missing_docs)]

/// Attribute 1 of chains, rules, sets and lists of elements, and of a table itself: the table's name.
pub const TABLE: u16 = 1;

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
}

pub mod set {
    pub const NAME: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const KEY_TYPE: u16 = 4;
    pub const KEY_LENGTH: u16 = 5;
    pub const ID: u16 = 10;
}

pub mod elements {
    pub const SET: u16 = 2;
    pub const ELEMENTS: u16 = 3;
}

pub mod element {
    pub const KEY: u16 = 1;
    pub const FLAGS: u16 = 3;
}

/// One of a list, of elements or of expressions.
pub const ITEM: u16 = 1;
/// A value as it is, inside an attribute for data.
pub const VALUE: u16 = 1;

pub mod expression {
    pub const NAME: u16 = 1;
    pub const DATA: u16 = 2;
}

pub mod meta {
    pub const DESTINATION: u16 = 1;
    pub const KEY: u16 = 2;
}

pub mod compare {
    pub const SOURCE: u16 = 1;
    pub const OPERATION: u16 = 2;
    pub const DATA: u16 = 3;
}

pub mod payload {
    pub const DESTINATION: u16 = 1;
    pub const BASE: u16 = 2;
    pub const OFFSET: u16 = 3;
    pub const LENGTH: u16 = 4;
}

pub mod lookup {
    pub const SET: u16 = 1;
    pub const SOURCE: u16 = 2;
    pub const DESTINATION: u16 = 3;
    pub const FLAGS: u16 = 5;
}

pub mod masquerade {
    pub const FLAGS: u16 = 1;
}

pub mod immediate {
    pub const DESTINATION: u16 = 1;
    pub const DATA: u16 = 2;
}

/// A verdict, inside an attribute for data.
pub const VERDICT: u16 = 2;

pub mod verdict {
    pub const CODE: u16 = 1;
}

pub mod reject {
    pub const TYPE: u16 = 1;
    pub const CODE: u16 = 2;
}
