//! What is refused before anything is fetched: options that contradict each other, another database, missing rights.

use holdpoint_core::identity::IdentityMatch;
use holdpoint_core::name::quote_identifier as quoted;
use holdpoint_core::selector::Selector;
use holdpoint_core::{Identity, PointId};
use holdpoint_postgres::Session;

use super::{RecoverError, RecoverFrom, RecoverMode, RecoverOptions, Target, Wanted};
use crate::{Context, Error};

/// Refuses options that contradict each other.
pub(super) fn contradictions(options: &RecoverOptions) -> Result<(), Error> {
    let usage = |text: &str| Err(Error::Usage(text.to_owned()));
    let several = match &options.wanted {
        Wanted::Tables(names) => names.len() != 1,
        Wanted::Schema(_) => true,
    };
    if matches!(options.from, RecoverFrom::Point(Selector::Foreign(_))) {
        return Err(Error::Internal("a foreign dump is no restore point".to_owned()));
    }
    if several && options.now_named.is_some() {
        return usage("--as names one table, so one is recovered at a time");
    }
    if several && (options.condition.is_some() || !options.columns.is_empty() || !options.renamed.is_empty()) {
        return usage("--where, --columns and --renamed are about one table, so one is recovered at a time");
    }
    match options.mode {
        RecoverMode::Replace if options.condition.is_some() => usage(
            "--mode replace makes the table hold the restore point's rows and no others: with --where, use upsert",
        ),
        RecoverMode::Replace if !options.columns.is_empty() => usage(
            "--mode replace replaces whole rows: with --columns, use upsert, or missing to fill only what is empty",
        ),
        RecoverMode::Side if !options.columns.is_empty() => {
            usage("--columns fills columns of the live table: say --mode upsert, or missing to fill only what is empty")
        }
        _ => Ok(()),
    }
}

/// Refuses a database that is not the one that the folder belongs to, unless a person named it.
pub(super) async fn same_database(
    context: &Context,
    session: &Session,
    point: &PointId,
    options: &RecoverOptions,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    if options.target == Target::Named {
        return Ok(());
    }
    let Some(recorded) = context.repository.identity(&context.database).await? else { return Ok(()) };
    let now = holdpoint_postgres::identity::read(session).await?.identity;
    match Identity::compare(&recorded.identity, &now) {
        IdentityMatch::Same | IdentityMatch::TimelineChanged => Ok(()),
        // The role that changes tables may come another way than the one that backs up.
        IdentityMatch::Different(differences) if differences.iter().all(|one| one.starts_with("endpoint ")) => {
            warnings.extend(differences);
            Ok(())
        }
        IdentityMatch::Different(differences) => {
            Err(RecoverError::AnotherDatabase { point: point.to_string(), differences }.into())
        }
    }
}

/// Refuses a standby, and a role that may not make the side schema.
pub(super) async fn rights(session: &Session) -> Result<(), Error> {
    let sql = "SELECT has_database_privilege(current_database(), 'CREATE'), current_user::text, current_database()::text, \
               pg_is_in_recovery()";
    let row = session.query_one("reading this role's rights", sql, &[]).await?;
    if row.get(3) {
        return Err(
            RecoverError::Refused { reasons: vec!["the server is a standby: connect to its primary".into()] }.into()
        );
    }
    if row.get(0) {
        return Ok(());
    }
    let (role, database): (String, String) = (row.get(1), row.get(2));
    let reason = format!(
        "role {role} may not make the side schema: GRANT CREATE ON DATABASE {} TO {}",
        quoted(&database),
        quoted(&role)
    );
    Err(RecoverError::Refused { reasons: vec![reason] }.into())
}
