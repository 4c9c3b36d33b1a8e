//! The kinds of statements, and what holds for a kind whatever the table.

use serde::{Deserialize, Serialize};

use crate::RiskClass;

/// What a statement, or one action of it, is. The order is that of the measured table of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `DROP TABLE`, also a foreign one.
    DropTable,
    /// `DROP TABLE … CASCADE`.
    DropTableCascade,
    /// `DROP SCHEMA`.
    DropSchema,
    /// `TRUNCATE`.
    Truncate,
    /// `DELETE` of every row.
    DeleteAll,
    /// `UPDATE` of every row.
    UpdateAll,
    /// `DELETE` or `UPDATE` with a condition, `MERGE`, `INSERT … ON CONFLICT DO UPDATE`.
    ChangeRows,
    /// A change inside `WITH`.
    ChangeInWith,
    /// `ALTER TABLE … DROP COLUMN`.
    DropColumn,
    /// `ALTER COLUMN … TYPE` that rewrites the table, or may.
    ChangeColumnType,
    /// `ALTER COLUMN … TYPE` that keeps what is stored.
    ChangeColumnTypeInPlace,
    /// `ADD COLUMN` without a rewrite.
    AddColumn,
    /// `ADD COLUMN` whose value differs from row to row, or that is computed.
    AddColumnRewrite,
    /// `ADD COLUMN … NOT NULL` without a default.
    AddRequiredColumn,
    /// `ADD COLUMN` with a key, a check or a reference.
    AddConstrainedColumn,
    /// `SET NOT NULL`.
    SetNotNull,
    /// Default, storage, statistics, `DROP NOT NULL` of a column; options of a table.
    ChangeColumnProperty,
    /// `ADD FOREIGN KEY`.
    AddForeignKey,
    /// `VALIDATE CONSTRAINT`.
    ValidateConstraint,
    /// `ADD CHECK`.
    AddCheck,
    /// `ADD UNIQUE`, `PRIMARY KEY`, `EXCLUDE`.
    AddKey,
    /// `CREATE INDEX`.
    CreateIndex,
    /// `CREATE`, `DROP` or `REINDEX` with `CONCURRENTLY`.
    Concurrently,
    /// `DROP INDEX`.
    DropIndex,
    /// `REINDEX`.
    Reindex,
    /// `VACUUM FULL`, `CLUSTER`, `REPACK`.
    Repack,
    /// `SET LOGGED` or `UNLOGGED`.
    SetPersistence,
    /// `SET ACCESS METHOD` or `TABLESPACE`.
    MoveStorage,
    /// A new name or schema.
    Rename,
    /// `ATTACH` and `DETACH PARTITION`, `CREATE TABLE … PARTITION OF`, `INHERIT`.
    Partition,
    /// Triggers and rules are made, switched or dropped.
    Trigger,
    /// Who may see or do what: row security, policies, owners, grants.
    Access,
    /// `ALTER TYPE … ADD VALUE`, and what else no statement takes back.
    AddEnumValue,
    /// Drops what columns and tables may depend on: types, domains, sequences, functions, extensions.
    DropDependedOn,
    /// `REFRESH MATERIALIZED VIEW`.
    RefreshView,
    /// Databases, tablespaces, the server's settings.
    ServerWide,
    /// `DROP OWNED`, `REASSIGN OWNED`.
    OwnedObjects,
    /// A sequence's position is set.
    SetSequence,
    /// What it does can not be read.
    Unreviewable,
    /// `BEGIN`, `COMMIT`, `ROLLBACK` in the file itself.
    TransactionControl,
    /// A time limit that is set or taken away.
    Timeout,
    /// Rows are added: `INSERT`, `COPY … FROM`, `CREATE TABLE AS`.
    AddRows,
    /// `DROP CONSTRAINT`.
    DropConstraint,
    /// A view, or the rows that a materialized view holds, is dropped or redefined.
    ChangeView,
    /// Something new is made, or a comment, setting or definition changes, that touches no rows.
    Additive,
    /// `LOCK TABLE`.
    LockTable,
    /// Only reads.
    Read,
}

impl Kind {
    /// The row of the measured table of statements (1 to 42) that it comes from; none for kinds beyond it.
    pub fn number(self) -> Option<u8> {
        let place = self as u8 + 1;
        (place <= 42).then_some(place)
    }

    /// A short name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::DropTable => "drops a table",
            Self::DropTableCascade => "drops a table and what depends on it",
            Self::DropSchema => "drops a schema",
            Self::Truncate => "empties a table",
            Self::DeleteAll => "deletes every row",
            Self::UpdateAll => "changes every row",
            Self::ChangeRows => "changes or deletes rows",
            Self::ChangeInWith => "changes rows inside WITH",
            Self::DropColumn => "drops a column",
            Self::ChangeColumnType => "changes a column's type",
            Self::ChangeColumnTypeInPlace => "changes a column's type in place",
            Self::AddColumn => "adds a column",
            Self::AddColumnRewrite => "adds a column and rewrites the table",
            Self::AddRequiredColumn => "adds a column that must not be null",
            Self::AddConstrainedColumn => "adds a column with a constraint",
            Self::SetNotNull => "forbids nulls",
            Self::ChangeColumnProperty => "changes a property",
            Self::AddForeignKey => "adds a foreign key",
            Self::ValidateConstraint => "validates a constraint",
            Self::AddCheck => "adds a check",
            Self::AddKey => "adds a key",
            Self::CreateIndex => "creates an index",
            Self::Concurrently => "works concurrently, outside any transaction",
            Self::DropIndex => "drops an index",
            Self::Reindex => "rebuilds indexes",
            Self::Repack => "rewrites a table to pack it",
            Self::SetPersistence => "makes a table logged or unlogged",
            Self::MoveStorage => "moves a table's storage",
            Self::Rename => "renames",
            Self::Partition => "changes partitions or inheritance",
            Self::Trigger => "changes triggers or rules",
            Self::Access => "changes who may do what",
            Self::AddEnumValue => "adds a value that cannot be taken back",
            Self::DropDependedOn => "drops what others may depend on",
            Self::RefreshView => "refreshes a materialized view",
            Self::ServerWide => "acts on the whole server",
            Self::OwnedObjects => "acts on all objects of a role",
            Self::SetSequence => "sets a sequence",
            Self::Unreviewable => "cannot be reviewed",
            Self::TransactionControl => "begins or ends a transaction",
            Self::Timeout => "sets a time limit",
            Self::AddRows => "adds rows",
            Self::DropConstraint => "drops a constraint",
            Self::ChangeView => "drops or redefines a view",
            Self::Additive => "adds or describes",
            Self::LockTable => "locks a table",
            Self::Read => "reads",
        }
    }

    /// The risks that lie in the kind itself; locks, rewrites and losses add theirs.
    pub(crate) fn risks(self) -> &'static [RiskClass] {
        use RiskClass::{Access, BreaksApplication, NoWayBack, ServerWide};
        match self {
            Self::DropColumn
            | Self::DropTable
            | Self::DropTableCascade
            | Self::DropSchema
            | Self::DropDependedOn
            | Self::Rename
            | Self::ChangeView => &[BreaksApplication],
            Self::Trigger | Self::Access => &[Access],
            Self::AddEnumValue => &[NoWayBack],
            Self::ServerWide | Self::OwnedObjects => &[ServerWide],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_table() {
        for (kind, number) in [
            (Kind::DropTable, Some(1)),
            (Kind::DropColumn, Some(9)),
            (Kind::ValidateConstraint, Some(19)),
            (Kind::Concurrently, Some(23)),
            (Kind::AddEnumValue, Some(33)),
            (Kind::Unreviewable, Some(39)),
            (Kind::AddRows, Some(42)),
            (Kind::DropConstraint, None),
        ] {
            assert_eq!(kind.number(), number, "{kind:?}");
        }
    }
}
