//! A cursor over octets that never reads past their end: the only place of the codec that cuts slices.

/// Octets asked for that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short;

/// A bounds-checked cursor. Every read moves on or fails with [`Short`] and leaves the cursor where it was.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A cursor at the start of `octets`.
    #[inline]
    pub const fn new(octets: &'a [u8]) -> Reader<'a> {
        Reader(octets)
    }
    /// Octets left.
    #[inline]
    pub const fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether nothing is left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// All that is left, without moving.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }
    /// The next `n` octets.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Short> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(Short)?;
        self.0 = tail;
        Ok(head)
    }
    /// The next `N` octets, by value.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Short)?;
        self.0 = tail;
        Ok(*head)
    }
    /// One octet.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Short> {
        Ok(u8::from_be_bytes(self.array()?))
    }
    /// Two octets, most significant first.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Short> {
        Ok(u16::from_be_bytes(self.array()?))
    }
    /// Four octets, most significant first.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Short> {
        Ok(u32::from_be_bytes(self.array()?))
    }
    /// A sub-cursor over the next `n` octets; this one moves past them.
    #[inline]
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>, Short> {
        self.take(n).map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_fails_and_moves_nothing() {
        let mut r = Reader::new(&[1, 2, 3]);
        assert_eq!(r.u16(), Ok(0x0102));
        assert_eq!(r.u32(), Err(Short));
        assert_eq!(r.take(2), Err(Short));
        assert_eq!(r.len(), 1);
        assert_eq!(r.u8(), Ok(3));
        assert_eq!(r.u8(), Err(Short));
        assert!(r.is_empty());
    }

    #[test]
    fn a_sub_cursor_cannot_leave_its_part() {
        let mut r = Reader::new(&[1, 2, 3, 4]);
        let mut sub = r.sub(2).expect("two octets are there");
        assert_eq!((sub.u8(), sub.u8(), sub.u8()), (Ok(1), Ok(2), Err(Short)));
        assert_eq!(r.rest(), [3, 4]);
    }
}
