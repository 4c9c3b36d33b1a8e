//! What may be put around a script that undoes a migration, by its text: a transaction or none.

use holdpoint_review::{Dialect, MigrationSql, Note, ReviewOptions, psql_text, review};

/// Which transaction a script gets around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surroundings {
    /// One whose number is asked for first.
    Noted,
    /// One in which nothing may be asked first: the script itself says what kind of transaction it is.
    Unnoted,
    /// None: it begins its own, has something that refuses to be in one, or leaves its connection.
    None,
}

/// Decides by the text alone.
pub(super) fn surroundings_of(text: &str) -> Surroundings {
    let options = ReviewOptions { advice: false, ..ReviewOptions::default() };
    let reviewed = review(&[MigrationSql::new("the script", text, Dialect::Psql)], &options);
    let mut notes = reviewed.files.iter().flat_map(|file| &file.notes);
    let hidden = |name: &String| name.ends_with('\\') || name == ";";
    let leaves = |name: &String| matches!(name.trim_end_matches('`'), "c" | "connect") || hidden(name);
    let leaves = psql_text(text).meta_commands.iter().any(leaves);
    if leaves || notes.any(|note| matches!(note, Note::OwnTransaction { .. } | Note::FailsInTransaction { .. })) {
        return Surroundings::None;
    }
    let words = text.to_ascii_lowercase();
    let kind = ["transaction_isolation", "transaction_read_only", "transaction_deferrable"];
    if kind.iter().any(|one| words.contains(one)) { Surroundings::Unnoted } else { Surroundings::Noted }
}

/// Whether a text is one statement, which by itself does all or nothing: a procedure, and a block, may commit on its way.
pub(super) fn is_one_statement(text: &str) -> bool {
    let found = psql_text(text);
    let [statement] = found.statements.as_slice() else { return false };
    let first = statement.split(|sign: char| !sign.is_ascii_alphabetic()).next().unwrap_or_default();
    found.meta_commands.is_empty() && !["CALL", "DO"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gets_a_transaction_only_where_it_may_have_one() {
        for text in [
            "DROP TABLE a;",
            "ALTER TABLE a ADD COLUMN b text; -- bring it back: the DATABASE had it; COMMIT;",
            "DO $$ BEGIN DROP TABLE a; END $$;",
            "UPDATE a SET b = 'BEGIN; VACUUM';",
            "-- as before: \\connect other\nDROP TABLE a; /* \\c other */",
            "UPDATE a SET b = '\\connect other', c = $$\\c other$$;",
            "COPY a FROM stdin;\n\\c other\n\\.\nDROP TABLE b;",
            "\\conninfo\n\\cd /tmp\nDROP TABLE a;",
        ] {
            assert_eq!(surroundings_of(text), Surroundings::Noted, "{text}");
        }
        for text in
            ["SET LOCAL transaction_isolation = 'serializable';", "set transaction_read_only to off; DROP TABLE a;"]
        {
            assert_eq!(surroundings_of(text), Surroundings::Unnoted, "{text}");
        }
        for text in [
            "DROP INDEX CONCURRENTLY a;",
            "begin;\nDROP TABLE a;\ncommit;",
            "START TRANSACTION; DROP TABLE a; COMMIT;",
            "BEGIN WORK;\nDROP TABLE a;\nEND;",
            "DROP TABLE a; END TRANSACTION;",
            "VACUUM a;",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; DELETE FROM a;",
            "CREATE DATABASE b;",
            "\\c other\nDROP TABLE a;",
            "\\connect other\nDROP TABLE a;",
            "\\echo done \\\\ COMMIT;",
            "DROP TABLE a\\; COMMIT;",
        ] {
            assert_eq!(surroundings_of(text), Surroundings::None, "{text}");
        }
    }

    #[test]
    fn only_one_statement_is_all_or_nothing() {
        for text in ["DROP INDEX CONCURRENTLY a;", "-- why\ndrop index concurrently if exists a -- b;"] {
            assert!(is_one_statement(text), "{text}");
        }
        for text in [
            "",
            "DROP INDEX CONCURRENTLY a; DROP INDEX CONCURRENTLY b;",
            "CALL p();",
            "do $$ BEGIN COMMIT; END $$;",
            "\\i other.sql\nDROP INDEX CONCURRENTLY a;",
            "\\c other\nDROP TABLE a;",
        ] {
            assert!(!is_one_statement(text), "{text}");
        }
    }
}
