//! A text that must not be seen.

use std::collections::BTreeSet;
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

    /// Puts `mask` wherever the secret stands in a text, whatever part of it is written as URLs, forms or JSON write it.
    #[must_use]
    pub fn masked_in(&self, text: &str, mask: &str) -> String {
        // Mostly it is not there, and that is soon seen.
        if !text.contains(['%', '+', '\\']) && !text.contains(&self.0) {
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

    /// Whether a text may be the secret's beginning, with more of it to come, whatever part is encoded.
    pub(crate) fn may_begin_with(&self, text: &str) -> bool {
        let (secret, text) = (self.0.as_bytes(), text.as_bytes());
        let mut places = BTreeSet::from([0]);
        for byte in secret {
            let more = |at: &usize| {
                let rest = &text[*at..];
                match rest {
                    [] => *at > 0,
                    [b'%'] => true,
                    [b'%', digit] => digit.is_ascii_hexdigit(),
                    [b'\\'] => ESCAPED.contains(byte),
                    _ => false,
                }
            };
            if places.iter().any(more) {
                return true;
            }
            places = places.iter().flat_map(|at| after(*byte, text, *at)).collect();
        }
        false
    }
}

/// What JSON may write behind a backslash.
const ESCAPED: [u8; 3] = [b'/', b'"', b'\\'];

/// The bytes that the secret takes at the beginning of a text, as many as can be; `None` where it does not stand there.
fn length_of(secret: &[u8], text: &[u8]) -> Option<usize> {
    // Mostly not even the first sign is there.
    if secret.first().is_some_and(|first| after(*first, text, 0).next().is_none()) {
        return None;
    }
    // What is written in one way or another divides the ways on; they meet again, so they are few.
    let mut places = BTreeSet::from([0]);
    for byte in secret {
        places = places.iter().flat_map(|at| after(*byte, text, *at)).collect();
        if places.is_empty() {
            return None;
        }
    }
    places.last().copied()
}

/// Where a byte ends that begins at a place of a text: as it is, percent-encoded, as forms write a blank, as JSON does.
fn after(byte: u8, text: &[u8], at: usize) -> impl Iterator<Item = usize> {
    let percent = text.get(at..at + 3).is_some_and(|three| {
        let digit = |place: usize| char::from(three[place]).to_digit(16);
        three[0] == b'%' && digit(1).zip(digit(2)).is_some_and(|(high, low)| high * 16 + low == u32::from(byte))
    });
    let form = byte == b' ' && text.get(at) == Some(&b'+');
    let json = ESCAPED.contains(&byte) && text.get(at..at + 2) == Some(&[b'\\', byte][..]);
    let plain = text.get(at) == Some(&byte);
    let ends = [(plain || form, at + 1), (json, at + 2), (percent, at + 3)];
    ends.into_iter().filter(|(stands, _)| *stands).map(|(_, end)| end)
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

    #[test]
    fn what_forms_and_json_write_is_the_secret_too() {
        let secret = Secret::new("Pa55/w?rd \\x\"");
        for text in [r#"Pa55\/w?rd \\x\""#, "Pa55%2Fw%3Frd+%5Cx%22", "Pa55/w?rd+\\x\"", r#"Pa55/w?rd \x\""#] {
            assert_eq!(secret.masked_in(&format!("a {text} b"), "***"), "a *** b", "{text}");
            for end in 1..text.len() {
                assert!(secret.may_begin_with(&text[..end]), "{}", &text[..end]);
            }
        }
        assert_eq!(secret.masked_in("Pa55+w?rd", "***"), "Pa55+w?rd");
        // However often a sign can be read in two ways, it is soon known.
        let backslashes = Secret::new("\\".repeat(200));
        assert_eq!(backslashes.masked_in(&"\\".repeat(399), "***").len(), 3);
        assert!(!backslashes.may_begin_with(&format!("{}x", "\\".repeat(199))));
    }
}
