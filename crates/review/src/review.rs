//! The review itself: files in, findings out.

use serde::{Deserialize, Serialize};

use crate::batch::{Batch, RenamedColumn, RenamedTable, Routine};
use crate::scan::parts::parts;
use crate::scan::statements::{Piece, Reader as TextReader, pieces};
use crate::stack::with_deep_stack;
use crate::syntax::Reader;
use crate::{
    Advice, Dialect, Finding, Kind, MigrationSql, ObjectName, ReviewOptions, RiskClass, Transaction, Unreviewable,
};

/// What a review found, file by file in the order in which they run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The files.
    pub files: Vec<FileReview>,
    /// Columns that get another name, also for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renamed_columns: Vec<RenamedColumn>,
    /// Tables, views and sequences that get another name or schema, also for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renamed_tables: Vec<RenamedTable>,
}

/// What a review found in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReview {
    /// The file's name.
    pub file: String,
    /// Its statements in order, those without effect left out.
    pub statements: Vec<StatementReview>,
    /// What is said about the file as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// squawk's advice. It decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Advice>,
}

/// What a review found in one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementReview {
    /// Its first line in the file, from 1.
    pub line: u32,
    /// Where its text lies: the offset in bytes. The text itself, which may hold values, is not kept.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
    /// Its first words, such as `ALTER TABLE`; never a name or value.
    pub words: String,
    /// What it does; at least one.
    pub findings: Vec<Finding>,
}

/// What is said about a file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "note")]
pub enum Note {
    /// The statement cannot run in the transaction that surrounds it, and fails.
    FailsInTransaction {
        /// Where.
        line: u32,
    },
    /// The file begins or ends transactions by itself: a failure may leave a part of it.
    OwnTransaction {
        /// Where first.
        line: u32,
    },
    /// Several statements without a transaction around them: a failure leaves a part of them.
    NotAtomic,
    /// An exclusive lock is taken and the transaction goes on for further statements, which hold it.
    HoldsLock {
        /// Where it is taken.
        line: u32,
        /// How many statements follow in the transaction.
        statements: usize,
    },
}

impl Review {
    /// All findings with their file.
    pub fn findings(&self) -> impl Iterator<Item = (&str, &Finding)> {
        self.files.iter().flat_map(|file| {
            file.statements.iter().flat_map(|one| one.findings.iter()).map(|finding| (file.file.as_str(), finding))
        })
    }

    /// Whether something cannot be reviewed: then everything is at risk.
    pub fn everything_at_risk(&self) -> bool {
        self.findings().any(|(_, finding)| finding.puts_everything_at_risk())
    }

    /// The risks, each once, the worst first.
    pub fn risks(&self) -> Vec<RiskClass> {
        let mut risks: Vec<RiskClass> = self.findings().flat_map(|(_, finding)| finding.risks()).collect();
        risks.sort();
        risks.dedup();
        risks
    }
}

impl Finding {
    /// Whether everything is at risk as far as the statement alone tells.
    pub fn puts_everything_at_risk(&self) -> bool {
        self.unreviewable.is_some() || (!self.resolved && self.loses.is_data() && self.reaches_tables())
    }

    /// Whether only the catalog knows which tables are meant.
    fn reaches_tables(&self) -> bool {
        matches!(self.kind, Kind::DropSchema | Kind::DropDependedOn | Kind::OwnedObjects | Kind::ServerWide)
            && self.loses != crate::Loss::Position
    }
}

/// Reviews `files`, which run in this order.
///
/// Comments in the SQL decide nothing here, whatever they ask for. Text that cannot be read becomes a finding of kind
/// [`Kind::Unreviewable`], never nothing. Reading never fails.
pub fn review(files: &[MigrationSql], options: &ReviewOptions) -> Review {
    let read = with_deep_stack(|| review_with(files, options, &|_| Vec::new()).0);
    read.unwrap_or_else(|| unread(files))
}

/// The review of files that nobody can read here.
pub(crate) fn unread(files: &[MigrationSql]) -> Review {
    let unread = |file: &MigrationSql| FileReview {
        file: file.name.clone(),
        statements: vec![whole(&file.text, Unreviewable::TooLarge)],
        notes: Vec::new(),
        advice: Vec::new(),
    };
    Review { files: files.iter().map(unread).collect(), renamed_columns: Vec::new(), renamed_tables: Vec::new() }
}

/// Reviews `files`; with what they made and defined.
pub(crate) fn review_with(
    files: &[MigrationSql],
    options: &ReviewOptions,
    known: &dyn Fn(&ObjectName) -> Vec<Routine>,
) -> (Review, Batch) {
    let mut batch = Batch::new(options.search_path.clone());
    batch.quotes_changed = options.backslash_escapes;
    // The JDBC driver sets the zone of its own machine.
    batch.zone_unknown = files.iter().any(|file| file.dialect == Dialect::Flyway);
    let files = files.iter().map(|file| {
        let read = review_file(file, options, &mut batch, known);
        batch.end_session();
        read
    });
    let files = files.collect();
    let (renamed_columns, renamed_tables) = (batch.renamed_columns.clone(), batch.renamed_tables());
    (Review { files, renamed_columns, renamed_tables }, batch)
}

/// A file that is not read statement by statement.
fn whole(text: &str, why: Unreviewable) -> StatementReview {
    let mut finding = Finding::unreviewable(why);
    finding.line = 1;
    StatementReview { line: 1, offset: 0, length: text.len(), words: String::new(), findings: vec![finding] }
}

fn review_file(
    file: &MigrationSql,
    options: &ReviewOptions,
    batch: &mut Batch,
    known: &dyn Fn(&ObjectName) -> Vec<Routine>,
) -> FileReview {
    let text = filled_in(file);
    let lines = Lines::new(&text);
    let mut statements = Vec::new();
    if file.dialect == Dialect::Program {
        statements.push(whole(&text, Unreviewable::Program));
    } else {
        let reader = TextReader {
            psql: file.dialect == Dialect::Psql,
            copy_data: matches!(file.dialect, Dialect::Psql | Dialect::Flyway),
            replaces_in_quotes: file.dialect == Dialect::Flyway,
        };
        for part in parts(&text, file.dialect, file.direction) {
            for piece in pieces(&text, part, reader) {
                statements.extend(read_piece(&text, &lines, piece, file, batch, known));
            }
        }
    }
    let notes = notes(file, &statements);
    let advice = if options.advice && file.dialect != Dialect::Program {
        crate::advice::advise(&text, file, options.server_major)
    } else {
        Vec::new()
    };
    FileReview { file: file.name.clone(), statements, notes, advice }
}

fn read_piece(
    text: &str,
    lines: &Lines,
    piece: Piece,
    file: &MigrationSql,
    batch: &mut Batch,
    known: &dyn Fn(&ObjectName) -> Vec<Routine>,
) -> Option<StatementReview> {
    let mut reader = Reader::new(batch, known, file.stops_on_error);
    let range = match piece {
        Piece::Meta { range, command } => {
            if is_harmless(&command) {
                return None;
            }
            reader.at(lines.line(range.start));
            reader.refuse(Unreviewable::MetaCommand(command));
            range
        }
        Piece::Statement { range, placeholder, unterminated } => {
            reader.at(lines.line(range.start));
            if placeholder {
                reader.refuse(Unreviewable::Placeholder);
            }
            if unterminated {
                reader.refuse(Unreviewable::Unterminated);
            }
            // What can be told of it is told all the same.
            reader.text(&text[range.clone()]);
            if placeholder || unterminated {
                reader.findings.retain(|one| one.unreviewable != Some(Unreviewable::Broken));
            }
            range
        }
    };
    let findings = reader.findings;
    if findings.is_empty() {
        return None;
    }
    let words = words(&text[range.clone()]);
    Some(StatementReview { line: lines.line(range.start), offset: range.start, length: range.len(), words, findings })
}

/// Meta-commands of psql that do nothing to the database.
fn is_harmless(command: &str) -> bool {
    matches!(command, "." | "echo" | "qecho" | "warn" | "timing" | "x" | "pset" | "restrict" | "unrestrict")
}

/// The statement's first key words.
fn words(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    // What stands where a statement should begin may be a value.
    let first_words = [
        "ABORT",
        "ALTER",
        "ANALYZE",
        "BEGIN",
        "CALL",
        "CHECKPOINT",
        "CLOSE",
        "CLUSTER",
        "COMMENT",
        "COMMIT",
        "COPY",
        "CREATE",
        "DEALLOCATE",
        "DECLARE",
        "DELETE",
        "DISCARD",
        "DO",
        "DROP",
        "END",
        "EXECUTE",
        "EXPLAIN",
        "FETCH",
        "GRANT",
        "IMPORT",
        "INSERT",
        "LISTEN",
        "LOAD",
        "LOCK",
        "MERGE",
        "MOVE",
        "NOTIFY",
        "PREPARE",
        "REASSIGN",
        "REFRESH",
        "REINDEX",
        "RELEASE",
        "RESET",
        "REVOKE",
        "ROLLBACK",
        "SAVEPOINT",
        "SECURITY",
        "SELECT",
        "SET",
        "SHOW",
        "START",
        "TABLE",
        "TRUNCATE",
        "UNLISTEN",
        "UPDATE",
        "VACUUM",
        "VALUES",
        "WITH",
    ];
    let of_two =
        ["CREATE", "ALTER", "DROP", "COMMENT", "REFRESH", "LOCK", "SET", "INSERT", "DELETE", "VACUUM", "TRUNCATE"];
    let second = [
        "TABLE",
        "INDEX",
        "UNIQUE",
        "VIEW",
        "MATERIALIZED",
        "SCHEMA",
        "TYPE",
        "FUNCTION",
        "PROCEDURE",
        "TRIGGER",
        "SEQUENCE",
        "EXTENSION",
        "DOMAIN",
        "POLICY",
        "ROLE",
        "USER",
        "GROUP",
        "SUBSCRIPTION",
        "DATABASE",
        "INTO",
        "FROM",
        "FULL",
        "OR",
        "RULE",
        "ON",
        "OWNED",
        "SYSTEM",
    ];
    let mut words = words.map(str::to_ascii_uppercase);
    let Some(first) = words.next().filter(|word| first_words.contains(&word.as_str())) else { return String::new() };
    match words.next().filter(|word| of_two.contains(&first.as_str()) && second.contains(&word.as_str())) {
        Some(word) => format!("{first} {word}"),
        None => first,
    }
}

fn filled_in(file: &MigrationSql) -> String {
    // As many blanks as the mark has bytes: positions stay those of the file.
    let mut text = match file.text.strip_prefix('\u{feff}') {
        Some(rest) => format!("   {rest}"),
        None => file.text.clone(),
    };
    for (name, value) in &file.placeholders {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    text
}

fn notes(file: &MigrationSql, statements: &[StatementReview]) -> Vec<Note> {
    let mut notes = Vec::new();
    let findings = || statements.iter().flat_map(|one| one.findings.iter());
    let own = findings().find(|one| one.kind == Kind::TransactionControl && one.within.is_empty());
    if let Some(own) = own {
        notes.push(Note::OwnTransaction { line: own.line });
    }
    let surrounded = file.transaction != Transaction::None;
    if surrounded && own.is_none() {
        let outside = findings().filter(|one| !one.transactional && one.within.is_empty());
        notes.extend(outside.map(|one| Note::FailsInTransaction { line: one.line }));
    }
    if !surrounded && own.is_none() && statements.len() > 1 {
        notes.push(Note::NotAtomic);
    }
    let exclusive = |one: &StatementReview| {
        one.findings.iter().any(|finding| {
            let on_old = |lock: &crate::TableLock| {
                lock.mode.blocks_reads()
                    && !finding.touches.iter().any(|touch| touch.table == lock.table && touch.made == crate::Made::Yes)
            };
            finding.locks.iter().any(on_old)
        })
    };
    if surrounded && let Some(first) = statements.iter().position(exclusive) {
        let after = statements.len() - first - 1;
        if after > 0 {
            notes.push(Note::HoldsLock { line: statements[first].line, statements: after });
        }
    }
    notes
}

/// Where lines begin.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }

    fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }
}
