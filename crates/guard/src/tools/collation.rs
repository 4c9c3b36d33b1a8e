//! The order of names as JavaScript's `localeCompare` gives it, which tools of Node.js sort by.
//!
//! The root collation of ICU (CLDR): punctuation before digits before letters, upper and lower case apart only where
//! nothing else differs. The tables are for ASCII and were read off Node.js 20 with ICU 78; other signs come last, by
//! code point, which is not what every locale does.

use std::cmp::Ordering;

/// Signs that `ignorePunctuation` leaves out, then those it does not, each in their order.
const PUNCTUATION: &str = " _-,;:!?.'\"()[]{}@*/\\&#%";
const SYMBOLS: &str = "`^+<=>|~$";

/// Compares as `a.localeCompare(b)` does.
pub(super) fn locale_compare(one: &str, other: &str) -> Ordering {
    let primary = |text: &str| text.chars().filter_map(weight).map(|(weight, _)| weight).collect::<Vec<_>>();
    primary(one).cmp(&primary(other)).then_with(|| cases(one).cmp(&cases(other)))
}

/// Compares as with `{numeric: true, ignorePunctuation: true, sensitivity: "variant"}`.
pub(super) fn numeric_compare(one: &str, other: &str) -> Ordering {
    let bare = |text: &str| text.chars().filter(|sign| !PUNCTUATION.contains(*sign)).collect::<String>();
    let (one, other) = (bare(one), bare(other));
    parts(&one).cmp(&parts(&other)).then_with(|| cases(&one).cmp(&cases(&other)))
}

/// Tells whether the order of two names depends on signs outside of ASCII.
pub(super) fn is_uncertain(one: &str, other: &str) -> bool {
    let mut pairs = one.chars().zip(other.chars());
    pairs.find(|(a, b)| a != b).is_some_and(|(a, b)| !a.is_ascii() || !b.is_ascii())
}

/// A run of digits, or one other sign; digits come before letters and after symbols.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Symbol(u32),
    Number(usize, String),
    Letter(u32),
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_digit() {
            let end = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
            let digits = rest[..end].trim_start_matches('0');
            parts.push(Part::Number(digits.len(), digits.to_owned()));
            rest = &rest[end..];
            continue;
        }
        if let Some((weight, _)) = weight(first) {
            parts.push(if weight < DIGITS { Part::Symbol(weight) } else { Part::Letter(weight) });
        }
        rest = &rest[first.len_utf8()..];
    }
    parts
}

const DIGITS: u32 = 100;
const LETTERS: u32 = 200;
const OTHERS: u32 = 1000;

/// A sign's place and its case; `None` for what collation ignores.
fn weight(sign: char) -> Option<(u32, bool)> {
    let place = |text: &str, base: u32| text.chars().position(|one| one == sign).map(|place| base + place as u32);
    if sign.is_ascii_control() {
        return None;
    }
    if sign.is_ascii_alphabetic() {
        return Some((LETTERS + u32::from(sign.to_ascii_lowercase()) - u32::from('a'), sign.is_ascii_uppercase()));
    }
    if let Some(digit) = sign.to_digit(10) {
        return Some((DIGITS + digit, false));
    }
    let known = place(PUNCTUATION, 1).or_else(|| place(SYMBOLS, 50));
    Some((known.unwrap_or(OTHERS + u32::from(sign)), false))
}

fn cases(text: &str) -> Vec<bool> {
    text.chars().filter_map(weight).map(|(_, upper)| upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_node_orders_them() {
        let mut names = ["ab", "a-b", "aB", "Ab", "a_c", "a", "A", "a_b", "10", "9", "B"];
        names.sort_by(|one, other| locale_compare(one, other));
        assert_eq!(names, ["10", "9", "a", "A", "a_b", "a_c", "a-b", "ab", "aB", "Ab", "B"]);
    }

    #[test]
    fn numbers_in_names_count_as_numbers_where_the_tool_says_so() {
        let mut names = ["10_a", "2_b", "2_a", "02_c"];
        names.sort_by(|one, other| numeric_compare(one, other));
        assert_eq!(names, ["2_a", "2_b", "02_c", "10_a"]);
        assert_eq!(numeric_compare("1_a-b", "1_ab"), Ordering::Equal, "punctuation does not count");
    }

    #[test]
    fn what_depends_on_the_locale_is_told() {
        assert!(is_uncertain("1_ä", "1_z"));
        assert!(!is_uncertain("1_ä", "2_z"));
    }
}
