//! Undoing runs of a project whose tracking table is Drizzle's, on a shop that others write too.

use std::path::PathBuf;
use std::sync::Arc;

use holdpoint_core::Mask;
use holdpoint_core::PointId;
use holdpoint_core::ledger::RunState;
use holdpoint_core::selector::RunSelector;
use holdpoint_core::undoing::Way;
use holdpoint_guard::plan::{PlanOptions, Project};
use holdpoint_guard::runs::Place;
use holdpoint_guard::tools::{Choice, ToolName};
use holdpoint_guard::undo::{Scripts, UndoEnd, UndoOptions, UndoQuestion, UndoReport, undo};
use holdpoint_guard::{Error, GuardReport, Migrations, ProjectMigrations};

use crate::support::{Shop, backup_options, settings, source};

/// Runs a file and records it, as the tool does.
const APPLY: &str = "$SQL -1 -f $HERE/drizzle/$TAG.sql -c \"INSERT INTO drizzle.__drizzle_migrations (hash, created_at) \
                     VALUES ('$(sha256sum < $HERE/drizzle/$TAG.sql | cut -c1-64)', $WHEN)\"";

struct Undoing {
    shop: Shop,
    tags: Vec<String>,
}

impl Undoing {
    async fn open() -> Self {
        let shop = Shop::open(18).await;
        shop.cluster.psql(
            "shop",
            "CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations \
             (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)",
        );
        Self { shop, tags: Vec::new() }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.shop.file(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Adds a migration, and what undoes it; gives the shell's words that apply it.
    fn add(&mut self, tag: &str, up: &str, down: Option<&str>) -> String {
        self.write(&format!("drizzle/{tag}.sql"), up);
        if let Some(down) = down {
            self.write(&format!("drizzle/rollbacks/{tag}.sql"), down);
        }
        self.tags.push(tag.to_owned());
        let entry = |(idx, tag): (usize, &String)| serde_json::json!({ "idx": idx, "version": "7", "when": 1000 * (idx + 1), "tag": tag, "breakpoints": true });
        let entries: Vec<_> = self.tags.iter().enumerate().map(entry).collect();
        let journal = serde_json::json!({ "version": "7", "dialect": "postgresql", "entries": entries });
        self.write("drizzle/meta/_journal.json", &journal.to_string());
        format!("TAG={tag} WHEN={}; {APPLY}", 1000 * self.tags.len())
    }

    fn project(&self) -> Project {
        let choice =
            Choice { tool: Some(ToolName::Drizzle), migrations: Some(self.shop.file("drizzle")), ..Choice::default() };
        Project::open(self.shop.directory.path(), &choice).unwrap()
    }

    /// Guards what applies the newest migration.
    async fn guard(&mut self, apply: &str) -> GuardReport {
        let (project, connection) = (self.project(), settings(&self.shop.cluster, "shop"));
        let folder = self.shop.directory.path().to_owned();
        let options = PlanOptions::default();
        self.shop.options.migrations =
            Migrations::Of(Box::new(ProjectMigrations { project, options, connection, folder, stated: true }));
        let report = self.shop.guard(apply).await.unwrap();
        assert_eq!(report.state, RunState::Succeeded, "{report:#?}");
        report
    }

    fn options(&mut self, way: Way) -> UndoOptions {
        self.shop.context.seed += 1;
        let live = settings(&self.shop.cluster, "shop");
        UndoOptions {
            run: RunSelector::Latest,
            way: Some(way),
            dry_run: false,
            accept_data_loss_since: None,
            scripts: Scripts::AsRecorded,
            question: None,
            place: Place { source: source(&self.shop.cluster), project: Some((self.project(), live.clone())) },
            live,
            backup: backup_options(),
            environment: self.shop.options.environment.clone(),
            folder: self.shop.directory.path().to_owned(),
            temporary: PathBuf::from("/tmp"),
            jobs: 1,
            compare_up_to: None,
            lock_wait_seconds: 10,
            operator: None,
            process: None,
            mask: Mask::default(),
        }
    }

    async fn undo(&mut self, way: Way) -> Result<UndoReport, Error> {
        let options = self.options(way);
        undo(&self.shop.context, &options).await
    }

    fn sql(&self, sql: &str) -> String {
        self.shop.cluster.psql("shop", sql)
    }
}

fn not_as_before(report: &UndoReport) -> String {
    report.undo.as_ref().unwrap().not_as_before.join("; ")
}

fn made(report: &UndoReport) -> PointId {
    report.undo.as_ref().unwrap().point.clone().unwrap()
}

#[tokio::test]
async fn what_goes_with_a_rollback_is_told_and_a_second_try_has_a_restore_point_of_its_own() {
    let mut shop = Undoing::open().await;
    // Nobody rehearsed it: it takes rows that the migration never touched.
    let down = "DROP TABLE tags; DELETE FROM customers;";
    let first = shop.add("0000_tags", "CREATE TABLE tags (id int PRIMARY KEY);", Some(down));
    let report = shop.guard(&first).await;
    let rollback = report.ways_back.iter().find(|one| one.way == Way::Rollback).unwrap();
    let told = "what the scripts themselves take or change in public.customers (drizzle/rollbacks/0000_tags.sql:1 ";
    assert!(rollback.data_lost.starts_with(told), "{rollback:#?}");
    assert_eq!(report.ways_back.last().unwrap().way, Way::Rollback, "it comes after a restore");

    // A way down goes back by the newest: what somebody applied since would be left without its record.
    let foreign = shop.add("0001_theirs", "CREATE TABLE theirs (id int);", None);
    let foreign = crate::support::shell(&foreign);
    let mut by_hand = std::process::Command::new(&foreign[0]);
    by_hand.args(&foreign[1..]).env_clear().envs(shop.shop.options.environment.iter().cloned());
    assert!(by_hand.status().unwrap().success());
    let refused = shop.undo(Way::Rollback).await.unwrap_err().to_string();
    assert!(refused.contains("are applied, and are none of the run's: 0001_theirs.sql"), "{refused}");
    assert_eq!(shop.sql("SELECT count(*) FROM customers"), "2", "nothing was run");
    shop.sql("DELETE FROM drizzle.__drizzle_migrations WHERE created_at = 2000; DROP TABLE theirs");

    let undone = shop.undo(Way::Rollback).await.unwrap();
    assert_eq!((undone.end(), undone.state), (UndoEnd::NotAsBefore, Some(RunState::UndoFailed)), "{undone:#?}");
    let gone = "rows of public.customers are gone since the undo began (2 then, 0 now)";
    assert!(not_as_before(&undone).contains(gone), "{undone:#?}");

    // What is there now is in no restore point yet; and what the first try took stays told.
    shop.sql("INSERT INTO customers VALUES (7)");
    let again = shop.undo(Way::Rollback).await.unwrap();
    assert_ne!(made(&again), made(&undone));
    assert!(shop.shop.context.repository.points(&shop.shop.context.database).await.unwrap().contains(&made(&again)));
    assert_eq!(again.end(), UndoEnd::NotAsBefore, "{again:#?}");
    assert!(
        not_as_before(&again).contains("public.customers are gone since the undo began (2 then, 1 now)"),
        "{again:#?}"
    );
}

#[tokio::test]
async fn a_recovery_counts_what_it_would_take_from_others_and_leaves_it_where_only_rows_are_gone() {
    let mut shop = Undoing::open().await;
    let notes = "SELECT md5(string_agg(id || note, ',' ORDER BY id)) FROM orders";
    let before = shop.sql(notes);
    let changes = shop.add("0000_notes", "UPDATE orders SET note = 'x' WHERE id <= 10;", None);
    shop.guard(&changes).await;
    // One that the run had changed, too, one that it had not, and one that is new.
    shop.sql("UPDATE orders SET note = 'mine' WHERE id IN (5, 400); INSERT INTO orders VALUES (501, 'new')");
    let mut options = shop.options(Way::Recover);
    options.dry_run = true;
    let planned = undo(&shop.shop.context, &options).await.unwrap().plan;
    let words: Vec<String> = planned.overwrites.iter().map(|one| one.words()).collect();
    assert_eq!(words, ["rows of public.orders: 2 changed by others"], "{planned:#?}");
    assert!(planned.warnings.iter().any(|one| one.contains("--accept-data-loss-since is needed")), "{planned:#?}");
    let refused = shop.undo(Way::Recover).await.unwrap_err();
    assert!(refused.to_string().starts_with("rows of public.orders: 2 changed by others would be lost"), "{refused}");
    let hint = refused.hint().unwrap();
    assert!(hint.contains("--way recover --accept-data-loss-since "), "{hint}");
    assert_eq!(shop.sql("SELECT note FROM orders WHERE id = 400"), "mine");
    let Error::DataLossNotAccepted { since, .. } = refused else { panic!("{refused:?}") };
    options = UndoOptions { dry_run: false, accept_data_loss_since: Some(since), ..shop.options(Way::Recover) };
    let undone = undo(&shop.shop.context, &options).await.unwrap();
    assert_eq!(undone.end(), UndoEnd::Done, "{undone:#?}");
    shop.sql("DELETE FROM orders WHERE id = 501");
    assert_eq!(shop.sql(notes), before);

    // Rows that only go: what others changed since stays. Who deleted what cannot be told without a rehearsal.
    shop.write("drizzle/0000_notes.sql", "SELECT 1;");
    let deletes = shop.add("0001_old", "DELETE FROM orders WHERE id > 490;", None);
    let both = format!("{changes}; {deletes}");
    shop.guard(&both).await;
    shop.sql("UPDATE orders SET note = 'kept' WHERE id = 1; DELETE FROM orders WHERE id = 2");
    let refused = shop.undo(Way::Recover).await.unwrap_err().to_string();
    let told = "rows of public.orders: 11 deleted by the run or by others, which cannot be told apart";
    assert!(refused.starts_with(told), "{refused}");
    options = UndoOptions { accept_data_loss_since: Some(since), ..shop.options(Way::Recover) };
    let undone = undo(&shop.shop.context, &options).await.unwrap();
    assert_eq!(undone.end(), UndoEnd::Done, "{undone:#?}");
    assert_eq!(shop.sql("SELECT count(*) FROM orders"), "500");
    assert_eq!(shop.sql("SELECT note FROM orders WHERE id = 1"), "kept");
}

#[tokio::test]
async fn what_is_written_between_the_look_and_the_exchange_of_a_restore_is_told() {
    let mut shop = Undoing::open().await;
    let index = shop.add("0000_index", "CREATE INDEX orders_note ON orders (note);", None);
    shop.guard(&index).await;
    let mut options = shop.options(Way::Restore);
    let (url, psql) = (shop.shop.cluster.url("shop"), shop.shop.cluster.bin_directory().join("psql"));
    // Whoever is asked has seen what would be lost: nothing.
    options.question = Some(UndoQuestion(Arc::new(move |plan| {
        assert!(plan.warnings.iter().all(|one| !one.contains("would be lost")), "{plan:#?}");
        let mut write = std::process::Command::new(&psql);
        write
            .args([url.as_str(), "-X", "-q", "-c", "INSERT INTO customers VALUES (8)"])
            .output()
            .unwrap()
            .status
            .success()
    })));
    let undone = undo(&shop.shop.context, &options).await.unwrap();
    assert_eq!(undone.end(), UndoEnd::NotAsBefore, "{undone:#?}");
    let told = not_as_before(&undone);
    assert!(
        told.contains("written after the look and before the exchange") && told.contains("public.customers"),
        "{told}"
    );
    let kept = undone.swap.unwrap().kept_as;
    assert!(told.contains(&format!("holdpoint restore --swap-in {kept}")), "{told}");
    assert_eq!(shop.sql("SELECT count(*) FROM customers WHERE id = 8"), "0");
}
