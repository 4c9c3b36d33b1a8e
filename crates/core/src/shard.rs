//! A share of many databases, for machines that divide them among themselves without asking each other.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::DatabaseName;

/// The most shards: more than there are machines for it.
const MOST: u32 = 10_000;

/// One of `count` shares, numbered from 0.
///
/// A database is in exactly one of them, by its name alone: adding or removing another moves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Tells whether it is the share that also does what is to be done once for all.
    pub fn is_first(self) -> bool {
        self.index == 0
    }

    /// Tells whether a database belongs to this share: the first eight bytes of the SHA-256 of its name, as a number,
    /// modulo the number of shares.
    pub fn holds(self, database: &DatabaseName) -> bool {
        let digest = Sha256::digest(database.as_str().as_bytes());
        let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        number % u64::from(self.count) == u64::from(self.index)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `I/N`: share I of N, with I from 0 to N - 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no share: write I/N, such as 0/16, with I from 0 to N - 1");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let plain = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(index) || !plain(count) {
            return Err(wrong());
        }
        let (index, count): (u32, u32) = (index.parse().map_err(|_| wrong())?, count.parse().map_err(|_| wrong())?);
        if index < count && count <= MOST { Ok(Self { index, count }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<DatabaseName> {
        (0..1000).map(|number| format!("tenant-{number}").parse().unwrap()).collect()
    }

    #[test]
    fn every_database_is_in_exactly_one_share_and_shares_are_alike() {
        let shards: Vec<Shard> = (0..16).map(|index| format!("{index}/16").parse().unwrap()).collect();
        let mut sizes = vec![0; shards.len()];
        for name in names() {
            let holding: Vec<usize> = (0..shards.len()).filter(|at| shards[*at].holds(&name)).collect();
            assert_eq!(holding.len(), 1, "{name}");
            sizes[holding[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (30..=95).contains(size)), "{sizes:?}");
        assert!(names().iter().all(|name| "0/1".parse::<Shard>().unwrap().holds(name)));
    }

    /// Machines of different versions must agree, so the assignment never changes.
    #[test]
    fn the_assignment_is_fixed() {
        let of = |name: &str| {
            let name: DatabaseName = name.parse().unwrap();
            (0..8).find(|index| format!("{index}/8").parse::<Shard>().unwrap().holds(&name)).unwrap()
        };
        // printf shop | sha256sum: the first eight bytes modulo 8 are the last three bits of the eighth.
        assert_eq!(["shop", "billing", "tenant-7"].map(of), [5, 7, 5]);
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        for text in ["", "1", "1/", "/2", "2/2", "0/0", "-1/2", "+1/2", "1/2/3", "a/b", "0/10001", "1 /2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("3/16".parse::<Shard>().unwrap().to_string(), "3/16");
    }
}
