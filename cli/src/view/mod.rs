//! Views as text, one module for each noun. Pure: a view in, text out.

pub mod bgp_route;
pub mod filter;
pub mod history;
pub mod ipam;
pub mod node;
pub mod object;
pub mod peer;
pub mod plan;
pub mod pod;
pub mod policy;
pub mod route;
pub mod service;
pub mod station;
#[cfg(test)]
mod tests;
pub mod trace;

use jiff::{Timestamp, Unit, tz::TimeZone};

/// A moment as `calicoctl` shows it: the local time of day within the last day, else the date.
pub fn when(moment: &str) -> String {
    when_at(moment, Timestamp::now(), &TimeZone::system())
}

fn when_at(moment: &str, now: Timestamp, zone: &TimeZone) -> String {
    let Ok(then) = moment.parse::<Timestamp>() else { return moment.to_string() };
    let zoned = then.to_zoned(zone.clone());
    let hours = now.since(then).and_then(|span| span.total(Unit::Hour)).unwrap_or(f64::MAX);
    if hours < 24.0 { zoned.strftime("%H:%M:%S").to_string() } else { zoned.strftime("%Y-%m-%d").to_string() }
}
