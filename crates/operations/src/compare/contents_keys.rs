//! Partitions and keys as an archive's contents tell them.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_archive::Head;
use holdpoint_core::name::archive_text;
use holdpoint_core::relation_name::{columns_of_list, identifier_and_rest, schema_and_name};

/// A table: schema and name.
pub(super) type Table = (String, String);

/// What the contents say of tables beside their columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContentsKeys {
    /// Partitions, each with the table that it is one of.
    parents: BTreeMap<Table, Table>,
    /// Columns of partitioned tables, which may have no partition that tells them.
    partitioned: BTreeMap<Table, Vec<String>>,
    primary: BTreeMap<Table, Vec<String>>,
    unique: BTreeMap<Table, Vec<Vec<String>>>,
    not_null: BTreeMap<Table, BTreeSet<String>>,
    types: BTreeMap<Table, BTreeMap<String, String>>,
}

impl ContentsKeys {
    pub(super) fn read(head: &Head) -> Self {
        let encoding = head.encoding().ok().flatten().unwrap_or_else(|| "SQL_ASCII".to_owned());
        let text = |bytes: Option<&[u8]>| archive_text(bytes.unwrap_or_default(), &encoding);
        let mut keys = Self::default();
        for entry in head.entries() {
            let definition = text(entry.definition.as_deref());
            match entry.description.as_ref() {
                b"TABLE" => {
                    let table = (text(entry.namespace.as_deref()), text(Some(&entry.tag)));
                    if definition.contains("\nPARTITION BY ") {
                        keys.partitioned.insert(table.clone(), columns(&definition));
                    }
                    keys.types.insert(table.clone(), types(&definition));
                    keys.not_null.insert(table, not_null(&definition));
                }
                b"TABLE ATTACH" => keys.parents.extend(attached(&definition)),
                b"CONSTRAINT" => keys.constraint(&definition),
                b"INDEX" => {
                    if let Some((table, columns)) = unique_index(&definition) {
                        keys.unique.entry(table).or_default().push(columns);
                    }
                }
                _ => {}
            }
        }
        keys
    }

    fn constraint(&mut self, definition: &str) {
        if let Some((table, columns)) = constraint(definition, " PRIMARY KEY (") {
            self.primary.insert(table, columns);
        } else if !definition.contains(" DEFERRABLE") {
            let plain = constraint(definition, " UNIQUE (");
            let found = plain.or_else(|| constraint(definition, " UNIQUE NULLS NOT DISTINCT ("));
            if let Some((table, columns)) = found {
                self.unique.entry(table).or_default().push(columns);
            }
        }
    }

    /// The partitioned tables.
    pub(super) fn roots(&self) -> Vec<Table> {
        let roots: BTreeSet<&Table> = self.parents.values().chain(self.partitioned.keys()).collect();
        roots.into_iter().cloned().collect()
    }

    /// All tables, also those whose rows were left out.
    pub(super) fn tables(&self) -> Vec<Table> {
        self.not_null.keys().cloned().collect()
    }

    /// The tables that hold a table's rows: itself, or its partitions.
    pub(super) fn leaves(&self, table: &Table) -> Vec<Table> {
        let rows = |one: &&Table| self.belongs_to(one, table) && !self.partitioned.contains_key(*one);
        self.not_null.keys().filter(rows).cloned().collect()
    }

    /// The columns of a partitioned table that hold data.
    pub(super) fn columns(&self, table: &Table) -> Vec<String> {
        self.partitioned.get(table).cloned().unwrap_or_default()
    }

    /// The types of a table's columns, where its definition tells them.
    pub(super) fn types(&self, table: &Table, columns: &[String]) -> Vec<Option<String>> {
        let known = self.types.get(table);
        columns.iter().map(|column| known.and_then(|known| known.get(column)).cloned()).collect()
    }

    /// The partitions.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &Table> {
        self.parents.keys()
    }

    /// The tables that a table is a partition of, the nearest first.
    pub(super) fn above<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Table> {
        // Each step goes up one level; no archive has a cycle, but a damaged one shall not be walked for ever.
        std::iter::successors(self.parents.get(table), |table| self.parents.get(*table)).take(self.parents.len())
    }

    /// Tells whether a table is another, or a partition of it, or of a partition of it.
    pub(super) fn belongs_to(&self, table: &Table, root: &Table) -> bool {
        table == root || self.above(table).any(|one| one == root)
    }

    /// The keys of a table: the primary one, then unique ones without NULL, fewer columns first.
    ///
    /// A text that looks like `NOT NULL` in a column's default may let a nullable one through; rows whose keys repeat
    /// are noticed when they are compared.
    pub(super) fn of(&self, table: &Table) -> Vec<Vec<String>> {
        let whole = |columns: &&Vec<String>| {
            let known = self.not_null.get(table);
            columns.iter().all(|column| known.is_some_and(|known| known.contains(column)))
        };
        let mut unique: Vec<Vec<String>> =
            self.unique.get(table).into_iter().flatten().filter(whole).cloned().collect();
        unique.sort_by_key(Vec::len);
        self.primary.get(table).cloned().into_iter().chain(unique).collect()
    }
}

/// Reads `ALTER TABLE ONLY root ATTACH PARTITION leaf FOR VALUES …`, as pg_dump writes it.
fn attached(definition: &str) -> Option<(Table, Table)> {
    let (root, rest) = schema_and_name(definition.strip_prefix("ALTER TABLE ONLY ")?)?;
    let (leaf, _) = schema_and_name(rest.strip_prefix(" ATTACH PARTITION ")?)?;
    Some((leaf, root))
}

/// Reads `ALTER TABLE ONLY t\n    ADD CONSTRAINT name PRIMARY KEY (a, b);`.
fn constraint(definition: &str, kind: &str) -> Option<(Table, Vec<String>)> {
    let statement = definition.strip_prefix("ALTER TABLE ")?;
    let (table, rest) = schema_and_name(statement.strip_prefix("ONLY ").unwrap_or(statement))?;
    let (_, rest) = identifier_and_rest(rest.trim_start().strip_prefix("ADD CONSTRAINT ")?)?;
    Some((table, list(rest.strip_prefix(kind)?)?.0))
}

/// Reads `CREATE UNIQUE INDEX name ON ONLY t USING btree (a, b);`; not those on expressions or on some rows.
fn unique_index(definition: &str) -> Option<(Table, Vec<String>)> {
    let (_, rest) = identifier_and_rest(definition.strip_prefix("CREATE UNIQUE INDEX ")?)?;
    let rest = rest.strip_prefix(" ON ")?;
    let (table, rest) = schema_and_name(rest.strip_prefix("ONLY ").unwrap_or(rest))?;
    let (columns, after) = list(rest.strip_prefix(" USING btree (")?)?;
    // Only names of columns: no expression, operator class, collation or order, and no condition behind the list.
    let plain = |column: &String| !column.contains(['(', ' ']);
    (columns.iter().all(plain) && !after.contains(" WHERE ")).then_some((table, columns))
}

/// Reads a list of columns up to its closing parenthesis, and gives what follows.
fn list(text: &str) -> Option<(Vec<String>, &str)> {
    let mut quoted = false;
    let end = text.find(|letter| {
        quoted ^= letter == '"';
        letter == ')' && !quoted
    })?;
    let names = text[..end].strip_suffix(" WITHOUT OVERLAPS").unwrap_or(&text[..end]);
    Some((columns_of_list(names), &text[end..]))
}

/// Reads the columns of a `CREATE TABLE` that are not generated: one a line, as pg_dump writes them.
fn columns(definition: &str) -> Vec<String> {
    // A name that is not quoted has no capitals, the words of a constraint of the table have.
    let lines = definition.lines().filter_map(|line| line.strip_prefix("    "));
    let columns = lines.filter(|line| {
        !line.contains(" GENERATED ALWAYS AS (") && !line.starts_with(|letter: char| letter.is_ascii_uppercase())
    });
    columns.filter_map(|line| Some(identifier_and_rest(line)?.0)).collect()
}

/// Reads the types of the columns of a `CREATE TABLE`: one a line, as pg_dump writes them.
fn types(definition: &str) -> BTreeMap<String, String> {
    let lines = definition.lines().filter_map(|line| identifier_and_rest(line.strip_prefix("    ")?));
    lines.filter_map(|(column, rest)| Some((column, type_of(rest.strip_prefix(' ')?).to_owned()))).collect()
}

/// The type that a column's definition begins with.
fn type_of(definition: &str) -> &str {
    const BEHIND: [&str; 6] = [",", " COLLATE ", " DEFAULT ", " GENERATED ", " CONSTRAINT ", " NOT NULL"];
    let (mut quoted, mut depth) = (false, 0);
    for (at, letter) in definition.char_indices() {
        if !quoted && depth == 0 && BEHIND.iter().any(|word| definition[at..].starts_with(word)) {
            return &definition[..at];
        }
        quoted ^= letter == '"';
        depth += i32::from(letter == '(' && !quoted) - i32::from(letter == ')' && !quoted);
    }
    definition
}

/// Reads the columns of a `CREATE TABLE` that allow no NULL: one a line, as pg_dump writes them.
fn not_null(definition: &str) -> BTreeSet<String> {
    let columns = definition.lines().filter(|line| line.contains(" NOT NULL"));
    columns.filter_map(|line| Some(identifier_and_rest(line.strip_prefix("    ")?)?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, name: &str) -> Table {
        (schema.to_owned(), name.to_owned())
    }

    fn list_of(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn statements_of_pg_dump_are_read() {
        assert_eq!(
            attached("ALTER TABLE ONLY s.\"ro.ot\" ATTACH PARTITION public.leaf FOR VALUES IN ('a');\n"),
            Some((table("public", "leaf"), table("s", "ro.ot")))
        );
        let add = |rest: &str| format!("ALTER TABLE ONLY public.\"T\"\n    ADD CONSTRAINT \"p (\" {rest};\n");
        let primary = constraint(&add("PRIMARY KEY (id, \"b)c\") INCLUDE (d)"), " PRIMARY KEY (");
        assert_eq!(primary, Some((table("public", "T"), list_of(&["id", "b)c"]))));
        let over = constraint(&add("PRIMARY KEY (id, valid WITHOUT OVERLAPS)"), " PRIMARY KEY (");
        assert_eq!(over, Some((table("public", "T"), list_of(&["id", "valid"]))));
        assert_eq!(constraint(&add("UNIQUE (id)"), " PRIMARY KEY ("), None);
        assert_eq!(attached("ALTER TABLE ONLY s.i ATTACH PARTITION"), None);
        let index =
            |rest: &str| unique_index(&format!("CREATE UNIQUE INDEX \"i x\" ON public.t USING btree {rest};\n"));
        assert_eq!(index("(a, \"B\")"), Some((table("public", "t"), list_of(&["a", "B"]))));
        for other in ["(lower(a))", "(a) WHERE (a > 1)", "(a text_pattern_ops)", "(a DESC)"] {
            assert_eq!(index(other), None, "{other}");
        }
    }

    #[test]
    fn columns_of_a_partitioned_table_are_known_without_a_partition() {
        let create = "CREATE TABLE s.t (\n    id integer NOT NULL,\n    \"A b\" text DEFAULT 'x'::text,\n    \
                      twice integer GENERATED ALWAYS AS ((id * 2)) STORED,\n    CONSTRAINT c CHECK ((id > 0))\n)\n\
                      PARTITION BY RANGE (id);\n";
        assert_eq!(columns(create), ["id", "A b"]);
    }

    #[test]
    fn types_are_read_without_what_stands_behind_them() {
        let create = "CREATE TABLE s.t (\n    id integer NOT NULL,\n    \"A b\" numeric(10,2) DEFAULT 'x, y'::text,\n    \
                      m s.\"odd , DEFAULT \"[] CONSTRAINT n NOT NULL,\n    at timestamp(3) with time zone,\n    \
                      c character varying(20) COLLATE pg_catalog.\"C\" DEFAULT ''::character varying,\n    last text\n);\n";
        let wanted = [
            ("A b", "numeric(10,2)"),
            ("at", "timestamp(3) with time zone"),
            ("c", "character varying(20)"),
            ("id", "integer"),
            ("last", "text"),
            ("m", "s.\"odd , DEFAULT \"[]"),
        ];
        let found = types(create);
        let found: Vec<(&str, &str)> = found.iter().map(|(column, kind)| (column.as_str(), kind.as_str())).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn unique_columns_are_a_key_where_none_is_null() {
        let mut keys = ContentsKeys::default();
        let create = "CREATE TABLE public.t (\n    a integer NOT NULL,\n    \"B c\" text CONSTRAINT n NOT NULL,\n    d date\n);\n";
        keys.not_null.insert(table("public", "t"), not_null(create));
        let add = |rest: &str| format!("ALTER TABLE ONLY public.t\n    ADD CONSTRAINT c {rest};\n");
        for rest in
            ["UNIQUE (a, \"B c\")", "UNIQUE (d)", "UNIQUE NULLS NOT DISTINCT (a)", "UNIQUE (\"B c\") DEFERRABLE"]
        {
            keys.constraint(&add(rest));
        }
        assert_eq!(keys.of(&table("public", "t")), [list_of(&["a"]), list_of(&["a", "B c"])]);
        keys.constraint(&add("PRIMARY KEY (d)"));
        assert_eq!(keys.of(&table("public", "t"))[0], ["d"]);
    }

    #[test]
    fn partitions_of_partitions_belong_to_their_root() {
        let (root, middle, leaf) = (table("s", "root"), table("s", "middle"), table("s", "leaf"));
        let mut keys = ContentsKeys::default();
        keys.parents.insert(middle.clone(), root.clone());
        keys.parents.insert(leaf.clone(), middle.clone());
        assert!(keys.belongs_to(&leaf, &root) && keys.belongs_to(&leaf, &leaf));
        assert!(!keys.belongs_to(&root, &leaf));
        assert_eq!(keys.above(&leaf).collect::<Vec<_>>(), [&middle, &root]);
        assert_eq!(keys.roots(), [middle.clone(), root.clone()]);
        for one in [&root, &middle, &leaf] {
            keys.not_null.insert(one.clone(), BTreeSet::new());
        }
        keys.partitioned.extend([(root.clone(), Vec::new()), (middle, Vec::new())]);
        assert_eq!(keys.leaves(&root), std::slice::from_ref(&leaf));
        keys.parents.insert(root.clone(), leaf.clone());
        assert!(!keys.belongs_to(&leaf, &table("s", "other")), "a cycle ends");
    }
}
