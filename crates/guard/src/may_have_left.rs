//! Whether a command that failed may have left something that nobody can see: what is undone without a question needs
//! more than that somebody wrote rows meanwhile.

use holdpoint_review::{ObjectName, Reach, ResolvedReview, Touch};

use crate::plan::PlanReport;
use crate::shown_files::is_called;
use crate::state::Change;
use crate::tools::{Migration, Transactions};

/// Whether a command that failed changed something, or may have written rows of which nobody can say whose they are.
///
/// Where the schema is as it was and none of the pending migrations is recorded, those rows are only in tables that the
/// pending migrations write. Others that were written meanwhile are others' work: every busy database has some. Without a
/// plan nobody knows what the command writes; nor where something cannot be reviewed, unless the tool commits what a
/// migration wrote together with its record.
pub(crate) fn may_have_left(report: Option<&PlanReport>, change: &Change, recorded: Option<&[String]>) -> bool {
    let recorded_some = recorded.is_some_and(|names| !names.is_empty());
    if change.database == "changed" || recorded_some || !change.prepared.is_empty() {
        return true;
    }
    report.is_none_or(|report| {
        let with_record = recorded.is_some() && commits_with_record(report.transactions, &report.pending);
        writes_a_moved_table(&report.review, &change.unmoved, with_record)
    })
}

/// Whether the tool commits a migration together with its record, and none of these says otherwise.
fn commits_with_record(transactions: Transactions, pending: &[Migration]) -> bool {
    let wraps = matches!(transactions, Transactions::Batch | Transactions::Each);
    wraps && !pending.iter().any(|one| one.says("NOTRANSACTION") || one.says("COMMIT"))
}

/// Whether the statements write rows of a table other than those that nobody wrote: those that can be reviewed, where
/// what the others wrote would have a record.
fn writes_a_moved_table(review: &ResolvedReview, unmoved: &[String], with_record: bool) -> bool {
    if review.everything_at_risk && !with_record {
        return true;
    }
    let findings = review.review.files.iter().flat_map(|file| &file.statements).flat_map(|one| &one.findings);
    let named: Vec<&ObjectName> =
        findings.flat_map(|finding| &finding.touches).filter(writes_rows).map(|touch| &touch.table).collect();
    // Of what a statement reaches beyond the tables that it names, such as by a trigger, those are at risk.
    let known = !named.is_empty() && !review.everything_at_risk;
    let reached = review.tables.iter().map(|one| &one.table).filter(|_| known);
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

    fn may(sql: &str, unmoved: &[&str], with_record: bool) -> bool {
        let files = [MigrationSql::new("1.sql", sql, Dialect::Psql)];
        let review = review_against(&files, &ReviewOptions::default(), &Catalog::default());
        let unmoved: Vec<String> = unmoved.iter().map(|name| (*name).to_owned()).collect();
        writes_a_moved_table(&review, &unmoved, with_record)
    }

    #[test]
    fn rows_that_others_wrote_while_a_definition_was_to_change_are_theirs() {
        assert!(!may("ALTER TABLE public.t ADD COLUMN n integer; SELECT 1 / 0;", &[], false));
        assert!(!may("CREATE INDEX CONCURRENTLY i ON public.t (n);", &["public.w"], false));
        assert!(!may("ALTER TABLE public.t DROP COLUMN n;", &[], false));
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
            assert!(may(sql, &["public.w"], true), "{sql}");
            assert!(!may(sql, &["public.t", "public.w"], true), "{sql}");
        }
    }

    #[test]
    fn what_cannot_be_reviewed_may_write_anything_unless_it_would_have_a_record() {
        let sql = "DO LANGUAGE plpython3u $$ plpy.execute('x') $$;";
        assert!(may(sql, &["public.t"], false));
        assert!(!may(sql, &["public.t"], true));
        // What can be reviewed beside it is looked at.
        let both = format!("UPDATE public.t SET n = 1; {sql}");
        assert!(may(&both, &["public.w"], true) && may(&both, &["public.t"], false));
        assert!(!may(&both, &["public.t"], true));
    }

    #[test]
    fn a_record_says_nothing_where_a_migration_commits_by_itself() {
        let program = |text: &str| {
            let rollback = crate::tools::Rollback::Program;
            let (name, path, sha256) = Default::default();
            let language = crate::tools::Language::Program;
            [Migration { name, path, sha256, language, rollback, sql: String::new(), program: text.to_owned() }]
        };
        let plain = program("export const up = (pgm) => pgm.sql('UPDATE t SET n = 1')");
        assert!(commits_with_record(Transactions::Each, &plain) && commits_with_record(Transactions::Batch, &plain));
        assert!(
            !commits_with_record(Transactions::None, &plain) && !commits_with_record(Transactions::Unknown, &plain)
        );
        for text in ["pgm.noTransaction(); pgm.sql('x')", "pgm.sql('commit')"] {
            assert!(!commits_with_record(Transactions::Each, &program(text)), "{text}");
        }
    }
}
