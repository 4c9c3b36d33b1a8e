//! The parts of a file: which of its text is run, and in how many orders to the server.

use std::ops::Range;

use crate::{Dialect, Direction};

/// What Drizzle's migrator splits a file at, wherever it stands.
const BREAKPOINT: &str = "--> statement-breakpoint";

/// The ranges of `text` that run in `direction`, each split into statements by itself.
pub(crate) fn parts(text: &str, dialect: Dialect, direction: Direction) -> Vec<Range<usize>> {
    match dialect {
        Dialect::Drizzle => breakpoints(text),
        Dialect::NodePgMigrate => node_pg_migrate_part(text, direction),
        Dialect::Dbmate => marked(text, direction, dbmate),
        Dialect::Goose => marked(text, direction, goose),
        Dialect::Driver | Dialect::Psql | Dialect::Flyway | Dialect::Program => {
            std::iter::once(0..text.len()).collect()
        }
    }
}

fn breakpoints(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, found) in text.match_indices(BREAKPOINT) {
        parts.push(from..at);
        from = at + found.len();
    }
    parts.push(from..text.len());
    parts
}

/// Splits at lines that say in which direction what follows runs. A file that nowhere says *up* is all up: so
/// node-pg-migrate takes it, and what other tools would refuse is better reviewed than left out.
fn marked(text: &str, wanted: Direction, mark: fn(&str) -> Option<Direction>) -> Vec<Range<usize>> {
    let mut found: Vec<(Direction, Range<usize>)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        if let Some(direction) = mark(line) {
            if let Some((_, last)) = found.last_mut() {
                last.end = at;
            }
            found.push((direction, next..text.len()));
        }
        at = next;
    }
    if wanted == Direction::Up && found.iter().all(|(direction, _)| *direction == Direction::Down) {
        return std::iter::once(0..text.len()).collect();
    }
    found.into_iter().filter(|(direction, _)| *direction == wanted).map(|(_, range)| range).collect()
}

/// From the first mark of the direction to the first of the other one, where that stands behind it; without a mark all of
/// it is up (node-pg-migrate 9, `sqlMigration.js`).
fn node_pg_migrate_part(text: &str, wanted: Direction) -> Vec<Range<usize>> {
    let mut first = [None, None];
    let mut at = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        if let Some(direction) = node_pg_migrate(line) {
            first[usize::from(direction != wanted)].get_or_insert(at);
        }
        at += line.len();
    }
    let part = match (first, wanted) {
        ([Some(from), Some(to)], _) if to > from => from..to,
        ([Some(from), _], _) => from..text.len(),
        ([None, _], Direction::Up) => 0..text.len(),
        ([None, _], Direction::Down) => return Vec::new(),
    };
    std::iter::once(part).collect()
}

/// `^\s*--[\s-]*(up|down)\s+migration`, whatever the case.
fn node_pg_migrate(line: &str) -> Option<Direction> {
    let rest = line.trim_start().strip_prefix("--")?;
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '-').to_ascii_lowercase();
    let (direction, rest) = direction_of(&rest)?;
    let after = rest.trim_start();
    (after.len() < rest.len() && after.starts_with("migration")).then_some(direction)
}

fn dbmate(line: &str) -> Option<Direction> {
    let rest = line.trim_start().strip_prefix("--")?.trim_start().strip_prefix("migrate:")?;
    direction_of(rest).map(|(direction, _)| direction)
}

fn goose(line: &str) -> Option<Direction> {
    let rest = line.trim_start().strip_prefix("--")?.trim_start().strip_prefix("+goose")?.trim_start();
    direction_of(&rest.to_ascii_lowercase()).map(|(direction, _)| direction)
}

fn direction_of(text: &str) -> Option<(Direction, &str)> {
    match (text.strip_prefix("up"), text.strip_prefix("down")) {
        (Some(rest), _) => Some((Direction::Up, rest)),
        (_, Some(rest)) => Some((Direction::Down, rest)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, dialect: Dialect, direction: Direction) -> Vec<&str> {
        parts(text, dialect, direction)
            .into_iter()
            .map(|range| text[range].trim())
            .filter(|part| !part.is_empty())
            .collect()
    }

    #[test]
    fn files_are_divided_as_their_tools_do() {
        let text = "-- Up Migration\nselect 1;\n\n--- down   migration\nselect 2;\n";
        assert_eq!(shown(text, Dialect::NodePgMigrate, Direction::Up), ["-- Up Migration\nselect 1;"]);
        assert_eq!(shown(text, Dialect::NodePgMigrate, Direction::Down), ["--- down   migration\nselect 2;"]);
        let again = "-- down migration\na;\n-- up migration\nb;\n-- down migration\nc;";
        assert_eq!(
            shown(again, Dialect::NodePgMigrate, Direction::Up),
            ["-- up migration\nb;\n-- down migration\nc;"],
            "the tool knows the first mark of each alone"
        );
        assert_eq!(shown("select 3;", Dialect::NodePgMigrate, Direction::Up), ["select 3;"]);
        assert!(shown("select 3;", Dialect::NodePgMigrate, Direction::Down).is_empty());
        let only_down = "drop table a;\n-- Down Migration\ndrop table b;";
        assert_eq!(shown(only_down, Dialect::NodePgMigrate, Direction::Up), [only_down], "the tool runs all of it");
        assert_eq!(shown("drop table a;", Dialect::Goose, Direction::Up), ["drop table a;"]);
        let text = "-- migrate:up transaction:false\na\n-- migrate:down\nb";
        assert_eq!(shown(text, Dialect::Dbmate, Direction::Up), ["a"]);
        let text = "-- +goose Up\na\n-- +goose Down\nb";
        assert_eq!(shown(text, Dialect::Goose, Direction::Down), ["b"]);
        assert_eq!(shown("a'--> statement-breakpoint\nb", Dialect::Drizzle, Direction::Up), ["a'", "b"]);
        assert_eq!(shown("-- Up Migration\na", Dialect::Driver, Direction::Up), ["-- Up Migration\na"]);
    }
}
