//! Where a policy or a tier stands among others.

use std::cmp::Ordering;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `order` of a policy or a tier: lower ones come first. Calico takes any number, and none as after all others.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(transparent)]
pub struct Order(f64);

impl Order {
    /// After all that have a number: what is written as nothing.
    pub const LAST: Order = Order(f64::INFINITY);

    /// A place that is known beforehand.
    pub const fn of(number: u32) -> Order {
        Order(number as f64)
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Order) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Order {}
impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Order) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Order {
    fn cmp(&self, other: &Order) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Order::LAST { f.write_str("last") } else { self.0.fmt(f) }
    }
}

/// Nothing for [`Order::LAST`], as objects have it.
impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.is_finite().then_some(self.0).serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Order, D::Error> {
        let number = Option::<f64>::deserialize(deserializer)?;
        match number {
            None => Ok(Order::LAST),
            // Zero has no sign here.
            Some(number) if number.is_finite() => Ok(Order(number + 0.0)),
            Some(_) => Err(serde::de::Error::custom("must be a number that is finite")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_orders_come_first_and_none_comes_last() {
        let read = |text: &str| serde_json::from_str::<Order>(text).unwrap();
        let sorted = ["-1.5", "0", "0.25", "1000", "1e9", "null"].map(read);
        assert!(sorted.is_sorted_by(|a, b| a < b));
        assert_eq!((read("-0.0"), read("null"), read("10")), (read("0"), Order::LAST, Order::of(10)));
        assert_eq!(sorted.map(|order| order.to_string()), ["-1.5", "0", "0.25", "1000", "1000000000", "last"]);
        assert_eq!(serde_json::to_string(&[read("2.5"), Order::LAST]).unwrap(), "[2.5,null]");
    }
}
