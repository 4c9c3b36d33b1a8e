//! What psql reads in a text, before any of it is SQL.

use crate::scan::statements::{Piece, Reader, pieces};

/// Statements and meta-commands of a text that psql reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PsqlText {
    /// The statements, each without what stands around it.
    pub statements: Vec<String>,
    /// The names of the meta-commands, without backslash and arguments. One ends in a backslash where another command, or SQL,
    /// follows in its line, and in a backtick where the shell makes its arguments.
    pub meta_commands: Vec<String>,
}

/// Cuts a text as psql does: what stands in comments, quotes and data of COPY is none of its commands.
pub fn psql_text(text: &str) -> PsqlText {
    let reader = Reader { psql: true, copy_data: true, replaces_in_quotes: false };
    let mut found = PsqlText::default();
    for piece in pieces(text, 0..text.len(), reader) {
        match piece {
            Piece::Statement { range, .. } => found.statements.push(text[range].to_owned()),
            Piece::Meta { command, .. } => found.meta_commands.push(command),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_what_looks_like_them() {
        let text = "-- \\connect other\nSELECT '\\c x'; /* \\c */\nCOPY t FROM stdin;\n\\c\n\\.\n\\connect shop\n\\echo a \\\\ drop table t;\n";
        let found = psql_text(text);
        assert_eq!(found.statements, ["SELECT '\\c x';", "COPY t FROM stdin;"]);
        assert_eq!(found.meta_commands, ["connect", "echo\\"]);
    }
}
