//! Restoring a restore point into an empty database, and matching its fingerprint.

use std::time::Instant;

use holdpoint_core::PointId;
use holdpoint_core::fingerprint::Difference;
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::counted;
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::Compared;
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::programs::ProgramName;
use holdpoint_postgres::{ConnectionSettings, Session};

use super::{RestoreOptions, RestoreReport, alone, emptied, foreign, replace, roles, target, vacuum};
use crate::expected::Expected;
use crate::restored::{self, Manner, Normal, Ownership, TargetKind};
use crate::selection::{refuse_after_unsettled, resolve};
use crate::{Context, Error, database_properties, reading};

/// Restores what the options name into their target.
///
/// Stops at the first error. Into an empty database the restore is one transaction, unless the archive has more
/// objects than a server's lock table can be counted on for; so a failed restore leaves the target empty. Success means
/// that the fingerprint matched (for a foreign dump, which has none: that everything ran).
pub async fn restore(context: &Context, options: &RestoreOptions) -> Result<RestoreReport, Error> {
    let began = Instant::now();
    context.progress.phase(Phase::Preflight, None);
    let mut report = match (&options.replace, &options.from) {
        (Some(how), _) => Box::pin(replace::replace(context, options, how)).await?,
        (None, Selector::Foreign(place)) => foreign::restore(context, options, place, &options.into).await?,
        (None, _) => restore_point(context, options, &options.into, Properties::Recorded).await?,
    };
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if report.differences.is_empty() { Ok(report) } else { Err(Error::Differs { differences: report.differences }) }
}

/// Which properties (owner, grants, settings, comment, connection limit) the database gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Properties {
    /// Those that the restore point recorded.
    Recorded,
    /// None: whoever replaces a database gives it those of the replaced one.
    Untouched,
}

/// Restores a restore point into an empty database.
pub(super) async fn restore_point(
    context: &Context,
    options: &RestoreOptions,
    into: &ConnectionSettings,
    properties: Properties,
) -> Result<RestoreReport, Error> {
    let point = resolve(context, &options.from).await?;
    refuse_after_unsettled(context, &options.from, &point).await?;
    let expected = Expected::read(context, &point).await?;
    let session = target::connect(into).await?;
    alone::take(&session).await?;
    target::must_be_empty(&session).await?;
    let mut warnings = target::must_fit(&session, &expected.manifest).await?;
    roles::must_be_there(context, &session, &expected, options, properties).await?;
    let mut report = RestoreReport {
        point: Some(point),
        from: format!("{} of {}", expected.manifest.id, expected.manifest.database),
        into: into.redacted(),
        dry_run: options.dry_run,
        read_bytes: expected.manifest.archive.bytes,
        compared: None,
        differences: Vec::new(),
        kept_as: None,
        took_ms: 0,
        warnings: Vec::new(),
    };
    if options.dry_run {
        report.warnings = warnings;
        return Ok(report);
    }
    let settings = session.settings().clone();
    let loading = load(context, options, &expected, &session, &settings, &mut warnings);
    let restored = match reading::held(context, &expected.manifest.id, Box::pin(loading)).await {
        Ok(restored) => restored,
        Err(failure) => return Err(reading::or_dropped(context, &expected.manifest.id, failure).await),
    };
    (report.compared, report.differences) = (Some(restored.0), restored.1);
    let of_database = give_properties(options, &expected, &session, properties, &mut warnings).await?;
    report.differences.extend(of_database);
    context.progress.phase(Phase::Analyzing, None);
    vacuum::vacuum(&session, options.jobs, &mut warnings).await;
    report.warnings = warnings;
    Ok(report)
}

async fn load(
    context: &Context,
    options: &RestoreOptions,
    expected: &Expected,
    session: &Session,
    settings: &ConnectionSettings,
    warnings: &mut Vec<String>,
) -> Result<(Compared, Vec<Difference>), Error> {
    // What is compared with at the end is read before anything is loaded.
    let Normal { texts: normal, unreadable } = restored::recorded_normal(context, &expected.manifest.id).await?;
    warnings.extend(unreadable.into_iter().map(|reason| {
        format!("{reason}; what it says of the restore point is not known: holdpoint check names what to do")
    }));
    let major = session.server().major.max(expected.manifest.client_major);
    let find = |name| options.programs.find(name, major, &context.cancel);
    let restoring = find(restored::restoring_program(&expected.manifest)).await?;
    let pg_dump = find(ProgramName::PgDump).await?;
    let ownership = Ownership {
        no_owner: options.no_owner,
        no_privileges: options.no_privileges,
        one_transaction: expected.objects.len() < restored::ONE_TRANSACTION_OBJECTS,
    };
    let manner = Manner {
        ownership,
        jobs: options.jobs,
        parallel_above_bytes: options.parallel_above_bytes,
        target: TargetKind::New,
        lesser_role: false,
    };
    let cancel = context.cancel.child_token();
    let restoring_context = Context { cancel: cancel.clone(), ..context.clone() };
    let restored = restored::restore_archive(&restoring_context, expected, settings, &restoring, &manner);
    let early = match alone::held(session, &cancel, restored).await {
        Ok((_, early)) => early,
        Err(failure) => return Err(emptied::after(session, failure).await),
    };
    context.progress.phase(Phase::Restored, None);
    context.progress.phase(Phase::Comparing, Some(expected.manifest.totals.data_bytes));
    let pg_options = restored::pinned_options(settings).await?;
    let observed = restored::observe(context, settings, &pg_dump, &pg_options).await?;
    let (mut compared, mut differences) =
        restored::compare_data(context, expected, &observed, early, settings, options.jobs).await?;
    context.progress.phase(Phase::ComparingObjects, None);
    let manifest = &expected.manifest;
    let same_major = session.server().major == manifest.major() && major == manifest.client_major;
    let comparable = same_major && !options.no_owner && !options.no_privileges;
    if comparable {
        let found = &observed.contents.objects;
        let schema = restored::compare_schema(&expected.objects, found, normal.as_deref());
        differences.extend(schema.other);
        if normal.is_some() {
            differences.extend(schema.text);
        } else if !schema.text.is_empty() {
            // Without a proof on record nobody knows how these texts look after a restore.
            warnings.push(format!(
                "written differently after the restore: {}; verify the restore point to \
                 know whether that is PostgreSQL's own rewriting",
                counted(schema.text.len() as u64, "schema text")
            ));
        }
        compared.objects = expected.objects.len() as u64;
    } else if options.no_owner || options.no_privileges {
        warnings.push("owners or grants were left out, so schema objects were not compared".to_owned());
    }
    Ok((compared, differences))
}

/// Gives the restored database its properties, and compares them and the extensions with the recorded ones.
async fn give_properties(
    options: &RestoreOptions,
    expected: &Expected,
    session: &Session,
    properties: Properties,
    warnings: &mut Vec<String>,
) -> Result<Vec<Difference>, Error> {
    let manifest = &expected.manifest;
    let wanted = &manifest.database_properties;
    if options.no_owner {
        if properties == Properties::Recorded {
            warnings.push(
                "without owners the database's own properties (owner, grants, settings, comment, connection limit) \
                 are neither applied nor compared"
                    .to_owned(),
            );
        }
        return Ok(Vec::new());
    }
    let found = match properties {
        Properties::Untouched => wanted.clone(),
        Properties::Recorded => {
            let failures = database_properties::apply(session, session.settings().database(), wanted).await?;
            warnings.extend(failures.iter().map(|failure| format!("a property was not applied: {failure}")));
            database::properties(session).await?
        }
    };
    let extensions = database::extensions(session).await?;
    Ok(database_properties::compare((wanted, manifest.extensions.as_slice()), (&found, &extensions)))
}

/// Names a point for messages, such as in names of databases that are kept.
pub(super) fn tail(point: Option<&PointId>) -> String {
    point.map_or_else(|| "dump".to_owned(), |point| point.as_str().replace('-', "_").to_lowercase())
}
