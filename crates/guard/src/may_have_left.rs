//! Whether a command that failed may have left something that nobody can see: what is undone without a question needs
//! more than that somebody wrote rows meanwhile.

use holdpoint_review::{ObjectName, Reach, ResolvedReview, Touch};

use crate::plan::PlanReport;
use crate::shown_files::is_called;
use crate::state::Change;

/// Whether a command that failed changed something, or may have written rows of which nobody can say whose they are.
///
/// Where the schema is as it was and none of the pending migrations is recorded, those rows are only in tables that the
/// pending migrations write. Others that were written meanwhile are others' work: every busy database has some. Without a
/// plan nobody knows what the command writes; nor where something cannot be reviewed, unless the tool records what it ran.
pub(crate) fn may_have_left(report: Option<&PlanReport>, change: &Change, recorded: Option<&[String]>) -> bool {
    let recorded_some = recorded.is_some_and(|names| !names.is_empty());
    if change.database == "changed" || recorded_some || !change.prepared.is_empty() {
        return true;
    }
    report.is_none_or(|report| writes_a_moved_table(&report.review, &change.unmoved, recorded.is_some()))
}

/// Whether the reviewed statements write rows of a table other than those that nobody wrote.
fn writes_a_moved_table(review: &ResolvedReview, unmoved: &[String], is_recorded: bool) -> bool {
    if review.everything_at_risk {
        return !is_recorded;
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

    fn may(sql: &str, unmoved: &[&str], is_recorded: bool) -> bool {
        let files = [MigrationSql::new("1.sql", sql, Dialect::Psql)];
        let review = review_against(&files, &ReviewOptions::default(), &Catalog::default());
        let unmoved: Vec<String> = unmoved.iter().map(|name| (*name).to_owned()).collect();
        writes_a_moved_table(&review, &unmoved, is_recorded)
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
    fn what_cannot_be_reviewed_may_write_anything_unless_it_would_be_recorded() {
        let sql = "DO LANGUAGE plpython3u $$ plpy.execute('x') $$;";
        assert!(may(sql, &["public.t"], false));
        assert!(!may(sql, &["public.t"], true));
    }
}
