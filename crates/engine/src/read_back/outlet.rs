//! Where what was checked goes.

use bytes::Bytes;
use holdpoint_archive::COPY_END;
use holdpoint_core::index::PieceRecord;
use tokio::sync::mpsc;

use crate::Error;
use crate::load::{Feed, Permit};
use crate::piece_check::Checked;

/// Where the checked parts of an archive go.
pub(crate) enum Outlet {
    /// Nowhere: they are only checked.
    Nowhere,
    /// As they are stored, in order.
    Stored(mpsc::Sender<Bytes>),
    /// Decoded, into the sessions of a load.
    Load(Box<Feed>),
}

impl Outlet {
    /// Passes bytes between pieces on, which only a whole archive needs.
    pub(super) async fn pass(&mut self, bytes: Bytes) -> Result<(), Error> {
        match self {
            Self::Stored(tee) => tee.send(bytes).await.map_err(|_| Error::NobodyReads),
            Self::Nowhere | Self::Load(_) => Ok(()),
        }
    }

    /// Hands a checked piece on.
    pub(super) async fn hand_on(
        &mut self,
        record: &PieceRecord,
        checked: Checked,
        permit: Option<Permit>,
    ) -> Result<(), Error> {
        let feed = match self {
            Self::Nowhere => return Ok(()),
            Self::Stored(_) => return self.pass(checked.stored).await,
            Self::Load(feed) => feed,
        };
        let mut raw = checked.raw.unwrap_or_default();
        if let Some(oid) = record.large_object {
            return feed.object(oid, raw, permit).await;
        }
        if record.end {
            raw.truncate(raw.len().saturating_sub(COPY_END.len()));
        }
        feed.rows(record, raw, permit).await
    }
}
