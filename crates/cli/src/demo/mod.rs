//! `holdpoint demo`: the whole story on a throwaway server, told on a page.
//!
//! Nothing is staged: the migration runs under the real gate, and the way back is the very command that the guarded run
//! printed, run by a shell.

mod stage;
mod tally;

use std::time::{Duration, Instant};

use holdpoint_core::PointId;
use holdpoint_core::gate::pending::WindowPolicy;
use holdpoint_core::risk::RiskPolicy;
use holdpoint_core::verification::{Level, Verification};
use holdpoint_guard::run::{GuardOptions, GuardReport, guard};
use holdpoint_guard::{Migrations, RunOptions};
use holdpoint_operations::backup::BackupLimits;
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{catalogue, selection};
use holdpoint_process::{Program, Stdout};
use serde::Serialize;

use crate::failure::Failure;
use crate::invocation::{Invocation, whole};
use crate::quantity::{bytes, count, counted, milliseconds};
use holdpoint::exit_code;
use stage::Stage;
use tally::Tally;

/// The way back takes seconds here; a minute means that something hangs.
const WAY_BACK_WITHIN: Duration = Duration::from_secs(120);
const OUTPUT_BYTES: usize = 1 << 20;

/// What the demonstration showed.
#[derive(Debug, Serialize)]
struct DemoReport {
    /// The restore point that the run was held for.
    point: PointId,
    /// What the guarded run came to.
    run: GuardReport,
    /// Before the migration, after it, and restored.
    before: Tally,
    damaged: Tally,
    restored: Tally,
    /// The way back brought everything back.
    equal: bool,
    /// Milliseconds, all in all.
    took_ms: u64,
}

/// Tells the story; `--json` prints what came of it instead.
pub(crate) async fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let began = Instant::now();
    let story = Story { invocation };
    story.tell("Setting the stage: a throwaway PostgreSQL, a repository, a shop's database ...")?;
    let stage = Stage::set(invocation).await?;
    let played = story.play(&stage, began).await;
    stage.strike().await;
    let report = played?;
    let equal = report.equal;
    super::commands::printed(invocation.output.report(&report, |report| {
        format!("\nThe whole took {}. Server and repository are gone again.\n", milliseconds(report.took_ms))
    }))?;
    if equal {
        Ok(exit_code::DONE)
    } else {
        Err(Failure::Internal("the way back did not bring everything back".to_owned()))
    }
}

struct Story<'a> {
    invocation: &'a Invocation,
}

impl Story<'_> {
    fn tell(&self, text: &str) -> Result<(), Failure> {
        if self.invocation.output.json {
            return Ok(());
        }
        super::commands::printed(self.invocation.output.text(text))
    }

    async fn play(&self, stage: &Stage, began: Instant) -> Result<DemoReport, Failure> {
        let before = Tally::of(&stage.settings).await?;
        self.tell(&format!(
            "\n1. A database: PostgreSQL {}, {} rows of partitions, identities, enums, a domain, generated columns,\n   \
             a materialized view, a large object, row security, triggers and names such as\n   {}",
            stage.major(),
            count(before.all_rows()),
            r#""Audit Log"."What, when (by whom?)"."#
        ))?;

        self.tell(&format!(
            "\n2. A migration that looks harmless, and will report success:\n\n{}\n",
            indented(include_str!("migration.sql"), 6)
        ))?;

        self.tell("3. It is held:  holdpoint guard -- psql -f 0042_merge_customers.sql\n\n")?;
        let run = self.guarded(stage).await?;
        let point = run.point.clone().ok_or_else(|| Failure::Internal("the run relied on nothing".to_owned()))?;
        self.held(stage, &run, &point).await?;

        let damaged = Tally::of(&stage.settings).await?;
        self.tell("\n4. It said it succeeded. Most customers shared a name, and their orders went with them:\n\n")?;
        self.tell(&table(&before, &[("before", &before), ("now", &damaged)]))?;

        let way = run.ways_back.first().ok_or_else(|| Failure::Internal("there is no way back".to_owned()))?;
        self.tell("\n5. The way back was known before the migration ran, as a command to paste:\n\n")?;
        self.tell(&indented(&way.command.replace(&*stage.folder().to_string_lossy(), "$DEMO"), 6))?;
        let (said, took) = self.way_back(stage, &way.command).await?;
        self.tell(&format!("\n{}", indented(&said, 6)))?;

        let beside = self.restored_database(stage, &run)?;
        let restored = Tally::of(&stage.settings.with_database(beside)).await?;
        self.tell(&format!("\n   {} later the database stands beside the damaged one:\n\n", milliseconds(took)))?;
        self.tell(&table(&before, &[("before", &before), ("damaged", &damaged), ("restored", &restored)]))?;
        let equal = before == restored && before != damaged;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(DemoReport { point, run, before, damaged, restored, equal, took_ms })
    }

    async fn guarded(&self, stage: &Stage) -> Result<GuardReport, Failure> {
        let jobs = self.invocation.settings.jobs(None);
        let verify = VerifyOptions {
            level: Level::Full,
            scratch: stage.scratch.clone(),
            programs: stage.source.programs.clone(),
            replace_missing_locale: false,
            jobs,
            parallel_above_bytes: holdpoint_operations::PARALLEL_ABOVE_BYTES,
            sample: holdpoint_operations::verify::SampleOptions::default(),
            restore_as: None,
        };
        let words = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"].map(str::to_owned);
        let options = GuardOptions {
            command: [stage.psql.path.display().to_string()]
                .into_iter()
                .chain(words)
                .chain([stage.migration.display().to_string()])
                .collect(),
            environment: stage.environment(),
            migrations: Migrations::Unknown("the demonstration calls psql".to_owned()),
            policy: RiskPolicy::default(),
            window_policy: WindowPolicy::default(),
            rehearsal: Err("the page is long enough".to_owned()),
            deadline: None,
            question: None,
            unproven: None,
            operator: Some("holdpoint demo".to_owned()),
            own_flags: ["--database", "shop", "--repository", &stage.repository().to_string()]
                .map(str::to_owned)
                .to_vec(),
            project_flags: Vec::new(),
            way_back: None,
            on_failure: None,
            instance: None,
            run: RunOptions::default(),
        };
        let backup = whole(
            "gzip".parse().map_err(|_| Failure::Internal("no gzip".to_owned()))?,
            (jobs, BackupLimits::default()),
        );
        self.invocation
            .output
            .keep_for_the_document()
            .map_err(|source| Failure::Io { what: "keeping stdout for the report".to_owned(), source })?;
        Ok(guard(&stage.context, &stage.source, &verify, &backup, &options).await?)
    }

    async fn held(&self, stage: &Stage, run: &GuardReport, point: &PointId) -> Result<(), Failure> {
        let chosen = selection::resolve(&stage.context, &holdpoint_core::selector::Selector::Id(point.clone())).await?;
        let shown = catalogue::show(&stage.context, &chosen).await?;
        let manifest = &shown.manifest;
        let mut lines = vec![
            ("hold", "no proven restore point yet: the command waits".to_owned()),
            (
                "backup",
                format!(
                    "{point}: {}, {} of {} in {}",
                    counted(manifest.totals.rows, "row"),
                    bytes(manifest.archive.bytes),
                    bytes(manifest.totals.data_bytes),
                    milliseconds(manifest.timings.stored_for_ms)
                ),
            ),
        ];
        if let Some(made) = shown.verifications.last() {
            lines.push(("verify", proof(made)));
        }
        let ms = run.command_took_ms.unwrap_or_default();
        let code = run.exit_code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        lines.push(("go", format!("the command ran for {} and ended with {code}", milliseconds(ms))));
        let text: String = lines.iter().map(|(word, text)| format!("      {word:<8}{text}\n")).collect();
        self.tell(&text)
    }

    /// Runs the printed command as a person would, in a shell.
    async fn way_back(&self, stage: &Stage, command: &str) -> Result<(String, u64), Failure> {
        let began = Instant::now();
        let shell = Program::new("/bin/sh")
            .arguments(["-ec", command])
            .environment(stage.environment())
            .working_directory(stage.folder())
            .stdout(Stdout::Piped);
        let failed =
            |source| Failure::from(holdpoint_operations::Error::from(holdpoint_postgres::Error::Process(source)));
        let (said, _) = shell.output(OUTPUT_BYTES, WAY_BACK_WITHIN, &self.invocation.cancel).await.map_err(failed)?;
        let said = String::from_utf8_lossy(&said).replace(&*stage.folder().to_string_lossy(), "$DEMO");
        Ok((said, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)))
    }

    /// The name that the way back gives the restored database.
    fn restored_database(&self, stage: &Stage, run: &GuardReport) -> Result<String, Failure> {
        let tail = run.run.as_str().to_ascii_lowercase().replace('-', "_");
        let name = format!("{}_restored_{tail}", stage.settings.database());
        let told = run.ways_back.first().is_some_and(|way| way.command.contains(&name));
        if told { Ok(name) } else { Err(Failure::Internal("the way back names another database".to_owned())) }
    }
}

fn proof(made: &Verification) -> String {
    let compared = &made.compared;
    format!(
        "{}: restored into a scratch server, {}, {}, {}, {} equal, in {}",
        made.verdict,
        counted(compared.rows, "row"),
        counted(compared.sequences, "sequence"),
        counted(compared.large_objects, "large object"),
        counted(compared.objects, "schema object"),
        milliseconds(made.took_ms)
    )
}

fn indented(text: &str, columns: usize) -> String {
    let blank = " ".repeat(columns);
    text.lines().map(|line| format!("{blank}{line}\n")).collect()
}

/// Puts tallies side by side.
fn table(names: &Tally, columns: &[(&str, &Tally)]) -> String {
    let width = 12;
    let heading: String = columns.iter().map(|(name, _)| format!("{name:>width$}")).collect();
    let mut text = format!("      {:<46}{heading}\n", "");
    for (place, (name, _)) in names.lines().iter().enumerate() {
        let values: String = columns
            .iter()
            .map(|(_, tally)| {
                format!("{:>width$}", tally.lines().get(place).map(|(_, value)| value.as_str()).unwrap_or(""))
            })
            .collect();
        text.push_str(&format!("      {name:<46}{values}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_stand_side_by_side() {
        let tally = |rows| Tally { rows: vec![("a.b", rows)], turnover: "1.50".into(), customer_columns: 6 };
        let text = table(&tally(1), &[("before", &tally(12_000)), ("now", &tally(7))]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["before", "now"]);
        assert_eq!(lines[1], ["rows", "of", "a.b", "12,000", "7"]);
        assert_eq!(lines[3], ["turnover", "1.50", "1.50"]);
    }
}
