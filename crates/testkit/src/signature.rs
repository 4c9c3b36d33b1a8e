//! AWS Signature Version 4, as much of it as loopback tests need.
//!
//! Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature Version 4)".

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::s3_server::Identity;

/// One request to sign.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// Already percent-encoded.
    pub(crate) path: &'a str,
    /// Not encoded.
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) host: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// Returns the query as it must be sent, and all headers with the signature.
pub(crate) fn sign(request: &Request<'_>, identity: &Identity) -> (String, Vec<(String, String)>) {
    let instant = timestamp(SystemTime::now());
    let date = &instant[..8];
    let payload = hex(&Sha256::digest(request.body));
    let mut headers: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect();
    headers.push(("host".into(), request.host.into()));
    headers.push(("x-amz-content-sha256".into(), payload.clone()));
    headers.push(("x-amz-date".into(), instant.clone()));
    headers.sort();

    let mut query: Vec<String> =
        request.query.iter().map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false))).collect();
    query.sort();
    let query = query.join("&");
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\n{payload}", request.method, request.path);
    let scope = format!("{date}/us-east-1/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{instant}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = [date, "us-east-1", "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{}", identity.secret_key).into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    let signature = hex(&hmac(&key, text.as_bytes()));
    headers.push((
        "authorization".into(),
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            identity.access_key
        ),
    ));
    (query, headers)
}

/// Returns the signature that a presigned URL of RDS's tokens must have: `GET /`, with the host alone among its headers.
///
/// `query` is the URL's, with its values encoded and without the signature.
pub(crate) fn of_token(query: &[&str], host: &str, scope: &str, instant: &str, identity: &Identity) -> String {
    let mut query = query.to_vec();
    query.sort_unstable();
    let empty = hex(&Sha256::digest(b""));
    let canonical = format!("GET\n/\n{}\nhost:{host}\n\nhost\n{empty}", query.join("&"));
    let text = format!("AWS4-HMAC-SHA256\n{instant}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = scope
        .split('/')
        .fold(format!("AWS4{}", identity.secret_key).into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
    hex(&hmac(&key, text.as_bytes()))
}

/// Percent-encodes as the signature demands it.
pub(crate) fn encode(text: &str, keep_slash: bool) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            b'/' if keep_slash => "/".into(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes `20261121T031747Z`.
pub(crate) fn timestamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn hmac_as_in_rfc_4231() {
        let sum = hex(&hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(sum, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let sum = hex(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(sum, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn dates_around_leap_days() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(1_709_164_799), "20240228T235959Z");
        assert_eq!(at(1_709_164_800), "20240229T000000Z");
        assert_eq!(at(1_735_689_599), "20241231T235959Z");
    }
}
