//! Which tables a statement reaches: foreign keys, partitions, views, triggers, rules.

use crate::batch::Batch;
use crate::resolve::{Through, World, put, run};
use crate::syntax::Reader;
use crate::{
    Catalog, Event, Finding, KeyAction, Kind, LockMode, Loss, Made, ObjectClass, ObjectName, Reach, Relation,
    RelationKind, Role, TableAtRisk, TableLock, Touch, Within,
};

/// What is reached from one finding.
pub(super) struct Closure<'a> {
    pub(super) catalog: &'a Catalog,
    world: World<'a>,
    pub(super) tables: Vec<TableAtRisk>,
    /// The locks on what is reached.
    pub(super) locks: Vec<TableLock>,
    pub(super) unresolved: Vec<ObjectName>,
    pub(super) findings: Vec<Finding>,
    line: u32,
    within: Vec<Within>,
    seen: Vec<(ObjectName, Event)>,
}

/// Whether rows of a relation can be lost.
pub(crate) fn holds_rows(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::Table | RelationKind::ForeignTable)
}

/// A table at risk, with its size.
pub(crate) fn at_risk(relation: &Relation, loss: Loss, columns: Vec<String>, through: Option<Through>) -> TableAtRisk {
    let rows = relation.rows.filter(|rows| *rows >= 0.0);
    // A count of rows is whole and far below the point where this loses digits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate, and not negative")]
    let rows = rows.map(|rows| rows as u64);
    // A table that is dropped may be made again by the same run, with other rows under the same keys.
    let rows_only_go = loss == Loss::AllRows;
    let (table, bytes) = (relation.name.clone(), relation.bytes);
    TableAtRisk { table, loss, columns, rows_only_go, by_triggers: false, through, bytes, rows }
}

impl<'a> Closure<'a> {
    pub(super) fn new(world: World<'a>, line: u32, within: Vec<Within>) -> Self {
        let (tables, locks, unresolved) = (Vec::new(), Vec::new(), Vec::new());
        let (findings, seen) = (Vec::new(), Vec::new());
        Self { catalog: world.catalog, world, tables, locks, unresolved, findings, line, within, seen }
    }

    pub(super) fn risk(&mut self, relation: &Relation, loss: Loss, columns: &[String], through: Option<Through>) {
        if relation.kind != RelationKind::View && relation.kind != RelationKind::MaterializedView {
            put(&mut self.tables, at_risk(relation, loss, columns.to_vec(), through));
        }
    }

    /// As [`Self::risk`], for rows that are deleted.
    fn risk_of_rows(&mut self, relation: &Relation, loss: Loss, through: Option<Through>) {
        if relation.kind != RelationKind::View && relation.kind != RelationKind::MaterializedView {
            let rows_only_go = loss == Loss::SomeRows || loss == Loss::AllRows;
            put(&mut self.tables, TableAtRisk { rows_only_go, ..at_risk(relation, loss, Vec::new(), through) });
        }
    }

    pub(super) fn lock(&mut self, relation: &Relation, mode: LockMode) {
        if relation.kind != RelationKind::Sequence {
            self.locks.push(TableLock { table: relation.name.clone(), mode });
        }
    }

    /// A table that the statement names.
    pub(super) fn touch(&mut self, finding: &Finding, touch: &Touch) {
        if touch.made == Made::Yes {
            return self.copied(finding, touch);
        }
        let name = touch.before.as_ref().unwrap_or(&touch.table);
        let path = finding.search_path.as_deref();
        let mut relations = self.catalog.meant(name, path);
        // A rename may have been rolled back, or have been another table's: the name itself counts too.
        if touch.before.is_some() {
            relations.extend(self.catalog.meant(&touch.table, path));
        }
        if relations.is_empty() {
            let optional = finding.target.as_ref().is_some_and(|target| target.if_exists);
            let system = matches!(name.schema.as_deref(), Some("pg_catalog" | "information_schema"))
                || name.name.starts_with("pg_");
            if touch.made == Made::No && !optional && !system {
                self.unresolved.push(name.clone());
            }
            return;
        }
        for relation in relations {
            if touch.role != Role::Reference {
                self.read(relation, finding.kind == Kind::RefreshView);
            }
            self.reach(finding.loses, &self.as_before(touch, relation), relation);
        }
    }

    /// A touch with its columns called as before the run, and as the catalog knows them.
    fn as_before(&self, touch: &Touch, relation: &Relation) -> Touch {
        let named = |column: &String| {
            let mut names = self.world.batch.columns_before(&touch.table, column);
            // Another column may have had its name.
            if names.is_empty() || relation.columns.iter().any(|one| one.name == *column) {
                names.push(column.clone());
            }
            names
        };
        let mut columns: Vec<String> = Vec::new();
        for name in touch.columns.iter().flat_map(named) {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        Touch { columns, ..touch.clone() }
    }

    /// What happens when a new table is written to that has the expressions, or the triggers, of one of the catalog's.
    fn copied(&mut self, finding: &Finding, touch: &Touch) {
        let event = match touch.reach {
            Reach::Insert => Event::Insert,
            Reach::Update => Event::Update,
            Reach::Delete => Event::Delete,
            _ => return,
        };
        let (catalog, batch) = (self.catalog, self.world.batch);
        if touch.role == Role::Read || touch.role == Role::Reference {
            return;
        }
        for copied in batch.copied.iter().filter(|one| batch.means(&one.table, &touch.table)) {
            for relation in catalog.meant(&copied.from, finding.search_path.as_deref()) {
                if copied.triggers {
                    self.fire(&relation.name, event);
                } else {
                    self.compute(&relation.name, event);
                }
            }
        }
    }

    /// Whoever reads a view calls what it calls; a materialized one only when it is refreshed.
    fn read(&mut self, relation: &Relation, refreshed: bool) {
        let mut open = match relation.kind {
            RelationKind::View => vec![&relation.name],
            RelationKind::MaterializedView if refreshed => vec![&relation.name],
            _ => return,
        };
        let catalog = self.catalog;
        let mut seen: Vec<&ObjectName> = Vec::new();
        while let Some(view) = open.pop() {
            if seen.contains(&view) {
                continue;
            }
            seen.push(view);
            for needed in catalog.needs(view) {
                if needed.class == ObjectClass::View {
                    open.push(&needed.name);
                } else if needed.class == ObjectClass::Function
                    && catalog.routines(&needed.name).any(|one| one.volatile)
                {
                    let called = Within::Routine(needed.name.clone());
                    self.findings.extend(run(self.world, called, self.line, &self.within));
                }
            }
        }
    }

    fn reach(&mut self, loss: Loss, touch: &Touch, relation: &Relation) {
        match touch.reach {
            Reach::Itself if touch.role == Role::Write => self.risk(relation, loss, &touch.columns, None),
            Reach::Children if touch.role == Role::Write && loss.is_data() => {
                self.risk(relation, loss, &touch.columns, None);
                self.children(relation, loss, &touch.columns);
            }
            Reach::Itself | Reach::Children => {}
            Reach::Insert => self.write(relation, Event::Insert, Loss::Nothing, &[], None),
            Reach::Update => self.write(relation, Event::Update, loss, &touch.columns, None),
            Reach::Delete => self.write(relation, Event::Delete, loss, &[], None),
            Reach::Truncate { cascade, restart } => self.truncate(relation, cascade, restart, None),
            Reach::Drop { cascade } => self.drop_relation(relation, cascade),
            Reach::DropColumn { cascade } => {
                self.risk(relation, loss, &touch.columns, None);
                self.children(relation, loss, &touch.columns);
                for column in &touch.columns {
                    self.drop_column(relation, column, cascade);
                }
            }
        }
    }

    pub(super) fn children(&mut self, relation: &Relation, loss: Loss, columns: &[String]) {
        for child in self.catalog.descendants(&relation.name) {
            self.risk(child, loss, columns, Some(Through::Parent(relation.name.clone())));
        }
    }

    /// Rows of a relation are changed: with them those that refer to them, and what triggers and rules do.
    fn write(&mut self, relation: &Relation, event: Event, loss: Loss, columns: &[String], through: Option<Through>) {
        let before = self.seen.contains(&(relation.name.clone(), event));
        self.lock(relation, LockMode::RowExclusive);
        // Columns that are computed change along, and rows move between partitions as wholes.
        let moves = !relation.parents.is_empty() || relation.kind == RelationKind::PartitionedTable;
        let all = if moves { Vec::new() } else { self.catalog.with_generated(&relation.name, columns) };
        if event == Event::Delete && loss != Loss::Nothing {
            self.risk_of_rows(relation, loss, through);
        } else if event != Event::Insert && loss != Loss::Nothing {
            self.risk(relation, loss, &all, through);
            if event == Event::Update && self.sets_more(&relation.name) {
                let own = self.tables.iter_mut().filter(|one| one.table == relation.name);
                own.for_each(|one| one.by_triggers = true);
            }
        }
        if before {
            return;
        }
        self.seen.push((relation.name.clone(), event));
        self.fire(&relation.name, event);
        if event == Event::Update && (relation.kind == RelationKind::PartitionedTable || !relation.parents.is_empty()) {
            // A row that moves to another partition is deleted in one and inserted in the other.
            self.fire(&relation.name, Event::Delete);
            self.fire(&relation.name, Event::Insert);
        }
        for child in self.catalog.descendants(&relation.name) {
            self.write(child, event, loss, columns, Some(Through::Parent(relation.name.clone())));
        }
        if relation.kind == RelationKind::View {
            for needed in self.catalog.needs(&relation.name) {
                if matches!(needed.class, ObjectClass::Table | ObjectClass::View)
                    && let Some(table) = self.catalog.relation(&needed.name)
                {
                    self.write(table, event, loss, &[], Some(Through::View(relation.name.clone())));
                }
            }
        }
        for key in self.catalog.foreign_keys.iter().filter(|key| key.parent == relation.name) {
            let action = match event {
                Event::Delete => key.on_delete,
                Event::Update if columns.is_empty() || columns.iter().any(|one| key.parent_columns.contains(one)) => {
                    key.on_update
                }
                _ => continue,
            };
            let Some(child) = self.catalog.relation(&key.table) else { continue };
            let through = Some(Through::ForeignKey(key.name.clone()));
            match action {
                KeyAction::NoAction | KeyAction::Restrict => {}
                KeyAction::Cascade if event == Event::Delete => self.write(child, Event::Delete, loss, &[], through),
                KeyAction::Cascade | KeyAction::SetNull | KeyAction::SetDefault => {
                    let loss = Loss::SomeRows;
                    self.write(child, Event::Update, loss, &key.columns, through);
                }
            }
        }
    }

    /// A table is emptied; with `CASCADE` also every table that refers to it.
    fn truncate(&mut self, relation: &Relation, cascade: bool, restart: bool, through: Option<Through>) {
        if self.seen.contains(&(relation.name.clone(), Event::Truncate)) {
            return;
        }
        self.seen.push((relation.name.clone(), Event::Truncate));
        self.risk(relation, Loss::AllRows, &[], through);
        self.lock(relation, LockMode::AccessExclusive);
        if restart {
            let owned = |one: &&crate::Dependency| {
                one.automatic && one.dependent.class == ObjectClass::Sequence && one.on.name == relation.name
            };
            for dependency in self.catalog.dependencies.iter().filter(owned) {
                if let Some(sequence) = self.catalog.relation(&dependency.dependent.name) {
                    self.risk(sequence, Loss::Position, &[], Some(Through::Column(relation.name.clone())));
                }
            }
        }
        self.fire(&relation.name, Event::Truncate);
        for child in self.catalog.descendants(&relation.name) {
            self.truncate(child, cascade, restart, Some(Through::Parent(relation.name.clone())));
        }
        if cascade {
            for key in self.catalog.foreign_keys.iter().filter(|key| key.parent == relation.name) {
                if let Some(child) = self.catalog.relation(&key.table) {
                    self.truncate(child, cascade, restart, Some(Through::ForeignKey(key.name.clone())));
                }
            }
        }
    }

    /// What the table's own expressions call when it happens: those of the catalog, and those that the run gave to it.
    fn compute(&mut self, table: &ObjectName, event: Event) {
        let (catalog, batch) = (self.catalog, self.world.batch);
        let there = catalog.expressions.iter().filter(|one| one.table == *table && one.events.contains(&event));
        let given = batch.expressions.iter().filter(|(on, _)| event.computes() && batch.means(on, table));
        let functions = there.map(|one| &one.function).chain(given.map(|(_, function)| function));
        for function in functions {
            self.findings.extend(run(self.world, Within::Routine(function.clone()), self.line, &self.within));
        }
    }

    /// Whether a trigger sees each row before it is updated, and may set any column of it.
    fn sets_more(&self, table: &ObjectName) -> bool {
        let batch = self.world.batch;
        let there = self
            .catalog
            .triggers
            .iter()
            .any(|one| one.table == *table && one.before_row && one.events.contains(&Event::Update));
        there || batch.triggers.iter().any(|(on, _)| batch.means(on, table))
    }

    /// What triggers, rules and the table's own expressions do when it happens.
    fn fire(&mut self, table: &ObjectName, event: Event) {
        let catalog = self.catalog;
        for trigger in catalog.triggers.iter().filter(|one| one.table == *table && one.events.contains(&event)) {
            self.findings.extend(run(self.world, Within::Trigger(trigger.function.clone()), self.line, &self.within));
        }
        self.compute(table, event);
        let made = self.world.batch.triggers.iter().filter(|(on, _)| self.world.batch.means(on, table));
        for (_, function) in made {
            self.findings.extend(run(self.world, Within::Trigger(function.clone()), self.line, &self.within));
        }
        for rule in catalog.rules.iter().filter(|one| one.table == *table) {
            let mark = Within::Trigger(table.renamed(&format!("{} (rule)", table.name)));
            if self.within.contains(&mark) {
                continue;
            }
            let mut batch = Batch::new(Some(catalog.search_path.clone()));
            let lookup = |name: &ObjectName| self.world.known(name);
            let mut reader = Reader::new(&mut batch, &lookup, false);
            reader.at(self.line);
            reader.text(&rule.definition);
            drop(reader);
            let actions = batch.rules.into_iter().flat_map(|(_, actions)| actions);
            let actions = actions.map(|mut action| {
                action.within.insert(0, mark.clone());
                action.within.splice(0..0, self.within.iter().cloned());
                action.line = self.line;
                action
            });
            let actions: Vec<Finding> = actions.collect();
            self.findings.extend(super::complete(actions, self.world));
        }
    }
}
