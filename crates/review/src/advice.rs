//! squawk's advice beside the review. It decides nothing: comments in the SQL may silence it.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use squawk_linter::{Linter, Rule};
use squawk_syntax::SourceFile;

use crate::scan::statements::{Piece, Reader, pieces};
use crate::{Dialect, MigrationSql, Transaction};

/// Advice on one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// squawk's name of its rule.
    pub rule: String,
    /// The line in the file, from 1.
    pub line: u32,
    /// What it says.
    pub message: String,
    /// What it proposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Matters of style, and what the review itself says better.
const LEFT_OUT: [Rule; 13] = [
    Rule::PreferBigintOverInt,
    Rule::PreferBigintOverSmallint,
    Rule::PreferIdentity,
    Rule::PreferRepack,
    Rule::PreferRobustStmts,
    Rule::PreferTextField,
    Rule::PreferTimestampTz,
    Rule::BanCharField,
    Rule::RequireTableSchema,
    Rule::IdentifierTooLong,
    Rule::UnusedIgnore,
    Rule::RequireLockTimeout,
    Rule::RequireStatementTimeout,
];

/// A longer text is not linted; it only would be advice.
const LONGEST: usize = 1 << 20;

/// Gathers advice on a file.
pub(crate) fn advise(text: &str, file: &MigrationSql, server_major: Option<u32>) -> Vec<Advice> {
    let is_read = matches!(file.dialect, Dialect::Psql | Dialect::Flyway);
    let pieces = pieces(text, 0..text.len(), Reader { psql: is_read, copy_data: is_read, replaces_in_quotes: false });
    let statements: Vec<Range<usize>> = pieces.into_iter().filter_map(statement).collect();
    if text.len() > LONGEST || statements.iter().any(|range| crate::syntax::too_deep(&text[range.clone()])) {
        return Vec::new();
    }
    // What is not SQL would be read as SQL: it is blanked, so that places stay.
    let text = if is_read { blanked(text, &statements) } else { text.to_owned() };
    let mut linter = Linter::with_rules(&[], &LEFT_OUT);
    linter.settings.assume_in_transaction = file.transaction != Transaction::None;
    if let Some(version) = server_major.and_then(|major| major.to_string().parse().ok()) {
        linter.settings.pg_version = version;
    }
    let parse = SourceFile::parse(&text);
    let mut advice: Vec<Advice> = linter
        .lint(&parse, &text)
        .into_iter()
        .map(|found| {
            let at = usize::from(found.text_range.start()).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            Advice {
                rule: found.code.to_string(),
                line: u32::try_from(line).unwrap_or(u32::MAX),
                message: found.message,
                help: found.help,
            }
        })
        .collect();
    advice.sort_by(|one, other| (one.line, &one.rule).cmp(&(other.line, &other.rule)));
    advice
}

fn statement(piece: Piece) -> Option<Range<usize>> {
    match piece {
        Piece::Statement { range, .. } => Some(range),
        Piece::Meta { .. } => None,
    }
}

fn blanked(text: &str, statements: &[Range<usize>]) -> String {
    let mut bytes: Vec<u8> = text.bytes().map(|byte| if byte == b'\n' { b'\n' } else { b' ' }).collect();
    for range in statements {
        bytes[range.clone()].copy_from_slice(&text.as_bytes()[range.clone()]);
    }
    String::from_utf8(bytes).unwrap_or_default()
}
