//! The entries of single tables of real archives: enough to make the table whole, and no other's.

use std::collections::BTreeSet;

use holdpoint_archive::{Head, Selection, quoted_name, retargeted, table_entry};
use holdpoint_testkit::{Cluster, MAJORS, NEWEST};

const SCHEMA: &str = "
    CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('good', 'bad');
    CREATE FUNCTION s.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TABLE s.parent (id serial PRIMARY KEY, mood s.mood);
    CREATE TABLE s.\"Odd \"\"name\" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent int REFERENCES s.parent,
        t text DEFAULT 'x;y', CHECK (t <> ''));
    CREATE TABLE s.child (id int PRIMARY KEY, odd int REFERENCES s.\"Odd \"\"name\");
    CREATE INDEX odd_t ON s.\"Odd \"\"name\" (t); ALTER TABLE s.\"Odd \"\"name\" CLUSTER ON odd_t;
    CREATE STATISTICS s.st ON id, parent FROM s.\"Odd \"\"name\";
    CREATE TRIGGER touches BEFORE UPDATE ON s.\"Odd \"\"name\" FOR EACH ROW EXECUTE FUNCTION s.touch();
    CREATE RULE quiet AS ON DELETE TO s.\"Odd \"\"name\" WHERE OLD.id = 0 DO INSTEAD NOTHING;
    ALTER TABLE s.\"Odd \"\"name\" ENABLE ROW LEVEL SECURITY;
    CREATE POLICY seen ON s.\"Odd \"\"name\" USING (id > 0);
    COMMENT ON TABLE s.\"Odd \"\"name\" IS 'odd'; COMMENT ON COLUMN s.\"Odd \"\"name\".t IS 'text';
    GRANT SELECT ON s.\"Odd \"\"name\" TO PUBLIC;
    CREATE VIEW s.v AS SELECT id FROM s.\"Odd \"\"name\"; CREATE VIEW s.w AS SELECT id FROM s.v;
    CREATE TABLE s.root (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE s.leaf PARTITION OF s.root FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE s.deep PARTITION OF s.root FOR VALUES FROM ('2027-01-01') TO ('2028-01-01') PARTITION BY LIST (id);
    CREATE TABLE s.deepest PARTITION OF s.deep DEFAULT;
    CREATE INDEX root_at ON s.root (at);
    CREATE PUBLICATION p FOR TABLE s.\"Odd \"\"name\";
";

fn described(head: &Head, ids: &[i32]) -> Vec<String> {
    let entries = ids.iter().filter_map(|id| head.entry(*id));
    let mut all: Vec<String> = entries
        .map(|entry| format!("{} {}", String::from_utf8_lossy(&entry.description), String::from_utf8_lossy(&entry.tag)))
        .collect();
    all.sort();
    all
}

fn check(major: u32) {
    let cluster = Cluster::shared(major);
    let database = format!("selection_{major}");
    cluster.create_database(&database);
    cluster.psql(&database, SCHEMA);
    let archive = cluster.pg_dump(&database, &["-Fc"]);
    let head = Head::parse(&archive).unwrap();
    let id = |name: &str| table_entry(&head, b"s", name.as_bytes()).unwrap().dump_id;

    let odd = Selection::of_tables(&head, &[id("Odd \"name")]);
    let own = described(&head, &odd.entries);
    for needed in [
        "ACL TABLE \"Odd \"\"name\"",
        "COMMENT COLUMN \"Odd \"\"name\".t",
        "COMMENT TABLE \"Odd \"\"name\"",
        "CONSTRAINT Odd \"name Odd \"name_pkey",
        "FK CONSTRAINT Odd \"name Odd \"name_parent_fkey",
        "INDEX odd_t",
        "POLICY Odd \"name seen",
        "PUBLICATION TABLE p Odd \"name",
        "ROW SECURITY Odd \"name",
        "RULE Odd \"name quiet",
        "SEQUENCE Odd \"name_id_seq",
        "SEQUENCE SET Odd \"name_id_seq",
        "STATISTICS st",
        "TABLE Odd \"name",
        "TABLE DATA Odd \"name",
        "TRIGGER Odd \"name touches",
    ] {
        assert!(own.iter().any(|one| one == needed), "{major}: {needed} is missing: {own:#?}");
    }
    assert_eq!(own.len(), 16, "{major}: {own:#?}");
    assert_eq!(described(&head, &odd.pointing), ["FK CONSTRAINT child child_odd_fkey"]);
    assert_eq!(described(&head, &odd.views), ["VIEW v", "VIEW w"]);
    assert_eq!(described(&head, &odd.prerequisites), ["SCHEMA s"]);

    let parent = Selection::of_tables(&head, &[id("parent")]);
    let own = described(&head, &parent.entries);
    let serial = ["SEQUENCE parent_id_seq", "SEQUENCE OWNED BY parent_id_seq", "DEFAULT parent id"];
    assert!(serial.iter().all(|needed| own.iter().any(|one| one == needed)), "{major}: {own:#?}");
    assert!(described(&head, &parent.prerequisites).contains(&"TYPE mood".to_owned()));

    let root = Selection::of_tables(&head, &[id("root")]);
    let tables: BTreeSet<i32> = ["root", "leaf", "deep", "deepest"].map(id).into();
    assert_eq!(root.tables, tables, "{major}");
    let own = described(&head, &root.entries);
    assert!(own.contains(&"TABLE DATA leaf".to_owned()) && own.contains(&"TABLE DATA deepest".to_owned()), "{own:#?}");
    assert_eq!(own.iter().filter(|one| one.starts_with("INDEX ATTACH")).count(), 6, "{major}: {own:#?}");
    assert_eq!(Selection::partitions(&head, id("root")).len(), 2);

    // One statement of several, about the side table alone.
    let name = quoted_name(table_entry(&head, b"s", b"Odd \"name").unwrap()).unwrap();
    let index = head.entries().iter().find(|entry| entry.tag == "odd_t").unwrap();
    let made = retargeted(index.definition.as_deref().unwrap(), &name, b"side.x").unwrap();
    assert_eq!(String::from_utf8(made).unwrap(), "CREATE INDEX odd_t ON side.x USING btree (t);");
    cluster.drop_database(&database);
}

#[test]
fn entries_of_one_table_oldest() {
    check(MAJORS[0]);
}

#[test]
fn entries_of_one_table_16() {
    check(16);
}

#[test]
fn entries_of_one_table_newest() {
    check(NEWEST);
}
