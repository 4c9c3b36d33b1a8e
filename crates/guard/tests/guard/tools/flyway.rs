//! Flyway's files and its history table, as the facts about it say; the tool itself is no package that can be had.

use holdpoint_guard::tools::Severity::{Note, Stop, Warn};

use super::{Project, kinds, of, sql};

/// The table as Flyway makes it on PostgreSQL.
pub(super) const TABLE: &str = "CREATE TABLE flyway_schema_history (installed_rank int NOT NULL PRIMARY KEY, version varchar(50), \
    description varchar(200) NOT NULL, type varchar(20) NOT NULL, script varchar(1000) NOT NULL, checksum int, \
    installed_by varchar(100) NOT NULL, installed_on timestamp NOT NULL DEFAULT now(), execution_time int NOT NULL, \
    success boolean NOT NULL)";

pub(super) fn record(project: &Project, rank: u32, version: &str, script: &str, checksum: i32, success: bool) {
    project.psql(&format!(
        "INSERT INTO flyway_schema_history VALUES ({rank}, {version}, 'x', 'SQL', '{script}', {checksum}, 'me', now(), 1, {success})"
    ));
}

#[tokio::test]
async fn history_and_files_are_compared() {
    let project = Project::bare("flyway");
    for name in ["V001__one", "V002__two", "V003__three"] {
        project.write(&format!("migrations/{name}.sql"), &sql(name));
    }
    let first = project.pending().await;
    assert_eq!(first.runs, ["V001__one.sql", "V002__two.sql", "V003__three.sql"]);
    assert_eq!(kinds(&first), [of(Note, "no_tracking_table")]);

    project.psql(TABLE);
    // zlib.crc32 of the file's lines without their ends, signed, as the facts say.
    let checksums = [("V001__one", 1), ("V002__two", 2)].map(|(name, rank)| {
        let line = sql(name).trim_end().to_owned();
        let python = format!("import zlib; v = zlib.crc32({line:?}.encode()); print(v - (1 << 32) if v >> 31 else v)");
        let output = std::process::Command::new("python3").args(["-c", &python]).output().unwrap();
        (name, rank, String::from_utf8(output.stdout).unwrap().trim().parse::<i32>().unwrap())
    });
    for (name, rank, checksum) in checksums {
        record(&project, rank, &format!("'{rank}'"), &format!("{name}.sql"), checksum, true);
    }
    let clean = project.pending().await;
    assert_eq!((clean.runs.as_slice(), kinds(&clean)), (["V003__three.sql".to_owned()].as_slice(), vec![]));

    record(&project, 3, "'3'", "V003__three.sql", 7, false);
    assert_eq!(kinds(&project.pending().await), [of(Stop, "failed_row")]);
    project.psql("DELETE FROM flyway_schema_history WHERE NOT success");

    project.write("migrations/V001__one.sql", "SELECT 'edited';\n");
    project.write("migrations/V1.5__between.sql", &sql("V1.5__between"));
    let refused = project.pending().await;
    assert!(refused.runs.is_empty());
    assert_eq!(kinds(&refused), [of(Stop, "edited_after_applied"), of(Stop, "out_of_order")]);

    project.write(
        "flyway.toml",
        "[flyway]\noutOfOrder = true\nvalidateOnMigrate = false\nlocations = [\"filesystem:migrations\"]\n",
    );
    let allowed = project.pending().await;
    assert_eq!(allowed.runs, ["V1.5__between.sql", "V003__three.sql"]);
    assert_eq!(kinds(&allowed), [of(Warn, "edited_after_applied"), of(Warn, "out_of_order")]);

    project.write("migrations/V3__again.sql", "");
    assert_eq!(kinds(&project.pending().await)[0], of(Stop, "duplicate_prefix"));
}
