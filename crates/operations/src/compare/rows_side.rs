//! The two sides of a comparison of rows: a stored table, or a live one.

use std::collections::BTreeMap;

use holdpoint_archive::Codec;
use holdpoint_core::digest::ColumnOrder;
use holdpoint_core::fingerprint::qualified;
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::relation_name::columns_of_list;
use holdpoint_core::{PointId, RelationName};
use holdpoint_engine::{
    Contents, FetchedHead, LiveRows, RowForm, RowOrders, RowSide, StoredRows, StoredTable, TablePlan, Unread,
    fetch_head, table_blocks,
};
use holdpoint_postgres::Session;
use holdpoint_postgres::catalog::{roles, table_form};

use super::contents_keys::{ContentsKeys, Table};
use super::key::{Common, Form};
use super::live::Held;
use super::read_plan::why;
use super::recorded::Recorded;
use super::{CompareError, Side};
use crate::{Context, Error};

/// A table of one side, before its rows are read.
pub(super) struct TableSide {
    pub(super) side: Side,
    pub(super) name: String,
    pub(super) table: Table,
    pub(super) form: Form,
    /// Rows, as far as they are known.
    pub(super) rows: Option<u64>,
    /// A condition on the rows that count (extensions' tables).
    pub(super) filter: Option<String>,
    place: Place,
}

enum Place {
    Stored { recorded: Box<Recorded>, head: Box<FetchedHead>, plans: BTreeMap<i32, TablePlan> },
    Live { session: Box<Session>, quoted: String, partitioned: bool },
}

/// How the values of both sides are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextForm {
    pub(super) encoding: String,
    pub(super) lc_monetary: Option<String>,
}

impl TextForm {
    pub(super) fn of(recorded: &Recorded) -> Self {
        let server = &recorded.expected.manifest.server;
        Self { encoding: server.encoding.clone(), lc_monetary: Some(server.lc_monetary.clone()) }
    }
}

/// Which table is meant.
pub(super) enum Meant<'a> {
    /// The one that a person named.
    Named(&'a RelationName),
    /// Exactly this one.
    Exactly(&'a Table),
}

impl Meant<'_> {
    fn find(&self, tables: &[Table], place: &str) -> Result<Table, CompareError> {
        let names: Vec<(&str, &str)> = tables.iter().map(|(schema, name)| (schema.as_str(), name.as_str())).collect();
        match self {
            Self::Named(name) => match name.find(&names) {
                Ok(found) => Ok(tables[found].clone()),
                Err(why) => Err(CompareError::of_name(&name.to_string(), place, why)),
            },
            Self::Exactly(table) if tables.contains(table) => Ok((*table).clone()),
            Self::Exactly((schema, name)) => Err(CompareError::UnknownTable {
                table: qualified(Some(schema), name),
                place: place.to_owned(),
                nearest: Vec::new(),
            }),
        }
    }
}

impl TableSide {
    /// Finds a table, or a partitioned one, in a restore point.
    pub(super) async fn stored(context: &Context, point: &PointId, meant: Meant<'_>) -> Result<Self, Error> {
        let recorded = Recorded::read(context, point).await?;
        let manifest = &recorded.expected.manifest;
        if manifest.stored_as == PointFormat::Plain {
            return Err(CompareError::StoredAsText { point: point.to_string() }.into());
        }
        let codec: Codec =
            manifest.codec.parse().map_err(|_| Error::Internal(format!("codec {} is unknown", manifest.codec)))?;
        let head = fetch_head(context.repository.store().clone(), &manifest.archive, codec).await?;
        let contents = Contents::read(&head.head)?;
        let known = ContentsKeys::read(&head.head);
        let own = |plan: &TablePlan| (plan.schema.clone(), plan.name.clone());
        let mut tables: Vec<Table> = contents.tables.values().map(own).collect();
        tables.extend(known.roots());
        let table = meant.find(&tables, &format!("restore point {point}"))?;
        let plans: BTreeMap<i32, TablePlan> =
            contents.tables.into_iter().filter(|(_, plan)| known.belongs_to(&own(plan), &table)).collect();
        // Columns of partitions may stand in any order, but they are the same.
        let first = plans.values().next().and_then(|plan| plan.columns.as_deref());
        let columns = first.map(columns_of_list).unwrap_or_default();
        let keys = known.of(&table);
        let records = recorded.expected.tables.iter().filter(|record| plans.contains_key(&record.dump_id));
        let filter = records.clone().find_map(|record| record.filter.clone());
        let rows = records.map(|record| record.digest.rows).sum();
        Ok(Self {
            side: recorded.side(),
            name: qualified(Some(&table.0), &table.1),
            table,
            form: Form { columns, keys, no_keys: Vec::new() },
            rows: Some(rows),
            filter,
            place: Place::Stored { recorded: Box::new(recorded), head: Box::new(head), plans },
        })
    }

    /// Finds a table in a live database, and locks it as a reader does, so that it stays as the snapshot saw it.
    pub(super) async fn live(
        held: &Held,
        meant: Meant<'_>,
        lc_monetary: Option<&str>,
        filter: Option<String>,
    ) -> Result<Self, Error> {
        let session = LiveRows::open(&held.settings, held.snapshot.id(), lc_monetary).await?;
        let table = meant.find(&table_form::table_names(&session).await?, &held.side.name)?;
        let name = qualified(Some(&table.0), &table.1);
        let quoted = format!("{}.{}", quote_identifier(&table.0), quote_identifier(&table.1));
        let gone = |unread: Unread| CompareError::Busy { table: name.clone(), what: why(unread) };
        let form = table_form::table_form(&session, &table.0, &table.1).await?.ok_or_else(|| gone(Unread::Dropped))?;
        if !form.readable || form.row_security {
            let role = roles::own_rights(&session).await?.name;
            return Err(match form.readable {
                false => Error::CannotRead { role, objects: vec![name] },
                true => Error::RowSecurity { role, tables: vec![name] },
            });
        }
        if let Some(unread) = LiveRows::lock(&session, &quoted).await? {
            return Err(gone(unread).into());
        }
        Ok(Self {
            side: held.side.clone(),
            name,
            table,
            rows: form.estimated_rows,
            filter,
            place: Place::Live { session: Box::new(session), quoted, partitioned: form.partitioned },
            form: Form { columns: form.columns, keys: form.keys, no_keys: form.no_keys },
        })
    }

    /// The text form of a stored side; a live one has any.
    pub(super) fn text(&self) -> Option<TextForm> {
        match &self.place {
            Place::Stored { recorded, .. } => Some(TextForm::of(recorded)),
            Place::Live { .. } => None,
        }
    }

    /// Makes the side that the engine reads.
    pub(super) fn open(self, common: &Common, key: &[usize], encoding: &str, jobs: usize) -> Result<RowSide, Error> {
        match self.place {
            Place::Live { session, quoted, partitioned } => Ok(RowSide::Live(Box::new(LiveRows {
                session: *session,
                name: self.name,
                from: if partitioned { quoted } else { format!("ONLY {quoted}") },
                filter: self.filter,
                columns: common.columns.iter().map(|column| quote_identifier(column)).collect(),
                key: key.to_vec(),
                encoding: encoding.to_owned(),
            }))),
            Place::Stored { recorded, head, plans } => {
                let wanted = plans.keys().copied().collect();
                let blocks = table_blocks(recorded.expected.records()?, &wanted)?;
                let mut tables = Vec::with_capacity(blocks.len());
                for (dump_id, block) in blocks {
                    let Some(plan) = plans.get(&dump_id) else { continue };
                    let (form, orders) = (form(plan, common, key, &self.name)?, orders(plan.order.clone()));
                    tables.push(StoredTable { block, form, orders });
                }
                Ok(RowSide::Stored(StoredRows { archive: head.archive, tables, jobs }))
            }
        }
    }
}

fn orders(recorded: Option<ColumnOrder>) -> RowOrders {
    RowOrders { recorded: recorded.clone(), loaded: recorded }
}

/// Where the compared columns stand in a stored table's rows.
fn form(plan: &TablePlan, common: &Common, key: &[usize], table: &str) -> Result<RowForm, CompareError> {
    let own = plan.columns.as_deref().map(columns_of_list).unwrap_or_default();
    let place = |column: &String| {
        own.iter().position(|one| one == column).ok_or_else(|| CompareError::UnknownColumn {
            column: column.clone(),
            table: table.to_owned(),
            columns: own.clone(),
        })
    };
    let columns: Vec<usize> = common.columns.iter().map(place).collect::<Result<_, _>>()?;
    let key = key.iter().filter_map(|place| columns.get(*place).copied()).collect();
    Ok(RowForm { width: own.len(), key, columns })
}
