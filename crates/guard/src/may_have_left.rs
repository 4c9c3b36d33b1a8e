//! Whether a run that failed may have left something that nobody can see: what is undone without a question needs
//! more than that somebody wrote rows meanwhile.

use holdpoint_review::{ObjectName, Reach, ResolvedReview, Touch};

use crate::plan::PlanReport;
use crate::shown_files::is_called;
use crate::state::Change;
use crate::tools::{Migration, ToolName, Transactions};

/// Whether the command of a run that failed changed something, or may have written rows of which nobody can say whose they are.
///
/// Where nothing was recorded by a tool that commits what a migration did together with its record, nothing was left, whoever
/// wrote or changed whatever meanwhile. Otherwise, where the schema is as it was and none of the pending migrations is recorded,
/// rows may only be left in tables that the pending migrations write: others that were written meanwhile are others' work, as
/// every busy database has some. Without a plan nobody knows what the command writes, nor where something cannot be reviewed.
pub(crate) fn may_have_left(report: Option<&PlanReport>, change: &Change, recorded: Option<&[String]>) -> bool {
    if recorded.is_some_and(|names| !names.is_empty()) || !change.prepared.is_empty() {
        return true;
    }
    if recorded.is_some() && report.is_some_and(commits_with_record) {
        return !change.invalid_indexes.is_empty();
    }
    change.database == "changed" || report.is_none_or(|report| writes_a_moved_table(&report.review, &change.unmoved))
}

/// Whether the tool commits a migration together with its record, or after it, and none of these says otherwise: what has no
/// record was not kept. Prisma writes the end of a migration into its record when that is committed.
pub(crate) fn commits_with_record(report: &PlanReport) -> bool {
    let wraps =
        matches!(report.transactions, Transactions::Batch | Transactions::Each) && report.tool != ToolName::Prisma;
    wraps && report.callbacks.is_empty() && !leaves_its_transaction(&report.pending)
}

/// Whether one of the migrations says that it is in no transaction, or ends its own.
fn leaves_its_transaction(pending: &[Migration]) -> bool {
    pending.iter().any(|one| ["NOTRANSACTION", "COMMIT", "DBLINK"].iter().any(|word| one.says(word)))
}

/// Whether the statements write rows of a table other than those that nobody wrote, or nobody knows which they write.
fn writes_a_moved_table(review: &ResolvedReview, unmoved: &[String]) -> bool {
    if review.everything_at_risk {
        return true;
    }
    let findings = review.review.files.iter().flat_map(|file| &file.statements).flat_map(|one| &one.findings);
    let named: Vec<&ObjectName> =
        findings.flat_map(|finding| &finding.touches).filter(writes_rows).map(|touch| &touch.table).collect();
    // Of what a statement reaches beyond the tables that it names, such as by a trigger, those are at risk.
    let reached = review.tables.iter().map(|one| &one.table).filter(|_| !named.is_empty());
    let moved = |table: &ObjectName| !unmoved.iter().any(|name| is_called(name, table));
    named.iter().copied().chain(reached).any(moved)
}

fn writes_rows(touch: &&Touch) -> bool {
    matches!(touch.reach, Reach::Insert | Reach::Update | Reach::Delete | Reach::Truncate { .. })
}

#[cfg(test)]
mod tests {
    use holdpoint_review::{Catalog, Dialect, MigrationSql, ReviewOptions, review_against};

    use super::*;

    fn may(sql: &str, unmoved: &[&str]) -> bool {
        let files = [MigrationSql::new("1.sql", sql, Dialect::Psql)];
        let review = review_against(&files, &ReviewOptions::default(), &Catalog::default());
        let unmoved: Vec<String> = unmoved.iter().map(|name| (*name).to_owned()).collect();
        writes_a_moved_table(&review, &unmoved)
    }

    #[test]
    fn rows_that_others_wrote_while_a_definition_was_to_change_are_theirs() {
        assert!(!may("ALTER TABLE public.t ADD COLUMN n integer; SELECT 1 / 0;", &[]));
        assert!(!may("CREATE INDEX CONCURRENTLY i ON public.t (n);", &["public.w"]));
        assert!(!may("ALTER TABLE public.t DROP COLUMN n;", &[]));
    }

    #[test]
    fn rows_of_a_table_that_the_migrations_write_may_be_theirs() {
        for sql in [
            "UPDATE public.t SET n = 1;",
            "INSERT INTO public.t VALUES (1);",
            "DELETE FROM public.t;",
            "TRUNCATE public.t;",
            "COPY public.t FROM stdin;\n1\n\\.\n",
        ] {
            assert!(may(sql, &["public.w"]), "{sql}");
            assert!(!may(sql, &["public.t", "public.w"]), "{sql}");
        }
    }

    #[test]
    fn what_cannot_be_reviewed_may_write_anything() {
        assert!(may("DO LANGUAGE plpython3u $$ plpy.execute('x') $$;", &["public.t"]));
    }

    #[test]
    fn a_record_says_nothing_where_a_migration_commits_by_itself() {
        let program = |text: &str| {
            let rollback = crate::tools::Rollback::Program;
            let (name, path, sha256) = Default::default();
            let language = crate::tools::Language::Program;
            [Migration { name, path, sha256, language, rollback, sql: String::new(), program: text.to_owned() }]
        };
        assert!(!leaves_its_transaction(&program("export const up = (pgm) => pgm.sql('UPDATE t SET n = 1')")));
        for text in ["pgm.noTransaction(); pgm.sql('x')", "pgm.sql('commit')", "pgm.sql('SELECT dblink_exec(1)')"] {
            assert!(leaves_its_transaction(&program(text)), "{text}");
        }
    }
}
