//! What psql reads in a text, before any of it is SQL.

use crate::scan::statements::{Piece, Reader, pieces};

/// Statements and meta-commands of a text that psql reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PsqlText {
    /// The statements, each without what stands around it.
    pub statements: Vec<String>,
    /// The meta-commands.
    pub meta_commands: Vec<MetaCommand>,
}

/// A meta-command of psql.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaCommand {
    /// Its name, without backslash. It ends in a backslash where another command, or SQL, follows in its line, and in a
    /// backtick where the shell makes its arguments.
    pub name: String,
    /// What stands behind it in its line, as it is written.
    pub arguments: String,
}

/// Cuts a text as psql does: what stands in comments, quotes and data of COPY is none of its commands.
pub fn psql_text(text: &str) -> PsqlText {
    let reader = Reader { psql: true, copy_data: true, replaces_in_quotes: false };
    let mut found = PsqlText::default();
    for piece in pieces(text, 0..text.len(), reader) {
        match piece {
            Piece::Statement { range, .. } => found.statements.push(text[range].to_owned()),
            Piece::Meta { range, command } => {
                let bare = command.trim_end_matches(['\\', '`']);
                let line = text[range].strip_prefix('\\').unwrap_or_default();
                let arguments = line.strip_prefix(bare).unwrap_or(line).trim().to_owned();
                found.meta_commands.push(MetaCommand { name: command, arguments });
            }
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
        let told: Vec<_> = found.meta_commands.iter().map(|one| (&one.name[..], &one.arguments[..])).collect();
        assert_eq!(told, [("connect", "shop"), ("echo\\", "a \\\\ drop table t;")]);
        let quoted = psql_text("\\ir 'a b.sql' \n\\i\n");
        let told: Vec<_> = quoted.meta_commands.iter().map(|one| (&one.name[..], &one.arguments[..])).collect();
        assert_eq!(told, [("ir", "'a b.sql'"), ("i", "")]);
    }
}
