//! What cannot be read puts everything at risk, and takes nothing of the rest along.

use std::collections::BTreeMap;

use holdpoint_review::{Dialect, Kind, MigrationSql, Review, ReviewOptions, RiskClass, Unreviewable, review};

use crate::shown::{lines, of};

fn by(dialect: Dialect, sql: &str) -> Review {
    review(&[MigrationSql::new("m.sql", sql, dialect)], &ReviewOptions::default())
}

fn reasons(review: &Review) -> Vec<Unreviewable> {
    review.findings().filter_map(|(_, finding)| finding.unreviewable.clone()).collect()
}

#[test]
fn what_cannot_be_read_puts_everything_at_risk() {
    for (sql, reason) in [
        ("drop tabel t", Unreviewable::Broken),
        ("update t set a = 1 limit 5", Unreviewable::Broken),
        ("select 'open", Unreviewable::Unterminated),
        ("drop table ${schema}.t", Unreviewable::Placeholder),
        ("do $$ begin execute 'drop table ' || t; end $$", Unreviewable::DynamicSql),
        ("do $$ begin broken broken; end $$", Unreviewable::BrokenBody),
        ("do language plpython3u $$ x $$", Unreviewable::Language("plpython3u".into())),
        ("copy t from program 'cat x'", Unreviewable::ServerProgram),
        ("execute nobody_knows", Unreviewable::UnknownPrepared("nobody_knows".into())),
        ("commit prepared 'x'", Unreviewable::UnknownPrepared("a transaction".into())),
    ] {
        let review = of(sql);
        assert!(review.everything_at_risk(), "{sql}");
        assert!(reasons(&review).contains(&reason), "{sql}: {:?}", reasons(&review));
    }
    for sql in [
        "select cleanup()",
        "call cleanup()",
        "do $$ begin perform s.cleanup(); end $$",
        "select query_to_xml('x', true, true, '')",
        "select dblink_exec('x', 'drop table t')",
        "select lo_unlink(1)",
        "update t set a = cleanup()",
        "alter table t add a int default cleanup()",
        "alter table t add check (cleanup())",
        "create index on t (cleanup(a))",
        "select * from cleanup()",
        "insert into t select cleanup() from u",
        "alter extension x update",
        "load 'x'",
    ] {
        assert!(of(sql).everything_at_risk(), "{sql}");
    }
}

#[test]
fn a_broken_statement_takes_no_other_along() {
    let review = of("drop tabel a;\ndrop table b;\nselect (;\ndelete from c;");
    let kinds: Vec<Kind> = review.findings().map(|(_, finding)| finding.kind).collect();
    assert!(kinds.contains(&Kind::DropTable) && kinds.contains(&Kind::DeleteAll), "{kinds:?}");
    assert_eq!(review.findings().filter(|(_, finding)| finding.unreviewable.is_some()).count(), 2, "{kinds:?}");
}

#[test]
fn data_of_copy_with_apostrophes_hides_nothing_and_invents_nothing() {
    let sql = "COPY public.t (a) FROM stdin;\nit's a test\nDROP TABLE not_real;\n\\.\n\nDROP TABLE after_copy;\n";
    let review = by(Dialect::Psql, sql);
    assert!(!review.everything_at_risk(), "{:?}", reasons(&review));
    let text = lines(&review).join("\n");
    assert!(text.contains("after_copy") && !text.contains("not_real"), "{text}");
    assert_eq!(review.files[0].statements[1].line, 6);
    assert!(by(Dialect::Driver, sql).everything_at_risk(), "a driver would send the data as SQL");
}

#[test]
fn psqls_own_words_are_not_skipped() {
    for sql in [
        "\\i other.sql",
        "\\connect other",
        "select 'drop table t' \\gexec",
        "\\copy t from x",
        "\\set x 1",
        "drop table :t;",
    ] {
        assert!(by(Dialect::Psql, sql).everything_at_risk(), "{sql}");
    }
    assert!(!by(Dialect::Psql, "\\echo it's fine\n\\timing on\nselect 1;").everything_at_risk());
    assert!(by(Dialect::Driver, "\\echo a").everything_at_risk(), "nobody but psql reads it");
}

#[test]
fn comments_waive_nothing() {
    for comment in
        ["-- squawk-ignore-file", "-- squawk-ignore ban-drop-table", "/* squawk-ignore-file */", "-- holdpoint: ignore"]
    {
        let review = of(&format!("{comment}\ndrop table orders;"));
        assert!(lines(&review).join("\n").starts_with("DropTable orders loses Tables"), "{comment}");
    }
}

#[test]
fn other_quotes_from_here_on_cannot_be_read() {
    let review = of("set standard_conforming_strings = off; select 'a\\'; drop table t; --';");
    assert!(reasons(&review).contains(&Unreviewable::QuotesChanged), "{:?}", reasons(&review));
    assert!(!of("set standard_conforming_strings = on; select 1").everything_at_risk());
}

#[test]
fn programs_and_placeholders_of_flyway() {
    assert_eq!(reasons(&by(Dialect::Program, "exports.up = () => {}")), [Unreviewable::Program]);
    assert!(by(Dialect::Program, "").everything_at_risk(), "even an empty one");
    let mut file = MigrationSql::new("V1__a.sql", "drop table ${schema}.t; select '${other}';", Dialect::Flyway);
    let found = reasons(&review(&[file.clone()], &ReviewOptions::default()));
    assert_eq!(found.iter().filter(|one| **one == Unreviewable::Placeholder).count(), 2, "{found:?}");
    file.placeholders = BTreeMap::from([("schema".to_owned(), "app".to_owned()), ("other".to_owned(), "x".to_owned())]);
    let read = review(&[file], &ReviewOptions::default());
    assert!(!read.everything_at_risk() && lines(&read)[0].starts_with("DropTable app.t"), "{:?}", lines(&read));
}

#[test]
fn parts_of_other_tools_are_told_apart() {
    let text =
        lines(&by(Dialect::NodePgMigrate, "-- Up Migration\nselect 1;\n-- Down Migration\ndrop table t;")).join("\n");
    assert!(!text.contains("DropTable"), "{text}");
    let open = "select 'never ended--> statement-breakpoint\ndrop table t;";
    let read = by(Dialect::Drizzle, open);
    assert!(lines(&read).join("\n").contains("DropTable t"), "the parts are sent one by one");
}

#[test]
fn depth_and_length_have_an_end() {
    for sql in [
        format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("select {}", "[".repeat(100_000)),
        format!("select {}1", "- ".repeat(100_000)),
        format!("select {} true", "not ".repeat(100_000)),
        format!("select 1{}", " + 1".repeat(100_000)),
        format!("do $$ begin {} end $$", "begin ".repeat(20_000)),
        format!("select {} 1 {}", "case when true then ".repeat(30_000), "end ".repeat(30_000)),
        format!("create table t (a {})", "int[]".repeat(10_000)),
    ] {
        of(&sql);
    }
}

/// What is just not too deep is parsed: the stack must hold it, in a build without optimisation too.
#[test]
fn what_is_almost_too_deep_is_read() {
    let union = |count: usize| vec!["select 1"; count].join(" union ");
    let nested = |open: &str, inner: &str, close: &str, count: usize| {
        format!("{}{inner}{}", open.repeat(count), close.repeat(count))
    };
    for sql in [
        nested("select (", "1", ")", 490),
        format!("select {}", nested("(", "1", ")", 490)),
        format!("select {}", nested("f(a, ", "1", ")", 490)),
        format!("select {}", nested("array[", "1", "]", 490)),
        format!("select * from {}", nested("(select * from ", "t", ") x", 480)),
        format!("select {}", nested("case when (", "true", ") then 1 end", 490)),
        format!("select {} true", "not ".repeat(490)),
        format!("select {}1", "- ".repeat(490)),
        format!("select 1{}", " + 1".repeat(9_900)),
        format!("select 1{}", " || 'a'".repeat(9_900)),
        format!("select true{}", " and a = 1".repeat(4_900)),
        format!("select 1{}", "::int".repeat(990)),
        format!("select a{}", ".b".repeat(1_990)),
        format!("select {}", nested("case when true then ", "1", " end", 990)),
        format!("select * from t{}", " join t".repeat(990)),
        format!("select * from t{}", " left join t on true".repeat(990)),
        union(3_000),
        format!("do $$ begin {} end $$", nested("begin ", "null;", " end;", 990)),
        format!("do $$ begin {} end $$", nested("if true then ", "null;", " end if;", 990)),
        format!("do $$ begin {} end $$", nested("loop ", "null;", " end loop;", 990)),
        format!("do $$ begin if a then null; {} end if; end $$", "elsif b then null; ".repeat(9_000)),
        format!("create function f() returns int language sql as $$ select {} true $$", "not ".repeat(490)),
        format!("create table t (a int{})", "[]".repeat(5_000)),
        format!("{}select 1", "explain ".repeat(490)),
        format!("create view v as {}", nested("(", "select 1", ")", 490)),
        format!("{}select 1", "with x as (".repeat(400)),
    ] {
        let review = of(&sql);
        let too_large = reasons(&review).contains(&Unreviewable::TooLarge);
        assert!(!too_large, "{}: {:?}", &sql[..60.min(sql.len())], reasons(&review));
        // With the linter, which walks the same trees.
        holdpoint_review::review(&[MigrationSql::new("m.sql", sql, Dialect::Driver)], &ReviewOptions::default());
    }
}

#[test]
fn empty_files_hold_nothing() {
    for sql in ["", ";;;", "-- nothing\n", "/* a */ ;", "\u{feff}"] {
        assert_eq!(of(sql).findings().count(), 0, "{sql:?}");
    }
}

/// Where the server sees a statement that a careless reader takes for a comment, a string or data.
#[test]
fn what_stands_where_nobody_looks_is_found() {
    for (sql, dialect) in [
        // A carriage return ends a comment.
        ("-- a note\rDROP TABLE t;\n", Dialect::Driver),
        ("SELECT 1 -- a note\r, wipe();\n", Dialect::Driver),
        ("DO $$ BEGIN -- a note\rDELETE FROM t; END $$;", Dialect::Driver),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS '-- a\rdelete from t; select 1'; SELECT f();",
            Dialect::Driver,
        ),
        // An escape string goes on behind a comment, and there a backslash still escapes.
        ("SELECT E'a' -- b\n'\\''; DROP TABLE t; --'\n", Dialect::Driver),
        ("SELECT E'a'\r'\\''; DROP TABLE t; --'\n", Dialect::Driver),
        // psql takes up SQL again behind two backslashes, and after the data of COPY.
        ("\\echo done \\\\ DROP TABLE t;\n", Dialect::Psql),
        ("\\echo done \\i other.sql\n", Dialect::Psql),
        ("COPY u FROM stdin; DROP TABLE t;\n1\n\\.\n", Dialect::Psql),
        ("COPY u FROM stdin; -- a\rDROP TABLE t;\n1\n\\.\n", Dialect::Psql),
        // node-pg-migrate knows the first mark of each direction alone.
        ("-- Down Migration\n-- Up Migration\nSELECT 1;\n-- Down Migration\nDROP TABLE t;", Dialect::NodePgMigrate),
    ] {
        let found = by(dialect, sql).risks();
        assert!(found.iter().any(|risk| *risk <= RiskClass::ChangesData), "{sql:?}: {found:?}");
    }
}
