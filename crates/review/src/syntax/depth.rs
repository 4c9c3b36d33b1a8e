//! How deeply a text may be nested, before anything is parsed: the parser and its trees recurse.

use crate::scan::token::{Token, token_at};

/// Deeper brackets, and longer runs of what stands before an operand (`not not …`), are not parsed.
const BRACKETS: usize = 500;
/// More signs and words that may nest one in another each are not parsed; the stack holds so many.
const CHAIN: usize = 20_000;
/// Longer runs of `.a` and `::a` are not parsed: the parser's time grows with their square.
const POSTFIX: usize = 2_000;
/// Deeper `CASE`, `BEGIN`, `IF` and `LOOP`, and more `JOIN`, are not parsed, for the same reason.
const BLOCKS: usize = 1_000;
/// Bodies in bodies.
const BODIES: usize = 12;
/// Words that open a block, which `END` closes.
const OPENING: [&str; 4] = ["begin", "case", "if", "loop"];
/// Words that may nest in themselves, with nothing that closes them.
const NESTING: [&str; 7] = ["else", "elsif", "except", "intersect", "not", "select", "union"];
/// Words that stand before what they are about.
const PREFIXES: [&str; 2] = ["explain", "not"];

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
    let (mut depth, mut at) = (Depth::default(), 0);
    while at < text.len() {
        let (token, end) = token_at(text, at);
        let word = &text[at..end];
        if token == Token::Quoted && has_body && within(inside(word), bodies + 1) {
            return true;
        }
        if depth.take(token, word) {
            return true;
        }
        at = end;
    }
    false
}

/// How deep the text is at one place.
#[derive(Default)]
struct Depth {
    /// What may nest since the last comma, for each bracket that is open.
    chains: Vec<usize>,
    chain: usize,
    chained: usize,
    nesting: usize,
    blocks: usize,
    joins: usize,
    prefixes: usize,
    postfixes: usize,
    after_operand: bool,
    after_end: bool,
}

impl Depth {
    /// Takes the next token; says whether it is too deep.
    fn take(&mut self, token: Token, text: &str) -> bool {
        match token {
            Token::Blank | Token::Unterminated => return false,
            // The parser would read what is in the quotes as if it stood outside of them.
            Token::Continued => return true,
            Token::Sign(b'(' | b'[' | b'{') => {
                self.chains.push(std::mem::take(&mut self.chain));
                self.after_operand = false;
            }
            Token::Sign(b')' | b']' | b'}') => {
                self.chained -= self.chain;
                self.chain = self.chains.pop().unwrap_or_default();
                self.operand();
            }
            Token::Sign(b',' | b';') => {
                self.chained -= std::mem::take(&mut self.chain);
                if token == Token::Sign(b';') {
                    self.joins = 0;
                }
                (self.prefixes, self.postfixes, self.after_operand) = (0, 0, false);
            }
            Token::Quoted => self.operand(),
            Token::Word => self.word(text),
            Token::Sign(sign) => {
                self.link();
                if sign.is_ascii_digit() {
                    self.operand();
                } else {
                    self.sign(sign);
                }
            }
        }
        self.chains.len() > BRACKETS
            || self.chained > CHAIN
            || self.nesting > CHAIN
            || self.blocks > BLOCKS
            || self.joins > BLOCKS
            || self.prefixes > BRACKETS
            || self.postfixes > POSTFIX
    }

    fn link(&mut self) {
        self.chain += 1;
        self.chained += 1;
    }

    fn word(&mut self, word: &str) {
        let is = |list: &[&str]| list.iter().any(|one| word.eq_ignore_ascii_case(one));
        self.link();
        self.nesting += usize::from(is(&NESTING));
        self.joins += usize::from(word.eq_ignore_ascii_case("join"));
        let ends = word.eq_ignore_ascii_case("end");
        if ends {
            self.blocks = self.blocks.saturating_sub(1);
        } else if !self.after_end && is(&OPENING) {
            self.blocks += 1;
        }
        self.after_end = ends;
        if is(&PREFIXES) {
            self.prefixes += 1;
            self.after_operand = false;
        } else {
            self.operand();
        }
    }

    fn sign(&mut self, sign: u8) {
        if matches!(sign, b'.' | b':') {
            self.postfixes += 1;
        } else {
            self.postfixes = 0;
            self.prefixes = if self.after_operand { 1 } else { self.prefixes + 1 };
        }
        self.after_operand = false;
        self.after_end = false;
    }

    fn operand(&mut self) {
        if self.after_operand {
            self.postfixes = 0;
        }
        self.prefixes = 0;
        self.after_operand = true;
    }
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
        assert!(
            deep("not ".repeat(501))
                && !deep("not a, ".repeat(5_000))
                && !deep(format!("values {}", "(-1, 'a'), ".repeat(50_000)))
        );
        assert!(deep("1 + f(a, b) + ".repeat(20_000)), "commas in brackets close nothing outside");
        assert!(deep("if a then x; ".repeat(1_001)), "statements nest too");
        assert!(!deep("if a then x; end if; ".repeat(5_000)), "and end");
        assert!(deep(format!("select a{}", "::int".repeat(1_001))) && !deep("a.b::int = c.d and ".repeat(1_500)));
        assert!(deep(format!("create function f() returns int language sql as $a${}1$a$", "(".repeat(600))));
        assert!(deep(format!("do '{}'", "not ".repeat(501))));
        assert!(!deep(format!("insert into t values ('{}')", "not ".repeat(501))), "a value is no body");
        assert!(!too_deep("$$") && !too_deep("do $$$$") && !too_deep("do ''"));
    }
}
