//! A list that mostly holds nothing or one value, in sixteen octets.

/// None, one, or many values of a small type.
#[derive(Debug, Clone, Default)]
#[allow(clippy::box_collection)] // Vec itself is 24 octets; this list is in every destination
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Box<Vec<T>>),
}

impl<T> Few<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(value) => std::slice::from_ref(value),
            Few::Many(values) => values,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(value) => std::slice::from_mut(value),
            Few::Many(values) => values,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(crate) fn push(&mut self, value: T) {
        *self = match std::mem::take(self) {
            Few::None => Few::One(value),
            Few::One(first) => Few::Many(Box::new(vec![first, value])),
            Few::Many(mut values) => {
                values.push(value);
                Few::Many(values)
            }
        };
    }

    /// Takes out what the test picks, in order.
    pub(crate) fn extract(&mut self, mut picked: impl FnMut(&T) -> bool, mut taken: impl FnMut(T)) {
        *self = match std::mem::take(self) {
            Few::None => Few::None,
            Few::One(value) if picked(&value) => {
                taken(value);
                Few::None
            }
            Few::One(value) => Few::One(value),
            Few::Many(mut values) => {
                values.extract_if(.., |value| picked(value)).for_each(taken);
                match values.len() {
                    0 => Few::None,
                    1 => values.pop().map_or(Few::None, Few::One),
                    _ => Few::Many(values),
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_grows_and_shrinks_without_losing_order() {
        let mut few = Few::default();
        for n in 0..4 {
            few.push(n);
        }
        let mut taken = Vec::new();
        few.extract(|n| n % 2 == 0, |n| taken.push(n));
        assert_eq!((few.as_slice(), taken.as_slice()), ([1, 3].as_slice(), [0, 2].as_slice()));
        few.extract(|n| *n == 1, |n| taken.push(n));
        assert!(matches!(few, Few::One(3)));
        few.extract(|_| true, |n| taken.push(n));
        assert!(few.is_empty());
        assert_eq!(taken, [0, 2, 1, 3]);
    }

    #[test]
    fn a_list_of_small_values_takes_sixteen_octets() {
        assert_eq!(size_of::<Few<[u32; 3]>>(), 16);
    }
}
