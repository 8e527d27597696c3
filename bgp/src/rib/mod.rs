//! The tables: what peers said, what is believed of it, and what peers were told.

mod reason;

pub use reason::Reason;
