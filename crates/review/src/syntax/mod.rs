//! From a parsed statement to findings. Only what is below here, and `advice.rs`, knows the parser: its trees are not
//! stable between versions.

mod alter_table;
mod body;
mod calls;
mod columns;
mod constraints;
mod depth;
mod drops;
mod names;
mod objects;
mod on_write;
mod query;
mod session;
mod statement;
mod tables;

use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{SourceFile, SyntaxNode};

pub(crate) use depth::too_deep;

use crate::batch::Batch;
use crate::scan::statements::{Piece, Reader as TextReader, pieces};
use crate::{Finding, Unreviewable, Within};

/// Longer statements are not parsed: time and memory grow faster than their length.
const LONGEST: usize = 8 << 20;
/// More calls within calls are not followed.
const CALLS: usize = 12;
/// A driver's view of a body: nothing stands before the server.
const INNER: TextReader = TextReader { psql: false, copy_data: false, replaces_in_quotes: false };

/// Reads statements into findings.
pub(crate) struct Reader<'a> {
    pub(crate) batch: &'a mut Batch,
    pub(crate) findings: Vec<Finding>,
    /// Routines that only the catalog knows, and triggers' functions.
    pub(crate) known: &'a dyn Fn(&crate::ObjectName) -> Vec<crate::batch::Routine>,
    line: u32,
    within: Vec<Within>,
    stops_on_error: bool,
    in_body: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        batch: &'a mut Batch,
        known: &'a dyn Fn(&crate::ObjectName) -> Vec<crate::batch::Routine>,
        stops_on_error: bool,
    ) -> Self {
        Self { batch, findings: Vec::new(), known, line: 1, within: Vec::new(), stops_on_error, in_body: false }
    }

    pub(crate) fn at(&mut self, line: u32) {
        self.line = line;
    }

    /// Says that what stands here cannot be reviewed.
    pub(crate) fn refuse(&mut self, why: Unreviewable) {
        self.add(Finding::unreviewable(why));
    }

    /// Whether a statement that stands here has certainly run when a later one does.
    fn certain(&self) -> bool {
        self.within.is_empty() && self.stops_on_error
    }

    /// Reads the text of one statement.
    pub(crate) fn text(&mut self, text: &str) {
        if text.len() > LONGEST || too_deep(text) {
            return self.add(Finding::unreviewable(Unreviewable::TooLarge));
        }
        if self.batch.quotes_changed {
            return self.add(Finding::unreviewable(Unreviewable::QuotesChanged));
        }
        // A carriage return ends a comment for the server, and for the parser it does not.
        let parse = SourceFile::parse(&text.replace('\r', "\n"));
        let statements: Vec<ast::Stmt> =
            parse.tree().stmts().filter(|one| !matches!(one, ast::Stmt::EmptyStmt(_))).collect();
        if !parse.errors().is_empty() || statements.len() != 1 {
            self.add(Finding::unreviewable(Unreviewable::Broken));
        }
        for statement in &statements {
            self.statement(statement);
        }
    }

    /// Reads a text of several statements that is run where we stand.
    fn texts(&mut self, text: &str) {
        for piece in pieces(text, 0..text.len(), INNER) {
            match piece {
                Piece::Statement { unterminated: true, .. } => {
                    self.add(Finding::unreviewable(Unreviewable::Unterminated));
                }
                Piece::Statement { range, .. } => self.text(&text[range]),
                Piece::Meta { .. } => self.add(Finding::unreviewable(Unreviewable::BrokenBody)),
            }
        }
    }

    /// Adds a finding where we stand, with what the batch knows about its tables, and what follows from that.
    fn add(&mut self, mut finding: Finding) {
        finding.line = self.line;
        finding.search_path.clone_from(&self.batch.changed_path);
        finding.within.splice(0..0, self.within.iter().cloned());
        let mut place = 0;
        while let Some(touch) = finding.touches.get(place).cloned() {
            for passed in self.batch.passed_on(&touch) {
                let same = |one: &crate::Touch| {
                    one.table == passed.table && one.role == passed.role && one.reach == passed.reach
                };
                if !finding.touches.iter().any(same) {
                    let lock = finding.locks.iter().find(|lock| lock.table == touch.table).map(|lock| lock.mode);
                    if let Some(mode) = lock.filter(|_| passed.reach != crate::Reach::Itself) {
                        finding.locks.push(crate::TableLock { table: passed.table.clone(), mode });
                    }
                    finding.touches.push(passed);
                }
            }
            place += 1;
        }
        for touch in &mut finding.touches {
            self.batch.trace(touch);
        }
        if let Some(target) = &mut finding.target {
            target.before =
                self.batch.object_before(target.class, &target.name).filter(|before| *before != target.name);
        }
        let touches = finding.touches.clone();
        let system = touches.iter().find(|touch| writes_to_the_server(touch)).map(|touch| touch.table.clone());
        self.findings.push(finding);
        if let Some(table) = system {
            self.add(Finding::unreviewable(Unreviewable::SystemTable(table)));
        }
        for touch in touches {
            self.fire(&touch);
        }
    }

    /// The locks that the server takes to understand what `read` reads, without running it. Nothing else comes of it.
    fn locks_to_understand(&mut self, read: impl FnOnce(&mut Self)) -> Vec<crate::TableLock> {
        let batch = self.batch.clone();
        let outside = std::mem::take(&mut self.findings);
        read(self);
        let inside = std::mem::replace(&mut self.findings, outside);
        *self.batch = batch;
        let locks = inside.into_iter().filter(|one| one.within == self.within).flat_map(|one| one.locks);
        locks.filter(|lock| lock.mode <= crate::LockMode::RowExclusive).collect()
    }

    /// Adds a finding about a named object, or says that its name cannot be read.
    fn named(&mut self, node: Option<&SyntaxNode>, make: impl FnOnce(&mut Self, &crate::ObjectName)) {
        match node.and_then(names::name_of) {
            Some(name) => make(self, &name),
            None => self.add(Finding::unreviewable(Unreviewable::Unnamed)),
        }
    }
}

/// The node of an optional part.
fn node<N: AstNode>(part: Option<&N>) -> Option<&SyntaxNode> {
    part.map(AstNode::syntax)
}

/// Whether rows of a table of the server itself are written: its catalog is no table like others.
fn writes_to_the_server(touch: &crate::Touch) -> bool {
    let schema = touch.table.schema.as_deref();
    let system = matches!(schema, Some("pg_catalog" | "information_schema" | "pg_toast"))
        || schema.is_none() && touch.table.name.starts_with("pg_");
    system && matches!(touch.role, crate::Role::Write | crate::Role::Add) && touch.made != crate::Made::Yes
}
