//! The checksum of a migration as Flyway records it (flyway-core, `ChecksumCalculator.java`).

/// The checksum that Flyway records: CRC-32 over the lines without their ends, the first without a byte order mark, as
/// a signed number.
pub(super) fn checksum(text: &str) -> i32 {
    let mut crc = !0_u32;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // As Java's BufferedReader: a line ends with \n, \r or \r\n.
    for byte in text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    (!crc).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_that_flyway_records() {
        // CRC-32 of "123456789" is the published check value cbf43926.
        assert_eq!(checksum("123456789"), 0xcbf4_3926_u32.cast_signed());
        assert_eq!(checksum("\u{feff}1234\r\n567\r89\n"), checksum("123456789"));
    }
}
