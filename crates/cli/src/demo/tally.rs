//! What a database holds, as a person would look: rows of a few tables, and one sum.

use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use serde::Serialize;

use crate::failure::Failure;

const TABLES: [&str; 5] =
    ["shop.customers", "shop.orders", "shop.order_items", "billing.invoices", r#""Audit Log"."What, when (by whom?)""#];

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Tables and their rows.
    pub(super) rows: Vec<(&'static str, i64)>,
    /// The sum of all orders.
    pub(super) turnover: String,
    /// Columns of `shop.customers`.
    pub(super) customer_columns: i64,
}

impl Tally {
    /// Counts.
    pub(super) async fn of(settings: &ConnectionSettings) -> Result<Self, Failure> {
        Self::count(settings).await.map_err(|error| holdpoint_operations::Error::from(error).into())
    }

    async fn count(settings: &ConnectionSettings) -> Result<Self, holdpoint_postgres::Error> {
        const WHAT: &str = "looking at the demonstration's database";
        let session = Session::connect(settings, &SessionPurpose::new("holdpoint demo")).await?;
        let mut rows = Vec::new();
        for table in TABLES {
            let counted = session.query_one(WHAT, &format!("SELECT count(*) FROM {table}"), &[]).await?;
            rows.push((table, counted.get(0)));
        }
        let turnover = session.query_one(WHAT, "SELECT sum(total)::text FROM shop.orders", &[]).await?.get(0);
        let columns = "SELECT count(*) FROM pg_catalog.pg_attribute \
                       WHERE attrelid = 'shop.customers'::regclass AND attnum > 0 AND NOT attisdropped";
        let customer_columns = session.query_one(WHAT, columns, &[]).await?.get(0);
        session.close().await;
        Ok(Self { rows, turnover, customer_columns })
    }

    /// All rows that were counted.
    pub(super) fn all_rows(&self) -> u64 {
        self.rows.iter().map(|(_, rows)| rows.unsigned_abs()).sum()
    }

    /// Each thing counted, with its name.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let rows = self
            .rows
            .iter()
            .map(|(table, rows)| (format!("rows of {table}"), crate::quantity::count(rows.unsigned_abs())));
        rows.chain([
            ("columns of shop.customers".to_owned(), self.customer_columns.to_string()),
            ("turnover".to_owned(), self.turnover.clone()),
        ])
        .collect()
    }
}
