//! Why a statement cannot be reviewed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ObjectName;

/// Why what a statement does cannot be read from it. Everything is at risk then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why", content = "what")]
pub enum Unreviewable {
    /// The file is a program in another language.
    Program,
    /// The text is not SQL that can be read.
    Broken,
    /// A quote or comment never ends.
    Unterminated,
    /// A placeholder has no value yet.
    Placeholder,
    /// A meta-command of psql.
    MetaCommand(String),
    /// SQL is put together when it runs.
    DynamicSql,
    /// A body in a language that is not read.
    Language(String),
    /// A body that is not SQL that can be read.
    BrokenBody,
    /// A function whose body is not known.
    UnknownFunction(ObjectName),
    /// Functions call each other without end, or too deeply.
    TooDeep,
    /// It runs what was prepared elsewhere.
    UnknownPrepared(String),
    /// It names no object, or not in a way that can be read.
    Unnamed,
    /// A statement that no rule knows.
    UnknownStatement(String),
    /// The file changes how quotes are read.
    QuotesChanged,
    /// It runs a program on the server.
    ServerProgram,
    /// It writes a file on the server.
    ServerFile,
    /// It writes to a table of the server itself.
    SystemTable(ObjectName),
    /// It is too long or too deeply nested to be read safely.
    TooLarge,
}

impl fmt::Display for Unreviewable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("the file is a program, not SQL"),
            Self::Broken => f.write_str("it is not SQL that can be read"),
            Self::Unterminated => f.write_str("a quote or comment never ends"),
            Self::Placeholder => f.write_str("a placeholder has no value yet"),
            Self::MetaCommand(name) => write!(f, "the meta-command \\{name} of psql"),
            Self::DynamicSql => f.write_str("SQL is put together when it runs"),
            Self::Language(name) => write!(f, "a body in {name}"),
            Self::BrokenBody => f.write_str("its body is not SQL that can be read"),
            Self::UnknownFunction(name) => write!(f, "it calls {name}, whose body is not known"),
            Self::TooDeep => f.write_str("functions call each other too deeply"),
            Self::UnknownPrepared(name) => write!(f, "it executes {name}, which was prepared elsewhere"),
            Self::Unnamed => f.write_str("what it acts on cannot be read"),
            Self::UnknownStatement(name) => write!(f, "no rule knows {name}"),
            Self::QuotesChanged => f.write_str("the file changes how quotes are read"),
            Self::ServerProgram => f.write_str("it runs a program on the server"),
            Self::ServerFile => f.write_str("it writes a file on the server"),
            Self::SystemTable(name) => write!(f, "it writes to {name}, a table of the server itself"),
            Self::TooLarge => f.write_str("it is too long or too deeply nested to be read"),
        }
    }
}
