//! Statements about the session: settings, transactions, prepared statements.

use squawk_syntax::ast::{self, AstNode};

use super::body::identifiers;
use super::names::{identifier, tokens};
use super::{Reader, node};
use crate::{Finding, Kind, LockMode, Reach, Role, Unreviewable, WayBack, Within};

/// Settings that are time limits.
const LIMITS: [&str; 5] = [
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
];

impl Reader<'_> {
    /// `SET`, taken apart by its words: `SET [SESSION | LOCAL] name { TO | = } value`.
    pub(super) fn set_statement(&mut self, set: &ast::Set) {
        let words: Vec<String> = tokens(set.syntax()).map(|token| token.text().to_owned()).collect();
        let is = |at: usize, word: &str| words.get(at).is_some_and(|one| one.eq_ignore_ascii_case(word));
        let name = 1 + usize::from(is(1, "session") || is(1, "local"));
        let value = if is(name + 1, "to") || is(name + 1, "=") { name + 2 } else { name + 1 };
        let text: String = words.get(value..).unwrap_or_default().iter().filter(|word| *word != ";").cloned().collect();
        match words.get(name) {
            Some(setting) if is(name, "schema") => {
                let _ = setting;
                self.set("search_path", Some(&text));
            }
            // SET TIME ZONE
            Some(_) if is(name, "time") => self.set("timezone", None),
            Some(setting) => self.set(&setting.to_ascii_lowercase(), Some(&text)),
            None => self.add(Finding::unreviewable(Unreviewable::Unnamed)),
        }
    }

    /// A setting's new value, as it stands in the statement; none where it is not known.
    pub(super) fn set(&mut self, setting: &str, value: Option<&str>) {
        let bare = |value: &str| value.trim_matches('\'').to_ascii_lowercase();
        let setting = setting.trim_matches('"');
        let kind = match setting {
            "search_path" => {
                if value.is_some_and(|value| bare(value) == "default") {
                    self.batch.reset_path();
                } else {
                    self.batch.set_path(value.and_then(identifiers).filter(|_| self.within.is_empty()));
                }
                Kind::Additive
            }
            "standard_conforming_strings" | "backslash_quote" => {
                let on = matches!(
                    value.map(bare).as_deref(),
                    Some("on" | "true" | "yes" | "1" | "default" | "safe_encoding")
                );
                self.batch.quotes_changed |= !on;
                Kind::Additive
            }
            "timezone" => {
                self.batch.zone_unknown = true;
                Kind::Additive
            }
            // Switches triggers off, those of foreign keys among them.
            "session_replication_role" => Kind::Trigger,
            "role" | "session_authorization" | "row_security" => Kind::Access,
            limit if LIMITS.contains(&limit) => Kind::Timeout,
            _ => Kind::Additive,
        };
        self.add(Finding { way_back: WayBack::NotNeeded, ..Finding::new(kind) });
    }

    /// `RESET` and `DISCARD`.
    pub(super) fn reset(&mut self) {
        self.batch.reset_path();
        self.batch.roll_back();
        self.add(Finding { way_back: WayBack::NotNeeded, ..Finding::new(Kind::Additive) });
    }

    /// `BEGIN`, `COMMIT`, `ROLLBACK` and their kin.
    pub(super) fn transaction(&mut self, rolls_back: bool, ends: bool) {
        if rolls_back {
            self.batch.roll_back();
        }
        if ends {
            self.batch.end_transaction();
        }
        self.add(Finding { way_back: WayBack::NotNeeded, ..Finding::new(Kind::TransactionControl) });
    }

    /// `PREPARE`: what it does happens when it is executed.
    pub(super) fn prepare(&mut self, prepare: &ast::Prepare) {
        let name = identifier(node(prepare.name().as_ref()));
        let outside = std::mem::take(&mut self.findings);
        self.query(prepare.syntax());
        let inside = std::mem::replace(&mut self.findings, outside);
        match name {
            Some(name) => {
                // It is understood now already.
                let locks = inside.iter().filter(|one| one.within == self.within).flat_map(|one| one.locks.clone());
                let locks = locks.filter(|lock| lock.mode <= LockMode::RowExclusive).collect();
                self.batch.prepared.insert(name, inside);
                self.add(Finding { way_back: WayBack::NotNeeded, locks, ..Finding::new(Kind::Additive) });
            }
            None => self.add(Finding::unreviewable(Unreviewable::Unnamed)),
        }
    }

    /// `EXECUTE` of a prepared statement.
    pub(super) fn execute(&mut self, execute: &ast::Execute) {
        let name = identifier(node(execute.prepared_statement_ref().as_ref())).unwrap_or_default();
        match self.batch.prepared.get(&name).cloned() {
            Some(findings) => {
                for mut finding in findings {
                    finding.within.insert(0, Within::Prepared(name.clone()));
                    self.add(finding);
                }
            }
            None => self.add(Finding::unreviewable(Unreviewable::UnknownPrepared(name))),
        }
        self.calls(execute.syntax());
    }

    /// `LOCK TABLE`.
    pub(super) fn lock_table(&mut self, lock: &ast::Lock) {
        let words = lock.lock_mode_clause().map(|clause| super::names::folded(clause.syntax())).unwrap_or_default();
        let mode = match words.trim_start_matches("in ").trim_end_matches(" mode") {
            "access share" => LockMode::AccessShare,
            "row share" => LockMode::RowShare,
            "row exclusive" => LockMode::RowExclusive,
            "share update exclusive" => LockMode::ShareUpdateExclusive,
            "share" => LockMode::Share,
            "share row exclusive" => LockMode::ShareRowExclusive,
            "exclusive" => LockMode::Exclusive,
            _ => LockMode::AccessExclusive,
        };
        let relations: Vec<_> = lock.relation_list().map(|list| list.relation_names().collect()).unwrap_or_default();
        for relation in relations {
            self.named(node(relation.relation_name_ref().as_ref()), |reader, name| {
                let finding = Finding::new(Kind::LockTable).on(crate::ObjectClass::Table, name).lock(name, mode);
                let finding = finding.touch(name, Role::Reference, Reach::Children);
                reader.add(Finding { way_back: WayBack::NotNeeded, ..finding });
            });
        }
    }
}
