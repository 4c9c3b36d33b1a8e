//! PostgreSQL's custom archive format (`pg_dump -Fc`), archive versions 1.14, 1.15 and 1.16.
//!
//! Pure synchronous code over bytes: a push parser ([`StreamParser`]) that indexes an archive as it passes, a patcher
//! ([`Head::patched`]) that gives a streamed archive its real offsets and codec, a writer of blocks from pieces that are
//! compressed independently ([`PieceEncoder`], [`open_table`] and its neighbours), and the readers of what it wrote
//! ([`BlockDecoder`], [`decode_piece`], [`CopyText`]).
//!
//! It must never know a server, a storage or a digest, never assume UTF-8 (names are bytes in the archive's encoding),
//! and never allocate by a length that the input merely claims.
//!
//! An archive is a *head* (header and contents) followed by *blocks* until the end of the file. One block holds the
//! COPY text of one table, or a group of large objects, as lists of chunks. The format is described by PostgreSQL's
//! `src/bin/pg_dump/pg_backup_archiver.c`, `pg_backup_custom.c` and `compress_*.c`.

mod adler;
mod block_decoder;
mod block_frame;
mod chunk;
mod codec;
mod copy_statement;
mod copy_text;
mod cursor;
mod deflate;
mod entry;
mod error;
mod head;
mod head_parser;
mod header;
mod patch;
mod piece_decoder;
mod piece_encoder;
mod read_all;
mod selection;
mod statement;
mod stream_parser;

pub use adler::Adler32;
pub use block_decoder::BlockDecoder;
pub use block_frame::{close_large_objects, close_list, open_large_object, open_large_objects, open_table};
pub use codec::{Algorithm, Codec};
pub use copy_statement::CopyStatement;
pub use copy_text::{COPY_END, CopyText};
pub use entry::{Entry, EntryKind, EntryOffset, Section};
pub use error::Error;
pub use head::Head;
pub use head_parser::HeadParser;
pub use header::{ArchiveVersion, Header};
pub use piece_decoder::decode_piece;
pub use piece_encoder::{EncodedPiece, PieceEncoder, encode_piece};
#[doc(hidden)]
pub use read_all::read_all;
pub use selection::{Selection, quoted_name, table_entry, tables};
pub use statement::{StatementScan, first_statement, retargeted, unique_constraint};
pub use stream_parser::{BlockKind, Event, Limits, StreamParser};
