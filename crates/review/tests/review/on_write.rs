//! What the expressions of a table call that the same run gives to it.

use holdpoint_review::{
    Catalog, CatalogRoutine, Dialect, Loss, MigrationSql, ObjectName, Relation, RelationKind, ResolvedReview,
    ReviewOptions, RiskClass, TableTrigger, review_against,
};

fn relation(name: &str) -> Relation {
    Relation {
        name: ObjectName::qualified("public", name),
        kind: RelationKind::Table,
        owner: "ann".into(),
        bytes: Some(100),
        rows: Some(100.0),
        columns: Vec::new(),
        parents: Vec::new(),
        default_partition: false,
        indexes: Vec::new(),
    }
}

fn routine(name: &str, language: &str, source: &str, volatile: bool) -> CatalogRoutine {
    CatalogRoutine {
        name: ObjectName::qualified("public", name),
        language: language.into(),
        source: source.into(),
        search_path: None,
        defaults: None,
        volatile,
        of_extension: false,
    }
}

fn catalog() -> Catalog {
    let takes = "begin delete from orders where id <= 50; return 1; end";
    let (name, function) = ("default".to_owned(), ObjectName::qualified("public", "takes"));
    let table = ObjectName::qualified("public", "stamped");
    let events = serde_json::from_str("[\"insert\", \"update\"]").expect("events");
    Catalog {
        search_path: vec!["public".into()],
        relations: vec![relation("orders"), relation("stamped"), relation("plain")],
        routines: vec![
            routine("takes", "plpgsql", takes, true),
            routine("asks", "plpgsql", "begin perform takes(); return 1; end", false),
            routine("harmless", "sql", "select 1", true),
            routine("dark", "plpython3u", "plpy.execute('x')", true),
        ],
        expressions: vec![TableTrigger { name, table, function, events, before_row: false }],
        ..Catalog::default()
    }
}

fn against(sql: &str) -> ResolvedReview {
    let file = MigrationSql::new("m.sql", sql, Dialect::Driver);
    review_against(&[file], &ReviewOptions::default(), &catalog())
}

#[test]
fn what_the_expressions_of_a_new_table_call_is_followed_once_rows_are_written() {
    for made in [
        "create table z (i int default takes())",
        "create table z (i int check (takes() = 1))",
        "create table z (i int, constraint c check (i > takes()))",
        "create table z (i int, j int generated always as (asks()) stored)",
        "create table z (i int); alter table z alter i set default takes()",
        "create table z (i int); alter table z add check (takes() = i) not valid",
        "create table z (like stamped including defaults)",
        "create table z () inherits (stamped)",
        "create table z partition of stamped for values in (1)",
        "create table y (i int default takes()); create table z (like y including all)",
        "create table y (i int default takes()); alter table y rename to z",
    ] {
        for writes in [
            "insert into z default values",
            "copy z from stdin",
            "merge into z using plain p on false when not matched then insert default values",
        ] {
            let resolved = against(&format!("{made}; {writes}"));
            let orders: Vec<Loss> =
                resolved.tables.iter().filter(|one| one.table.name == "orders").map(|one| one.loss).collect();
            assert_eq!(orders, [Loss::SomeRows], "{made}; {writes}");
            assert!(resolved.review.risks().contains(&RiskClass::DestroysData), "{made}");
            assert!(!resolved.everything_at_risk, "{made}");
        }
    }
}

#[test]
fn what_a_run_gives_to_a_table_that_was_there_is_followed_too() {
    for sql in [
        "alter table plain alter i set default takes(); insert into plain default values",
        "alter table plain add column n int generated always as (asks()) stored",
        "create policy p on plain using (takes() = 1); update plain set i = 2",
        "create domain d as int check (takes() = 1)",
    ] {
        assert!(against(sql).tables.iter().any(|one| one.table.name == "orders"), "{sql}");
    }
}

#[test]
fn a_body_that_nobody_can_read_puts_everything_at_risk() {
    assert!(against("create table z (i int default dark()); insert into z default values").everything_at_risk);
    assert!(against("create table z (i int default nobody_knows()); insert into z default values").everything_at_risk);
}

#[test]
fn a_table_into_which_nobody_writes_calls_nothing() {
    for sql in [
        "create table z (i int default takes())",
        "create table z (i int default dark()); select * from z",
        "create table z (i int default harmless()); insert into z default values",
        "create table z (i int references plain (i), v varchar(20), n numeric(10, 2), g geometry(Point, 4326), e vector(3), \
         t timestamptz default now(), u uuid default gen_random_uuid(), s bigserial, primary key (i), unique (v)); \
         insert into z default values",
        "create table z (like plain including all); insert into z default values",
    ] {
        let resolved = against(sql);
        assert!(resolved.tables.is_empty() && !resolved.everything_at_risk, "{sql}: {:?}", resolved.tables);
        assert_eq!(resolved.review.risks(), [RiskClass::Additive], "{sql}");
    }
}
