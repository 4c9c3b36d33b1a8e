//! Pins: why a restore point may not be dropped; and relying on one without a lock.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use holdpoint_core::pin::{self, PinRecord};
use holdpoint_core::{DatabaseName, PointId, layout};
use serde::Serialize;

use super::{LARGEST_RECORD, Repository, json, parse, read_record};
use crate::error::{Error, Result};
use crate::store::PutOptions;

/// What the names begin with of files among the pins that are none.
const STRAY: &str = "pins/";

/// How often a name is tried for which others pin and unpin at the same time.
const ROUNDS: usize = 3;

/// What came of pinning under a name that may have a pin already.
#[derive(Debug)]
pub enum PinnedAnew {
    /// The pin is there, and so is the restore point.
    Pinned,
    /// Another pin has that name, which holds, or of which that is not known.
    Taken,
    /// The pin of that name is over, and cannot be replaced: a policy lets nobody write over what is there, or the store replaces
    /// nothing under a condition.
    Stays(Error),
}

/// The name of what lies under that key below a restore point's pins.
pub(super) fn named(below: &str) -> String {
    let plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match below.strip_suffix(".json").filter(|name| !name.is_empty()).filter(plain) {
        Some(name) => name.to_owned(),
        None => format!("{STRAY}{below}"),
    }
}

impl Repository {
    /// The names of a restore point's pins, sorted. What lies among them and is none, by its name, is told with its folder
    /// ([`is_stray`](Self::is_stray_pin)): whoever put it there may have wanted the restore point to stay, so it does.
    pub async fn pins(&self, database: &DatabaseName, id: &PointId) -> Result<Vec<String>> {
        let prefix = layout::pins(database, id);
        let pages: Vec<_> = self.store.list(&prefix).try_collect().await?;
        let rest = pages.iter().flatten().filter_map(|object| object.key.strip_prefix(&prefix));
        let mut names: Vec<String> = rest.map(named).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Whether this, of the names that [`pins`](Self::pins) gives, is that of a file that is no pin.
    #[must_use]
    pub fn is_stray_pin(name: &str) -> bool {
        name.starts_with(STRAY)
    }

    /// Pins a restore point under a name that is the caller's alone, such as a run's: pinning twice is one pin. Else as
    /// [`Self::pin_new`].
    ///
    /// # Errors
    /// As [`Self::pin_new`], but for a pin of that name.
    pub async fn pin(&self, database: &DatabaseName, id: &PointId, name: &str, record: &impl Serialize) -> Result<()> {
        match self.pin_new(database, id, name, record).await {
            // It is there: whether the point is, is to be looked at all the same.
            Err(Error::AlreadyExists { .. }) => self.recorded(database, id).await.map(drop),
            pinned => pinned,
        }
    }

    /// Pins a restore point that somebody relies on, then looks whether it is still there.
    ///
    /// This order makes a lock unnecessary: whoever prunes marks first and then looks for pins, so at least one of the
    /// two sees the other. Of many that pin under one name at once, one does.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when another pin has that name; [`Error::NotFound`] when the point was withdrawn or never
    /// was; the pin is then removed again, as far as that is allowed.
    pub async fn pin_new(
        &self,
        database: &DatabaseName,
        id: &PointId,
        name: &str,
        record: &impl Serialize,
    ) -> Result<()> {
        let key = layout::pin(database, id, name);
        self.store.put_new(&key, json(&key, record)?, PutOptions::default()).await?;
        self.there_under(database, id, &key).await
    }

    /// As [`Self::pin_new`], in the stead of a pin by hand of that name where that is over: it is replaced if it is still the
    /// one that was read. Nobody else removes one that is over while its restore point is there: whoever deletes by a name
    /// cannot tell what was written there meanwhile.
    ///
    /// # Errors
    /// As [`Self::pin_new`], but for a pin of that name; what reading that one gives.
    pub async fn pin_anew(
        &self,
        database: &DatabaseName,
        id: &PointId,
        name: &str,
        record: &impl Serialize,
    ) -> Result<PinnedAnew> {
        let key = layout::pin(database, id, name);
        for _ in 0..ROUNDS {
            match self.pin_new(database, id, name, record).await {
                Ok(()) => return Ok(PinnedAnew::Pinned),
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
            let there = match read_record(&*self.store, &key, LARGEST_RECORD).await {
                Ok(there) => there,
                // Nobody knows whether one that cannot be read is over.
                Err(error) if error.is_of_record() => return Ok(PinnedAnew::Taken),
                // Somebody removed it in that moment.
                Err(error) if error.is_not_found() => continue,
                // Who may not read it cannot tell whether it is over.
                Err(Error::AccessDenied { .. }) => return Ok(PinnedAnew::Taken),
                Err(error) => return Err(error),
            };
            let over = match parse::<PinRecord>(&key, &there.bytes, pin::FORMAT) {
                Ok(PinRecord { run: None, until: Some(until), .. }) => until <= self.store.server_time().await?,
                _ => false,
            };
            if !over {
                return Ok(PinnedAnew::Taken);
            }
            match self.store.put_if_matches(&key, json(&key, record)?, &there.etag).await {
                Ok(_) => return self.there_under(database, id, &key).await.map(|()| PinnedAnew::Pinned),
                // Another one replaced or removed it first.
                Err(Error::PreconditionFailed { .. }) => {}
                Err(error @ (Error::AccessDenied { .. } | Error::Unsupported { .. })) => {
                    return Ok(PinnedAnew::Stays(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(PinnedAnew::Taken)
    }

    /// Looks whether a restore point is there under a pin that was just written; else removes the pin again.
    async fn there_under(&self, database: &DatabaseName, id: &PointId, key: &str) -> Result<()> {
        match self.recorded(database, id).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Who may not delete leaves it to the prune that withdraws the point.
                if let Err(left) = self.store.delete(key).await {
                    tracing::warn!(%key, error = %left, "the pin remains");
                }
                Err(error)
            }
        }
    }

    /// Reads a pin.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of [`Error::is_of_record`]; else those of the store.
    pub async fn pin_record(&self, database: &DatabaseName, id: &PointId, name: &str) -> Result<PinRecord> {
        if Self::is_stray_pin(name) {
            let key = format!("{}{name}", layout::point(database, id));
            return Err(Error::InvalidRecord { key, source: "no pin has such a name".into() });
        }
        let key = layout::pin(database, id, name);
        let object = read_record(&*self.store, &key, LARGEST_RECORD).await?;
        parse(&key, &object.bytes, pin::FORMAT)
    }

    /// When a pin ends; `None` for one without end.
    ///
    /// # Errors
    /// As [`Self::pin_record`], of its run's steps as well.
    pub async fn pin_end(&self, database: &DatabaseName, id: &PointId, name: &str) -> Result<Option<DateTime<Utc>>> {
        match self.pin_record(database, id, name).await? {
            PinRecord { run: Some(run), .. } => Ok(pin::of_run(&self.steps(database, &run).await?)),
            record => Ok(record.until),
        }
    }

    /// Those of the named pins that hold, by the store's clock. One whose record, or whose run's, cannot be read holds without
    /// end.
    pub(super) async fn holding(&self, database: &DatabaseName, id: &PointId, names: &[String]) -> Result<Vec<String>> {
        let mut holding = Vec::new();
        for name in names {
            let until = match self.pin_end(database, id, name).await {
                Ok(until) => until,
                Err(error) if error.is_not_found() => continue,
                Err(error) if error.is_of_record() => None,
                Err(error) => return Err(error),
            };
            let over = match until {
                Some(until) => until <= self.store.server_time().await?,
                None => false,
            };
            if !over {
                holding.push(name.clone());
            }
        }
        Ok(holding)
    }

    /// Removes a pin; one that is not there counts as removed. For a name that is the caller's alone, and for a person who
    /// asks for it: another pin that was written under that name meanwhile goes as well.
    pub async fn unpin(&self, database: &DatabaseName, id: &PointId, name: &str) -> Result<()> {
        self.store.delete(&layout::pin(database, id, name)).await
    }
}
