//! The values of a set of attributes, one after the other in a single piece of memory.
//!
//! Per value: flags, code, length in four octets, and the value as the wire has it (with 4-octet AS numbers). Sorted by code,
//! each code at most once. Four octets, because a path of 2-octet AS numbers doubles in size on its way in.

use std::ops::Range;

use super::super::reader::{Reader, Short};

/// Octets before each value.
const HEAD: usize = 6;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    pub code: u8,
    pub flags: u8,
    pub octets: &'a [u8],
}

/// The values in `store`, in order of their codes.
pub(crate) fn iter(store: &[u8]) -> Values<'_> {
    Values(Reader::new(store))
}

/// Walks over a store.
#[derive(Debug, Clone)]
pub(crate) struct Values<'a>(Reader<'a>);

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;
    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        fn read<'a>(r: &mut Reader<'a>) -> Result<Value<'a>, Short> {
            let [flags, code] = r.array()?;
            let length = r.u32()? as usize;
            Ok(Value { code, flags, octets: r.take(length)? })
        }
        read(&mut self.0).ok()
    }
}

/// The value with this code.
#[inline]
pub(crate) fn find(store: &[u8], code: u8) -> Option<Value<'_>> {
    iter(store).find(|v| v.code == code)
}

/// Room that a value of so many octets takes.
pub(crate) const fn room(octets: usize) -> usize {
    HEAD + octets
}

/// Appends a value whose code is above all that are there.
#[inline]
pub(crate) fn push(store: &mut Vec<u8>, value: Value<'_>) {
    store.extend_from_slice(&[value.flags, value.code]);
    store.extend_from_slice(&u32::try_from(value.octets.len()).unwrap_or(u32::MAX).to_be_bytes());
    store.extend_from_slice(value.octets);
}

/// Where the value with this code is, or would be.
fn place(store: &[u8], code: u8) -> Range<usize> {
    let mut start = 0;
    for v in iter(store) {
        let end = start + room(v.octets.len());
        match v.code.cmp(&code) {
            std::cmp::Ordering::Less => start = end,
            std::cmp::Ordering::Equal => return start..end,
            std::cmp::Ordering::Greater => break,
        }
    }
    start..start
}

/// Puts a value where its code belongs, in place of the one with the same code.
pub(crate) fn set(store: &mut Vec<u8>, value: Value<'_>) {
    let mut one = Vec::with_capacity(room(value.octets.len()));
    push(&mut one, value);
    store.splice(place(store, value.code), one);
}

/// Takes the value with this code out.
pub(crate) fn remove(store: &mut Vec<u8>, code: u8) {
    store.drain(place(store, code));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_sorted_and_single_whatever_the_order_they_come_in() {
        let value = |code, octets| Value { code, flags: 0xc0, octets };
        let mut store = Vec::new();
        for (code, octets) in [(8, &[1u8, 2][..]), (2, &[]), (32, &[3]), (8, &[4, 5, 6])] {
            set(&mut store, value(code, octets));
        }
        assert_eq!(iter(&store).map(|v| (v.code, v.octets.len())).collect::<Vec<_>>(), [(2, 0), (8, 3), (32, 1)]);
        remove(&mut store, 2);
        remove(&mut store, 9);
        assert_eq!(iter(&store).map(|v| v.code).collect::<Vec<_>>(), [8, 32]);
        assert_eq!(find(&store, 8).map(|v| v.octets), Some(&[4u8, 5, 6][..]));
    }
}
