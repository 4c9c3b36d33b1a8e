//! Names as the patterns that pg_dump's selection options take.

/// Writes a pattern that means exactly this schema.
#[must_use]
pub fn exact_schema(schema: &str) -> String {
    quoted(schema)
}

/// Writes a pattern that means exactly this table.
#[must_use]
pub fn exact_table(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

/// Inside double quotes no character of a pattern is special (PostgreSQL manual, psql, "Patterns"). `$` is special to
/// the regular expression that it becomes, and psql's code escapes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(exact_table("a.b", "c\"d*"), "\"a.b\".\"c\"\"d*\"");
        assert_eq!(exact_schema("Shop"), "\"Shop\"");
    }
}
