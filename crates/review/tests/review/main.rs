//! The review on whole files: every kind of statement, bad input, the five runbooks, mutations, a real server.

mod bad_input;
mod catalog;
mod mutations;
mod runbooks;
mod server;
mod shown;
mod statements;
mod weighing;
