//! How a webhook's body is signed, so that its receiver can tell whose it is, and how old.

use sha2::{Digest as _, Sha256};

use holdpoint_core::Secret;

/// The header with the seconds since 1970 at which the body was signed.
pub const TIMESTAMP: &str = "x-holdpoint-timestamp";
/// The header with the signature: `v1=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "x-holdpoint-signature";

/// SHA-256 works on blocks of so many bytes.
const BLOCK: usize = 64;

/// Signs a body: HMAC-SHA256 by the shared secret over the seconds, a dot, and the body.
///
/// The time is signed too, so that a message that was overheard cannot be sent again much later.
pub fn sign(secret: &Secret, seconds: i64, body: &str) -> String {
    let text = format!("{seconds}.{body}");
    format!("v1={}", hex::encode(hmac(secret.expose().as_bytes(), text.as_bytes())))
}

/// HMAC (RFC 2104) with SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, sections 4.2, 4.3 and 4.7: short keys, and one longer than a block.
    #[test]
    fn the_vectors_of_the_standard_hold() {
        for (key, text, wanted) in [
            (vec![0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex::encode(hmac(&key, text.as_bytes())), wanted);
        }
    }

    #[test]
    fn the_signature_changes_with_secret_time_and_body() {
        let signed = |secret: &str, at, body| sign(&Secret::new(secret), at, body);
        let one = signed("s", 1, "{}");
        assert!(one.starts_with("v1=") && one.len() == 67, "{one}");
        for other in [signed("t", 1, "{}"), signed("s", 2, "{}"), signed("s", 1, "{ }")] {
            assert_ne!(one, other);
        }
        // What stands between keeps the parts apart.
        assert_ne!(signed("s", 1, "1.x"), signed("s", 11, ".x"));
    }
}
