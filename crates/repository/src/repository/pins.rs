//! Pins: why a restore point may not be dropped; and relying on one without a lock.

use holdpoint_core::pin::{self, PinRecord};
use holdpoint_core::{DatabaseName, PointId, layout};
use serde::Serialize;

use super::{LARGEST_RECORD, Repository, json, parse};
use crate::error::{Error, Result};
use crate::store::PutOptions;

impl Repository {
    /// The names of a restore point's pins, sorted.
    pub async fn pins(&self, database: &DatabaseName, id: &PointId) -> Result<Vec<String>> {
        let prefix = layout::pins(database, id);
        let name = |key: String| key.strip_prefix(&prefix).and_then(|key| key.strip_suffix(".json")).map(str::to_owned);
        Ok(self.keys(&prefix).await?.into_iter().filter_map(name).collect())
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
