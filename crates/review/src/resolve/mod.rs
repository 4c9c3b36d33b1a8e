//! Adds to a review what only the catalog knows.

mod closure;
mod drops;
mod locks;
mod rewrite;

use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Routine};
use crate::stack::with_deep_stack;
use crate::syntax::Reader;
use crate::{Catalog, Finding, Kind, Loss, MigrationSql, ObjectName, Review, ReviewOptions, Role, Within};
use closure::Closure;

/// Smaller tables are written anew, and locked for that, in no time.
const SMALL: u64 = 16 << 20;

/// Triggers that fire each other are followed so far.
const DEEPEST: usize = 6;

/// A table whose contents may be lost or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableAtRisk {
    /// The table, as the catalog names it.
    pub table: ObjectName,
    /// What may be gone.
    pub loss: Loss,
    /// The columns, where only some are meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Rows go, and none that stays is changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rows_only_go: bool,
    /// Triggers may set other columns of the same rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_triggers: bool,
    /// Through what the statement reaches it; none where it names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Through>,
    /// Its size, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its rows as the planner believes, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// Through what a statement reaches a table that it does not name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", content = "name")]
pub enum Through {
    /// A foreign key.
    ForeignKey(String),
    /// It inherits or is a partition.
    Parent(ObjectName),
    /// A view that is written to.
    View(ObjectName),
    /// It depends on what is dropped.
    DependsOn(ObjectName),
    /// A trigger's function.
    Trigger(ObjectName),
    /// It lies in the schema.
    Schema(String),
    /// It belongs to the role.
    Owner(String),
    /// A sequence, which belongs to a column.
    Column(ObjectName),
}

/// A review with what the catalog knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedReview {
    /// The review, its findings completed.
    pub review: Review,
    /// Whether something cannot be reviewed: then every table is at risk, named or not.
    pub everything_at_risk: bool,
    /// The tables at risk, each once, the largest first; all of the database where everything is.
    pub tables: Vec<TableAtRisk>,
    /// Names that mean nothing in the catalog and that no statement before made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<ObjectName>,
}

/// What the catalog knows, and what the run's own statements made and defined.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) batch: &'a Batch,
}

/// Reviews `files` and completes the review from `catalog`: bodies of functions that they call, cascades, partitions,
/// triggers, types, sizes. Reading never fails.
pub fn review_against(files: &[MigrationSql], options: &ReviewOptions, catalog: &Catalog) -> ResolvedReview {
    let mut options = options.clone();
    options.search_path.get_or_insert_with(|| catalog.search_path.clone());
    options.server_major = options.server_major.or(catalog.server_major);
    options.backslash_escapes |= catalog.standard_conforming_strings.as_deref() == Some("off");
    let read = with_deep_stack(|| {
        let (review, batch) = crate::review::review_with(files, &options, &|name| known(catalog, name));
        resolve(review, World { catalog, batch: &batch })
    });
    let unread = || resolve(crate::review::unread(files), World { catalog, batch: &Batch::default() });
    read.unwrap_or_else(unread)
}

/// Completes a review.
fn resolve(mut review: Review, world: World<'_>) -> ResolvedReview {
    let catalog = world.catalog;
    for file in &mut review.files {
        for statement in &mut file.statements {
            let mut more = Vec::new();
            for finding in &mut statement.findings {
                more.extend(resolve_finding(finding, world));
            }
            more.retain(|one| !statement.findings.contains(one));
            statement.findings.extend(more);
        }
    }
    let everything_at_risk = review.everything_at_risk();
    let mut tables: Vec<TableAtRisk> = Vec::new();
    let mut unresolved = Vec::new();
    for (_, finding) in review.findings() {
        finding.at_risk.iter().for_each(|table| put(&mut tables, table.clone()));
        unresolved.extend(finding.unresolved.iter().cloned());
    }
    if everything_at_risk {
        for relation in &catalog.relations {
            if closure::holds_rows(relation) {
                put(&mut tables, closure::at_risk(relation, Loss::Unknown, Vec::new(), None));
            }
        }
    }
    tables.sort_by(|one, other| (other.bytes, &one.table).cmp(&(one.bytes, &other.table)));
    unresolved.sort();
    unresolved.dedup();
    ResolvedReview { review, everything_at_risk, tables, unresolved }
}

/// Adds a table once: with the worst loss, and all its columns where one reason means all.
pub(crate) fn put(tables: &mut Vec<TableAtRisk>, table: TableAtRisk) {
    match tables.iter_mut().find(|one| one.table == table.table) {
        None => tables.push(table),
        Some(there) => {
            there.rows_only_go &= table.rows_only_go;
            there.by_triggers |= table.by_triggers;
            if table.columns.is_empty() || there.columns.is_empty() {
                there.columns.clear();
            } else {
                there.columns.extend(table.columns);
                there.columns.sort();
                there.columns.dedup();
            }
            if table.loss > there.loss {
                there.loss = table.loss;
                there.through = table.through;
            }
        }
    }
}

/// Completes one finding, and gives what follows from it through triggers and rules.
fn resolve_finding(finding: &mut Finding, world: World<'_>) -> Vec<Finding> {
    let catalog = world.catalog;
    finding.resolved = true;
    rewrite::decide(finding, world);
    let mut closure = Closure::new(world, finding.line, finding.within.clone());
    for touch in &finding.touches {
        closure.touch(finding, touch);
    }
    closure.target(finding);
    finding.at_risk = closure.tables;
    finding.locks = locks::of(finding, catalog, &closure.locks);
    finding.unresolved = closure.unresolved;
    finding.small = finding.kind != Kind::LockTable && is_small(finding, catalog);
    let mut more = closure.findings;
    if is_ddl(finding) && finding.within.is_empty() {
        for function in &catalog.event_triggers {
            more.extend(run(world, Within::Trigger(function.clone()), finding.line, &[]));
        }
    }
    more.retain(|one| one.kind != Kind::Read);
    more
}

/// Whether everything that nobody can write to meanwhile, or that is written anew, is small.
fn is_small(finding: &Finding, catalog: &Catalog) -> bool {
    let mut locks = finding.locks.iter().filter(|lock| lock.mode.blocks_writes()).peekable();
    let small = |lock: &crate::TableLock| match catalog.relation(&lock.table) {
        Some(one) if one.kind == crate::RelationKind::View => true,
        Some(one) => one.bytes.is_some_and(|bytes| bytes < SMALL),
        None => false,
    };
    locks.peek().is_some() && locks.all(small)
}

fn is_ddl(finding: &Finding) -> bool {
    let rows = matches!(
        finding.kind,
        Kind::Truncate | Kind::DeleteAll | Kind::UpdateAll | Kind::ChangeRows | Kind::ChangeInWith | Kind::Read
    );
    let session =
        matches!(finding.kind, Kind::TransactionControl | Kind::Timeout | Kind::Unreviewable | Kind::LockTable);
    let adds = finding.touches.iter().any(|touch| touch.role == Role::Add);
    !rows && !session && !adds
}

/// What the function of a trigger or view does, completed.
pub(crate) fn run(world: World<'_>, called: Within, line: u32, within: &[Within]) -> Vec<Finding> {
    if within.contains(&called) {
        return Vec::new();
    }
    if within.len() >= DEEPEST {
        let mut finding = Finding::unreviewable(crate::Unreviewable::TooDeep);
        (finding.line, finding.within) = (line, within.to_vec());
        return vec![finding];
    }
    let mut batch = Batch::new(Some(world.catalog.search_path.clone()));
    let lookup = |name: &ObjectName| world.known(name);
    let mut reader = Reader::new(&mut batch, &lookup, false);
    reader.at(line);
    match &called {
        Within::Trigger(function) => reader.trigger(function),
        Within::Routine(function) => reader.call(Some(function)),
        Within::Do | Within::Prepared(_) | Within::Branch => {}
    }
    let mut findings = reader.findings;
    for finding in &mut findings {
        finding.within.splice(0..0, within.iter().cloned());
    }
    complete(findings, world)
}

/// Completes findings that stand in what the catalog holds.
pub(crate) fn complete(mut findings: Vec<Finding>, world: World<'_>) -> Vec<Finding> {
    let mut more = Vec::new();
    for finding in &mut findings {
        more.extend(resolve_finding(finding, world));
    }
    findings.extend(more);
    findings
}

impl World<'_> {
    /// The definitions that a name may have, whenever it is called: before or after the run's own statements.
    pub(crate) fn known(&self, name: &ObjectName) -> Vec<Routine> {
        let made = self.batch.routines.iter().filter(|(one, _)| self.batch.may_be_same(one, name));
        let made = made.map(|(_, routine)| routine.clone());
        made.chain(known(self.catalog, name)).collect()
    }
}

/// The definitions that the catalog has under a name.
fn known(catalog: &Catalog, name: &ObjectName) -> Vec<Routine> {
    // An extension's own may do anything too, as dblink_exec does: only what cannot change anything is trusted, and
    // what is known by name.
    let harmless = |one: &crate::CatalogRoutine| !one.volatile || crate::functions::known(&one.name).is_some();
    let language = |one: &crate::CatalogRoutine| match one.of_extension {
        true if harmless(one) => "trusted".to_owned(),
        true => "an extension".to_owned(),
        false => one.language.clone(),
    };
    let routine = |one: &crate::CatalogRoutine| Routine {
        language: language(one),
        source: one.source.clone(),
        search_path: one.search_path.clone(),
        defaults: one.defaults.clone(),
    };
    catalog.routines(name).map(routine).collect()
}
