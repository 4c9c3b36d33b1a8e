//! From a file's text to its statements, before any of it is parsed.

pub(crate) mod parts;
pub(crate) mod statements;
pub(crate) mod token;
