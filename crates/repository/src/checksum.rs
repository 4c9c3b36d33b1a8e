//! Checksums that stores verify, and the full-object CRC-64/NVME put together from the parts'.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest as CrcDigest, checksum_combine};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

/// Which checksum goes with what is written to S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumMode {
    /// The strongest one that the store proves to verify: CRC-64/NVME, else CRC-32C, else Content-MD5.
    #[default]
    Auto,
    /// CRC-64/NVME per part and over the whole object.
    Crc64Nvme,
    /// CRC-32C per part; the store keeps the composite of the parts.
    Crc32c,
    /// Content-MD5 per part; the store keeps nothing.
    Md5,
    /// None. Damage on the way is then found by the first read-back only.
    None,
}

/// A checksum that a store keeps with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChecksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// The value as S3 writes it: base64 of the big-endian bytes, with `-n` behind it for the composite of `n` parts.
    pub value: String,
}

/// An algorithm of a stored checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumAlgorithm {
    /// CRC-64/NVME over the whole object.
    Crc64Nvme,
    /// CRC-32C (Castagnoli) over the whole object, or the composite of its parts.
    Crc32c,
}

/// A CRC-64/NVME together with the number of bytes it covers, so that neighbours can be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crc64 {
    value: u64,
    bytes: u64,
}

impl Crc64 {
    /// Computes the checksum of one run of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { value: crc_fast::crc64_nvme(bytes), bytes: bytes.len() as u64 }
    }

    /// Computes the checksum of slices that follow each other.
    #[must_use]
    pub fn of_slices(slices: &[Bytes]) -> Self {
        let mut digest = CrcDigest::new(CrcAlgorithm::Crc64Nvme);
        let mut bytes = 0;
        for slice in slices {
            digest.update(slice);
            bytes += slice.len() as u64;
        }
        Self { value: digest.finalize(), bytes }
    }

    /// Joins the checksum of the bytes that follow directly.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        if self.bytes == 0 {
            return next;
        }
        if next.bytes == 0 {
            return self;
        }
        Self {
            value: checksum_combine(CrcAlgorithm::Crc64Nvme, self.value, next.value, next.bytes),
            bytes: self.bytes + next.bytes,
        }
    }

    /// The checksum.
    #[must_use]
    pub fn value(self) -> u64 {
        self.value
    }

    /// The number of bytes covered.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// The checksum as S3 writes it.
    #[must_use]
    pub fn base64(self) -> String {
        STANDARD.encode(self.value.to_be_bytes())
    }
}

/// The checksum of one part as the chosen mode sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartChecksum {
    Crc64Nvme(String),
    Crc32c(String),
    Md5(String),
    None,
}

impl PartChecksum {
    pub(crate) fn of(mode: ChecksumMode, slices: &[Bytes]) -> Self {
        match mode {
            ChecksumMode::Auto | ChecksumMode::Crc64Nvme => Self::Crc64Nvme(Crc64::of_slices(slices).base64()),
            ChecksumMode::Crc32c => Self::Crc32c(STANDARD.encode(crc32c(slices).to_be_bytes())),
            ChecksumMode::Md5 => {
                let mut digest = Md5::new();
                slices.iter().for_each(|slice| digest.update(slice));
                Self::Md5(STANDARD.encode(digest.finalize()))
            }
            ChecksumMode::None => Self::None,
        }
    }
}

/// The composite CRC-32C that S3 keeps for a multipart object: CRC-32C of the parts' CRC-32Cs, and their number.
pub(crate) fn composite_crc32c(parts: &[String]) -> Option<String> {
    let mut digest = CrcDigest::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(&STANDARD.decode(part).ok()?);
    }
    let value = u32::try_from(digest.finalize()).ok()?;
    Some(format!("{}-{}", STANDARD.encode(value.to_be_bytes()), parts.len()))
}

fn crc32c(slices: &[Bytes]) -> u32 {
    let mut digest = CrcDigest::new(CrcAlgorithm::Crc32Iscsi);
    slices.iter().for_each(|slice| digest.update(slice));
    // A 32-bit algorithm leaves the upper half empty.
    (digest.finalize() & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_published_check_values() {
        // "123456789" in the catalogue of CRC algorithms: CRC-64/NVME, CRC-32/ISCSI.
        assert_eq!(Crc64::of(b"123456789").value(), 0xae8b_1486_0a79_9888);
        assert_eq!(crc32c(&[Bytes::from_static(b"12345"), Bytes::from_static(b"6789")]), 0xe306_9283);
    }

    #[test]
    fn joined_parts_equal_the_whole() {
        let data: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let whole = Crc64::of(&data);
        for cut in [0, 1, 5, 4096, 399_999, 400_000] {
            let joined = Crc64::of(&data[..cut]).then(Crc64::of(&data[cut..]));
            assert_eq!(joined, whole, "cut at {cut}");
        }
        let parts = data.chunks(7777).map(Crc64::of).fold(Crc64::default(), Crc64::then);
        assert_eq!(parts, whole);
    }

    #[test]
    fn md5_and_none() {
        let slices = [Bytes::from_static(b"")];
        assert_eq!(PartChecksum::of(ChecksumMode::Md5, &slices), PartChecksum::Md5("1B2M2Y8AsgTpgAmY7PhCfg==".into()));
        assert_eq!(PartChecksum::of(ChecksumMode::None, &slices), PartChecksum::None);
    }
}
