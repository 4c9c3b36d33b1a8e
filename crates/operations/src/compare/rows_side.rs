//! The two sides of a comparison of rows: a stored table, or a live one.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_archive::Codec;
use holdpoint_core::digest::ColumnOrder;
use holdpoint_core::fingerprint::qualified;
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::relation_name::{NoSingleTable, columns_of_list};
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
use super::parts::LeftOut;
use super::read_plan::why;
use super::recorded::Recorded;
use super::{CompareError, Side};
use crate::recover::ColumnPair;
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
    /// What is not read of it.
    pub(super) notes: Vec<String>,
    /// Columns that go by the first side's names here.
    renamed: Vec<ColumnPair>,
    place: Place,
}

enum Place {
    Stored { recorded: Box<Recorded>, head: Box<FetchedHead>, plans: BTreeMap<i32, TablePlan> },
    Live { session: Box<Session>, from: Vec<String> },
}

/// A restore point's table as far as its rows can be compared and brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredForm {
    /// The columns of which it holds values; a generated one is not among them.
    pub columns: Vec<String>,
    /// Its keys, the primary one first.
    pub keys: Vec<Vec<String>>,
    /// Bytes of its rows in COPY text form; of all partitions together.
    pub data_bytes: u64,
}

/// Reads which columns and keys a table of a restore point has.
///
/// # Errors
/// [`CompareError`] where there is no such table or its rows were left out, and those of the repository.
pub async fn stored_form(context: &Context, point: &PointId, table: &RelationName) -> Result<StoredForm, Error> {
    let TableSide { form, place, .. } = TableSide::stored(context, point, Meant::Named(table)).await?;
    let data_bytes = match &place {
        Place::Stored { recorded, plans, .. } => {
            let own = recorded.expected.tables.iter().filter(|record| plans.contains_key(&record.dump_id));
            own.map(|record| record.data_bytes).sum()
        }
        Place::Live { .. } => 0,
    };
    Ok(StoredForm { columns: form.columns, keys: form.keys, data_bytes })
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
    /// The one that has the name of the other side's table.
    Namesake(&'a Table),
}

impl Meant<'_> {
    fn find(&self, tables: &[Table], place: &str) -> Result<Table, CompareError> {
        let names: Vec<(&str, &str)> = tables.iter().map(|(schema, name)| (schema.as_str(), name.as_str())).collect();
        match self {
            Self::Named(name) => match name.find(&names) {
                Ok(found) => Ok(tables[found].clone()),
                Err(why) => Err(CompareError::of_name(&name.to_string(), place, why)),
            },
            Self::Namesake(table) if tables.contains(table) => Ok((*table).clone()),
            Self::Namesake((schema, name)) => {
                let table = qualified(Some(schema), name);
                let nearest = match table.parse::<RelationName>().map(|like| like.find(&names)) {
                    Ok(Ok(found)) => vec![qualified(Some(names[found].0), names[found].1)],
                    Ok(Err(NoSingleTable::Unknown(like) | NoSingleTable::Ambiguous(like))) => like,
                    Err(_) => Vec::new(),
                };
                Err(CompareError::NotThere { table, place: place.to_owned(), nearest })
            }
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
        tables.sort();
        tables.dedup();
        let place = format!("restore point {point}");
        let table = meant.find(&tables, &place).map_err(|unknown| match meant.find(&known.tables(), &place) {
            Ok((schema, name)) => {
                CompareError::RowsLeftOut { table: qualified(Some(&schema), &name), place: place.clone() }
            }
            Err(_) => unknown,
        })?;
        let plans: BTreeMap<i32, TablePlan> =
            contents.tables.into_iter().filter(|(_, plan)| known.belongs_to(&own(plan), &table)).collect();
        let held: BTreeSet<Table> = plans.values().map(own).collect();
        let lacking: Vec<Table> = known.leaves(&table).into_iter().filter(|leaf| !held.contains(leaf)).collect();
        if !lacking.is_empty() {
            let names: Vec<String> = lacking.iter().map(|(schema, name)| qualified(Some(schema), name)).collect();
            return Err(CompareError::RowsLeftOut { table: names.join(", "), place }.into());
        }
        let mut notes = Vec::new();
        if LeftOut::of(&manifest.options).objects && known.roots().contains(&table) {
            notes.push(format!(
                "{place} holds a part of the database ({}): rows of partitions that it leaves out look new, or missing",
                manifest.options.join(" ")
            ));
        }
        // Columns of partitions may stand in any order, but they are the same.
        let columns = match plans.values().next() {
            Some(plan) => plan.columns.as_deref().map(columns_of_list).unwrap_or_default(),
            None => known.columns(&table),
        };
        let of_types = plans.values().next().map_or_else(|| table.clone(), own);
        let keys = known.of(&table);
        let records = recorded.expected.tables.iter().filter(|record| plans.contains_key(&record.dump_id));
        let filter = records.clone().find_map(|record| record.filter.clone());
        let rows = records.map(|record| record.digest.rows).sum();
        Ok(Self {
            side: recorded.side(),
            name: qualified(Some(&table.0), &table.1),
            table,
            form: Form { types: known.types(&of_types, &columns), columns, keys, no_keys: Vec::new() },
            rows: Some(rows),
            filter,
            notes,
            renamed: Vec::new(),
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
        let session = LiveRows::open(&held.settings, &held.for_readers(), lc_monetary).await?;
        let table = meant.find(&table_form::table_names(&session).await?, &held.side.name)?;
        let name = qualified(Some(&table.0), &table.1);
        let quoted = format!("{}.{}", quote_identifier(&table.0), quote_identifier(&table.1));
        let gone = |unread: Unread| CompareError::Busy { table: name.clone(), what: why(unread, held.lock_wait) };
        let form = table_form::table_form(&session, &table.0, &table.1).await?.ok_or_else(|| gone(Unread::Dropped))?;
        if !form.readable || form.row_security {
            let role = roles::own_rights(&session).await?.name;
            return Err(match form.readable {
                false => Error::CannotRead { role, objects: vec![name], grant: None },
                true => Error::RowSecurity { role, tables: vec![name] },
            });
        }
        if let Some(unread) = LiveRows::lock(&session, &quoted).await? {
            return Err(gone(unread).into());
        }
        let from = match (form.partitioned, form.foreign_partitions.is_empty()) {
            (true, true) => vec![quoted],
            (true, false) if !form.partitions.is_empty() => form.partitions,
            // By itself a partitioned table has no rows.
            _ => vec![format!("ONLY {quoted}")],
        };
        let foreign = form.foreign_partitions.join(", ");
        let note = (!foreign.is_empty()).then(|| format!("not read: partitions that are foreign tables ({foreign})"));
        Ok(Self {
            side: held.side.clone(),
            name,
            table,
            rows: form.estimated_rows,
            filter,
            notes: note.into_iter().collect(),
            renamed: Vec::new(),
            place: Place::Live { session: Box::new(session), from },
            form: Form {
                columns: form.columns,
                types: form.types.into_iter().map(Some).collect(),
                keys: form.keys,
                no_keys: form.no_keys,
            },
        })
    }

    /// Lets columns go by the names that they have on the side `then`.
    pub(super) fn with_renamed(mut self, renamed: &[ColumnPair], then: &Self) -> Result<Self, CompareError> {
        for pair in renamed {
            let missing = |column: &String, side: &Self| CompareError::UnknownColumn {
                column: column.clone(),
                table: side.name.clone(),
                columns: side.form.columns.clone(),
            };
            if !then.form.columns.contains(&pair.then) {
                return Err(missing(&pair.then, then));
            }
            if !self.form.columns.contains(&pair.now) {
                return Err(missing(&pair.now, &self));
            }
        }
        let then_named = |column: &String| {
            renamed.iter().find(|pair| pair.now == *column).map_or_else(|| column.clone(), |pair| pair.then.clone())
        };
        let names: Vec<String> = self.form.columns.iter().map(then_named).collect();
        if let Some(twice) = renamed.iter().find(|pair| names.iter().filter(|name| **name == pair.then).count() > 1) {
            return Err(CompareError::NotRenamed { column: twice.then.clone(), table: self.name });
        }
        self.form.keys = self.form.keys.iter().map(|key| key.iter().map(then_named).collect()).collect();
        self.form.columns = names;
        self.renamed = renamed.to_vec();
        Ok(self)
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
        let own_name = |column: &String| {
            self.renamed.iter().find(|pair| pair.then == *column).map_or(column, |pair| &pair.now).clone()
        };
        let columns: Vec<String> = common.columns.iter().map(own_name).collect();
        match self.place {
            Place::Live { session, from } => Ok(RowSide::Live(Box::new(LiveRows {
                session: *session,
                name: self.name,
                from,
                filter: self.filter,
                columns: columns.iter().map(|column| quote_identifier(column)).collect(),
                key: key.to_vec(),
                encoding: encoding.to_owned(),
            }))),
            Place::Stored { recorded, head, plans } => {
                let wanted = plans.keys().copied().collect();
                let blocks = table_blocks(recorded.expected.records()?, &wanted)?;
                let mut tables = Vec::with_capacity(blocks.len());
                for (dump_id, block) in blocks {
                    let Some(plan) = plans.get(&dump_id) else { continue };
                    let (form, orders) = (form(plan, &columns, key, &self.name)?, orders(plan.order.clone()));
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
fn form(plan: &TablePlan, columns: &[String], key: &[usize], table: &str) -> Result<RowForm, CompareError> {
    let own = plan.columns.as_deref().map(columns_of_list).unwrap_or_default();
    let place = |column: &String| {
        own.iter().position(|one| one == column).ok_or_else(|| CompareError::UnknownColumn {
            column: column.clone(),
            table: table.to_owned(),
            columns: own.clone(),
        })
    };
    let columns: Vec<usize> = columns.iter().map(place).collect::<Result<_, _>>()?;
    let key = key.iter().filter_map(|place| columns.get(*place).copied()).collect();
    Ok(RowForm { width: own.len(), key, columns })
}
