//! Restoring into a scratch database and comparing everything.

use std::collections::BTreeSet;
use std::time::Instant;

use holdpoint_core::fingerprint::Difference;
use holdpoint_core::index::ObjectRecord;
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::progress::Phase;
use holdpoint_core::verification::{Compared, Level, Sample};
use holdpoint_engine::ReadBack;
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::programs::{ClientProgram, PgRestore, ProgramName};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::scratch::{Scratch, could_not_run};
use super::{VerifyOptions, lesser, sample};
use crate::expected::Expected;
use crate::restored::{self, Early, HeadFile, Manner, Ownership, TargetKind};
use crate::{Context, Error, database_properties};

/// What was found once everything could be asked.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) read: ReadBack,
    pub(super) compared: Compared,
    pub(super) differences: Vec<Difference>,
    pub(super) restore_took_ms: Option<u64>,
    pub(super) notes: Vec<String>,
    pub(super) sample: Option<Sample>,
    /// Objects as any restore writes them, where that differs from what was recorded.
    pub(super) normal: Vec<ObjectRecord>,
}

pub(super) struct Programs {
    pg_dump: ClientProgram,
    pg_restore: ClientProgram,
    restoring: ClientProgram,
}

impl Programs {
    /// Finds the client programs of the archive's major.
    pub(super) async fn find(context: &Context, options: &VerifyOptions, expected: &Expected) -> Result<Self, Error> {
        let major = expected.manifest.client_major;
        let find = async |name| {
            options.programs.find(name, major, &context.cancel).await.map_err(|error| match error {
                holdpoint_postgres::Error::ProgramMissing(missing) => could_not_run(
                    missing.to_string(),
                    format!("install PostgreSQL {major}'s client programs (Debian: postgresql-client-{major})"),
                ),
                error => error.into(),
            })
        };
        Ok(Self {
            pg_dump: find(ProgramName::PgDump).await?,
            pg_restore: find(ProgramName::PgRestore).await?,
            restoring: find(restored::restoring_program(&expected.manifest)).await?,
        })
    }
}

/// Restores as far as the level asks and compares.
pub(super) async fn compare(
    context: &Context,
    expected: &Expected,
    options: &VerifyOptions,
    programs: &Programs,
    scratch: &mut Scratch,
) -> Result<Findings, Error> {
    let progress = context.progress.as_ref();
    let mut findings = Findings { notes: scratch.notes.clone(), ..Findings::default() };
    let mut target = scratch.restored.clone();
    let outside = create_outside_schemas(expected, &target).await?;
    let began = Instant::now();
    let whole = options.level > Level::Sampled;
    let manner = Manner {
        ownership: Ownership::default(),
        jobs: options.jobs,
        parallel_above_bytes: options.parallel_above_bytes,
        target: TargetKind::Scratch,
        lesser_role: options.restore_as.is_some(),
    };
    let mut early = Early::default();
    findings.read = if whole {
        let restorer = match options.restore_as {
            Some(kind) => {
                findings.notes.push(format!("restored with the rights of {kind}"));
                lesser::role(context, expected, scratch, &target, kind).await?
            }
            None => target.clone(),
        };
        let (read, digested) =
            restored::restore_archive(context, expected, &restorer, &programs.restoring, &manner).await?;
        early = digested;
        read
    } else if options.level == Level::Sampled {
        let read = load_sample(context, expected, options, programs, &manner, &target, &mut findings).await?;
        // The schema is made whole beside it: foreign keys would miss the rows that were left out.
        target = scratch.database("schema").await?;
        create_outside_schemas(expected, &target).await?;
        restore_schema(context, expected, &target, &programs.pg_restore).await?;
        read
    } else {
        progress.phase(Phase::Restoring, Some(expected.manifest.archive.bytes));
        let read = restored::read_archive(context, expected, None, options.jobs).await?;
        restore_schema(context, expected, &target, &programs.pg_restore).await?;
        read
    };
    findings.restore_took_ms = whole.then(|| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    progress.phase(Phase::Restored, None);
    progress.phase(Phase::Comparing, Some(expected.manifest.totals.data_bytes));
    let pg_options = restored::pinned_options(&target).await?;
    let mut observed = restored::observe(context, &target, &programs.pg_dump, &pg_options).await?;
    observed.contents.objects.retain(|object| !outside.contains(object));
    restored::leave_out_unasked(&expected.manifest, &expected.objects, &mut observed.contents.objects);
    if whole {
        let (compared, differences) =
            restored::compare_data(context, expected, &observed, early, &target, options.jobs).await?;
        findings.compared = compared;
        findings.differences = differences;
    } else {
        let rows = |record: &ObjectRecord| !with_rows(record);
        let recorded: Vec<ObjectRecord> = expected.objects.iter().filter(|one| rows(one)).cloned().collect();
        let found: Vec<ObjectRecord> = observed.contents.objects.iter().filter(|one| rows(one)).cloned().collect();
        findings.differences.extend(restored::compare_schema(&recorded, &found, Some(&found)).all());
        findings.compared = Compared {
            tables: findings.read.tables,
            rows: findings.read.rows,
            large_objects: findings.read.large_objects,
            sequences: 0,
            objects: recorded.len() as u64,
        };
        let rest = if options.level == Level::Sampled { "other rows" } else { "rows" };
        findings.notes.push(match expected.manifest.stored_as {
            PointFormat::Archive => format!("{rest} were counted and digested as stored, not loaded"),
            PointFormat::Plain => "SQL text was read and its hashes compared; its rows were not counted".to_owned(),
        });
        return Ok(findings);
    }
    findings.compared.objects = expected.objects.len() as u64;
    progress.phase(Phase::ComparingObjects, None);
    let direct = restored::compare_schema(&expected.objects, &observed.contents.objects, None).all();
    if !direct.is_empty() {
        let normal = scratch.database("normal").await?;
        create_outside_schemas(expected, &normal).await?;
        restore_schema(context, expected, &normal, &programs.pg_restore).await?;
        let normal = restored::observe(context, &normal, &programs.pg_dump, &pg_options).await?;
        let normal = &normal.contents.objects;
        let found = &observed.contents.objects;
        let differences = restored::compare_schema(&expected.objects, found, Some(normal)).all();
        let excused = direct.len().saturating_sub(differences.len());
        if excused > 0 {
            findings.notes.push(format!(
                "{excused} texts are written differently after any restore and were compared in that form"
            ));
        }
        findings.normal = restored::rewritten(&expected.objects, normal);
        findings.differences.extend(differences);
    }
    if expected.manifest.options.is_empty() {
        compare_properties(expected, &target, &mut findings).await?;
    } else {
        findings.notes.push("a part of the database: its properties and extensions were not compared".to_owned());
    }
    Ok(findings)
}

/// Reads the whole archive back and loads the sample of it; compares the rows that were loaded.
async fn load_sample(
    context: &Context,
    expected: &Expected,
    options: &VerifyOptions,
    programs: &Programs,
    manner: &Manner,
    target: &ConnectionSettings,
    findings: &mut Findings,
) -> Result<ReadBack, Error> {
    let seed = options.sample.seed.unwrap_or(context.seed);
    let chosen = sample::choose(&expected.tables, &options.sample, seed)?;
    let read = restored::load_some(context, expected, target, &programs.pg_restore, manner, &chosen.dump_ids).await?;
    let tables: Vec<_> =
        expected.tables.iter().filter(|table| chosen.dump_ids.contains(&table.dump_id)).cloned().collect();
    context.progress.phase(Phase::Comparing, Some(chosen.bytes));
    let (rows, differences) = restored::compare_some(context, expected, &tables, target, options.jobs).await?;
    findings.differences = differences;
    let named = options.sample.tables.clone();
    let percent = options.sample.percent;
    findings.sample = Some(Sample { percent, seed, named, tables: tables.len() as u64, rows });
    Ok(read)
}

/// Schemas that a part of a database lies in without holding them: made empty, so that it can be restored.
struct Outside(BTreeSet<String>);

impl Outside {
    /// Whether an object is one of these schemas itself.
    fn contains(&self, object: &ObjectRecord) -> bool {
        object.description == "SCHEMA" && self.0.contains(&object.tag)
    }
}

async fn create_outside_schemas(expected: &Expected, target: &ConnectionSettings) -> Result<Outside, Error> {
    let held: BTreeSet<&str> =
        expected.objects.iter().filter(|one| one.description == "SCHEMA").map(|one| one.tag.as_str()).collect();
    let used = expected.objects.iter().filter_map(|one| one.namespace.as_deref());
    let outside: BTreeSet<String> = used
        .filter(|schema| !held.contains(schema) && *schema != "public" && !schema.starts_with("pg_"))
        .map(str::to_owned)
        .collect();
    if expected.manifest.options.is_empty() || outside.is_empty() {
        return Ok(Outside(BTreeSet::new()));
    }
    let session = Session::connect(target, &SessionPurpose::new("holdpoint verify")).await?;
    for schema in &outside {
        session.run("creating a schema", &format!("CREATE SCHEMA IF NOT EXISTS {}", quote_identifier(schema))).await?;
    }
    session.close().await;
    Ok(Outside(outside))
}

/// Entries that an archive restored without rows does not give.
fn with_rows(object: &ObjectRecord) -> bool {
    let kind = object.description.as_str();
    let of_large_object =
        matches!(kind, "ACL" | "COMMENT" | "SECURITY LABEL") && object.tag.starts_with("LARGE OBJECT");
    matches!(kind, "BLOB" | "BLOBS" | "BLOB METADATA" | "MATERIALIZED VIEW DATA" | "STATISTICS DATA") || of_large_object
}

/// Restores an archive's schema alone, from its first bytes.
async fn restore_schema(
    context: &Context,
    expected: &Expected,
    target: &ConnectionSettings,
    pg_restore: &ClientProgram,
) -> Result<(), Error> {
    let head = HeadFile::fetch(context, expected).await?;
    let call = PgRestore::of_file(pg_restore, head.path()).no_tablespaces().schema_only();
    Ok(call.run_into(target, "", &context.cancel).await?)
}

/// Applies the recorded properties to the restored database, reads them back, and adds what differs. What could not be
/// applied is noted: it says why something differs.
async fn compare_properties(
    expected: &Expected,
    target: &ConnectionSettings,
    findings: &mut Findings,
) -> Result<(), Error> {
    let session = Session::connect(target, &SessionPurpose::new("holdpoint verify")).await?;
    let manifest = &expected.manifest;
    let refused = database_properties::apply(&session, target.database(), &manifest.database_properties).await?;
    findings
        .notes
        .extend(refused.into_iter().map(|why| format!("could not be applied to the scratch database: {why}")));
    let properties = database::properties(&session).await?;
    let extensions = database::extensions(&session).await?;
    let recorded = (&manifest.database_properties, manifest.extensions.as_slice());
    findings.differences.extend(database_properties::compare(recorded, (&properties, &extensions)));
    Ok(())
}
