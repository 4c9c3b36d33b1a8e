//! What shows that a folder's files ran, where no table of a tool's says so: what their SQL says, held against what is there.
//!
//! Only what is certain to be there once all of them ran counts as missing where it is not: a statement whose effect a
//! later one may have taken back, or that may have done nothing, claims nothing. What no claim, no changed object and no
//! written row speaks for is without evidence, which is not that it did not run.

mod claims;
#[cfg(test)]
mod fixture;

use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::ObjectEffect;
use holdpoint_review::{Catalog, FileReview, MigrationSql, ObjectName, ReviewOptions, Role, StatementReview, review};

use self::claims::{Claim, claim};
use crate::rows_written::{self, Kinds, Says};

/// How many missing things of a file are named.
const NAMED: usize = 3;

/// What is there, once the files ran.
pub(crate) struct There<'a> {
    /// The catalog as it is now.
    pub(crate) catalog: &'a Catalog,
    /// The schema objects that changed.
    pub(crate) changed: &'a [ObjectEffect],
    /// How rows of a table were written meanwhile, where that is known.
    pub(crate) wrote: &'a dyn Fn(&ObjectName) -> Option<Kinds>,
}

/// What was found of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Files of which something is not there that their SQL says, with what it is.
    pub(crate) missing: Vec<(String, String)>,
    /// Files for which nothing speaks, and nothing against.
    pub(crate) without_evidence: Vec<String>,
    /// Changes of rows that wrote none, or of which nobody can tell whose they are, in words.
    pub(crate) unwritten: Vec<String>,
}

impl Shown {
    /// What is missing, file by file.
    pub(crate) fn missing_words(&self) -> Vec<String> {
        self.missing.iter().map(|(file, what)| format!("{file}: {what}")).collect()
    }

    /// The files that nothing shows to have run.
    pub(crate) fn not_shown(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|(file, _)| file.clone());
        missing.chain(self.without_evidence.iter().cloned()).collect()
    }
}

/// Holds what the files say against what is there. The files come in the order in which they run.
pub(crate) fn shown(files: &[MigrationSql], there: &There<'_>) -> Shown {
    let reviewed = review(files, &ReviewOptions { advice: false, ..ReviewOptions::default() });
    let mut claims: Vec<(usize, Claim)> = Vec::new();
    for (place, (file, text)) in reviewed.files.iter().zip(files).enumerate() {
        for statement in &file.statements {
            for finding in &statement.findings {
                claim(&mut claims, place, statement, finding, &text.text);
            }
        }
    }
    let mut found = Shown::default();
    for (place, (file, text)) in reviewed.files.iter().zip(files).enumerate() {
        let own = || claims.iter().filter(|(of, _)| *of == place).map(|(_, claim)| claim);
        let missing: Vec<String> = own().filter_map(|claim| claim.missing(there)).collect();
        if !missing.is_empty() {
            found.missing.push((text.name.clone(), listed(&missing, NAMED)));
            continue;
        }
        let (mut wrote, mut several) = (false, Vec::new());
        for (table, what) in file.statements.iter().flat_map(rows_of) {
            let Some(kinds) = (there.wrote)(table) else { continue };
            let kinds_of =
                |of: &(&FileReview, &MigrationSql)| rows_written::of_file(&of.0.statements, table, &of.1.text);
            let others =
                || reviewed.files.iter().zip(files).enumerate().filter(|(of, _)| *of != place).map(|(_, of)| of);
            let by_others = others().map(|of| kinds_of(&of)).fold(Kinds::NONE, Kinds::or);
            match rows_written::says(kinds, kinds_of(&(file, text)), by_others) {
                Says::Ran => wrote = true,
                Says::NotRun => found.unwritten.push(format!("{}: its {what} of {table} wrote no rows", text.name)),
                Says::OneOfSeveral => {
                    let others: Vec<String> = others()
                        .filter(|of| kinds_of(of).and(kinds) != Kinds::NONE)
                        .map(|of| of.1.name.clone())
                        .collect();
                    let others = listed(&others, NAMED);
                    several.push(format!("{}: rows of {table} were written, by it or by {others}", text.name));
                }
            }
        }
        let changed =
            || file.statements.iter().any(|one| is_of_schema(one) && names_changed(one, &text.text, there.changed));
        if !wrote && own().next().is_none() && !changed() {
            found.without_evidence.push(text.name.clone());
            several.dedup();
            found.unwritten.append(&mut several);
        }
    }
    found
}

/// The tables whose rows a statement changes, with its first word.
fn rows_of(statement: &StatementReview) -> impl Iterator<Item = (&ObjectName, &str)> {
    let what = statement.words.split(' ').next().unwrap_or_default();
    let touches = statement.findings.iter().flat_map(|one| &one.touches);
    touches
        .filter(move |one| {
            ["INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE", "WITH"].contains(&what)
                && matches!(one.role, Role::Add | Role::Write)
        })
        .map(move |one| (&one.table, what))
}

/// Whether a statement is one of the schema: rows show in no object's definition.
fn is_of_schema(statement: &StatementReview) -> bool {
    let first = statement.words.split(' ').next().unwrap_or_default();
    ["CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "REASSIGN"].contains(&first)
}

/// Whether a statement names an object that changed.
fn names_changed(statement: &StatementReview, text: &str, changed: &[ObjectEffect]) -> bool {
    let Some(text) = text.get(statement.offset..statement.offset + statement.length) else { return false };
    let is_part = |sign: char| sign.is_alphanumeric() || matches!(sign, '_' | '$');
    let parts = |text: &str| -> Vec<String> {
        text.split(|sign| !is_part(sign)).filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
    };
    let words = parts(text);
    // The object's own name: what comes before it are kinds, schemas and tables, what comes after it types.
    let named = |one: &ObjectEffect| {
        let name = one.name.split('(').next()?.rsplit(['.', ' ']).next()?;
        Some(name.trim_matches('"').to_lowercase())
    };
    changed.iter().filter_map(named).any(|name| words.contains(&name))
}

/// Whether a table of that name, as the catalog quotes it, is the one that a statement names; without a schema any.
pub(crate) fn is_called(quoted: &str, table: &ObjectName) -> bool {
    ObjectName::typed(quoted).is_some_and(|is| {
        is.name == table.name && table.schema.as_ref().is_none_or(|schema| is.schema.as_ref() == Some(schema))
    })
}

#[cfg(test)]
mod tests {
    use holdpoint_core::rehearsal::ObjectChange;

    use super::fixture::{catalog, file, found};
    use super::*;

    #[test]
    fn rows_alone_are_shown_by_what_was_written() {
        let files = [file("1.sql", "UPDATE orders SET country = upper(country);")];
        let none = catalog(&[("orders", &["country"])], "");
        let updated = Some(Kinds { updated: true, ..Kinds::NONE });
        assert_eq!(found(&files, &none, &[], updated), Shown::default());
        let unwritten = found(&files, &none, &[], Some(Kinds::NONE));
        assert_eq!(unwritten.unwritten, ["1.sql: its UPDATE of orders wrote no rows"]);
        assert_eq!(unwritten.not_shown(), ["1.sql"]);
        assert_eq!(found(&files, &none, &[], None).not_shown(), ["1.sql"], "nobody knows");
    }

    #[test]
    fn rows_that_several_files_may_have_written_show_none_of_them() {
        let files = |second: &str| {
            [
                file("1.sql", "INSERT INTO tags VALUES (1);"),
                file("2.sql", second),
                file("3.sql", "CREATE TABLE made ();"),
            ]
        };
        let there = catalog(&[("tags", &["id"]), ("made", &[])], "");
        let inserted = Kinds { inserted: true, ..Kinds::NONE };
        let either = found(&files("INSERT INTO tags VALUES (2);"), &there, &[], Some(inserted));
        assert_eq!(either.not_shown(), ["1.sql", "2.sql"], "a script that ran one of them leaves the same");
        assert_eq!(
            either.unwritten,
            [
                "1.sql: rows of tags were written, by it or by 2.sql",
                "2.sql: rows of tags were written, by it or by 1.sql"
            ]
        );
        let told_apart = Some(Kinds { deleted: true, ..inserted });
        assert_eq!(found(&files("DELETE FROM tags WHERE id = 7;"), &there, &[], told_apart), Shown::default());
        let one = found(&files("DELETE FROM tags WHERE id = 7;"), &there, &[], Some(inserted));
        assert_eq!(one.not_shown(), ["2.sql"]);
        // What else a file does shows that it ran, and not which of them wrote the rows.
        let with_more = files("CREATE TABLE IF NOT EXISTS made (); INSERT INTO tags VALUES (2);");
        assert_eq!(found(&with_more, &there, &[], Some(inserted)).not_shown(), ["1.sql"]);
        let anything = files("DO $$ BEGIN EXECUTE 'INSERT INTO tags VALUES (2)'; END $$;");
        assert_eq!(found(&anything, &there, &[], Some(inserted)).not_shown(), ["1.sql", "2.sql"]);
    }

    #[test]
    fn what_no_catalog_of_tables_has_is_shown_by_the_objects_that_changed() {
        let nothing = Catalog::default();
        for (sql, object) in [
            ("COMMENT ON TABLE tags IS 'seen';", "COMMENT public.TABLE tags"),
            ("CREATE FUNCTION add(a int) RETURNS int LANGUAGE sql AS 'SELECT a';", "FUNCTION public.add(a.integer)"),
            ("CREATE TYPE colour AS ENUM ('red');", "TYPE public.colour"),
        ] {
            let of = |changed: &[(&str, ObjectChange)]| found(&[file("1.sql", sql)], &nothing, changed, None);
            assert_eq!(of(&[]).not_shown(), ["1.sql"], "{sql}");
            assert_eq!(of(&[("TYPE public.other", ObjectChange::Added)]).not_shown(), ["1.sql"], "{sql}");
            assert_eq!(of(&[(object, ObjectChange::Added)]), Shown::default(), "{sql}");
        }
    }
}
