//! The RDS instance as it was right before the command.

use chrono::SecondsFormat;
use holdpoint_core::undoing::{Loss, TimeFrom, Way, WayBack};
use holdpoint_operations::rds::Restorable;
pub(crate) use holdpoint_operations::rds::serves_another;
use holdpoint_postgres::ConnectionSettings;

use super::Known;

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

/// The command of a way back once the instant is known.
pub(crate) fn with_instant(way: &WayBack, at: chrono::DateTime<chrono::Utc>) -> WayBack {
    let command = match way.command.strip_suffix(INSTANT).filter(|_| way.way == Way::Rds) {
        Some(command) => format!("{command}{}", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        None => way.command.clone(),
    };
    WayBack { command, ..way.clone() }
}
