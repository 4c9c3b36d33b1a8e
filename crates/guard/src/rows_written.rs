//! Whether rows that were written show that a file ran: only where no other file may have written them.

use holdpoint_core::rehearsal::{RowEffect, TableEffect};
use holdpoint_review::{ObjectName, Role, StatementReview};

use crate::shown_files::is_called;

/// Kinds of changes of rows, as the server counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) inserted: bool,
    pub(crate) updated: bool,
    pub(crate) deleted: bool,
}

impl Kinds {
    /// Rows of no kind.
    pub(crate) const NONE: Self = Self { inserted: false, updated: false, deleted: false };
    /// Nobody knows of which kind.
    pub(crate) const ALL: Self = Self { inserted: true, updated: true, deleted: true };

    /// Of either.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            inserted: self.inserted || other.inserted,
            updated: self.updated || other.updated,
            deleted: self.deleted || other.deleted,
        }
    }

    /// Of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            inserted: self.inserted && other.inserted,
            updated: self.updated && other.updated,
            deleted: self.deleted && other.deleted,
        }
    }

    fn without(self, other: Self) -> Self {
        let not = Self { inserted: !other.inserted, updated: !other.updated, deleted: !other.deleted };
        self.and(not)
    }
}

/// What kinds of changes a rehearsal saw in a table, also by statements that left the rows as they were.
pub(crate) fn on_the_copy(tables: &[TableEffect], table: &ObjectName) -> Kinds {
    let mut all = Kinds::NONE;
    for effect in tables.iter().filter(|one| is_called(&one.table, table)) {
        if let Some(RowEffect { inserted, updated, deleted }) = effect.written.or(effect.rows) {
            all.inserted |= inserted > 0;
            all.updated |= updated > 0;
            all.deleted |= deleted > 0;
        } else if effect.rows_before != effect.rows_after {
            all = Kinds::ALL;
        }
        // TRUNCATE is not counted, and gives the table another file.
        all.deleted |= effect.rewritten;
    }
    all
}

/// What a statement may do to the rows of a table, by its first word where that is all there is to it.
fn of_statement(statement: &StatementReview, table: &ObjectName, text: &str) -> Kinds {
    if statement.findings.iter().any(|one| one.unreviewable.is_some()) {
        return Kinds::ALL;
    }
    let touches = |one: &&holdpoint_review::Finding| {
        one.touches.iter().any(|touch| matches!(touch.role, Role::Add | Role::Write) && same(&touch.table, table))
    };
    let mut all = Kinds::NONE;
    for finding in statement.findings.iter().filter(touches) {
        let own = finding.within.is_empty() && finding.target.as_ref().is_some_and(|one| same(&one.name, table));
        let own_text = text.get(statement.offset..statement.offset + statement.length).unwrap_or_default();
        let more = match statement.words.split(' ').next().unwrap_or_default() {
            "INSERT" if own => Kinds { inserted: true, updated: has_word(own_text, "CONFLICT"), deleted: false },
            "COPY" if own => Kinds { inserted: true, ..Kinds::NONE },
            "UPDATE" if own => Kinds { updated: true, ..Kinds::NONE },
            "DELETE" | "TRUNCATE" if own => Kinds { deleted: true, ..Kinds::NONE },
            // In a block, by a trigger, by several statements in one.
            _ => Kinds::ALL,
        };
        all = all.or(more);
    }
    all
}

/// What the statements of a file may do to the rows of a table.
pub(crate) fn of_file(statements: &[StatementReview], table: &ObjectName, text: &str) -> Kinds {
    statements.iter().fold(Kinds::NONE, |all, one| all.or(of_statement(one, table, text)))
}

/// What rows that were written say of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// None was written as the file does it.
    NotRun,
    /// Some were, and no other file does that.
    Ran,
    /// Some were, by it or by another file.
    OneOfSeveral,
}

/// Judges what was written into a table, in the light of what the file and the others do there.
pub(crate) fn says(wrote: Kinds, own: Kinds, others: Kinds) -> Says {
    let by_own = wrote.and(own);
    if by_own == Kinds::NONE {
        return Says::NotRun;
    }
    if by_own.without(others) == Kinds::NONE { Says::OneOfSeveral } else { Says::Ran }
}

/// Whether two names may be those of one table.
fn same(one: &ObjectName, other: &ObjectName) -> bool {
    one.name == other.name && (one.schema.is_none() || other.schema.is_none() || one.schema == other.schema)
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|sign: char| !sign.is_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use holdpoint_review::{Dialect, MigrationSql, ReviewOptions, review};

    use super::*;

    const INSERTED: Kinds = Kinds { inserted: true, ..Kinds::NONE };
    const UPDATED: Kinds = Kinds { updated: true, ..Kinds::NONE };
    const DELETED: Kinds = Kinds { deleted: true, ..Kinds::NONE };

    fn table(name: &str) -> ObjectName {
        ObjectName::qualified("public", name)
    }

    #[test]
    fn a_statement_is_known_by_its_word_and_anything_else_may_do_all() {
        for (sql, kinds) in [
            ("INSERT INTO t VALUES (1);", INSERTED),
            ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING;", Kinds { updated: true, ..INSERTED }),
            ("UPDATE public.t SET a = 1;", UPDATED),
            ("DELETE FROM t;", DELETED),
            ("TRUNCATE t;", DELETED),
            ("UPDATE other.t SET a = 1;", Kinds::NONE),
            ("INSERT INTO u SELECT * FROM t;", Kinds::NONE),
            ("WITH d AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM d;", Kinds::ALL),
            ("DO $$ BEGIN DELETE FROM t; END $$;", Kinds::ALL),
            ("DO $$ BEGIN EXECUTE 'DELETE FROM ' || chr(116); END $$;", Kinds::ALL),
        ] {
            let files = [MigrationSql::new("1.sql", sql, Dialect::Psql)];
            let reviewed = review(&files, &ReviewOptions { advice: false, ..ReviewOptions::default() });
            assert_eq!(of_file(&reviewed.files[0].statements, &table("t"), sql), kinds, "{sql}");
        }
    }

    #[test]
    fn rows_show_a_file_where_no_other_may_have_written_them() {
        let inserted_and_deleted = Kinds { deleted: true, ..INSERTED };
        assert_eq!(says(INSERTED, INSERTED, Kinds::NONE), Says::Ran);
        assert_eq!(says(INSERTED, INSERTED, INSERTED), Says::OneOfSeveral);
        assert_eq!(says(inserted_and_deleted, INSERTED, DELETED), Says::Ran, "each by a kind of its own");
        assert_eq!(says(INSERTED, UPDATED, Kinds::NONE), Says::NotRun);
        assert_eq!(says(Kinds::NONE, Kinds::ALL, Kinds::NONE), Says::NotRun);
        assert_eq!(says(Kinds::ALL, INSERTED, Kinds::ALL), Says::OneOfSeveral);
    }

    #[test]
    fn the_server_counts_what_a_comparison_of_values_does_not_see() {
        let rows = |inserted, updated, deleted| Some(RowEffect { inserted, updated, deleted });
        let of = |effect: TableEffect| {
            on_the_copy(&[TableEffect { table: "public.t".into(), ..effect }], &ObjectName::qualified("public", "t"))
        };
        assert_eq!(of(TableEffect { written: rows(0, 5, 0), rows: rows(0, 0, 0), ..TableEffect::default() }), UPDATED);
        assert_eq!(of(TableEffect { rows: rows(2, 0, 0), ..TableEffect::default() }), INSERTED);
        assert_eq!(of(TableEffect { rewritten: true, ..TableEffect::default() }), DELETED);
        assert_eq!(of(TableEffect { rows_after: Some(1), ..TableEffect::default() }), Kinds::ALL);
        assert_eq!(of(TableEffect::default()), Kinds::NONE);
    }
}
