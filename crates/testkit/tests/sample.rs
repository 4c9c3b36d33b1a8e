//! The awkward database holds what it promises, on every major.

use std::time::Duration;

use holdpoint_testkit::{Cluster, MAJORS, sample};

/// A fact about the awkward database: what it is, the query that counts it, the first major that has it, the least count.
type Fact = (&'static str, u32, i64, &'static str);

const FACTS: &[Fact] = &[
    ("schemas", 14, 5, "SELECT count(*) FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)'"),
    ("leaf partitions", 14, 9, "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'"),
    (
        "partitions hashed on an enum",
        14,
        1,
        "SELECT count(*) FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = partrelid \
        AND a.attnum = partattrs[0] JOIN pg_type t ON t.oid = atttypid WHERE partstrat = 'h' AND typtype = 'e'",
    ),
    (
        "partition with other column order",
        14,
        1,
        "SELECT count(*) FROM pg_attribute a JOIN pg_inherits ON inhrelid = a.attrelid \
        JOIN pg_attribute b ON b.attrelid = inhparent AND b.attname = a.attname AND a.attname = 'body' AND a.attnum <> b.attnum",
    ),
    (
        "inheritance",
        14,
        2,
        "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE NOT relispartition AND relkind = 'r'",
    ),
    ("identity", 14, 3, "SELECT count(*) FROM pg_attribute WHERE attidentity <> ''"),
    ("serial", 14, 1, "SELECT count(*) FROM pg_attrdef d WHERE pg_get_expr(adbin, adrelid) ~ '^nextval'"),
    ("stored generated columns", 14, 3, "SELECT count(*) FROM pg_attribute WHERE attgenerated = 's'"),
    ("virtual generated columns", 18, 1, "SELECT count(*) FROM pg_attribute WHERE attgenerated = 'v'"),
    (
        "dropped columns",
        14,
        2,
        "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE attisdropped AND relkind IN ('r', 'p')",
    ),
    ("populated materialized views", 14, 3, "SELECT count(*) FROM pg_class WHERE relkind = 'm' AND relispopulated"),
    (
        "unpopulated materialized views",
        14,
        1,
        "SELECT count(*) FROM pg_class WHERE relkind = 'm' AND NOT relispopulated",
    ),
    (
        "materialized view with clock_timestamp",
        14,
        1,
        "SELECT count(*) FROM pg_matviews WHERE definition ~ 'clock_timestamp'",
    ),
    ("large objects", 14, 106, "SELECT count(*) FROM pg_largeobject_metadata"),
    ("large objects above 2^31", 14, 4, "SELECT count(*) FROM pg_largeobject_metadata WHERE oid > 2147483648"),
    (
        "large objects of another owner",
        14,
        1,
        "SELECT count(*) FROM pg_largeobject_metadata WHERE lomowner = 'awkward_owner'::regrole",
    ),
    ("grants on large objects", 14, 2, "SELECT count(*) FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL"),
    (
        "an empty large object",
        14,
        1,
        "SELECT count(*) FROM pg_largeobject_metadata m WHERE NOT EXISTS (SELECT FROM pg_largeobject WHERE loid = m.oid)",
    ),
    (
        "types of values",
        14,
        45,
        "SELECT count(DISTINCT atttypid) FROM pg_attribute WHERE attrelid = 'app.zoo'::regclass AND attnum > 0",
    ),
    (
        "bytea, money, xml, jsonb, arrays, ranges",
        14,
        6,
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'app.zoo'::regclass \
        AND atttypid::regtype::text IN ('bytea', 'money', 'xml', 'jsonb', 'integer[]', 'int4range')",
    ),
    (
        "a value of every type",
        14,
        48,
        "SELECT count(*) FROM jsonb_each_text((SELECT to_jsonb(z) FROM app.zoo z WHERE id = 1)) WHERE value IS NOT NULL",
    ),
    ("enums", 14, 2, "SELECT count(*) FROM pg_type WHERE typtype = 'e'"),
    ("domains", 14, 3, "SELECT count(*) FROM pg_type WHERE typtype = 'd' AND typnamespace = 'app'::regnamespace"),
    (
        "composite types",
        14,
        2,
        "SELECT count(*) FROM pg_class WHERE relkind = 'c' AND relnamespace = 'app'::regnamespace",
    ),
    ("ranges", 14, 1, "SELECT count(*) FROM pg_range WHERE rngtypid = 'app.span'::regtype"),
    ("names with dots", 14, 1, r"SELECT count(*) FROM pg_class WHERE relname ~ '\.' AND relkind = 'r'"),
    (
        "names with quotes and parentheses",
        14,
        1,
        r#"SELECT count(*) FROM pg_class WHERE relname ~ '".*\(' AND relkind = 'r'"#,
    ),
    ("names with tabs", 14, 1, r"SELECT count(*) FROM pg_class WHERE relname ~ '\t' AND relkind = 'r'"),
    (
        "names beyond ASCII",
        14,
        1,
        r"SELECT count(*) FROM pg_class WHERE relname ~ '[^\u0001-\u007f]' AND relkind = 'r'",
    ),
    ("names in upper case", 14, 1, "SELECT count(*) FROM pg_class WHERE relname <> lower(relname) AND relkind = 'r'"),
    ("an empty table", 14, 1, "SELECT count(*) FROM (SELECT count(*) AS n FROM app.empty_table) e WHERE n = 0"),
    ("rows without columns", 14, 3, "SELECT count(*) FROM app.no_columns"),
    ("rows with only generated columns", 14, 2, "SELECT count(*) FROM app.only_generated WHERE n = 42"),
    (
        "backslash-N, tabs and newlines",
        14,
        4,
        r"SELECT count(*) FROM app.zoo WHERE strpos(tx, E'\\N') > 0 OR strpos(tx, E'\t') > 0 OR tx = E'\n'",
    ),
    (
        "comments",
        14,
        17,
        "SELECT count(*) FROM pg_description d WHERE NOT EXISTS (SELECT FROM pg_init_privs) OR (objoid >= 16384 AND NOT EXISTS \
        (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e'))",
    ),
    ("forced row security", 14, 1, "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"),
    ("policies", 14, 2, "SELECT count(*) FROM pg_policy"),
    (
        "a cycle of foreign keys",
        14,
        1,
        "SELECT count(*) FROM pg_constraint a JOIN pg_constraint b ON a.conrelid = b.confrelid AND b.conrelid = a.confrelid \
        AND a.conrelid < b.conrelid WHERE a.contype = 'f' AND b.contype = 'f'",
    ),
    ("triggers", 14, 3, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"),
    ("rules", 14, 2, "SELECT count(*) FROM pg_rules WHERE schemaname = 'app'"),
    (
        "functions, procedures, aggregates",
        14,
        9,
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'app'::regnamespace",
    ),
    (
        "operators, casts, text search",
        14,
        3,
        "SELECT (SELECT count(*) FROM pg_operator WHERE oprnamespace = 'app'::regnamespace) \
        + (SELECT count(*) FROM pg_cast WHERE castsource = 'app.address'::regtype) + (SELECT count(*) FROM pg_ts_config WHERE cfgname = 'words')",
    ),
    ("extended statistics", 14, 2, "SELECT count(*) FROM pg_statistic_ext"),
    ("event triggers", 14, 1, "SELECT count(*) FROM pg_event_trigger"),
    ("publications", 14, 2, "SELECT count(*) FROM pg_publication"),
    (
        "publications with row filters",
        15,
        1,
        "SELECT count(*) FROM pg_publication_tables WHERE pubname = 'awkward_filtered' AND tablename = 'zoo'",
    ),
    (
        "configuration tables of extensions",
        14,
        2,
        "SELECT sum(cardinality(extconfig)) FROM pg_extension WHERE extname = 'holdpoint_sample'",
    ),
    (
        "configuration rows of the user",
        14,
        4,
        "SELECT (SELECT count(*) FROM ext.sample_setting WHERE NOT builtin) + (SELECT count(*) FROM ext.sample_rate)",
    ),
    ("foreign tables", 14, 1, "SELECT count(*) FROM pg_foreign_table"),
    ("default privileges", 14, 3, "SELECT count(*) FROM pg_default_acl"),
    (
        "database settings",
        14,
        6,
        "SELECT count(*) FROM pg_db_role_setting, unnest(setconfig) WHERE setdatabase = \
        (SELECT oid FROM pg_database WHERE datname = current_database())",
    ),
    (
        "time zone of the database",
        14,
        1,
        "SELECT count(*) FROM pg_settings WHERE name = 'TimeZone' AND setting = 'Asia/Kathmandu'",
    ),
    (
        "checks with IN lists and BETWEEN",
        14,
        3,
        "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND connamespace = 'app'::regnamespace \
        AND pg_get_constraintdef(oid) ~ 'ANY|>= .* AND '",
    ),
    (
        "views, policies, indexes with IN lists",
        14,
        4,
        "SELECT (SELECT count(*) FROM pg_views WHERE schemaname = 'app' AND definition ~ 'ANY') \
        + (SELECT count(*) FROM pg_policies WHERE qual ~ 'ANY' AND qual ~ '>= 5') + (SELECT count(*) FROM pg_indexes WHERE indexdef ~ 'ANY')",
    ),
    (
        "unlogged tables, typed tables, exclusion",
        14,
        3,
        "SELECT (SELECT count(*) FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r') \
        + (SELECT count(*) FROM pg_class WHERE reloftype <> 0) + (SELECT count(*) FROM pg_constraint WHERE contype = 'x')",
    ),
    ("unique with equal nulls", 15, 1, "SELECT count(*) FROM pg_index WHERE indnullsnotdistinct"),
    ("temporal keys", 18, 1, "SELECT count(*) FROM pg_constraint WHERE conperiod"),
    ("unenforced checks", 18, 1, "SELECT count(*) FROM pg_constraint WHERE NOT conenforced"),
];

#[test]
fn the_awkward_database_holds_everything_on_every_major() {
    let mut missing = Vec::new();
    for major in MAJORS {
        let cluster = Cluster::shared(major);
        sample::load_awkward(cluster, "awkward facts");
        for (what, since, least, query) in FACTS.iter().filter(|fact| major >= fact.1) {
            let count: i64 = cluster.psql("awkward facts", query).parse().expect("a count");
            if count < *least {
                missing.push(format!("PostgreSQL {major} (since {since}): {what}: {count}, expected {least}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The dump restores without an error; where its text changes, it changes once.
#[test]
fn the_awkward_database_survives_stock_dump_and_restore() {
    for major in MAJORS {
        let cluster = Cluster::new(major);
        sample::load_awkward(&cluster, "source");
        let archive = cluster.pg_dump("source", &["-Fc", "-Z0"]);
        let schema = |database| plain(&cluster.pg_dump(database, &["-s"]));
        let mut texts = vec![schema("source")];
        for name in ["first", "second"] {
            cluster.create_database_with(name, "TEMPLATE template0");
            let archive = if name == "first" { archive.clone() } else { cluster.pg_dump("first", &["-Fc", "-Z0"]) };
            let output = cluster.pg_restore_from(&["--exit-on-error", "-d", name], &archive);
            assert!(output.status.success(), "PostgreSQL {major}: {}", String::from_utf8_lossy(&output.stderr));
            texts.push(schema(name));
        }
        assert_ne!(texts[0], texts[1], "PostgreSQL {major}: the text of IN lists changes through a restore");
        assert_eq!(texts[1], texts[2], "PostgreSQL {major}: and then no more");
        let sum = "SELECT count(*), sum(hashtextextended(z::text, 0)) FROM app.zoo z";
        assert_eq!(cluster.psql("source", sum), {
            let settings = "SET timezone = 'Asia/Kathmandu'; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'; \
                            SET bytea_output = 'escape'; SET extra_float_digits = 0;";
            cluster.psql("first", &format!("{settings}{sum}"))
        });
        let objects = "SELECT count(*), sum(oid::bigint), md5(string_agg(lo_get(oid), '' ORDER BY oid)) FROM pg_largeobject_metadata";
        assert_eq!(cluster.psql("source", objects), cluster.psql("first", objects));
    }
}

/// The text of a dump without the random keys of `\restrict`.
fn plain(dump: &[u8]) -> String {
    let text = String::from_utf8_lossy(dump);
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn latin1_names_survive() {
    for major in [14, 18] {
        let cluster = Cluster::shared(major);
        sample::load_latin1(cluster, "latin facts");
        assert_eq!(cluster.psql("latin facts", "SHOW server_encoding"), "LATIN1");
        let archive = cluster.pg_dump("latin facts", &["-Fc"]);
        let name: &[u8] = b"Stra\xdfe (\xf1)";
        assert!(archive.windows(name.len()).any(|window| window == name), "the contents are LATIN1, not UTF-8");
        assert!(std::str::from_utf8(&archive).is_err());
    }
}

#[test]
fn a_wide_row_is_as_wide_as_asked_for() {
    let cluster = Cluster::shared(18);
    sample::load_awkward(cluster, "wide facts");
    sample::add_wide_row(cluster, "wide facts", 64 << 20);
    sample::add_wide_row(cluster, "wide facts", 5);
    assert_eq!(cluster.psql("wide facts", "SELECT id, length(body) FROM app.wide ORDER BY id"), "1|67108864\n2|5");
}

#[test]
fn traffic_changes_rows_and_sequences_until_it_is_stopped() {
    for major in [14, 18] {
        let cluster = Cluster::shared(major);
        sample::load_awkward(cluster, "traffic facts");
        let fingerprint = "SELECT (SELECT sum(net) FROM app.orders), (SELECT tx FROM app.zoo WHERE id = 2), \
            (SELECT max(id) FROM app.events), (SELECT count(*) FROM pg_largeobject_metadata)";
        let before = cluster.psql("traffic facts", fingerprint);
        let mut traffic = sample::load_traffic(cluster, "traffic facts", Duration::from_secs(60));
        traffic.wait_for_changes(100);
        assert!(traffic.stop() >= 100);
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'traffic facts' AND pid <> pg_backend_pid()";
        while cluster.psql("traffic facts", sessions) != "0" {
            std::thread::sleep(Duration::from_millis(10));
        }
        let after = cluster.psql("traffic facts", fingerprint);
        for (before, after) in before.split('|').zip(after.split('|')) {
            assert_ne!(before, after);
        }
        assert_eq!(cluster.psql("traffic facts", fingerprint), after, "nothing goes on");
    }
}

#[test]
fn the_shop_has_the_rows_asked_for() {
    let cluster = Cluster::shared(18);
    sample::load_shop(cluster, "shop facts", 20_000);
    let rows = cluster.psql(
        "shop facts",
        "SELECT sum(reltuples)::bigint FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r'",
    );
    assert_eq!(rows, "20000");
}
