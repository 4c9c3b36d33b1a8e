//! Everything that would make a backup fail or worthless, asked before it starts.

use chrono::{DateTime, Utc};
use holdpoint_core::Recorded;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::quantity::{bytes, counted};
use holdpoint_postgres::catalog::{database, roles};
use holdpoint_postgres::identity::{self, ServerIdentity};
use holdpoint_postgres::scratch::available_bytes;
use holdpoint_postgres::{Session, pooler, preflight};

use super::clocks::Clocks;
use super::{BackupOptions, FolderOwner, folder_owner};
use crate::catalogue::stored_bytes;
use crate::{Context, Error, Source};

/// So many restore points are looked at for one of the whole database.
const FEW: usize = 5;

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

/// A warning where a local repository's disk may not have room for one more archive.
async fn space(context: &Context, session: &Session) -> Result<Option<String>, Error> {
    let store = context.repository.store();
    let Some(free) = store.url().directory().and_then(|directory| available_bytes(directory).ok()) else {
        return Ok(None);
    };
    let size = database::size_bytes(session).await?.unwrap_or(0);
    Ok(short_of_room(free, size, newest_stored(context).await))
}

/// What the newest restore point of the whole database takes, and what the database had then; `None` where none is among the
/// newest few, or none can be read.
async fn newest_stored(context: &Context) -> Option<(u64, u64)> {
    let points = context.repository.points(&context.database).await.ok()?;
    for id in points.iter().rev().take(FEW) {
        let found = context.repository.recorded(&context.database, id).await.ok().map(|stored| stored.recorded);
        if let Some(Recorded::Archive(manifest)) = found
            && manifest.aside().is_none()
        {
            return Some((stored_bytes(&manifest), manifest.totals.database_bytes));
        }
    }
    None
}

/// The next one is about as large as the newest, and larger where the database grew; of the first nobody knows more than that
/// it seldom takes less than a tenth of the database.
fn short_of_room(free: u64, size: u64, newest: Option<(u64, u64)>) -> Option<String> {
    let (needed, why) = match newest {
        Some((stored, then)) => {
            let grown = u128::from(stored) * u128::from(size.max(then)) / u128::from(then.max(1));
            // A quarter more, as some nights bring more than others.
            (grown.saturating_add(grown / 4), format!("the newest restore point takes {}", bytes(stored)))
        }
        None => (u128::from(size / 10), format!("the database has {}", bytes(size))),
    };
    let short = u128::from(free) < needed;
    short.then(|| format!("the repository's disk has {} free, {why}: it may not fit", bytes(free)))
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
    let mut grant = None;
    if let Some(large) = preflight::unreadable_large_objects(session).await? {
        let all = format!("GRANT pg_read_all_data TO {}; ", quote_identifier(&role));
        let all = if objects.is_empty() { String::new() } else { all };
        grant = Some(all + &crate::hint::postgres::large_objects(&large, &role));
        objects.push(format!("{} of {}", counted(large.count, "large object"), large.owners.join(", ")));
    }
    let hidden: Vec<String> = preflight::filtered_tables(session).await?.into_iter().map(|table| table.name).collect();
    match (whole, objects.is_empty(), hidden.is_empty()) {
        (true, false, _) => Err(Error::CannotRead { role, objects, grant }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_context::{self, sample};

    #[tokio::test]
    async fn room_is_needed_for_as_much_as_the_newest_restore_point_takes() {
        let folder = tempfile::tempdir().unwrap();
        let context = sample_context::in_directory(folder.path()).await;
        assert_eq!(newest_stored(&context).await, None);
        sample_context::publish(&context.repository).await;
        let stored = sample::objects(&sample::point(1)).iter().map(|(_, text)| text.len() as u64).sum();
        assert_eq!(newest_stored(&context).await, Some((stored, 0)));
        // A small database is catalogs for the most part: it takes much less than a tenth.
        let size = 7_730_867;
        let room = |newest| short_of_room(446_464, size, newest);
        assert_eq!(room(Some((43_000, size))), None);
        assert!(room(None).unwrap().contains("the database has"));
        for short in [(400_000, size), (43_000, size / 20)] {
            let told = room(Some(short)).unwrap();
            assert!(told.contains("the newest restore point takes"), "{told}");
        }
        assert!(short_of_room(u64::MAX, u64::MAX, Some((u64::MAX, 0))).is_some());
    }
}
