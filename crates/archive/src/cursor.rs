//! The format's primitive values, read from bytes that may still be growing.

use std::ops::Range;

use crate::Error;

/// Bytes of an integer: sign and a magnitude of four bytes.
pub(crate) const INT_BYTES: usize = 5;

/// Bytes of an offset: state and position.
pub(crate) const OFFSET_BYTES: usize = 9;

/// Why no value could be read.
pub(crate) enum Stop {
    /// The value ends beyond the bytes: this many are needed in total.
    Need(usize),
    /// The value is wrong.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Reads values one after the other; stays before a value that it could not read.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt { what, at: self.at as u64 }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let end = self.at.checked_add(N).ok_or(Stop::Need(usize::MAX))?;
        let array = self.bytes.get(self.at..end).and_then(|bytes| <[u8; N]>::try_from(bytes).ok());
        let array = array.ok_or(Stop::Need(end))?;
        self.at = end;
        Ok(array)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Stop> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        self.array()
    }

    pub(crate) fn int(&mut self) -> Result<i32, Stop> {
        let from = self.at;
        let value = int(self.array()?, from as u64);
        if value.is_err() {
            self.at = from;
        }
        Ok(value?)
    }

    /// Reads a string; `None` is the format's NULL, which is not the empty string.
    pub(crate) fn string(&mut self) -> Result<Option<Range<usize>>, Stop> {
        let from = self.at;
        let length = self.int()?;
        let start = self.at;
        self.at = from;
        if length == -1 {
            self.at = start;
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| self.corrupt("a string has a negative length"))?;
        let end = start.checked_add(length).ok_or(Stop::Need(usize::MAX))?;
        if end > self.bytes.len() {
            return Err(Stop::Need(end));
        }
        self.at = end;
        Ok(Some(start..end))
    }

    /// Reads a string that holds a decimal number, or NULL.
    pub(crate) fn decimal<T: std::str::FromStr>(&mut self) -> Result<Option<T>, Stop> {
        let from = self.at;
        let Some(span) = self.string()? else { return Ok(None) };
        let digits = self.bytes.get(span).and_then(|bytes| std::str::from_utf8(bytes).ok());
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(number) => Ok(Some(number)),
            None => {
                self.at = from;
                Err(self.corrupt("a string that should be a number is not").into())
            }
        }
    }
}

/// Decodes a signed integer.
pub(crate) fn int(bytes: [u8; INT_BYTES], at: u64) -> Result<i32, Error> {
    let [sign, magnitude @ ..] = bytes;
    let magnitude = u32::from_le_bytes(magnitude);
    match sign {
        0 => i32::try_from(magnitude).map_err(|_| Error::Corrupt { what: "an integer is too large", at }),
        1 => 0_i32.checked_sub_unsigned(magnitude).ok_or(Error::Corrupt { what: "an integer is too small", at }),
        _ => Err(Error::Corrupt { what: "an integer has no sign", at }),
    }
}

/// Decodes an OID, which the format writes as a signed integer: the upper half of the OIDs comes out negative.
pub(crate) fn oid(bytes: [u8; INT_BYTES], at: u64) -> Result<u32, Error> {
    let [sign, magnitude @ ..] = bytes;
    let magnitude = u32::from_le_bytes(magnitude);
    match sign {
        0 => Ok(magnitude),
        1 => Ok(magnitude.wrapping_neg()),
        _ => Err(Error::Corrupt { what: "an integer has no sign", at }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{put_int, put_oid};

    #[test]
    fn integers_round_trip() {
        for value in [0, 1, -1, 255, -256, i32::MAX, i32::MIN, i32::MIN + 1] {
            let mut bytes = Vec::new();
            put_int(&mut bytes, value);
            assert_eq!(int(bytes.try_into().unwrap(), 0).unwrap(), value);
        }
        assert!(int([0, 0, 0, 0, 0x80], 0).is_err());
        assert!(int([1, 1, 0, 0, 0x80], 0).is_err());
        assert!(int([2, 0, 0, 0, 0], 0).is_err());
    }

    #[test]
    fn oids_wrap() {
        for value in [1, 0x7fff_ffff, 0x8000_0000, 3_000_000_001, u32::MAX] {
            let mut bytes = Vec::new();
            put_oid(&mut bytes, value);
            assert_eq!(oid(bytes.try_into().unwrap(), 0).unwrap(), value);
        }
        let mut bytes = Vec::new();
        put_oid(&mut bytes, 0x8000_0000);
        assert_eq!(bytes, [1, 0, 0, 0, 0x80]);
    }

    #[test]
    fn a_string_is_null_or_empty_or_needs_more() {
        let mut cursor = Cursor::new(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, b'a'], 0);
        assert!(matches!(cursor.string(), Ok(None)));
        assert!(matches!(cursor.string(), Ok(Some(span)) if span == (10..10)));
        assert!(matches!(cursor.string(), Err(Stop::Need(18))));
        assert_eq!(cursor.at, 10);
    }
}
