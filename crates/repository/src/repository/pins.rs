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

    /// Pins a restore point that somebody relies on, then looks whether it is still there.
    ///
    /// This order makes a lock unnecessary: whoever prunes marks first and then looks for pins, so at least one of the
    /// two sees the other. Pinning twice under one name is one pin.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the point was withdrawn or never was; the pin is then removed again, as far as that is
    /// allowed.
    pub async fn pin(&self, database: &DatabaseName, id: &PointId, name: &str, record: &impl Serialize) -> Result<()> {
        let key = layout::pin(database, id, name);
        match self.store.put_new(&key, json(&key, record)?, PutOptions::default()).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.manifest(database, id).await {
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

    /// Removes a pin; one that is not there counts as removed.
    pub async fn unpin(&self, database: &DatabaseName, id: &PointId, name: &str) -> Result<()> {
        self.store.delete(&layout::pin(database, id, name)).await
    }
}
