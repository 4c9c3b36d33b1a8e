//! Moving bytes: pieces, workers, the ordered window, pass-through, read-back and digests of live databases.
//!
//! Nothing here decides what to back up or what a difference means; nothing here talks to people. Memory is bounded by
//! the window of pieces, whatever the size of a table, a row or the repository; each function says its own bound.

mod archive_source;
mod archive_writer;
mod compare_rows;
mod compare_rows_form;
mod compare_rows_live;
mod compare_rows_marks;
mod compare_rows_sample;
mod compare_rows_stored;
mod contents;
pub mod copy_out;
mod digest;
mod error;
mod fetch;
mod fetch_digest;
mod fetch_load;
mod fetch_query;
mod fetch_text;
mod foreign;
mod foreign_watch;
mod index_file;
mod load;
mod pace;
mod pass_through;
mod piece_check;
mod piece_cutter;
mod plain;
mod read_back;
mod read_tables;
mod text_databases;
mod text_names;
mod text_watch;
mod zstd_frames;

pub use archive_source::ArchiveSource;
pub use archive_writer::{ArchiveWriter, StoredArchive};
pub use compare_rows::{ListedRow, RowChange, RowSide, RowValue, RowsFound, RowsOptions, compare_rows};
pub use compare_rows_form::RowForm;
pub use compare_rows_live::LiveRows;
pub use compare_rows_marks::Spilled;
pub use compare_rows_stored::{StoredRows, StoredTable};
pub use contents::{Contents, TablePlan};
pub use digest::{
    DigestOptions, HeldSnapshot, LiveDigests, SnapshotDigests, TableToCount, Unread, digest_database, digest_snapshot,
};
pub use error::Error;
pub use fetch::{FetchedHead, PartialArchive, PassedRows, PieceRun, RowOrders, TableBlock, fetch_head, table_blocks};
pub use fetch_digest::{digest_copy, digest_table};
pub use fetch_load::{LoadTarget, Loaded, load_block, set_money};
pub use fetch_query::load_query;
pub use fetch_text::{SqlText, TextContents, TextLoaded, TextTable};
pub use foreign::{ForeignDump, ForeignForm, LOOK_BYTES, Wrapping, decompressed};
pub use foreign_watch::{FileEnd, ForeignWatch, directory_is_whole};
pub use index_file::{FinishedIndex, IndexReader, IndexWriter};
pub use load::{LoadOptions, can_be_loaded, load};
pub use pace::{Pace, Turn};
pub use pass_through::{OpenedStream, PassThroughOptions, pass_through, read_head};
pub use plain::{PipeSink, PlainOptions, StoredPlain, read_back_plain, store_plain};
pub use read_back::{ReadBack, ReadBackOptions, read_back};
pub use read_tables::{TablesRead, WhatToRead, is_damage, read_tables};
