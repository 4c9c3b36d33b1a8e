//! Thousands of broken statements, the same ones every time: reading never panics, and what it says never depends on
//! anything but the text.

use holdpoint_review::{Dialect, MigrationSql, ReviewOptions, review};

use crate::shown::corpus;

/// A small generator of numbers (SplitMix64), so that the same statements are made everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((value ^ (value >> 31)) % end.max(1) as u64).expect("it fits")
    }
}

const PIECES: [&str; 40] = [
    "'",
    "\"",
    "$$",
    "$a$",
    "(",
    ")",
    ";",
    "--",
    "/*",
    "*/",
    "\\",
    "\\.",
    "\n",
    ",",
    ".",
    "::",
    ":=",
    "${x}",
    ":x",
    "E'\\",
    "U&'",
    "begin",
    "end",
    "atomic",
    "case",
    "select",
    "with",
    "as",
    "cascade",
    "drop table t",
    "delete from",
    "do",
    "execute",
    "copy t from stdin;\n",
    "--> statement-breakpoint",
    "\u{0}",
    "\u{feff}",
    "ä",
    "🙂",
    "not ",
];

fn mutate(numbers: &mut Numbers, entries: &[String]) -> String {
    let mut signs: Vec<char> = entries[numbers.below(entries.len())].chars().collect();
    for _ in 0..=numbers.below(5) {
        let at = numbers.below(signs.len() + 1);
        match numbers.below(6) {
            0 if at < signs.len() => {
                signs.remove(at);
            }
            1 => {
                let end = (at + numbers.below(12)).min(signs.len());
                signs.drain(at..end);
            }
            2 => signs.truncate(at),
            3 => {
                let other: Vec<char> = entries[numbers.below(entries.len())].chars().collect();
                let from = numbers.below(other.len());
                signs.splice(at..at, other[from..].iter().copied());
            }
            4 if at + 1 < signs.len() => signs.swap(at, at + 1),
            _ => {
                signs.splice(at..at, PIECES[numbers.below(PIECES.len())].chars());
            }
        }
    }
    signs.into_iter().collect()
}

#[test]
fn ten_thousand_broken_statements_are_read_without_a_panic() {
    let dialects = [Dialect::Driver, Dialect::Psql, Dialect::Drizzle, Dialect::Flyway, Dialect::NodePgMigrate];
    let entries = corpus();
    let mut numbers = Numbers(20_261_121);
    for number in 0..10_000 {
        let sql = mutate(&mut numbers, &entries);
        let dialect = dialects[number % dialects.len()];
        let options = ReviewOptions { advice: number % 10 == 0, ..ReviewOptions::default() };
        let file = [MigrationSql::new("m.sql", sql.as_str(), dialect)];
        let first = review(&file, &options);
        if number % 50 == 0 {
            assert_eq!(first, review(&file, &options), "{sql}");
        }
        for statement in first.files.iter().flat_map(|file| &file.statements) {
            assert!(!statement.findings.is_empty() && sql.is_char_boundary(statement.offset.min(sql.len())), "{sql}");
        }
    }
}
