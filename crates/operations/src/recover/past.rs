//! Tables out of the past of an RDS instance: a temporary instance is made of it as it was at an instant, read like any
//! other database, and dropped again before anybody is asked about the change.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use holdpoint_postgres::ConnectionSettings;

use super::recovery::Recovery;
use super::side::connect;
use super::source::RecoverFrom;
use super::{RecoverOptions, Target, checks, run};
use crate::rds::{Endpoint, RdsSource, RestorePlan, Temporary, identity_behind, serves_another};
use crate::{Context, Error};

/// What instances that are made here are needed for, as their names and tags say it.
const NEEDED_FOR: &str = "recover-table";

/// An instant of an RDS instance.
#[derive(Clone, Debug)]
pub struct Past {
    /// The instance.
    pub source: RdsSource,
    /// The instant; RDS works by whole seconds, and the part of one is cut off.
    pub at: DateTime<Utc>,
    /// The database, as it is reached at the instance; the temporary one has the roles and passwords of the instant.
    pub settings: ConnectionSettings,
}

impl Past {
    /// What would be made, without making it.
    ///
    /// # Errors
    /// What RDS refuses; what stands against the restore is in the plan.
    pub async fn plan(&self) -> Result<RestorePlan, Error> {
        self.source.plan_temporary(self.at, NEEDED_FOR).await
    }

    fn told(&self) -> String {
        format!("rds:{}", self.at.trunc_subsecs(0).to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// As [`prepare`](super::prepare), of what is read in a temporary instance.
///
/// Whatever costs nothing is looked at first.
pub(super) async fn prepare(context: &Context, options: &RecoverOptions, past: &Past) -> Result<Recovery, Error> {
    checks::contradictions(options)?;
    let session = connect(&options.into, options.lock_wait_seconds).await?;
    let rights = checks::rights(&session).await;
    session.close().await;
    rights?;
    if options.target == Target::SameDatabase {
        let window = crate::rds::window(&past.source.plane, &past.source.instance).await?;
        window.demand_instance()?;
        window.check_open()?;
        if let Some(why) = serves_another(window.endpoint.as_ref(), &options.into).await? {
            return Err(another(past, why));
        }
    }
    let temporary = Temporary::plan(&past.source, past.at, NEEDED_FOR).await?;
    let read = Box::pin(read(context, options, past, &temporary)).await;
    let left = temporary.dropped().await;
    match (read, left) {
        (Ok(mut recovery), left) => {
            recovery.plan.from = past.told();
            recovery.options.from = options.from.clone();
            recovery.plan.warnings.extend(left);
            Ok(recovery)
        }
        (Err(failure), None) => Err(failure),
        (Err(failure), Some(remains)) => Err(Error::LeftBehind { failure: Box::new(failure), remains }),
    }
}

async fn read(
    context: &Context,
    options: &RecoverOptions,
    past: &Past,
    temporary: &Temporary<'_>,
) -> Result<Recovery, Error> {
    let made = temporary.made().await?;
    let Some(Endpoint { host, port }) = made.endpoint else {
        return Err(another(past, format!("RDS does not say where {} is reached", made.name)));
    };
    let settings = past.settings.with_server(host, port);
    if options.target == Target::SameDatabase {
        let (live, there) = tokio::try_join!(identity_behind(&options.into), identity_behind(&settings))?;
        let (live, there) = (live.identity.system_identifier, there.identity.system_identifier);
        if let (Some(is), Some(was)) = (live, there)
            && is != was
        {
            return Err(another(past, format!("its system identifier was {was}, the live server's is {is}")));
        }
    }
    let of_database = RecoverOptions { from: RecoverFrom::Database(Box::new(settings)), ..options.clone() };
    run::from_there(context, &of_database).await
}

fn another(past: &Past, why: String) -> Error {
    let database = past.settings.redacted();
    Error::AnotherInstance { instance: past.source.instance.clone(), database, why }
}
