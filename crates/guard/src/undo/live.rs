//! The live database as an undo works on it: its sessions, and how its tables are called there.

use holdpoint_core::name::quote_identifier;
use holdpoint_operations::recover::TableName;
use holdpoint_postgres::{Session, SessionPurpose};

use super::work::Work;
use crate::{Error, sessions};

/// A session that is known as the run's: what goes on in it is ended where the undo fails.
pub(super) async fn connected(work: &Work<'_>) -> Result<Session, Error> {
    let settings = work.options.live.with_application_name(sessions::token(&work.run));
    Ok(Session::connect(&settings, &SessionPurpose::new("holdpoint undo")).await?)
}

/// A table by its name as the records have it.
pub(super) fn name(text: &str) -> TableName {
    match text.parse() {
        Ok(name) => name,
        Err(never) => match never {},
    }
}

/// Its name, quoted for SQL.
pub(super) fn quoted(table: &str) -> String {
    let TableName { schema, name } = name(table);
    let schema = schema.map(|schema| format!("{}.", quote_identifier(&schema))).unwrap_or_default();
    format!("{schema}{}", quote_identifier(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_for_sql() {
        assert_eq!(quoted("shop.orders"), "\"shop\".\"orders\"");
        assert_eq!(quoted("\"Odd schema\".t"), "\"Odd schema\".\"t\"");
    }
}
