//! A text that must not be seen.

use std::fmt;

/// Holds a password or another secret; its `Debug` form is masked and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Shows the secret, for the one place that needs it: the server, or a child's environment.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Puts `mask` wherever the secret stands in a text, whatever part of it is percent-encoded there.
    #[must_use]
    pub fn masked_in(&self, text: &str, mask: &str) -> String {
        // Mostly it is not there, and that is soon seen.
        if !text.contains('%') && !text.contains(&self.0) {
            return text.to_owned();
        }
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            match length_of(self.0.as_bytes(), rest.as_bytes()) {
                Some(length) if length > 0 => {
                    masked.push_str(mask);
                    rest = &rest[length..];
                }
                _ => {
                    masked.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        masked
    }

    /// The bytes that the secret takes at the beginning of a text, where it stands there.
    pub(crate) fn length_in(&self, text: &str) -> Option<usize> {
        length_of(self.0.as_bytes(), text.as_bytes()).filter(|length| *length > 0)
    }

    /// Whether a text may be the secret's beginning, with more of it to come, whatever part is percent-encoded.
    pub(crate) fn may_begin_with(&self, text: &str) -> bool {
        let (secret, text) = (self.0.as_bytes(), text.as_bytes());
        let mut at = 0;
        for byte in secret {
            let rest = &text[at..];
            if rest.is_empty() {
                return at > 0;
            }
            let digits = rest.iter().skip(1).take(2).all(u8::is_ascii_hexdigit);
            if rest.len() < 3 && rest[0] == b'%' && digits {
                return true;
            }
            match length_of(&[*byte], rest) {
                Some(length) => at += length,
                None => return false,
            }
        }
        false
    }
}

/// The bytes that the secret takes at the beginning of a text; `None` where it does not stand there.
fn length_of(secret: &[u8], text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for (done, byte) in secret.iter().enumerate() {
        let encoded = text.get(at..at + 3).is_some_and(|three| {
            let digit = |place: usize| char::from(three[place]).to_digit(16);
            three[0] == b'%' && digit(1).zip(digit(2)).is_some_and(|(high, low)| high * 16 + low == u32::from(*byte))
        });
        let plain = text.get(at) == Some(byte);
        at += match (encoded, plain) {
            // Only a `%` can be both: its own encoding, or itself before two digits.
            (true, true) => match length_of(&secret[done + 1..], &text[at + 3..]) {
                Some(length) => return Some(at + 3 + length),
                None => 1,
            },
            (true, false) => 3,
            (false, true) => 1,
            (false, false) => return None,
        };
    }
    Some(at)
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_however_it_is_encoded() {
        let secret = Secret::new("p@ss/wörd%25");
        for text in ["p@ss/wörd%25", "p%40ss%2Fw%C3%B6rd%2525", "p@ss%2fwörd%25", "%70%40ss/w%c3%b6rd%2525"] {
            assert_eq!(secret.masked_in(&format!("é{text} at {text}"), "***"), "é*** at ***", "{text}");
        }
        assert_eq!(secret.masked_in("p@ss/word", "***"), "p@ss/word");
        assert_eq!(Secret::new("").masked_in("a", "***"), "a");
    }

    #[test]
    fn a_beginning_is_known_however_it_is_encoded() {
        let secret = Secret::new("p@ss");
        for text in ["p", "p@s", "%70", "p%4", "p%40s", "p%"] {
            assert!(secret.may_begin_with(text), "{text}");
        }
        for text in ["", "x", "pa", "p@ss", "p%41", "p%4x", "p@ssw"] {
            assert!(!secret.may_begin_with(text), "{text}");
        }
    }
}
