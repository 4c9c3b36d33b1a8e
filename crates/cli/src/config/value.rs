//! A value that may be secret: written out, or the name of the variable that holds it.

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::ConfigError;
use crate::variables::Variables;

/// A text of the configuration, or `env:NAME`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// The text itself.
    Literal(String),
    /// The variable that holds it.
    Variable(String),
}

impl Value {
    /// Reads `env:NAME`, or takes the text as it is.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(name) = text.strip_prefix("env:") else { return Ok(Self::Literal(text.to_owned())) };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(plain) {
            return Err("after env: comes the name of a variable, such as env:DATABASE_URL".to_owned());
        }
        Ok(Self::Variable(name.to_owned()))
    }

    /// Gives the text; `what` is how the value is called in an error.
    pub(crate) fn get(&self, what: &str, variables: &Variables) -> Result<String, ConfigError> {
        match self {
            Self::Literal(text) => Ok(text.clone()),
            Self::Variable(name) => variables
                .get(name)
                .map(str::to_owned)
                .ok_or_else(|| ConfigError::VariableNotSet { what: what.to_owned(), variable: name.clone() }),
        }
    }

    /// The variable that holds the value.
    pub(crate) fn variable(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Variable(name) => Some(name),
        }
    }
}

impl fmt::Debug for Value {
    /// Never shows a text: it may be a URL with a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(***)"),
            Self::Variable(name) => write!(f, "Variable({name})"),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(serde::de::Error::custom("is empty"));
        }
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
