//! drizzle-kit 0.31 with drizzle-orm 0.45, and 1.0.

use std::process::Output;

use holdpoint_guard::tools::Severity::{Note, Stop, Warn};
use holdpoint_guard::tools::{Finding, Rollback};

use super::{Project, kinds, of, sql, told};

const CONFIG: &str = "import { defineConfig } from 'drizzle-kit';\n\
    export default defineConfig({ dialect: 'postgresql', out: './drizzle', dbCredentials: { url: process.env.DATABASE_URL! } });\n";

fn migrate(project: &Project) -> Output {
    project.run("drizzle-kit/bin.cjs", &["migrate"])
}

/// A migration whose table is there already fails when it is run again, and only then.
#[track_caller]
fn assert_runs_again(project: &Project) {
    let output = migrate(project);
    assert!(!output.status.success(), "{}", told(&output));
}

fn open(version: u32, database: &str) -> Project {
    let project = Project::open(&format!("drizzle-{version}"), database);
    project.write("drizzle.config.ts", CONFIG);
    project
}

/// Writes a journal, and the files that are not there yet.
fn journal(project: &Project, entries: &[(&str, u64)]) {
    let entry = |(idx, (tag, when)): (usize, &(&str, u64))| {
        if !project.path().join(format!("drizzle/{tag}.sql")).exists() {
            project.write(&format!("drizzle/{tag}.sql"), &sql(tag));
        }
        serde_json::json!({ "idx": idx, "version": "7", "when": when, "tag": tag, "breakpoints": true })
    };
    let entries: Vec<_> = entries.iter().enumerate().map(entry).collect();
    let journal = serde_json::json!({ "version": "7", "dialect": "postgresql", "entries": entries });
    project.write("drizzle/meta/_journal.json", &journal.to_string());
}

#[tokio::test]
async fn the_journal_of_0_45_is_foreseen() {
    let project = open(0, "drizzle_0");
    journal(&project, &[("0000_init", 1000), ("0001_more", 2000)]);
    let first = project.check(migrate).await;
    assert_eq!(kinds(&first), [of(Note, "no_tracking_table")]);
    assert_eq!(first.runs.len(), 2);

    // Clean: one more, with the rollback layout of a team.
    project.write("drizzle/rollbacks/0002_rollback_third.sql", "DROP TABLE t_0002_third;\n");
    journal(&project, &[("0000_init", 1000), ("0001_more", 2000), ("0002_third", 3000)]);
    let clean = project.check(migrate).await;
    assert_eq!((clean.runs.as_slice(), kinds(&clean)), (["0002_third".to_owned()].as_slice(), vec![]));
    assert!(
        matches!(&clean.migrations[0].rollback, Rollback::Script { path, .. } if path == "rollbacks/0002_rollback_third.sql")
    );
    assert!(project.check(migrate).await.is_empty());

    // Skipped: a branch with an earlier time was merged; its number is used twice.
    let merged = [("0000_init", 1000), ("0001_more", 2000), ("0002_third", 3000), ("0002_other", 2500)];
    journal(&project, &merged);
    let skipped = project.check(migrate).await;
    assert_eq!(skipped.migrations.len(), 1);
    assert_eq!(kinds(&skipped), [of(Stop, "silently_skipped"), of(Warn, "duplicate_prefix")]);

    // Edited after it was applied: the tool does not notice.
    journal(&project, &merged[..3]);
    project.remove("drizzle/0002_other.sql");
    project.write("drizzle/0001_more.sql", "SELECT 'edited';\n");
    let edited = project.check(migrate).await;
    assert_eq!(kinds(&edited), [of(Warn, "edited_after_applied")]);

    // An entry whose time was changed runs again, and fails here because its table is there.
    journal(&project, &[("0000_init", 1000), ("0001_more", 2000), ("0002_third", 4000)]);
    let again = project.pending().await;
    assert!(
        again
            .stops()
            .any(|finding| matches!(finding, Finding::RunAgain { migration, .. } if migration == "0002_third"))
    );
    assert_runs_again(&project);
}

#[tokio::test]
async fn equal_times_hide_a_migration_from_0_45() {
    let project = open(0, "drizzle_equal");
    journal(&project, &[("0000_a", 1000)]);
    project.check(migrate).await;
    journal(&project, &[("0000_a", 1000), ("0001_b", 1000)]);
    let hidden = project.check(migrate).await;
    assert_eq!(hidden.migrations[0].name, "0001_b");
    assert_eq!(kinds(&hidden), [of(Stop, "silently_skipped"), of(Warn, "equal_timestamps")]);

    project.remove("drizzle/0001_b.sql");
    let missing = project.check(migrate).await;
    assert!(kinds(&missing).contains(&of(Stop, "missing_file")), "{missing:?}");

    // A row without a time makes the tool take nothing for applied.
    journal(&project, &[("0000_a", 1000)]);
    project.psql("UPDATE drizzle.__drizzle_migrations SET created_at = NULL");
    let again = project.pending().await;
    assert_eq!(again.runs, ["0000_a"]);
    assert_runs_again(&project);
}

#[tokio::test]
async fn the_folders_of_1_0_are_foreseen() {
    let project = open(1, "drizzle_1");
    let folder = |name: &str| project.write(&format!("drizzle/{name}/migration.sql"), &sql(name));
    folder("20240101000000_init");
    folder("20240103000000_third");
    let first = project.check(migrate).await;
    assert_eq!(first.runs, ["20240101000000_init", "20240103000000_third"]);

    // Out of order: the tool runs it; in the order of localeCompare, where underscores come before dashes.
    folder("20240102000000_b-x");
    folder("20240102000000_b_y");
    folder("20240102000000_B_z");
    let order = project.check(migrate).await;
    assert_eq!(order.runs, ["20240102000000_b_y", "20240102000000_B_z", "20240102000000_b-x"]);
    assert_eq!(kinds(&order)[0], of(Warn, "out_of_order"));

    project.write("drizzle/20240101000000_init/migration.sql", "SELECT 'edited';\n");
    project.write("drizzle/20240104000000_flat.sql", &sql("20240104000000_flat"));
    project.remove("drizzle/20240103000000_third");
    let told = project.check(migrate).await;
    let expected = [
        of(Stop, "silently_skipped"),
        of(Warn, "edited_after_applied"),
        of(Warn, "orphan"),
        of(Note, "duplicate_prefix"),
    ];
    assert_eq!(kinds(&told), expected);

    project.write("drizzle/meta/_journal.json", "{\"entries\":[]}");
    assert!(kinds(&project.check(migrate).await).contains(&of(Stop, "unsupported_layout")));
}

#[tokio::test]
async fn a_table_of_0_45_is_taken_over_by_1_0() {
    let old = open(0, "drizzle_upgrade");
    journal(&old, &[("20240101000000_init", 1_704_067_200_500), ("20240102000000_b", 1_704_153_600_000)]);
    old.check(migrate).await;

    let new = Project { cluster: old.cluster, database: old.database.clone(), directory: tempfile::tempdir().unwrap() };
    let modules = holdpoint_testkit::migration_tool("drizzle-1").join("node_modules");
    std::os::unix::fs::symlink(modules, new.path().join("node_modules")).unwrap();
    new.write("drizzle.config.ts", CONFIG);
    for name in ["20240101000000_init", "20240102000000_b", "20240103000000_c"] {
        new.write(&format!("drizzle/{name}/migration.sql"), &sql(name));
    }
    let pending = new.check(migrate).await;
    assert_eq!(pending.runs, ["20240103000000_c"]);
    assert!(kinds(&pending).contains(&of(Note, "table_upgrade")));
    assert!(new.check(migrate).await.is_empty());
}
