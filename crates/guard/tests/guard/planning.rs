//! What is pending decides what a run asks for, and a prepared run saves it the time.

use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::gate::pending::Decision;
use holdpoint_core::ledger::RunState::{Prepared, Proven, Refused, Running, Started, Succeeded};
use holdpoint_core::risk::{Requirement, RiskClass};
use holdpoint_core::verification::Level;
use holdpoint_guard::plan::{PendingCommand, PlanOptions, Project};
use holdpoint_guard::tools::{Choice, ToolName};
use holdpoint_guard::{Error, ExitKind, Migrations, PrepareReport, ProjectMigrations, Question, prepare};
use holdpoint_operations::ErrorKind;
use holdpoint_review::Waiver;
use holdpoint_testkit::Cluster;

use crate::support::{AtProof, Shop, backup_options, settings, shell, source, states, verify_options};

/// What runs the files of the folder that are there.
pub(crate) const APPLY: &str = "for file in $HERE/sql/*.sql; do $SQL -f $file; done";

/// A shop with a folder of SQL files, of which nothing is applied.
pub(crate) struct Folder {
    pub(crate) shop: Shop,
}

impl Folder {
    pub(crate) async fn open(files: &[(&str, &str)]) -> Self {
        let shop = Shop::open(18).await;
        std::fs::create_dir(shop.file("sql")).unwrap();
        let mut folder = Self { shop };
        folder.write(files);
        folder.read(Some("none"), &[]);
        folder
    }

    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (name, sql) in files {
            std::fs::write(self.shop.file("sql").join(name), sql).unwrap();
        }
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.shop.file("sql").join(name)).unwrap();
    }

    /// Reads the files as the command line would.
    pub(crate) fn read(&mut self, applied_through: Option<&str>, waivers: &[Waiver]) {
        let choice =
            Choice { tool: Some(ToolName::PlainSql), migrations: Some(self.shop.file("sql")), ..Choice::default() };
        let project = Project::open(self.shop.directory.path(), &choice).unwrap();
        let applied_through = applied_through.map(str::to_owned);
        let options = PlanOptions { applied_through, waivers: waivers.to_vec(), ..PlanOptions::default() };
        let connection = settings(&self.shop.cluster, "shop");
        let folder = self.shop.directory.path().to_owned();
        self.shop.options.migrations =
            Migrations::Of(Box::new(ProjectMigrations { project, options, connection, folder, stated: true }));
    }

    /// Takes what a command lists for pending.
    pub(crate) fn listed(&mut self, line: &str) {
        let choice =
            Choice { tool: Some(ToolName::Command), migrations: Some(self.shop.file("sql")), ..Choice::default() };
        let project = Project::open(self.shop.directory.path(), &choice).unwrap();
        let pending_command = Some(PendingCommand::new(line, self.shop.options.environment.clone()));
        let options = PlanOptions { pending_command, ..PlanOptions::default() };
        let connection = settings(&self.shop.cluster, "shop");
        let folder = self.shop.directory.path().to_owned();
        self.shop.options.migrations =
            Migrations::Of(Box::new(ProjectMigrations { project, options, connection, folder, stated: true }));
    }

    pub(crate) async fn prepare(&mut self, valid_for: Duration) -> Result<PrepareReport, Error> {
        self.shop.options.command = shell(APPLY);
        self.shop.context.seed += 1;
        let verify = verify_options(Cluster::shared(self.shop.scratch));
        let (source, backup) = (source(&self.shop.cluster), backup_options());
        prepare(&self.shop.context, &source, &verify, &backup, &self.shop.options, valid_for).await
    }

    pub(crate) async fn points(&self) -> usize {
        self.shop.context.repository.points(&self.shop.context.database).await.unwrap().len()
    }

    /// The states of the newest run.
    pub(crate) async fn newest(&self) -> Vec<holdpoint_core::ledger::RunStep> {
        let runs = self.shop.context.repository.runs(&self.shop.context.database).await.unwrap();
        self.shop.steps(runs.last().unwrap()).await
    }
}

pub(crate) const ADDS: (&str, &str) = ("1_adds.sql", "CREATE TABLE tags (id int PRIMARY KEY)");
pub(crate) const DROPS: (&str, &str) = ("2_drops.sql", "DROP TABLE customers");

#[tokio::test]
async fn nothing_pending_runs_at_once_and_needs_no_restore_point() {
    let mut folder = Folder::open(&[]).await;
    folder.listed("true");
    let report = folder.shop.guard("true").await.unwrap();
    assert!(matches!(&report.decision, Decision::Go { point: None, .. }), "{:?}", report.decision);
    assert_eq!((report.point.as_ref(), report.ways_back.len(), folder.points().await), (None, 0, 0));
    let steps = folder.newest().await;
    assert_eq!(states(&steps), [Started, Running, Succeeded]);
    assert!(steps[1].remarks.iter().any(|remark| remark.contains("nothing is pending")), "{steps:?}");
    assert_eq!(report.exit_kind(), ExitKind::Done);
    // A command that does something all the same did not do what was planned.
    let report = folder.shop.guard("$SQL -c 'CREATE TABLE sneaked (id int)'").await.unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("yet the schema changed")), "{:?}", report.warnings);
    assert_eq!(report.exit_kind(), ExitKind::AppliedInPart);
}

#[tokio::test]
async fn what_only_adds_goes_with_an_older_proof_and_what_drops_does_not() {
    let mut folder = Folder::open(&[ADDS]).await;
    let first = folder.shop.guard(APPLY).await.unwrap();
    assert!(matches!(first.decision, Decision::MakeRestorePoint { .. }), "{:?}", first.decision);
    let recorded = folder.newest().await.pop().unwrap().plan.unwrap();
    assert_eq!(recorded.pending.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["1_adds.sql"]);

    // The ledger knows what is applied, and nobody has to say it again.
    folder.read(None, &[]);
    let again = folder.shop.guard("true").await.unwrap();
    let Decision::MakeRestorePoint { reasons, .. } = &again.decision else { panic!("{:?}", again.decision) };
    assert!(reasons[0].contains("no file is new, and it may run the others again"), "{reasons:?}");
    assert_eq!(again.plan.unwrap().applied, 1);

    // That run's point has the schema of now, so the next addition goes with it.
    folder.write(&[("3_index.sql", "COMMENT ON TABLE tags IS 'seen'")]);
    folder.read(None, &[]);
    let only = |name: &str| format!("$SQL -f $HERE/sql/{name}");
    let third = folder.shop.guard(&only("3_index.sql")).await.unwrap();
    assert!(matches!(third.decision, Decision::Go { point: Some(_), .. }), "{:?}", third.decision);
    let made = folder.points().await;

    folder.write(&[DROPS]);
    folder.read(None, &[]);
    let report = folder.shop.guard(&only(DROPS.0)).await.unwrap();
    let Decision::MakeRestorePoint { reasons, .. } = &report.decision else { panic!("{:?}", report.decision) };
    assert!(reasons[0].contains("destroys_data in 2_drops.sql:1"), "{reasons:?}");
    assert_eq!(folder.points().await, made + 1);
    let plan = report.plan.unwrap();
    assert_eq!(plan.review.tables[0].table.to_string(), "public.customers");
}

#[tokio::test]
async fn what_an_older_proof_covers_makes_no_other_point() {
    let mut folder = Folder::open(&[]).await;
    folder.shop.options.migrations = Migrations::Unknown("a test".into());
    let proven = folder.shop.guard("true").await.unwrap().point.unwrap();
    folder.write(&[ADDS]);
    folder.read(Some("none"), &[]);
    let report = folder.shop.guard(APPLY).await.unwrap();
    let Decision::Go { point, losses, .. } = &report.decision else { panic!("{:?}", report.decision) };
    assert_eq!((point.as_ref(), losses.len(), folder.points().await), (Some(&proven), 2, 1));
    assert_eq!(states(&folder.newest().await), [Started, Proven, Running, Succeeded]);
}

#[tokio::test]
async fn a_tool_that_would_pass_over_a_migration_stops_the_run_before_anything() {
    let mut folder = Folder::open(&[ADDS]).await;
    folder.read(None, &[]);
    let error = folder.shop.guard(APPLY).await.unwrap_err();
    assert!(matches!(&error, Error::Stopped { .. }), "nothing was ever recorded, and tables are there: {error}");
    assert_eq!((error.kind(), folder.points().await), (ErrorKind::Refused, 0));
    assert_eq!(states(&folder.newest().await), [Started, Refused]);
    assert!(error.hint().unwrap().contains("holdpoint plan"));
}

#[tokio::test]
async fn a_refused_risk_needs_a_waiver_and_its_reason_is_recorded() {
    let mut folder = Folder::open(&[DROPS]).await;
    let refuse = [(RiskClass::DestroysData, Requirement::Refuse)];
    folder.shop.options.policy.requirements = refuse.into_iter().collect();
    let error = folder.shop.guard(APPLY).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--waive") && folder.points().await == 0);
    let reason = format!("agreed, not {}", crate::support::SECRET);
    folder.read(Some("none"), &[Waiver { rule: RiskClass::DestroysData, object: None, reason }]);
    let report = folder.shop.guard(APPLY).await.unwrap();
    assert_eq!(report.state, Succeeded);
    for step in folder.newest().await.iter().skip(1) {
        let waived = &step.plan.as_ref().unwrap().waived[0];
        assert_eq!((waived.class, waived.place.as_str()), (RiskClass::DestroysData, "2_drops.sql:1"));
        assert_eq!(waived.reason, "agreed, not ***", "a secret is nobody's reason");
    }
}

#[tokio::test]
async fn a_file_that_changes_while_the_point_is_made_is_never_run() {
    let mut folder = Folder::open(&[DROPS]).await;
    let file = folder.shop.file("sql").join(DROPS.0);
    folder.shop.context.progress =
        Arc::new(AtProof(move || std::fs::write(&file, "DROP TABLE customers, orders").unwrap()));
    let error = folder.shop.guard(APPLY).await.unwrap_err();
    assert!(matches!(&error, Error::PendingChanged { first: Some(first), .. } if first == DROPS.0), "{error}");
    assert_eq!(folder.shop.cluster.psql("shop", "SELECT count(*) FROM customers"), "2");
    assert_eq!((states(&folder.newest().await), folder.shop.pins().await.len()), (vec![Started, Proven, Refused], 0));
}

#[tokio::test]
async fn a_command_that_may_do_something_else_asks_for_its_own_point() {
    let mut folder = Folder::open(&[]).await;
    let Migrations::Of(of) = &mut folder.shop.options.migrations else { panic!() };
    of.stated = false;
    let report = folder.shop.guard("true").await.unwrap();
    let Decision::MakeRestorePoint { reasons, .. } = &report.decision else { panic!("{:?}", report.decision) };
    assert!(reasons[0].contains("unreviewable in the command (what sh runs is not known"), "{reasons:?}");
}

#[tokio::test]
async fn a_prepared_run_is_relied_on_until_anything_changes() {
    let mut folder = Folder::open(&[DROPS]).await;
    let prepared = folder.prepare(Duration::from_secs(3600)).await.unwrap();
    let point = prepared.point.clone().unwrap();
    assert_eq!(prepared.verification.as_ref().map(|one| one.level), Some(Level::Full));
    assert_eq!(states(&folder.newest().await), [Started, Proven, Prepared]);
    assert!(!prepared.ways_back.is_empty(), "{prepared:?}");
    assert_eq!(folder.shop.cluster.psql("shop", "SELECT count(*) FROM customers"), "2", "nothing ran");
    assert_eq!(folder.shop.pins().await, [format!("run-{}", prepared.run)]);

    // Another command, other files, another schema: each makes its own.
    let other = folder.shop.guard("true").await.unwrap();
    assert_eq!((other.prepared_by.as_ref(), folder.points().await), (None, 2));
    folder.write(&[ADDS]);
    folder.read(Some("none"), &[]);
    let renewed = folder.prepare(Duration::from_secs(3600)).await.unwrap();
    folder.remove(ADDS.0);
    folder.read(Some("none"), &[]);
    folder.shop.options.command = shell(APPLY);
    folder.shop.cluster.psql("shop", "CREATE TABLE meanwhile (id int)");
    folder.shop.context.seed += 1;
    let report = folder.shop.try_guard().await.unwrap();
    assert!(report.prepared_by.is_none() && report.point != renewed.point && report.point.as_ref() != Some(&point));
}

#[tokio::test]
async fn a_prepared_run_saves_the_second_restore_point() {
    let mut folder = Folder::open(&[DROPS]).await;
    let prepared = folder.prepare(Duration::from_secs(3600)).await.unwrap();
    let report = folder.shop.guard(APPLY).await.unwrap();
    assert_eq!((report.prepared_by.as_ref(), report.point.as_ref()), (Some(&prepared.run), prepared.point.as_ref()));
    assert_eq!((report.state, folder.points().await), (Succeeded, 1));
    let steps = folder.newest().await;
    assert_eq!(states(&steps), [Started, Proven, Running, Succeeded]);
    assert_eq!(steps[3].relies_on_run.as_ref(), Some(&prepared.run));
    assert_eq!(folder.shop.pins().await.len(), 2, "its own and the prepared one's");

    let mut expired = Folder::open(&[DROPS]).await;
    expired.prepare(Duration::ZERO).await.unwrap();
    let report = expired.shop.guard(APPLY).await.unwrap();
    assert_eq!((report.prepared_by, expired.points().await), (None, 2));
}

#[tokio::test]
async fn a_deadline_ends_the_work_and_says_what_was_missing() {
    let mut folder = Folder::open(&[DROPS]).await;
    folder.shop.options.deadline = Some(Duration::ZERO);
    let error = folder.prepare(Duration::from_secs(60)).await.unwrap_err();
    assert!(matches!(&error, Error::Deadline { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::CouldNotRun);
    assert_eq!((states(&folder.newest().await), folder.points().await), (vec![Started, Refused], 0));
    // In the middle of the proof: the point that was made stays, and is named.
    let deadline = Duration::from_secs(12);
    folder.shop.options.deadline = Some(deadline);
    let over = std::time::Instant::now() + deadline + Duration::from_secs(1);
    folder.shop.context.progress =
        Arc::new(AtProof(move || std::thread::sleep(over.saturating_duration_since(std::time::Instant::now()))));
    let error = folder.prepare(Duration::from_secs(60)).await.unwrap_err();
    let Error::Deadline { missing, point, .. } = &error else { panic!("{error}") };
    assert_eq!((missing.as_str(), point.is_some(), folder.points().await), ("proving the restore point", true, 1));
    assert!(error.hint().unwrap().contains("holdpoint verify"));
    assert_eq!(folder.shop.pins().await, Vec::<String>::new());
}

#[tokio::test]
async fn prepares_in_a_row_each_make_their_own_point_and_a_late_answer_comes_too_late() {
    let mut folder = Folder::open(&[DROPS]).await;
    let first = folder.prepare(Duration::from_secs(3600)).await.unwrap();
    let second = folder.prepare(Duration::from_secs(20)).await.unwrap();
    let until = second.valid_until;
    assert_ne!(first.point, second.point, "else the rows between them were in no restore point");
    folder.shop.options.question = Some(Question(Arc::new(move |_| {
        while chrono::Utc::now() <= until {
            std::thread::sleep(Duration::from_millis(100));
        }
        true
    })));
    let error = folder.shop.guard(APPLY).await.unwrap_err();
    assert!(matches!(&error, Error::Expired { run, .. } if *run == second.run.to_string()), "{error}");
    assert_eq!(folder.shop.cluster.psql("shop", "SELECT count(*) FROM customers"), "2");
}

#[tokio::test]
async fn a_point_whose_archive_is_gone_is_not_relied_on() {
    let mut folder = Folder::open(&[DROPS]).await;
    let prepared = folder.prepare(Duration::from_secs(3600)).await.unwrap();
    let key = format!("shop/restore-points/{}/archive.dump", prepared.point.clone().unwrap());
    std::fs::remove_file(folder.shop.file("repository").join(key)).unwrap();
    let report = folder.shop.guard(APPLY).await.unwrap();
    assert_eq!((report.prepared_by, report.point != prepared.point), (None, true));
}

#[tokio::test]
async fn a_waiver_of_one_table_does_not_reach_what_a_cascade_takes() {
    let sql = (
        "3_truncate.sql",
        "ALTER TABLE orders ADD UNIQUE (id); CREATE TABLE child (o int REFERENCES orders (id)); \
                                  INSERT INTO child VALUES (1)",
    );
    let mut folder = Folder::open(&[]).await;
    folder.shop.cluster.psql("shop", sql.1);
    folder.write(&[("4_truncate.sql", "TRUNCATE orders CASCADE")]);
    let refuse = [(RiskClass::DestroysData, Requirement::Refuse)];
    folder.shop.options.policy.requirements = refuse.into_iter().collect();
    let waiver = |object: &str| Waiver {
        rule: RiskClass::DestroysData,
        object: Some(object.to_owned()),
        reason: "agreed".to_owned(),
    };
    folder.read(Some("none"), &[waiver("orders")]);
    let error = folder.shop.guard(APPLY).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { .. }), "{error}");
    folder.read(Some("none"), &[waiver("orders"), waiver("public.child")]);
    assert_eq!(folder.shop.guard(APPLY).await.unwrap().state, Succeeded);
}
