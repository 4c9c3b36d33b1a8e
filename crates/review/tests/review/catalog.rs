//! What a catalog adds, where no server is needed to see it.

use holdpoint_review::{
    Catalog, Column, Dialect, ForeignKey, KeyAction, Loss, MigrationSql, ObjectName, Relation, RelationKind,
    Requirement, ResolvedReview, ReviewOptions, RiskClass, RiskPolicy, Through, Waiver, assess, review_against,
};

fn name(text: &str) -> ObjectName {
    let (schema, name) = text.split_once('.').expect("a schema");
    ObjectName::qualified(schema, name)
}

fn table(text: &str, bytes: u64) -> Relation {
    Relation {
        name: name(text),
        kind: RelationKind::Table,
        owner: "ann".into(),
        bytes: Some(bytes),
        rows: Some(1000.0),
        columns: vec![Column { name: "a".into(), type_name: "character varying(10)".into() }],
        parents: Vec::new(),
        default_partition: false,
        indexes: Vec::new(),
    }
}

fn key(child: &str, parent: &str, on_delete: KeyAction) -> ForeignKey {
    ForeignKey {
        name: format!("{child}_fkey"),
        table: name(child),
        parent: name(parent),
        columns: vec!["p".into()],
        parent_columns: vec!["id".into()],
        on_delete,
        on_update: KeyAction::NoAction,
    }
}

fn catalog() -> Catalog {
    Catalog {
        search_path: vec!["public".into()],
        relations: vec![
            table("public.a", 1 << 30),
            table("public.b", 100),
            table("public.c", 100),
            table("s.lonely", 5),
        ],
        foreign_keys: vec![
            key("public.b", "public.a", KeyAction::Cascade),
            key("public.c", "public.b", KeyAction::SetNull),
            // A circle must not keep it busy for ever.
            key("public.a", "public.c", KeyAction::Cascade),
        ],
        ..Catalog::default()
    }
}

fn against(sql: &str) -> ResolvedReview {
    let file = MigrationSql::new("m.sql", sql, Dialect::Driver);
    review_against(&[file], &ReviewOptions::default(), &catalog())
}

fn told(resolved: &ResolvedReview) -> Vec<(String, Loss)> {
    resolved.tables.iter().map(|table| (table.table.name.clone(), table.loss)).collect()
}

#[test]
fn cascades_are_followed_to_their_end() {
    let resolved = against("delete from a");
    let tables = told(&resolved);
    assert_eq!(tables.len(), 3, "{tables:?}");
    assert!(tables.contains(&("b".into(), Loss::AllRows)) && tables.contains(&("c".into(), Loss::SomeRows)));
    let b = resolved.tables.iter().find(|table| table.table.name == "b").expect("b");
    assert_eq!(b.through, Some(Through::ForeignKey("public.b_fkey".into())));
    assert_eq!((b.bytes, b.rows), (Some(100), Some(1000)));
    assert_eq!(told(&against("truncate c cascade")).len(), 3, "the circle is one");
}

#[test]
fn rows_that_go_are_told_from_rows_that_change() {
    let only_go = |sql: &str| -> Vec<(String, bool)> {
        against(sql).tables.iter().map(|table| (table.table.name.clone(), table.rows_only_go)).collect()
    };
    let deleted = only_go("delete from b where a = 'x'");
    assert!(deleted.contains(&("b".into(), true)) && deleted.contains(&("c".into(), false)), "SET NULL: {deleted:?}");
    assert_eq!(only_go("truncate s.lonely"), [("lonely".into(), true)]);
    assert_eq!(only_go("delete from s.lonely; update s.lonely set a = 'x'"), [("lonely".into(), false)]);
    assert_eq!(only_go("drop table s.lonely"), [("lonely".into(), false)], "it may be made again");
}

#[test]
fn everything_means_everything() {
    let resolved = against("select unknown_function()");
    assert!(resolved.everything_at_risk);
    assert_eq!(resolved.tables.len(), 4);
    let resolved = against("drop server x cascade");
    assert!(resolved.everything_at_risk && resolved.tables.len() == 4);
}

#[test]
fn a_name_outside_the_search_path_is_looked_for_everywhere() {
    assert_eq!(told(&against("delete from lonely")), [("lonely".into(), Loss::AllRows)]);
    assert_eq!(against("delete from nowhere").unresolved, [ObjectName::unqualified("nowhere")]);
    assert!(against("drop table if exists nowhere").unresolved.is_empty());
    assert_eq!(told(&against("set search_path to s; delete from lonely")), [("lonely".into(), Loss::AllRows)]);
}

#[test]
fn small_tables_are_no_risk_by_their_locks() {
    let risks = |sql: &str| against(sql).review.risks();
    assert!(risks("alter table a add x uuid default gen_random_uuid()").contains(&RiskClass::RewritesTable));
    assert_eq!(risks("alter table b add x uuid default gen_random_uuid()"), [RiskClass::Additive]);
    assert!(risks("drop table b").contains(&RiskClass::DestroysData), "its data are no smaller a loss");
}

#[test]
fn types_decide_about_rewrites() {
    let kept = against("alter table a alter a type text");
    assert!(kept.tables.is_empty() && !kept.review.risks().contains(&RiskClass::RewritesTable), "{kept:#?}");
    let cut = against("alter table a alter a type varchar(5)");
    assert!(
        cut.review.risks().contains(&RiskClass::DestroysData) && cut.review.risks().contains(&RiskClass::RewritesTable)
    );
}

#[test]
fn another_expression_of_a_generated_column_changes_its_values() {
    let changed = told(&against("ALTER TABLE a ALTER COLUMN a SET EXPRESSION AS (0)"));
    assert!(changed.contains(&("a".to_owned(), Loss::SomeRows)), "{changed:?}");
}

#[test]
fn a_catalog_without_a_field_is_read() {
    let catalog: Catalog = serde_json::from_str(r#"{"search_path": ["public"]}"#).expect("an offline catalog");
    assert!(catalog.relations.is_empty());
    let text = serde_json::to_string(&self::catalog()).expect("it is written");
    assert_eq!(serde_json::from_str::<Catalog>(&text).expect("it is read"), self::catalog());
}

#[test]
fn a_waiver_names_a_relation_and_not_the_words_of_a_statement() {
    let catalog = Catalog { relations: vec![table("public.a", 5), table("s.a", 5)], ..catalog() };
    let waived = |sql: &str, object: &str| {
        let file = MigrationSql::new("m.sql", sql, Dialect::Driver);
        let review = review_against(&[file], &ReviewOptions::default(), &catalog).review;
        let waiver =
            Waiver { rule: RiskClass::DestroysData, object: Some(object.to_owned()), reason: "agreed".to_owned() };
        let assessment = assess(&review, &RiskPolicy::default(), &[waiver], Some(&catalog));
        let destroys = assessment.risks.iter().filter(|risk| risk.class == RiskClass::DestroysData);
        assessment.requirement != Requirement::Refuse && destroys.into_iter().all(|risk| risk.waived.is_some())
    };
    for (sql, object) in [
        ("drop table a", "public.a"),
        ("drop table public.a", "a"),
        ("drop table PUBLIC.A", "\"public\".\"a\""),
        ("drop table s.a", "s.a"),
        ("alter table a rename to z; drop table z", "a"),
    ] {
        assert!(waived(sql, object), "{sql}: {object}");
    }
    for (sql, object) in [
        ("drop table s.a", "a"),
        ("drop table a", "s.a"),
        ("set search_path = s; drop table a", "a"),
        ("drop table public.a", "\"A\""),
        ("drop table public.a", "public"),
    ] {
        assert!(!waived(sql, object), "{sql}: {object}");
    }
}

#[test]
fn a_session_in_which_backslashes_escape_hides_statements_in_strings() {
    // Where they escape, this drops the table.
    let sql = r"SELECT 'x\', '; DROP TABLE a; --'";
    let file = MigrationSql::new("m.sql", sql, Dialect::Driver);
    let with = |value: Option<&str>| Catalog { standard_conforming_strings: value.map(str::to_owned), ..catalog() };
    let of = |catalog: &Catalog| review_against(std::slice::from_ref(&file), &ReviewOptions::default(), catalog);
    for value in [None, Some("on")] {
        assert!(!of(&with(value)).everything_at_risk);
    }
    assert!(of(&with(Some("off"))).everything_at_risk);
}

#[test]
fn another_time_zone_than_the_servers_loses_instants() {
    let mut utc = Catalog { time_zone: Some("Etc/UTC".into()), ..catalog() };
    utc.relations[0].columns[0].type_name = "timestamp with time zone".into();
    let loss = |before: &str, dialect: Dialect| {
        let sql = format!("{before}ALTER TABLE a ALTER COLUMN a TYPE timestamp");
        let review = review_against(&[MigrationSql::new("m.sql", sql, dialect)], &ReviewOptions::default(), &utc);
        review.tables.iter().any(|one| one.table == name("public.a"))
    };
    assert!(!loss("", Dialect::Driver));
    for before in [
        "SET timezone = 'Europe/Berlin'; ",
        "SET LOCAL TIME ZONE 'Europe/Berlin'; ",
        "SELECT set_config('TimeZone', 'Europe/Berlin', false); ",
    ] {
        assert!(loss(before, Dialect::Driver), "{before}");
    }
    assert!(loss("", Dialect::Flyway), "the JDBC driver sets its own");
}
