//! The RDS instance as it was right before the command.

use chrono::SecondsFormat;
use holdpoint_core::undoing::{Loss, TimeFrom, Way, WayBack};
use holdpoint_operations::rds::{Endpoint, Restorable};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};

use super::Known;
use crate::Error;

/// What stands for the instant until it is known.
const INSTANT: &str = "INSTANT";

impl Known<'_> {
    /// The instance of the database to the instant before the command; `None` where none is known that can be restored.
    pub(super) fn instant(&self) -> Option<WayBack> {
        let (source, restorable) = self.instance.as_ref()?;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = restorable.seconds.map(|seconds| seconds as f64);
        Some(WayBack {
            way: Way::Rds,
            title: format!(
                "restore the RDS instance {} to the instant before the command, and put that in its place",
                source.instance
            ),
            command: format!("{} --accept-data-loss-since {INSTANT}", self.undo(Way::Rds)),
            seconds,
            time_from: seconds.map(|_| TimeFrom::Estimated),
            data_lost: format!(
                "everything written since the command began, into every database of {}; what it had last stays in the \
                 instance that goes aside",
                source.instance
            ),
            loss: Some(Loss::OfInstance),
            conditions: vec![
                "RDS stores its log every five minutes: the instant can be restored some minutes after the command"
                    .to_owned(),
                "the new instance costs what the old one costs, until one of them is dropped".to_owned(),
            ],
        })
    }
}

/// Why a configured instance is no way back of this database, in words.
pub(crate) async fn no_way(restorable: &Restorable, live: &ConnectionSettings) -> Option<String> {
    if let Err(error) = restorable.window.check_open() {
        return Some(error.to_string());
    }
    match serves_another(restorable.window.endpoint.as_ref(), live).await {
        Ok(other) => other,
        Err(error) => Some(format!("whether the database is on it could not be read: {error}")),
    }
}

/// Why the server at an instance's endpoint is not the one that the database is reached at; `None` where it is.
///
/// A copy has the same system identifier and OIDs, but was not started in the same microsecond.
///
/// # Errors
/// Either server cannot be asked.
pub(crate) async fn serves_another(
    endpoint: Option<&Endpoint>,
    live: &ConnectionSettings,
) -> Result<Option<String>, Error> {
    let Some(at) = endpoint else { return Ok(Some("RDS does not say where it is reached".to_owned())) };
    let started = async |settings: &ConnectionSettings| {
        let session = Session::connect(settings, &SessionPurpose::new("holdpoint guard way back")).await?;
        let read = identity::read(&session).await;
        session.close().await;
        Ok::<_, Error>(read?)
    };
    let (own, there) = (started(live).await?, started(&live.with_server(at.host.clone(), at.port)).await?);
    let same = own.started_at == there.started_at
        && own.identity.system_identifier == there.identity.system_identifier
        && own.identity.database_oid == there.identity.database_oid;
    Ok((!same).then(|| {
        format!(
            "the server at its endpoint {}:{} is another than the one that the database is reached at, {}",
            at.host,
            at.port,
            live.endpoint()
        )
    }))
}

/// The command of a way back once the instant is known.
pub(crate) fn with_instant(way: &WayBack, at: chrono::DateTime<chrono::Utc>) -> WayBack {
    let command = match way.command.strip_suffix(INSTANT).filter(|_| way.way == Way::Rds) {
        Some(command) => format!("{command}{}", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        None => way.command.clone(),
    };
    WayBack { command, ..way.clone() }
}
