//! How the data of an archive are compressed.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// How blocks are written: algorithm and level.
///
/// As text: `none`, `gzip`, `gzip:N` (1-9), `zstd`, `zstd:N` (1-22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Plain bytes.
    None,
    /// A zlib stream per list of chunks; every pg_restore reads it, and notices when it is cut off.
    Gzip {
        /// 1 (fast) to 9 (small).
        level: u32,
    },
    /// Zstandard frames with content checksum; needs archive version 1.15 and a pg_restore built with zstd.
    Zstd {
        /// 1 (fast) to 22 (small); at every level stock pg_restore's window limit is kept.
        level: i32,
    },
}

/// An archive's compression algorithm as its header tells it to a reader.
///
/// Archive version 1.14 only tells "compressed" from "not compressed", and compressed means gzip there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Plain bytes.
    None,
    /// zlib streams.
    Gzip,
    /// LZ4 frames; recognised, but neither read nor written.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

impl Codec {
    /// The level of `gzip` without a number: not larger than `gzip -6` on COPY text, at a fifth of its time.
    pub const GZIP_LEVEL: u32 = 4;
    /// The level of `zstd` without a number: not larger than gzip's result, at many times its speed.
    pub const ZSTD_LEVEL: i32 = 1;

    /// Returns the algorithm, without the level.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::None => Algorithm::None,
            Self::Gzip { .. } => Algorithm::Gzip,
            Self::Zstd { .. } => Algorithm::Zstd,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Gzip { level } => write!(formatter, "gzip:{level}"),
            Self::Zstd { level } => write!(formatter, "zstd:{level}"),
        }
    }
}

impl FromStr for Codec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidCodec { text: text.to_owned() };
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => {
                // `parse` would also take "+4".
                let digits = !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_digit());
                (name, Some(level.parse::<u8>().ok().filter(|_| digits).ok_or_else(invalid)?))
            }
            None => (text, None),
        };
        match (name, level) {
            ("none", None) => Ok(Self::None),
            ("gzip", None) => Ok(Self::Gzip { level: Self::GZIP_LEVEL }),
            ("gzip", Some(level @ 1..=9)) => Ok(Self::Gzip { level: level.into() }),
            ("zstd", None) => Ok(Self::Zstd { level: Self::ZSTD_LEVEL }),
            ("zstd", Some(level @ 1..=22)) => Ok(Self::Zstd { level: level.into() }),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["none", "gzip:1", "gzip:9", "zstd:1", "zstd:22"] {
            assert_eq!(text.parse::<Codec>().unwrap().to_string(), text);
        }
        assert_eq!("gzip".parse::<Codec>().unwrap(), Codec::Gzip { level: Codec::GZIP_LEVEL });
        assert_eq!("zstd".parse::<Codec>().unwrap(), Codec::Zstd { level: Codec::ZSTD_LEVEL });
    }

    #[test]
    fn refuses_other_texts() {
        for text in
            ["", "None", "none:1", "gzip:", "gzip:0", "gzip:10", "gzip:+4", "zstd:0", "zstd:23", "zstd:-1", "lz4"]
        {
            assert!(matches!(text.parse::<Codec>(), Err(Error::InvalidCodec { .. })), "{text}");
        }
    }
}
