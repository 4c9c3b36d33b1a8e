//! What may be put around a script that undoes a migration, by its text and what it includes: a transaction or none.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use holdpoint_review::{Dialect, MetaCommand, MigrationSql, Note, ReviewOptions, psql_text, review};

/// A script is not longer, or is not followed.
const MOST_BYTES: u64 = 64 << 20;
/// Meta-commands of psql by which a file that is included later may be written anew.
const WRITES_FILES: [&str; 9] = ["!", "copy", "e", "edit", "lo_export", "o", "out", "w", "write"];
/// So many files are followed.
pub(super) const MOST_FILES: usize = 100;

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

/// Decides by the script and every file that it includes, as psql finds them from `working`, its working directory. One that
/// cannot be read, or whose name psql only makes up while it runs, may hold anything: then nothing is put around the script.
pub(super) fn surroundings_of(script: &Path, working: &Path) -> Surroundings {
    let mut all = Surroundings::Noted;
    let mut seen = BTreeSet::new();
    let mut open = vec![working.join(script)];
    let (mut moves, mut from_working, mut absent, mut writes, mut rewrites) = (false, false, false, false, false);
    while let Some(path) = open.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        // psql ends there, unless the file is made until then.
        if seen.len() > 1 && path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            absent = true;
            continue;
        }
        let Some(text) = read(&path).filter(|_| seen.len() <= MOST_FILES) else { return Surroundings::None };
        match of_text(&text) {
            Surroundings::None => return Surroundings::None,
            Surroundings::Unnoted => all = Surroundings::Unnoted,
            Surroundings::Noted => {}
        }
        let commands = psql_text(&text).meta_commands;
        writes |= commands.iter().any(|one| !is_include(one) && !["cd", "set", "unset"].contains(&bare(one)));
        rewrites |= commands.iter().any(|one| WRITES_FILES.contains(&bare(one)));
        moves |= commands.iter().any(|one| bare(one) == "cd");
        for command in commands.iter().filter(|one| is_include(one)) {
            let beside = matches!(bare(command), "ir" | "include_relative");
            let from = if beside { path.parent().unwrap_or(working) } else { working };
            let Some(name) = included(command) else { return Surroundings::None };
            from_working |= !beside && !name.is_absolute();
            open.push(from.join(name));
        }
    }
    // Where `\cd` leads, what is named from the working directory is elsewhere; what is included may be written until then.
    let elsewhere = moves && from_working;
    let other = absent && writes || rewrites && seen.len() > 1;
    if elsewhere || other { Surroundings::None } else { all }
}

/// The text of a file; `None` where it cannot be read as one.
pub(super) fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    // Opening a pipe would wait for who writes into it.
    let file = std::fs::File::open(path.is_file().then_some(path)?).ok()?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= MOST_BYTES).then_some(text)
}

pub(super) fn bare(command: &MetaCommand) -> &str {
    command.name.trim_end_matches(['\\', '`'])
}

pub(super) fn is_include(command: &MetaCommand) -> bool {
    matches!(bare(command), "i" | "include" | "ir" | "include_relative")
}

/// The name of the file that is included, where it stands there as it is: no variable, escape, home folder or further word.
pub(super) fn included(command: &MetaCommand) -> Option<PathBuf> {
    let text = command.arguments.as_str();
    let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    let plain = |sign: char| !sign.is_whitespace() && !matches!(sign, '\'' | '"' | ':' | '~' | '|');
    let name = match quoted {
        Some(name) if !name.contains('\'') && !name.starts_with(['~', '|']) => name,
        Some(_) => return None,
        None if text.chars().all(plain) => text,
        None => return None,
    };
    // A name that ends in a backslash or backtick has more in its line.
    let whole = bare(command) == command.name && !name.is_empty() && !name.contains(['\\', '`']);
    whole.then(|| PathBuf::from(name))
}

/// Decides by one text alone.
fn of_text(text: &str) -> Surroundings {
    let options = ReviewOptions { advice: false, ..ReviewOptions::default() };
    let reviewed = review(&[MigrationSql::new("the script", text, Dialect::Psql)], &options);
    let mut notes = reviewed.files.iter().flat_map(|file| &file.notes);
    let hidden = |one: &MetaCommand| one.name.ends_with('\\') || one.name == ";";
    let leaves = |one: &MetaCommand| matches!(bare(one), "c" | "connect") || hidden(one);
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
            assert_eq!(of_text(text), Surroundings::Noted, "{text}");
        }
        for text in
            ["SET LOCAL transaction_isolation = 'serializable';", "set transaction_read_only to off; DROP TABLE a;"]
        {
            assert_eq!(of_text(text), Surroundings::Unnoted, "{text}");
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
            assert_eq!(of_text(text), Surroundings::None, "{text}");
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

    #[test]
    fn what_a_script_includes_decides_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("sql/plain.sql", "DROP TABLE a;");
        write("sql/it's.sql", "DROP TABLE a;");
        write("sql/commits.sql", "BEGIN; DROP TABLE a; COMMIT;");
        write("sql/deeper.sql", "\\ir commits.sql\n");
        write("sql/kind.sql", "SET transaction_isolation = 'serializable';");
        write("sql/round.sql", "\\ir round.sql\n\\i sql/plain.sql\n");
        let absolute = folder.path().join("sql/commits.sql").display().to_string();
        for (text, want) in [
            ("\\ir plain.sql\nDROP TABLE b;", Surroundings::Noted),
            ("\\i sql/plain.sql", Surroundings::Noted),
            ("\\include 'sql/plain.sql'\n\\include_relative plain.sql", Surroundings::Noted),
            ("\\ir round.sql", Surroundings::Noted),
            ("\\ir commits.sql\nDROP TABLE b;", Surroundings::None),
            ("\\i sql/deeper.sql", Surroundings::None),
            ("\\ir kind.sql", Surroundings::Unnoted),
            ("\\ir kind.sql\n\\ir commits.sql", Surroundings::None),
            (&format!("\\i {absolute}"), Surroundings::None),
            // One that is not there ends psql; one that is made on the way may hold anything.
            ("\\i nofile.sql", Surroundings::Noted),
            ("\\! echo 'COMMIT;' > nofile.sql\n\\i nofile.sql", Surroundings::None),
            ("\\o sql/plain.sql\nSELECT 'COMMIT;';\n\\o\n\\ir plain.sql", Surroundings::None),
            ("\\echo on\n\\ir plain.sql", Surroundings::Noted),
            // Nobody can say which one it is.
            ("\\ir :name", Surroundings::None),
            ("\\ir 'it\\'s.sql'", Surroundings::None),
            ("\\ir `echo plain.sql`", Surroundings::None),
            ("\\ir plain.sql \\\\ COMMIT;", Surroundings::None),
            ("\\ir", Surroundings::None),
            ("\\cd sql\n\\i sql/plain.sql", Surroundings::None),
            ("\\cd sql\n\\ir plain.sql", Surroundings::Noted),
            ("-- \\ir commits.sql\nDROP TABLE b;", Surroundings::Noted),
        ] {
            write("sql/down.sql", text);
            assert_eq!(surroundings_of(Path::new("sql/down.sql"), folder.path()), want, "{text}");
        }
        assert_eq!(surroundings_of(Path::new("sql/none.sql"), folder.path()), Surroundings::None);
        write("sql/down.sql", "\\i /dev/zero");
        assert_eq!(surroundings_of(Path::new("sql/down.sql"), folder.path()), Surroundings::None);
    }
}
