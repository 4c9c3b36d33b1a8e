//! Whether a run that failed may have left something that nobody can see: what is undone without a question needs
//! more than that somebody wrote rows meanwhile.

use holdpoint_review::{Note, ObjectName, Reach, ResolvedReview, Touch};

use crate::plan::PlanReport;
use crate::shown_files::is_called;
use crate::state::Change;
use crate::tools::{Migration, TableName, ToolName, Transactions};

/// Whether the command of a run that failed changed something, or may have written rows of which nobody can say whose they are.
///
/// Where migrations were pending and none was recorded by a tool that commits what one did together with its record, none of them
/// left anything, whoever wrote or changed whatever meanwhile. Otherwise, where the schema is as it was and none of the pending
/// migrations is recorded, rows may only be left in tables that the pending migrations write: others that were written meanwhile are
/// others' work, as every busy database has some. `report`: what the command is known to run, without which nobody knows what it writes,
/// nor, where the server lost its count, whether it did;
/// nor where something cannot be reviewed; `shown`: by its words. `own`: the tool's own table, in which something is recorded although nothing was pending.
pub(crate) fn may_have_left(
    report: Option<&PlanReport>,
    shown: bool,
    change: &Change,
    recorded: Option<&[String]>,
    own: Option<&TableName>,
) -> bool {
    if recorded.is_some_and(|names| !names.is_empty()) || !change.prepared.is_empty() {
        return true;
    }
    // A server that was restarted took its count of rows along: nothing shows that any was written.
    let Some(report) = report else { return change.database == "changed" || !change.lost_count };
    if report.pending.is_empty() {
        let own = own.map(|table| ObjectName { schema: Some(table.schema.clone()), name: table.name.clone() });
        // Callbacks run all the same.
        return change.database == "changed"
            || own.is_some_and(|own| is_moved(&own, &change.unmoved))
            || writes_a_moved_table(&report.review, &change.unmoved);
    }
    if recorded.is_some() && commits_with_record(report, shown) {
        return !change.invalid_indexes.is_empty();
    }
    change.database == "changed" || writes_a_moved_table(&report.review, &change.unmoved)
}

/// Whether the tool commits a migration together with its record, and none of these can do otherwise: what has no record was not
/// kept. `shown`: the command's words are the tool's own; of a program that uses one of Drizzle's migrators nobody knows, as there are some
/// for drivers without transactions. Prisma writes the end of a migration into its record when that is committed, and Flyway leaves its transaction where a statement
/// or a setting of the file's own wants that.
pub(crate) fn commits_with_record(report: &PlanReport, shown: bool) -> bool {
    let in_transactions = matches!(report.transactions, Transactions::Batch | Transactions::Each);
    let wraps = match report.tool {
        ToolName::Drizzle => shown && in_transactions,
        // Whatever calls its runner.
        ToolName::NodePgMigrate => in_transactions,
        ToolName::Prisma | ToolName::Flyway | ToolName::PlainSql | ToolName::Command => false,
    };
    let leaves = |note: &Note| match note {
        Note::OwnTransaction { .. } | Note::FailsInTransaction { .. } | Note::NotAtomic => true,
        Note::HoldsLock { .. } => false,
    };
    let notes = report.review.review.files.iter().flat_map(|file| &file.notes);
    wraps && !notes.into_iter().any(leaves) && !report.pending.iter().any(does_otherwise)
}

/// Whether a migration says that it is in no transaction, ends its own, does what no transaction takes back, or has a connection of its own.
fn does_otherwise(migration: &Migration) -> bool {
    const WORDS: [&str; 8] = [
        "NOTRANSACTION",
        "COMMIT",
        "ROLLBACK",
        "PREPARE TRANSACTION",
        "DBLINK",
        "SETVAL",
        "REPLICATION_SLOT",
        "READFILE",
    ];
    let program = migration.program.as_str();
    WORDS.iter().any(|word| migration.says(word))
        || ends_a_transaction(program)
        || uses_the_connection(program)
        || uses_another_module(program)
}

/// Whether a program names the connection itself: where each migration has a transaction of its own node-pg-migrate begins that when
/// the program has ended, and whatever this has sent by then stands alone.
fn uses_the_connection(program: &str) -> bool {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == '$';
    program.split(|sign| !is_part(sign)).any(|word| word == "db")
}

/// What a program says to the server by itself, besides the words.
fn ends_a_transaction(program: &str) -> bool {
    let program = program.to_ascii_uppercase();
    let begins = |word: &str| {
        program.match_indices(word).any(|(at, _)| {
            let before = program[..at].trim_end().chars().next_back();
            let after = program[at + word.len()..].trim_start().chars().next();
            before.is_some_and(|sign| QUOTES.contains(&sign))
                && after.is_some_and(|sign| sign == ';' || QUOTES.contains(&sign))
        })
    };
    ["END", "ABORT"].into_iter().any(begins)
}

const QUOTES: [char; 3] = ['\'', '"', '`'];

/// Whether a program takes something from another module than the tool's own.
fn uses_another_module(program: &str) -> bool {
    let quoted = |text: &str| {
        let text = text.trim_start();
        let quote = text.chars().next().filter(|sign| QUOTES.contains(sign))?;
        text[1..].split_once(quote).map(|(name, _)| name == "node-pg-migrate")
    };
    let called = |word: &str| {
        let rest =
            program.match_indices(word).filter_map(|(at, _)| program[at + word.len()..].trim_start().strip_prefix('('));
        rest.into_iter().any(|rest| quoted(rest) != Some(true))
    };
    let words = |word: &'static str| {
        let found = program.match_indices(word).filter(|(at, _)| begins_a_word(program, *at));
        let ends = |sign: char| sign.is_whitespace() || "{*/".contains(sign) || QUOTES.contains(&sign);
        let rest = found.map(move |(at, _)| &program[at + word.len()..]).filter(move |rest| rest.starts_with(ends));
        rest.map(without_comments)
    };
    // Up to its module a statement names only names; one of which more is not known may lead anywhere.
    let imports = |rest: &str| {
        if let Some(is_own) = quoted(rest) {
            return !is_own;
        }
        let names = |sign: char| sign.is_alphanumeric() || sign.is_whitespace() || "{}*,$_".contains(sign);
        let end = rest.find(|sign| !names(sign)).unwrap_or(rest.len());
        !(rest[..end].trim_end().ends_with("from") && quoted(&rest[end..]) == Some(true))
    };
    let exports = |rest: &str| {
        let list = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(_, behind)| behind);
        let behind = without_comments(list.or_else(|| rest.strip_prefix('*')).unwrap_or_default());
        behind.strip_prefix("from").is_some_and(|module| quoted(module) != Some(true)) || behind.starts_with("as")
    };
    let stated = words("import").any(|rest| !rest.starts_with('(') && imports(rest)) || words("export").any(exports);
    called("require") || called("import") || stated
}

/// Whether a word begins there, which is not one in quotes.
fn begins_a_word(text: &str, at: usize) -> bool {
    let goes_on = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == '$' || QUOTES.contains(&sign);
    !text[..at].chars().next_back().is_some_and(goes_on)
}

/// A program from the first sign on that is neither a blank nor in a comment.
fn without_comments(program: &str) -> &str {
    let mut rest = program.trim_start();
    loop {
        let end = match rest.get(..2) {
            Some("//") => "\n",
            Some("/*") => "*/",
            _ => return rest,
        };
        rest = rest[2..].split_once(end).map(|(_, behind)| behind).unwrap_or_default().trim_start();
    }
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
    named.iter().copied().chain(reached).any(|table| is_moved(table, unmoved))
}

fn is_moved(table: &ObjectName, unmoved: &[String]) -> bool {
    !unmoved.iter().any(|name| is_called(name, table))
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
    fn what_callbacks_write_may_be_left_although_nothing_was_pending() {
        let review = |sql: &str| {
            let files = [MigrationSql::new("beforeMigrate.sql", sql, Dialect::Psql)];
            review_against(&files, &ReviewOptions::default(), &Catalog::default())
        };
        assert!(writes_a_moved_table(&review("DELETE FROM public.sessions;"), &[]));
        assert!(!writes_a_moved_table(&review("DELETE FROM public.sessions;"), &["public.sessions".to_owned()]));
        let nothing = review_against(&[], &ReviewOptions::default(), &Catalog::default());
        assert!(!writes_a_moved_table(&nothing, &[]), "nothing pending, and no callback");
    }

    #[test]
    fn of_a_command_of_which_nothing_is_known_something_has_to_show_that_it_did_anything() {
        let left = |database, lost_count| {
            may_have_left(None, false, &Change { database, lost_count, ..Change::unknown() }, None, None)
        };
        assert!(left("changed", true) && left("unknown", false) && !left("unknown", true));
    }

    #[test]
    fn what_cannot_be_reviewed_may_write_anything() {
        assert!(may("DO LANGUAGE plpython3u $$ plpy.execute('x') $$;", &["public.t"]));
    }

    #[test]
    fn a_record_says_nothing_of_what_a_migration_does_beside_its_transaction() {
        let program = |text: &str| {
            let rollback = crate::tools::Rollback::Program;
            let (name, path, sha256) = Default::default();
            let language = crate::tools::Language::Program;
            Migration { name, path, sha256, language, rollback, sql: String::new(), program: text.to_owned() }
        };
        for text in [
            "export const up = (pgm) => pgm.sql('UPDATE t SET n = 1')",
            "import type { MigrationBuilder } from 'node-pg-migrate';\nexport const up = (pgm: MigrationBuilder) => {}",
            "import {\n  MigrationBuilder,\n  ColumnDefinitions,\n} from \"node-pg-migrate\"\nexport async function up(pgm) {}",
            "const { PgLiteral } = require('node-pg-migrate')\nexports.up = (pgm) => {}",
            "const up = (pgm) => pgm.sql('x')\nconst down = false\nexport { up, down }\n",
            "export const up = (pgm) => pgm.sql(`DELETE FROM \"t\" WHERE a = CASE WHEN b THEN 1 END`)",
            "export const up = (pgm) => pgm.sql(`DELETE FROM \"import\" WHERE imported_at IS NULL`)",
            "// important: after all imports\nexports.up = (pgm) => pgm.createTable('imports', { imported_at: 'date' })",
            "const up = (pgm) => {}\nexport { up } // from elsewhere nothing\nconst exported = 1",
        ] {
            assert!(!does_otherwise(&program(text)), "{text}");
        }
        for text in [
            "pgm.noTransaction(); pgm.sql('x')",
            "pgm.sql('commit')",
            "pgm.sql('rollback; begin')",
            "pgm.sql('SELECT dblink_exec(1)')",
            "pgm.sql(\"SELECT setval('s', 1)\")",
            "import { pool } from '../src/db.js'\nawait pool.query('UPDATE t SET n = 1')",
            "const fs = require('fs')",
            "export { up, down } from '../lib/backfill.js'",
            "export * from \"./impl.js\"",
            "import { pool } from '../node-pg-migrate/db.js'",
            "import 'dotenv/config'",
            "import {\n  pool,\n} from '../db.js'",
            "import {\n  pool, // the application's\n} from '../src/db.js'",
            "import/**/{ pool } from '../db.js'",
            "export {\n  up, // of the library\n  down,\n} from '../lib/backfill.js'",
            "const { Pool } = require('pg'), m = require('node-pg-migrate');",
            "const { Pool } = await import(`pg`)",
            "const tool = require(name)",
            "export { up } /* a; b */ from './x'",
            "export { up } from /* lib */ './x'",
            "export * as all from './x'",
            "exports.up = async (pgm) => { await pgm.db.query('UPDATE t SET n = 1') }",
            "export const up = async ({ db }) => db.select('SELECT f()')",
            "pgm.sql('END')",
            "pgm.sql(`abort; UPDATE t SET n = 1`)",
        ] {
            assert!(does_otherwise(&program(text)), "{text}");
        }
    }
}
