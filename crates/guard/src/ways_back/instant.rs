//! The RDS instance as it was right before the command.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use holdpoint_core::SnapshotManifest;
use holdpoint_core::quantity::milliseconds;
use holdpoint_core::undoing::{Loss, TimeFrom, Way, WayBack};
use holdpoint_operations::rds::Restorable;
pub(crate) use holdpoint_operations::rds::serves_another;
use holdpoint_postgres::ConnectionSettings;

use super::{Known, shell_quote};
use crate::undo::named;

/// What stands for the instant until it is known.
const INSTANT: &str = "INSTANT";
/// Since when what is written is lost, as long as nobody waits for the instant.
const SINCE: &str = "since the command began";
/// What is told of the instant as long as nobody waits for it.
const LATER: &str = "RDS stores its log every five minutes: the instant can be restored some minutes after the command";

/// The instant right before the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    /// By the server's clock.
    pub(crate) at: DateTime<Utc>,
    /// How long the command waited until RDS could restore it; `None` where nobody waited.
    pub(crate) waited: Option<Duration>,
}

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
                "everything written {SINCE}, into every database of {}; what it had last stays in the \
                 instance that goes aside",
                source.instance
            ),
            loss: Some(Loss::OfInstance),
            conditions: vec![
                LATER.to_owned(),
                "the new instance costs what the old one costs, until one of them is dropped".to_owned(),
            ],
        })
    }
}

impl Known<'_> {
    /// The snapshot that the run relies on, as an instance of its own beside the live one.
    pub(super) fn snapshot(&self, manifest: &SnapshotManifest) -> WayBack {
        let made = &manifest.snapshot;
        let target = named(&made.instance, "-beside-", self.run.as_str());
        let words = ["holdpoint", "rds", "snapshot", "restore", &made.name, "--into", &target];
        let command = words.into_iter().chain(self.flags.iter().map(String::as_str)).map(shell_quote);
        let seconds = self.restore_seconds();
        WayBack {
            way: Way::Beside,
            title: format!("make an instance of the snapshot {} of {} beside the live one", made.name, made.instance),
            command: command.collect::<Vec<_>>().join(" "),
            seconds,
            time_from: seconds.map(|_| TimeFrom::Estimated),
            data_lost: format!("everything written since {}", self.since()),
            loss: Some(Loss::OfEverything),
            conditions: vec!["the new instance costs what the old one costs, until one of them is dropped".to_owned()],
        }
    }
}

/// Why a configured instance is no way back of this database, in words.
pub(crate) async fn no_way(restorable: &Restorable, live: &ConnectionSettings) -> Option<String> {
    if let Err(error) = restorable.window.demand_instance().and_then(|()| restorable.window.check_open()) {
        return Some(error.to_string());
    }
    match serves_another(restorable.window.endpoint.as_ref(), live).await {
        Ok(other) => other,
        Err(error) => Some(format!("whether the database is on it could not be read: {error}")),
    }
}

impl Noted {
    /// The instant as RDS takes it, by whole seconds.
    pub(crate) fn written(&self) -> String {
        self.at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// A way back once the instant is known: its command, and what the wait for it changes.
    pub(crate) fn put_into(&self, way: &WayBack) -> WayBack {
        let mut way = way.clone();
        let Some(command) = way.command.strip_suffix(INSTANT).filter(|_| way.way == Way::Rds) else { return way };
        way.command = format!("{command}{}", self.written());
        let Some(waited) = self.waited else { return way };
        way.data_lost = way.data_lost.replacen(SINCE, &format!("since {}, before the command", self.written()), 1);
        let waited = milliseconds(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        let told = format!(
            "RDS could restore that instant before the command ran, which waited {waited} for it: what was written meanwhile \
             is lost, too"
        );
        way.conditions.iter_mut().filter(|one| *one == LATER).for_each(|one| one.clone_from(&told));
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(way: Way) -> WayBack {
        WayBack {
            way,
            title: String::new(),
            command: format!("holdpoint undo R --accept-data-loss-since {INSTANT}"),
            seconds: None,
            time_from: None,
            data_lost: format!("everything written {SINCE}, into every database of shop"),
            loss: None,
            conditions: vec![LATER.to_owned(), "it costs".to_owned()],
        }
    }

    #[test]
    fn of_an_instant_that_was_waited_for_the_loss_begins_before_the_command() {
        let at = "2026-11-21T02:43:00.75Z".parse().unwrap();
        let told = Noted { at, waited: None }.put_into(&by(Way::Rds));
        assert!(told.command.ends_with(" 2026-11-21T02:43:00Z"), "{}", told.command);
        assert!(told.data_lost.contains("since the command began"), "{}", told.data_lost);
        assert_eq!(told.conditions, [LATER, "it costs"]);

        let noted = Noted { at, waited: Some(Duration::from_secs(312)) };
        let told = noted.put_into(&by(Way::Rds));
        assert!(told.command.ends_with(" 2026-11-21T02:43:00Z"), "{}", told.command);
        let lost = "everything written since 2026-11-21T02:43:00Z, before the command, into every database of shop";
        assert_eq!(told.data_lost, lost);
        assert!(told.conditions[0].contains("waited 5 min 12 s for it"), "{:?}", told.conditions);
        assert_eq!(told.conditions[1], "it costs");
        assert_eq!(noted.put_into(&by(Way::Restore)), by(Way::Restore), "no other way goes to an instant");
    }
}
