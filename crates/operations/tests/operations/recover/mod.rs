//! Tables brought back into a database that went on without them.

/// Runs each case, a function of the major, on every one.
macro_rules! on_every_major {
    ($($case:ident,)*) => {
        on_every_major!(@ on_14 14 $($case)*);
        on_every_major!(@ on_15 15 $($case)*);
        on_every_major!(@ on_16 16 $($case)*);
        on_every_major!(@ on_17 17 $($case)*);
        on_every_major!(@ on_18 18 $($case)*);
    };
    (@ $name:ident $major:literal $($case:ident)*) => {
        mod $name { $(#[tokio::test(flavor = "multi_thread")] async fn $case() { super::$case($major).await; })* }
    };
}

mod cascades;
mod errors;
mod foreseen;
mod gone;
mod hard;
mod modes;
mod partitions;
mod reading;
mod references;
mod replication;
mod rest;
mod roles;
mod sources;
mod values;

use std::sync::atomic::{AtomicU32, Ordering};

use holdpoint_core::PointId;
use holdpoint_core::selector::Selector;
use holdpoint_operations::Error;
use holdpoint_operations::backup::backup;
use holdpoint_operations::recover::{
    RecoverFrom, RecoverMode, RecoverOptions, RecoverReport, Target, Triggers, Wanted, prepare,
};
use holdpoint_testkit::Cluster;

use crate::support::{self, Place};

/// A database, a restore point of it, and what it holds.
pub(crate) struct Scene {
    pub(crate) cluster: &'static Cluster,
    pub(crate) database: String,
    pub(crate) place: Place,
    pub(crate) point: PointId,
}

impl Scene {
    /// Makes the database with some SQL, and a restore point.
    pub(crate) async fn with(major: u32, sql: &str) -> Self {
        Self::on(Cluster::shared(major), sql).await
    }

    /// The same on a server of the test's choice.
    pub(crate) async fn on(cluster: &'static Cluster, sql: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let database = format!("recover_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        cluster.create_database(&database);
        cluster.psql(&database, sql);
        let place = support::place(&database).await;
        let source = support::source(cluster, &database);
        let made = backup(&place.context, &source, &support::backup_options()).await.unwrap();
        Self { cluster, database, place, point: made.manifest.id }
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.cluster.psql(&self.database, sql)
    }

    pub(crate) fn options(&self, tables: &[&str], mode: RecoverMode) -> RecoverOptions {
        RecoverOptions {
            from: RecoverFrom::Point(Selector::Id(self.point.clone())),
            wanted: Wanted::Tables(tables.iter().map(|name| name.parse().unwrap()).collect()),
            into: support::settings(self.cluster, &self.database),
            target: Target::SameDatabase,
            mode,
            only_missing: Vec::new(),
            condition: None,
            columns: Vec::new(),
            renamed: Vec::new(),
            now_named: None,
            triggers: Triggers::HeldBack,
            lock_wait_seconds: 5,
            jobs: 2,
            keep_side: false,
            dry_run: false,
            programs: support::programs(self.cluster),
        }
    }

    /// Recovers as the options say, to the end.
    ///
    /// Whatever comes of it: nothing is different then but the rows of the tables that were asked for and the sequences
    /// that are said to have moved; after an error, a plan or mode side nothing at all.
    pub(crate) async fn run(&self, options: &RecoverOptions) -> Result<RecoverReport, Error> {
        let all = || self.dumped(vec!["--exclude-schema=holdpoint_*".to_owned()]);
        let before = all();
        let outcome = self.run_unwatched(options).await;
        let after = all();
        let changed = outcome.as_ref().ok().filter(|report| report.changed).map(|report| &report.plan.tables);
        match changed {
            None => assert!(before == after, "something changed: {outcome:?}\n{}", first_difference(&before, &after)),
            // Such a test looks itself: triggers write what they like.
            Some(_) if options.triggers == Triggers::Fire => {}
            Some(tables) => {
                let (before, after) = (self.rest(&before, tables), self.rest(&after, tables));
                let again = tables.iter().filter(|table| table.made_again).map(|table| table.table.as_str());
                let again: Vec<&str> = again.collect();
                if !again.is_empty() {
                    rest::only_came_back(&before, &after, &again);
                    return outcome;
                }
                let told = || first_difference(&before, &after);
                assert!(before == after, "more changed than was asked for: {tables:?}\n{}", told());
            }
        }
        outcome
    }

    async fn run_unwatched(&self, options: &RecoverOptions) -> Result<RecoverReport, Error> {
        let recovery = prepare(&self.place.context, options).await?;
        match options.mode {
            _ if options.dry_run => recovery.abandon().await,
            RecoverMode::Side => Ok(recovery.keep().await),
            _ => recovery.apply(&self.place.context).await,
        }
    }

    pub(crate) async fn recover(&self, tables: &[&str], mode: RecoverMode) -> Result<RecoverReport, Error> {
        self.run(&self.options(tables, mode)).await
    }

    /// Side schemas that are there.
    pub(crate) fn side_schemas(&self) -> String {
        self.sql("SELECT coalesce(string_agg(nspname, ','), '') FROM pg_namespace WHERE nspname LIKE 'holdpoint%'")
    }

    /// Everything that the database holds, as a dump without random lines; `except` a table's rows.
    pub(crate) fn fingerprint(&self, except: &[&str]) -> String {
        self.dumped(except.iter().map(|table| format!("--exclude-table-data={table}")).collect())
    }

    /// The same while tables lie beside the live ones, without them.
    pub(crate) fn fingerprint_of_live(&self) -> String {
        self.dumped(vec![format!("--exclude-schema={}", self.side_schemas())])
    }

    fn dumped(&self, mut arguments: Vec<String>) -> String {
        arguments.push("--no-sync".to_owned());
        let dump = String::from_utf8(self.cluster.pg_dump(&self.database, &arguments)).unwrap();
        let random = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        dump.lines().filter(random).collect::<Vec<_>>().join("\n")
    }
}

fn first_difference(one: &str, other: &str) -> String {
    let mut lines = one.lines().zip(other.lines());
    let found = lines.find(|(one, other)| one != other).unwrap_or(("the one ends", "before the other"));
    format!("{:.300}\n{:.300}", found.0, found.1)
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.cluster.drop_database(&self.database);
        }
    }
}

pub(crate) const SHOP: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text UNIQUE);
    CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL REFERENCES customers,
        note text, total numeric(10,2) DEFAULT 0 CHECK (total >= 0), doubled numeric GENERATED ALWAYS AS (total * 2) STORED);
    CREATE INDEX orders_note ON orders (note);
    CREATE TABLE other (id int PRIMARY KEY, t text);
    INSERT INTO customers SELECT n, 'name ' || n, n || '@example.org' FROM generate_series(1, 100) n;
    INSERT INTO orders (customer, note, total) SELECT n % 100 + 1, 'note ' || n, n FROM generate_series(1, 1000) n;
    INSERT INTO other SELECT n, 'other ' || n FROM generate_series(1, 10) n;
";
