//! Every kind of statement, and the corpus line by line.

use holdpoint_review::{Kind, Note, Transaction};

use crate::shown::{corpus, lines, of, snapshot};

#[test]
fn every_kind_of_the_table_is_recognised() {
    for (sql, kind) in [
        ("drop table t", Kind::DropTable),
        ("drop foreign table t", Kind::DropTable),
        ("drop table t cascade", Kind::DropTableCascade),
        ("drop schema s cascade", Kind::DropSchema),
        ("truncate t", Kind::Truncate),
        ("delete from t", Kind::DeleteAll),
        ("update t set a = 1", Kind::UpdateAll),
        ("delete from t where a = 1", Kind::ChangeRows),
        ("with x as (delete from t returning a) select 1", Kind::ChangeInWith),
        ("alter table t drop column a", Kind::DropColumn),
        ("alter table t alter a type bigint", Kind::ChangeColumnType),
        ("alter table t add a int", Kind::AddColumn),
        ("alter table t add a uuid default gen_random_uuid()", Kind::AddColumnRewrite),
        ("alter table t add a int not null", Kind::AddRequiredColumn),
        ("alter table t add a int references p", Kind::AddConstrainedColumn),
        ("alter table t alter a set not null", Kind::SetNotNull),
        ("alter table t alter a set default 1", Kind::ChangeColumnProperty),
        ("alter table t add foreign key (a) references p", Kind::AddForeignKey),
        ("alter table t validate constraint c", Kind::ValidateConstraint),
        ("alter table t add check (a > 0)", Kind::AddCheck),
        ("alter table t add unique (a)", Kind::AddKey),
        ("create index on t (a)", Kind::CreateIndex),
        ("create index concurrently on t (a)", Kind::Concurrently),
        ("drop index concurrently i", Kind::Concurrently),
        ("reindex table concurrently t", Kind::Concurrently),
        ("alter table t detach partition p concurrently", Kind::Concurrently),
        ("drop index i", Kind::DropIndex),
        ("reindex table t", Kind::Reindex),
        ("vacuum full t", Kind::Repack),
        ("vacuum (full, analyze) t", Kind::Repack),
        ("cluster t", Kind::Repack),
        ("alter table t set unlogged", Kind::SetPersistence),
        ("alter table t set tablespace x", Kind::MoveStorage),
        ("alter table t rename to u", Kind::Rename),
        ("alter table t attach partition p default", Kind::Partition),
        ("create trigger g after insert on t execute function f()", Kind::Trigger),
        ("alter table t enable row level security", Kind::Access),
        ("alter type e add value 'x'", Kind::AddEnumValue),
        ("drop type e cascade", Kind::DropDependedOn),
        ("refresh materialized view m", Kind::RefreshView),
        ("drop database d", Kind::ServerWide),
        ("alter system set work_mem = '1MB'", Kind::ServerWide),
        ("drop owned by r", Kind::OwnedObjects),
        ("select setval('s', 1)", Kind::SetSequence),
        ("call p()", Kind::Unreviewable),
        ("begin", Kind::TransactionControl),
        ("set lock_timeout = '5s'", Kind::Timeout),
        ("copy t from '/x'", Kind::AddRows),
    ] {
        let review = of(sql);
        let kinds: Vec<Kind> = review.findings().map(|(_, finding)| finding.kind).collect();
        assert!(kinds.contains(&kind), "{sql}: {kinds:?}");
    }
}

#[test]
fn what_cannot_run_in_a_transaction_is_told() {
    for sql in [
        "vacuum t",
        "create index concurrently on t (a)",
        "reindex database",
        "alter system set a = 1",
        "drop database d",
    ] {
        let review = of(sql);
        assert!(review.findings().any(|(_, finding)| !finding.transactional), "{sql}");
        assert_eq!(review.files[0].notes, [Note::FailsInTransaction { line: 1 }], "{sql}");
    }
    let mut file =
        holdpoint_review::MigrationSql::new("m", "select 1; drop table t;", holdpoint_review::Dialect::Driver);
    file.transaction = Transaction::None;
    let review = holdpoint_review::review(&[file], &holdpoint_review::ReviewOptions::default());
    assert_eq!(review.files[0].notes, [Note::NotAtomic]);
}

#[test]
fn positions_and_words_are_those_of_the_file() {
    let review = of("-- one\nselect 1;\n\n  /* two */ alter table t\n  drop column a; drop table u");
    let told: Vec<_> =
        review.files[0].statements.iter().map(|one| (one.line, one.words.as_str(), one.length)).collect();
    assert_eq!(told, [(2, "SELECT", 9), (4, "ALTER TABLE", 30), (5, "DROP TABLE", 12)]);
}

#[test]
fn the_corpus_is_read_as_it_was_looked_at() {
    let mut text = String::new();
    for entry in corpus() {
        text.push_str(entry.trim());
        for line in lines(&of(&entry)) {
            text.push_str("\n    ");
            text.push_str(&line);
        }
        text.push('\n');
    }
    snapshot("corpus.txt", &text);
}

/// The same comes out every time, and through JSON.
#[test]
fn a_review_survives_json_and_names_are_stable() {
    let review = of("delete from app.orders where id = 42 and secret = 'hunter2'; drop table a cascade; select f();");
    let text = serde_json::to_string(&review).expect("it is written");
    assert_eq!(serde_json::from_str::<holdpoint_review::Review>(&text).expect("it is read"), review);
    for word in
        ["\"kind\":\"change_rows\"", "\"loses\":\"some_rows\"", "\"mode\":\"row_exclusive\"", "unknown_function"]
    {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!text.contains("hunter2") && !text.contains("42"), "no value gets out: {text}");
    assert!(!format!("{review:?}").contains("hunter2"));
}
