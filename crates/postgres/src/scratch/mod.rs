//! Scratch servers: throwaway PostgreSQL for verification and rehearsal.
//!
//! Production rows on a scratch server are production rows: a local one lives in a directory of mode 0700 under a
//! keeper that removes it even when holdpoint is killed, and never listens on anything but a unix socket and, where
//! asked for, the loopback address with a random password.

mod command;
mod database;
mod extensions;
mod local;
mod place;
pub mod roles;
mod server;

pub use holdpoint_process::keeper::{SweepReport, abandoned, sweep};

pub use command::CommandOptions;
pub use database::DatabaseLocale;
pub use extensions::{AvailableExtension, ExtensionGap, GapReason, available as available_extensions, extension_gaps};
pub use local::{LOCAL_WAL_BYTES, LocalOptions};
pub use place::{available_bytes, random_hex};
pub use server::{GivenOptions, ScratchOptions, ScratchServer};
