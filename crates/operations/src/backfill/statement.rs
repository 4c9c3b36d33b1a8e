//! The statements of one batch.

use holdpoint_core::name::quote_identifier;

use super::standing::KeyColumn;
use super::subject::Subject;

/// A place in the order of the key: its values as text.
pub(super) type Place = Vec<String>;

/// The parts of every batch's statements.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    table: String,
    key: Vec<KeyColumn>,
    set: String,
    condition: Option<String>,
}

impl Statements {
    pub(super) fn new(subject: &Subject, set: &[String], condition: Option<&str>) -> Self {
        // A comment at a part's end must not take what follows with it.
        let set = set.iter().map(|one| format!("{one}\n")).collect::<Vec<_>>().join(", ");
        Self {
            table: subject.quoted.clone(),
            key: subject.key.clone(),
            set,
            condition: condition.map(|text| format!(" AND (\n{text}\n)")),
        }
    }

    fn columns(&self) -> Vec<String> {
        self.key.iter().map(|column| format!("{}.{}", self.table, quote_identifier(&column.name))).collect()
    }

    /// Parameters from `first` on, each as the column's type.
    fn place(&self, first: usize) -> String {
        let one = |(at, column): (usize, &KeyColumn)| format!("${}::text::{}", first + at, column.kind);
        row(&self.key.iter().enumerate().map(one).collect::<Vec<_>>())
    }

    /// `after` and `to` say which bounds there are; parameters come in that order.
    fn range(&self, after: bool, to: bool) -> String {
        let key = row(&self.columns());
        let mut range = Vec::new();
        let mut next = 1;
        if after {
            range.push(format!("{key} > {}", self.place(next)));
            next += self.key.len();
        }
        if to {
            range.push(format!("{key} <= {}", self.place(next)));
        }
        if range.is_empty() { "true".to_owned() } else { range.join(" AND ") }
    }

    fn ordered(&self, direction: &str) -> String {
        self.columns().iter().map(|column| format!("{column}{direction}")).collect::<Vec<_>>().join(", ")
    }

    /// The largest key, as text; and whether its text means it.
    pub(super) fn largest(&self) -> String {
        let table = &self.table;
        let (texts, same, order) = (self.texts(&self.columns()), self.same(&self.columns()), self.ordered(" DESC"));
        format!("SELECT {texts}, {same} FROM ONLY {table} ORDER BY {order} LIMIT 1")
    }

    /// The key so many rows before a given one: where the last batch would begin.
    pub(super) fn before(&self, rows: u64) -> String {
        let (texts, table, order) = (self.texts(&self.columns()), &self.table, self.ordered(" DESC"));
        let range = self.range(false, true);
        format!("SELECT {texts} FROM ONLY {table} WHERE {range} ORDER BY {order} OFFSET {rows} LIMIT 1")
    }

    /// The last key of a batch of so many rows, whether its text means it, and how many rows there are up to it.
    pub(super) fn end_of_batch(&self, after: bool, rows: u64) -> String {
        // With the table's name before it: by itself it would mean the text that is selected, which sorts otherwise.
        let names: Vec<String> = (0..self.key.len()).map(|at| format!("batch.k{at}")).collect();
        let named: Vec<String> =
            self.columns().iter().enumerate().map(|(at, column)| format!("{column} AS k{at}")).collect();
        let descending: Vec<String> = names.iter().map(|name| format!("{name} DESC")).collect();
        format!(
            "WITH batch AS MATERIALIZED (SELECT {} FROM ONLY {} WHERE {} ORDER BY {} LIMIT {rows}) \
             SELECT {}, {}, (SELECT pg_catalog.count(*) FROM batch) FROM batch ORDER BY {} LIMIT 1",
            named.join(", "),
            self.table,
            self.range(after, true),
            self.ordered(""),
            self.texts(&names),
            self.same(&names),
            descending.join(", ")
        )
    }

    /// Changes the rows of a batch.
    pub(super) fn update(&self, after: bool) -> String {
        let condition = self.condition.as_deref().unwrap_or_default();
        format!("UPDATE ONLY {} SET {}WHERE {}{condition}", self.table, self.set, self.range(after, true))
    }

    /// Whether a row of a batch was written last by the transaction whose number, as rows have it, comes behind the bounds.
    pub(super) fn written_by(&self, after: bool) -> String {
        let (table, range) = (&self.table, self.range(after, true));
        let number = self.key.len() * (1 + usize::from(after)) + 1;
        format!("SELECT EXISTS (SELECT FROM ONLY {table} WHERE {range} AND {table}.xmin::text = ${number})")
    }

    fn texts(&self, columns: &[String]) -> String {
        columns.iter().map(|column| format!("{column}::text")).collect::<Vec<_>>().join(", ")
    }

    fn same(&self, columns: &[String]) -> String {
        let one = |(column, key): (&String, &KeyColumn)| format!("{column}::text::{} = {column}", key.kind);
        columns.iter().zip(&self.key).map(one).collect::<Vec<_>>().join(" AND ")
    }
}

fn row(parts: &[String]) -> String {
    if let [one] = parts { one.clone() } else { format!("({})", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_stays_between_its_bounds_whatever_is_typed() {
        let column = |name: &str, kind: &str| {
            let (number, type_oid, modifier, collation) = (1, 0, -1, None);
            KeyColumn { name: name.into(), number, kind: kind.into(), type_oid, modifier, collation }
        };
        let subject = Subject {
            oid: 1,
            name: "public.t".into(),
            quoted: "\"public\".\"t\"".into(),
            bytes: 0,
            rows: None,
            key: vec![column("a", "integer"), column("B", "text")],
            index: "t_pkey".into(),
        };
        let set = ["x = 1 -- all".to_owned(), "y = 2".to_owned()];
        let statements = Statements::new(&subject, &set, Some("z OR x -- no"));
        assert_eq!(
            statements.update(true),
            "UPDATE ONLY \"public\".\"t\" SET x = 1 -- all\n, y = 2\nWHERE \
             (\"public\".\"t\".\"a\", \"public\".\"t\".\"B\") > ($1::text::integer, $2::text::text) AND \
             (\"public\".\"t\".\"a\", \"public\".\"t\".\"B\") <= ($3::text::integer, $4::text::text) AND (\nz OR x -- no\n)"
        );
        assert!(statements.written_by(true).contains("xmin::text = $5"));
        assert!(statements.written_by(false).contains("xmin::text = $3"));
        assert!(statements.end_of_batch(false, 7).contains("<= ($1::text::integer, $2::text::text) ORDER BY"));
    }
}
