//! What can go wrong while bytes move.

/// Says what kept bytes from moving as they should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The archive stream is not what the format says.
    #[error("the archive stream cannot be read")]
    Archive(#[from] holdpoint_archive::Error),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] holdpoint_repository::Error),
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] holdpoint_postgres::Error),
    /// A value was refused.
    #[error(transparent)]
    Core(#[from] holdpoint_core::Error),
    /// A child's pipe failed.
    #[error("the pipe {0} broke")]
    Pipe(&'static str, #[source] std::io::Error),
    /// The stream ended before the archive was complete.
    #[error("pg_dump's output ended within {0}")]
    Truncated(&'static str),
    /// A text holds the tables of more than one database, as pg_dumpall writes them.
    #[error("the text holds the tables of several databases")]
    SeveralDatabases,
    /// A text's lines end in CR LF, and not as the programs of PostgreSQL end them.
    #[error("the text's lines end in CR LF")]
    LineEnds,
    /// Tables that the contents announce have no data in the stream.
    #[error("pg_dump's output has no data for {0} of the tables that its contents announce")]
    BlocksMissing(usize),
    /// A table's data do not end as COPY text ends.
    #[error("the data of {table} end within a row")]
    RowCut {
        /// The table.
        table: String,
    },
    /// A table was truncated or rewritten between the snapshot and the lock: the snapshot no longer sees its rows.
    #[error("{table} was truncated or rewritten while the backup began, so the snapshot can no longer see its rows")]
    Rewritten {
        /// The table.
        table: String,
    },
    /// The server counted other rows than came.
    #[error("{what}: the server sent {sent} rows, {arrived} arrived")]
    RowsDiffer {
        /// What was being done.
        what: String,
        /// Rows by the server's count.
        sent: u64,
        /// Rows that came.
        arrived: u64,
    },
    /// The server took other rows than it was sent.
    #[error("{what}: {sent} rows were sent, the server stored {stored}")]
    RowsNotStored {
        /// What was being done.
        what: String,
        /// Rows that were sent.
        sent: u64,
        /// Rows by the server's count.
        stored: u64,
    },
    /// A large object has another length than when it was measured in the same snapshot.
    #[error("large object {oid} was measured with {length} bytes and read with others")]
    LargeObjectCut {
        /// The object.
        oid: u32,
        /// The measured length.
        length: u64,
    },
    /// Stored bytes differ from what was written.
    #[error("{object} is damaged at byte {offset}: {reason}")]
    Damaged {
        /// The object's key.
        object: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The index is not one that belongs to the archive.
    #[error("the index cannot be read")]
    Index(#[source] std::io::Error),
    /// Whoever was to take the bytes is gone; its own words say why.
    #[error("the program that reads the archive ended early")]
    NobodyReads,
    /// Nobody can say whether rows that were sent are in the database.
    #[error("the connection was lost while loading {what}, and whether it is there cannot be told: {reason}")]
    AnswerLost {
        /// The table, or what else was loaded.
        what: String,
        /// Why not.
        reason: String,
    },
    /// Temporary files of hashes cannot be written or read.
    #[error("the temporary files in {} failed", directory.display())]
    Spill {
        /// Where they are.
        directory: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A worker panicked: a defect of this program.
    #[error("a worker stopped unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
    /// A person or a time limit ended the work.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// Whether the stored bytes themselves are wrong, rather than the way to them.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Archive(_) | Self::Index(_) | Self::RowCut { .. } => true,
            Self::Repository(error) => matches!(error, holdpoint_repository::Error::Corrupt { .. }),
            _ => false,
        }
    }
}
