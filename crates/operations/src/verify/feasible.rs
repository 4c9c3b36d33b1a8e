//! Whether a restore point of a database could be verified here, asked before it is made.

use holdpoint_postgres::catalog::database;
use holdpoint_postgres::programs::ProgramName;
use holdpoint_postgres::scratch::{ScratchOptions, available_bytes};
use holdpoint_postgres::{Session, SessionPurpose};

use super::VerifyOptions;
use super::plan::{disk_needed_bytes, loaded_bytes};
use super::scratch::{Scratch, could_not_run};
use crate::{Context, Error, Source};

/// Tries what a verification will need, for a database as it is now: client programs, a scratch server of its major
/// with its extensions and locale, and disk.
///
/// Fails with [`Error::CouldNotRun`], which then is known before an hour of backup and not after. Nothing remains.
pub async fn feasible(context: &Context, source: &Source, options: &VerifyOptions) -> Result<(), Error> {
    let session = Session::connect(&source.settings, &SessionPurpose::new("holdpoint verify")).await?;
    let facts = database::server_facts(&session).await?;
    let extensions = database::extensions(&session).await?;
    let bytes = database::size_bytes(&session).await?.unwrap_or(0);
    session.close().await;
    if let ScratchOptions::Local(local) = &options.scratch {
        let directory = local.base_directory.as_path();
        let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
        let needed = disk_needed_bytes(loaded_bytes(options, bytes));
        if let Ok(available) = available_bytes(existing)
            && available < needed
        {
            return Err(could_not_run(
                format!("{needed} bytes of disk are needed for the scratch server, {available} are free"),
                "free some disk, or name another directory for scratch servers in the configuration",
            ));
        }
    }
    let major = source.client_major.unwrap_or(facts.version_num / 10_000);
    for name in [ProgramName::PgDump, ProgramName::PgRestore] {
        if let Err(error) = options.programs.find(name, major, &context.cancel).await {
            return Err(could_not_run(
                error.to_string(),
                format!("install PostgreSQL {major}'s client programs (Debian: postgresql-client-{major})"),
            ));
        }
    }
    let scratch = Scratch::fitting(context, options, major, &facts, &extensions).await?;
    scratch.stop().await
}
