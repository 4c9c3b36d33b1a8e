//! Pins: why a restore point may not be dropped; and relying on one without a lock.

use futures_util::TryStreamExt as _;
use holdpoint_core::pin::{self, PinRecord};
use holdpoint_core::{DatabaseName, PointId, layout};
use serde::Serialize;

use super::{LARGEST_RECORD, Repository, json, parse};
use crate::error::{Error, Result};
use crate::store::PutOptions;

/// What the names begin with of files among the pins that are none.
const STRAY: &str = "pins/";

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
        match self.recorded(database, id).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Who may not delete leaves it to the prune that withdraws the point.
                if let Err(left) = self.store.delete(&key).await {
                    tracing::warn!(%key, error = %left, "the pin remains");
                }
                Err(error)
            }
        }
    }

    /// Reads a pin.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NewerFormat`]; [`Error::InvalidRecord`].
    pub async fn pin_record(&self, database: &DatabaseName, id: &PointId, name: &str) -> Result<PinRecord> {
        if Self::is_stray_pin(name) {
            let key = format!("{}{name}", layout::point(database, id));
            return Err(Error::InvalidRecord { key, source: "no pin has such a name".into() });
        }
        let key = layout::pin(database, id, name);
        let object = self.store.get_small(&key, LARGEST_RECORD).await?;
        parse(&key, &object.bytes, pin::FORMAT)
    }

    /// Those of the named pins that hold, by the store's clock. One whose record cannot be read holds without end.
    pub(super) async fn holding(&self, database: &DatabaseName, id: &PointId, names: &[String]) -> Result<Vec<String>> {
        let mut holding = Vec::new();
        for name in names {
            let until = match self.pin_record(database, id, name).await {
                Ok(PinRecord { run: Some(run), .. }) => pin::of_run(&self.steps(database, &run).await?),
                Ok(record) => record.until,
                Err(error) if error.is_not_found() => continue,
                Err(Error::InvalidRecord { .. } | Error::NewerFormat { .. }) => None,
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

    /// Removes a pin; one that is not there counts as removed.
    pub async fn unpin(&self, database: &DatabaseName, id: &PointId, name: &str) -> Result<()> {
        self.store.delete(&layout::pin(database, id, name)).await
    }
}
