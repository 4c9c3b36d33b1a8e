//! How deeply a text may be nested, before anything is parsed: the parser and its trees recurse.

use crate::scan::token::{Token, token_at};

/// Deeper brackets are not parsed.
const BRACKETS: usize = 500;
/// More signs and words that may nest one in another each are not parsed; the stack holds so many.
const CHAIN: usize = 20_000;
/// Bodies in bodies.
const BODIES: usize = 12;
/// Words that open something that only another word closes, or that nest in themselves.
const NESTING: [&str; 16] = [
    "begin",
    "case",
    "else",
    "elsif",
    "except",
    "explain",
    "foreach",
    "for",
    "if",
    "intersect",
    "join",
    "loop",
    "not",
    "select",
    "union",
    "while",
];

/// Whether a text is nested too deeply to be parsed; bodies in quotes are looked at too.
pub(crate) fn too_deep(text: &str) -> bool {
    within(text, 0)
}

fn within(text: &str, bodies: usize) -> bool {
    if bodies > BODIES {
        return true;
    }
    let first = text.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    let has_body = first.eq_ignore_ascii_case("create") || first.eq_ignore_ascii_case("do");
    // What may nest since the last comma, for each bracket that is open.
    let mut chains = vec![0_usize];
    let (mut chained, mut nesting, mut at) = (0_usize, 0_usize, 0_usize);
    while at < text.len() {
        let (token, end) = token_at(text, at);
        let last = chains.len() - 1;
        match token {
            Token::Blank | Token::Unterminated => {}
            Token::Quoted => {
                if has_body && within(inside(&text[at..end]), bodies + 1) {
                    return true;
                }
            }
            Token::Sign(b'(' | b'[' | b'{') => chains.push(0),
            Token::Sign(b')' | b']' | b'}') => {
                chained -= std::mem::take(&mut chains[last]);
                if last > 0 {
                    chains.pop();
                }
            }
            Token::Sign(b',' | b';') => chained -= std::mem::take(&mut chains[last]),
            Token::Sign(_) | Token::Word => {
                let word = &text[at..end];
                nesting += usize::from(NESTING.iter().any(|one| word.eq_ignore_ascii_case(one)));
                chains[last] += 1;
                chained += 1;
            }
        }
        if chains.len() > BRACKETS || chained > CHAIN || nesting > CHAIN {
            return true;
        }
        at = end;
    }
    false
}

/// A quoted thing without its quotes; shorter than it, so that looking inside comes to an end.
fn inside(quoted: &str) -> &str {
    let Some(rest) = quoted.strip_prefix('$') else {
        return quoted.split_once(['\'', '"']).map_or("", |(_, rest)| rest);
    };
    let length = rest.find('$').map_or(0, |found| found + 2);
    quoted.get(length..quoted.len() - length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nests_is_counted_and_what_stands_beside_is_not() {
        let deep = |text: String| too_deep(&text);
        assert!(deep("(".repeat(501)) && !deep("()".repeat(100_000)));
        assert!(deep("not ".repeat(20_001)) && !deep(format!("values {}", "(-1, 'a'), ".repeat(50_000))));
        assert!(deep("1 + f(a, b) + ".repeat(20_000)), "commas in brackets close nothing outside");
        assert!(deep("if a then x; ".repeat(20_001)), "statements nest too");
        assert!(deep(format!("create function f() returns int language sql as $a${}1$a$", "(".repeat(600))));
        assert!(deep(format!("do '{}'", "not ".repeat(20_001))));
        assert!(!deep(format!("insert into t values ('{}')", "not ".repeat(20_001))), "a value is no body");
        assert!(!too_deep("$$") && !too_deep("do $$$$") && !too_deep("do ''"));
    }
}
