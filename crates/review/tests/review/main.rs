//! The review on whole files: every kind of statement, bad input, the five runbooks, migrations of others,
//! mutations, real servers.

mod bad_input;
mod catalog;
mod mutations;
mod on_write;
mod public;
mod runbooks;
mod server;
mod shown;
mod statements;
mod truth;
mod weighing;
