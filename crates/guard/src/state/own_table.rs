//! The tool's own table that came and is empty: tools make it before the transaction of their first migration.

use holdpoint_postgres::Session;

use super::DatabaseState;
use crate::Error;
use crate::tools::TableName;

/// The tool's own table, which is new and holds nothing.
pub(super) struct CameEmpty<'a> {
    pub(super) table: &'a TableName,
    /// Its name as the counters have it, quoted where SQL needs that.
    pub(super) in_counters: String,
}

impl DatabaseState {
    /// The tool's own table, where it was not there and is now, and holds nothing: tools make it before the transaction of
    /// their first migration, and leave it where that fails.
    pub(super) async fn came_empty<'a>(
        &self,
        after: &Self,
        own: Option<&'a TableName>,
        session: &Session,
    ) -> Result<Option<CameEmpty<'a>>, Error> {
        const WHAT: &str = "looking at the tool's own table";
        let is_new =
            |own: &&TableName| !self.schema.has_table(&own.to_string()) && after.schema.has_table(&own.to_string());
        let Some(own) = own.filter(is_new) else { return Ok(None) };
        let sql = "SELECT pg_catalog.format('%I.%I', $1::pg_catalog.text, $2::pg_catalog.text)";
        let in_counters: String = session.query_one(WHAT, sql, &[&own.schema, &own.name]).await?.get(0);
        let sql = "SELECT pg_catalog.has_table_privilege($1::pg_catalog.text, 'SELECT')";
        if !session.query_one(WHAT, sql, &[&in_counters]).await?.get::<_, bool>(0) {
            return Ok(None);
        }
        let sql = format!("SELECT NOT EXISTS (SELECT FROM {in_counters})");
        let is_empty: bool = session.query_one(WHAT, &sql, &[]).await?.get(0);
        Ok(is_empty.then_some(CameEmpty { table: own, in_counters }))
    }
}
