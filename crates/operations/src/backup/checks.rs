//! Everything that would make a backup fail or worthless, asked before it starts.

use chrono::{DateTime, Utc};
use holdpoint_core::quantity::counted;
use holdpoint_postgres::catalog::{database, roles};
use holdpoint_postgres::identity::{self, ServerIdentity};
use holdpoint_postgres::scratch::available_bytes;
use holdpoint_postgres::{Session, pooler, preflight};

use super::clocks::Clocks;
use super::{BackupOptions, FolderOwner, folder_owner};
use crate::{Context, Error, Source};

/// A database that may be backed up.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) server: ServerIdentity,
    /// The server's clock when the work began.
    pub(crate) started_at: DateTime<Utc>,
    /// The store's clock at the same moment, where it tells.
    pub(crate) started_at_by_store: Option<DateTime<Utc>>,
    pub(crate) warnings: Vec<String>,
    /// What the archive will not cover, in words.
    pub(crate) not_covered: Vec<String>,
    /// Nobody has claimed the folder yet.
    pub(crate) unclaimed: bool,
}

/// Asks everything that would make the backup fail after an hour, or succeed without being one.
pub(crate) async fn check(
    context: &Context,
    source: &Source,
    options: &BackupOptions,
    session: &Session,
) -> Result<Checked, Error> {
    direct(source).await?;
    let server = identity::read(session).await?;
    let started_at = preflight::clock(session).await?;
    let clocks = Clocks::read(context, started_at).await?;
    let mut warnings = clocks.warnings()?;
    let owner = folder_owner(context, &server.identity).await?;
    let unclaimed = owner == FolderOwner::Nobody;
    if let FolderOwner::Ours(warning) = owner {
        warnings.extend(warning);
    }
    readable(session, options, &mut warnings).await?;
    for blocker in preflight::blockers(session).await? {
        let who = blocker.pid.map_or_else(|| "a prepared transaction".to_owned(), |pid| format!("process {pid}"));
        let verb = if blocker.granted { "holds" } else { "waits for" };
        warnings.push(format!("{who} {verb} an exclusive lock on {}; the backup waits behind it", blocker.relation));
    }
    if let Some(version) = database::changed_collation_version(session).await? {
        warnings.push(format!("the collation's version is {version} now, not the recorded one: indexes may be wrong"));
    }
    warnings.extend(space(context, session).await?);
    if let Err(error) = context.repository.store().keep_reserve().await {
        // It is for the prune that must free this disk; the backup itself tells what it cannot write.
        warnings.push(format!("no room could be kept aside in the repository: {}", Error::from(error).line()));
    }
    let not_covered = not_covered(session).await?;
    Ok(Checked { server, started_at, started_at_by_store: clocks.store, warnings, not_covered, unclaimed })
}

/// A warning where a local repository's disk could not hold the archive even if it shrinks to a tenth of the database.
async fn space(context: &Context, session: &Session) -> Result<Option<String>, Error> {
    let store = context.repository.store();
    let Some(free) = store.url().directory().and_then(|directory| available_bytes(directory).ok()) else {
        return Ok(None);
    };
    let size = database::size_bytes(session).await?.unwrap_or(0);
    let short = free < size / 10;
    Ok(short.then(|| format!("the repository's disk has {free} bytes free, the database has {size}: it may not fit")))
}

/// Refuses what is a transaction pooler for sure by its address, before it is asked anything.
pub(crate) fn refuse_known_pooler(source: &Source) -> Result<(), Error> {
    match pooler::by_address(&source.settings) {
        Some(found) if found.certain => Err(Error::Pooler { server: source.settings.redacted(), instead: found.cure }),
        _ => Ok(()),
    }
}

/// Refuses a transaction pooler, by its address or by what it does.
pub(crate) async fn direct(source: &Source) -> Result<(), Error> {
    refuse_known_pooler(source)?;
    if pooler::shares_connections(&source.settings).await? {
        let found = pooler::by_address(&source.settings);
        let instead = found.map_or_else(|| "connect to PostgreSQL itself".to_owned(), |pooler| pooler.cure);
        return Err(Error::Pooler { server: source.settings.redacted(), instead });
    }
    Ok(())
}

async fn readable(session: &Session, options: &BackupOptions, warnings: &mut Vec<String>) -> Result<(), Error> {
    let role = roles::own_rights(session).await?.name;
    let whole = options.selection == holdpoint_postgres::programs::DumpSelection::default();
    let mut objects: Vec<String> =
        preflight::unreadable_relations(session).await?.into_iter().map(|relation| relation.name).collect();
    if let Some(large) = preflight::unreadable_large_objects(session).await? {
        objects.push(format!("{} of {}", counted(large.count, "large object"), large.owners.join(", ")));
    }
    let hidden: Vec<String> = preflight::filtered_tables(session).await?.into_iter().map(|table| table.name).collect();
    match (whole, objects.is_empty(), hidden.is_empty()) {
        (true, false, _) => Err(Error::CannotRead { role, objects }),
        (true, true, false) => Err(Error::RowSecurity { role, tables: hidden }),
        (_, true, true) => Ok(()),
        // With a selection, what cannot be read may be left out; pg_dump itself refuses what is not.
        (false, ..) => {
            warnings.push(format!(
                "role {role} cannot read all of the database: {}",
                [objects, hidden].concat().join(", ")
            ));
            Ok(())
        }
    }
}

/// What an archive of the whole database does not hold.
async fn not_covered(session: &Session) -> Result<Vec<String>, Error> {
    let counts = preflight::object_counts(session).await?;
    let mut not_covered =
        vec!["passwords of roles".to_owned(), "rows of materialized views (refreshed on restore)".to_owned()];
    if counts.foreign_tables > 0 {
        not_covered.push(format!("rows of {}", counted(counts.foreign_tables.unsigned_abs(), "foreign table")));
    }
    // pg_dump leaves these out, or their options, for a role that is no superuser.
    let superuser = roles::own_rights(session).await?.superuser;
    if counts.subscriptions > 0 {
        let subscriptions = counted(counts.subscriptions.unsigned_abs(), "subscription");
        let why = if superuser { "restored disabled" } else { "only a superuser may dump them" };
        not_covered.push(format!("{subscriptions}: {why}"));
    }
    if !superuser {
        not_covered.push("options of other roles' user mappings: only a superuser may read them".to_owned());
    }
    if counts.prepared_transactions > 0 {
        not_covered.push(counted(counts.prepared_transactions.unsigned_abs(), "prepared transaction"));
    }
    Ok(not_covered)
}
