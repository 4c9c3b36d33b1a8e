//! What hangs together only since a statement of the run: no catalog knows it yet.

use crate::{Made, ObjectName, Reach, Role, Touch};

/// That what happens to one table happens to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The table that a statement names.
    pub(crate) from: ObjectName,
    /// The table that is reached from it.
    pub(crate) to: ObjectName,
    /// By what.
    pub(crate) tie: Tie,
}

/// What links two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// A view: what is written to it is written to what it shows.
    Shows,
    /// A partition or a table that inherits: statements are passed on to it.
    Child,
    /// A foreign key of the other table.
    Key {
        /// What happens to rows that refer to one that is deleted.
        on_delete: OnKey,
        /// Whether rows that refer change with the key.
        on_update: bool,
    },
    /// A sequence of one of its columns.
    Owns,
}

/// What happens to rows that refer to one that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnKey {
    /// They forbid it.
    Nothing,
    /// They are deleted too.
    Deletes,
    /// Their key is set to null or its default.
    Changes,
}

impl Link {
    /// What reaches the other table when `touch` happens to the one.
    pub(crate) fn passes(&self, touch: &Touch) -> Option<Touch> {
        if touch.role < Role::Add {
            return None;
        }
        let reach = match (self.tie, touch.reach) {
            (Tie::Shows | Tie::Child, reach) => reach,
            (Tie::Key { .. }, Reach::Truncate { cascade: true, restart }) => Reach::Truncate { cascade: true, restart },
            (Tie::Key { on_delete: OnKey::Deletes, .. }, Reach::Delete) => Reach::Delete,
            (Tie::Key { on_delete: OnKey::Changes, .. }, Reach::Delete) => Reach::Update,
            (Tie::Key { on_update: true, .. }, Reach::Update) => Reach::Update,
            (Tie::Owns, Reach::Drop { .. } | Reach::DropColumn { .. }) => Reach::Itself,
            _ => return None,
        };
        let (table, role) = (self.to.clone(), touch.role);
        Some(Touch { table, before: None, made: Made::No, role, reach, columns: Vec::new() })
    }
}
