//! A table's name as a person types it, and the columns of a COPY statement's list.

use crate::Error;
use crate::fingerprint::qualified;

/// A table's name: `orders`, `public.orders`, `"Odd Name"`, `s."a.b"`; also as a comparison group is called that is the
/// partitions of one table, `public.orders.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationName {
    typed: String,
    schema: Option<Part>,
    name: Part,
}

/// One part of a name; without quotes it also stands for its lower-case form, as in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    text: String,
    quoted: bool,
}

/// Why no single table is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSingleTable {
    /// None has that name; with those whose names look most like it.
    Unknown(Vec<String>),
    /// Several have it.
    Ambiguous(Vec<String>),
}

/// How many similar names are offered.
const OFFERED: usize = 3;

impl RelationName {
    fn read(typed: &str) -> Option<Self> {
        let typed = typed.trim();
        let typed = typed.strip_suffix(".*").unwrap_or(typed);
        let mut parts = Vec::new();
        let mut rest = typed;
        loop {
            let (part, after) = identifier(rest)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => break,
                None => return None,
            }
        }
        let name = parts.pop()?;
        // Further points belong to a name that was typed without its quotes; `find` compares such a text as a whole.
        let schema = if parts.len() == 1 { parts.pop() } else { None };
        Some(Self { typed: typed.to_owned(), schema, name })
    }

    /// Finds the one table of `tables` (schema and name) that is meant, and gives its place.
    ///
    /// A name as reports write it (`public.orders`) means exactly that one; else the name alone suffices where only one
    /// schema has it.
    ///
    /// # Errors
    /// [`NoSingleTable`], with names as reports write them.
    pub fn find(&self, tables: &[(&str, &str)]) -> Result<usize, NoSingleTable> {
        let written: Vec<String> = tables.iter().map(|(schema, name)| qualified(Some(schema), name)).collect();
        let plain = |(schema, name): &(&str, &str)| format!("{schema}.{name}") == self.typed;
        let exact = |place: &usize| written[*place] == self.typed;
        let tries: [&dyn Fn(&usize) -> bool; 4] = [
            &exact,
            &|place| plain(&tables[*place]),
            &|place| self.matches(tables[*place], |part, text| part.text == text),
            &|place| self.matches(tables[*place], |part, text| !part.quoted && part.text.to_lowercase() == text),
        ];
        for fits in tries {
            let found: Vec<usize> = (0..tables.len()).filter(|place| fits(place)).collect();
            match found.as_slice() {
                [] => {}
                [one] => return Ok(*one),
                several => {
                    return Err(NoSingleTable::Ambiguous(
                        several.iter().map(|place| written[*place].clone()).collect(),
                    ));
                }
            }
        }
        Err(NoSingleTable::Unknown(self.nearest(tables, &written)))
    }

    fn matches(&self, (schema, name): (&str, &str), same: impl Fn(&Part, &str) -> bool) -> bool {
        same(&self.name, name) && self.schema.as_ref().is_none_or(|part| same(part, schema))
    }

    fn nearest(&self, tables: &[(&str, &str)], written: &[String]) -> Vec<String> {
        let typed = self.typed.to_lowercase();
        let wanted = self.name.text.to_lowercase();
        // Names that are equally near are ordered by how near the schema that was typed is.
        let mut near: Vec<(usize, usize, &String)> = tables
            .iter()
            .zip(written)
            .map(|((_, name), whole)| {
                let as_a_whole = strsim::damerau_levenshtein(&typed, &whole.to_lowercase());
                let by_name = strsim::damerau_levenshtein(&wanted, &name.to_lowercase());
                (by_name.min(as_a_whole), as_a_whole, whole)
            })
            .filter(|(distance, ..)| *distance <= 1 + wanted.chars().count() / 3)
            .collect();
        near.sort();
        near.into_iter().take(OFFERED).map(|(.., whole)| whole.clone()).collect()
    }
}

impl std::str::FromStr for RelationName {
    type Err = Error;

    /// Reads what was typed; fails where it is not made of identifiers.
    fn from_str(typed: &str) -> Result<Self, Error> {
        Self::read(typed).ok_or_else(|| Error::InvalidRelationName(typed.to_owned()))
    }
}

impl std::fmt::Display for RelationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Reads one identifier, and gives what follows it.
fn identifier(text: &str) -> Option<(Part, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(['.', ',', '"']).unwrap_or(text.len());
        let (name, after) = text.split_at(end);
        return (!name.is_empty()).then(|| (Part { text: name.to_owned(), quoted: false }, after));
    };
    let mut name = String::new();
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((Part { text: name, quoted: true }, rest)),
        }
    }
}

/// Reads a table's schema and name at the beginning of a statement's text, as PostgreSQL writes them, and gives what
/// follows.
pub fn schema_and_name(text: &str) -> Option<((String, String), &str)> {
    let (schema, rest) = identifier_and_rest(text)?;
    let (name, rest) = identifier_and_rest(rest.strip_prefix('.')?)?;
    Some(((schema, name), rest))
}

/// Reads an identifier at the beginning of a statement's text, and gives what follows; without quotes it ends at the
/// first sign that none has.
pub fn identifier_and_rest(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        return identifier(text).map(|(part, rest)| (part.text, rest));
    }
    let end = text.find(|sign: char| sign.is_ascii_whitespace() || "\"().,;".contains(sign)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (name.to_owned(), rest))
}

/// Takes a list of columns apart, as a COPY statement has it (`a, "b,c"`): the names themselves.
///
/// What is no such list gives the names up to where it stops being one.
pub fn columns_of_list(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    while let Some((part, after)) = identifier(rest) {
        names.push(part.text.trim().to_owned());
        match after.trim_start().strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => break,
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [(&str, &str); 7] = [
        ("public", "orders"),
        ("archive", "orders"),
        ("public", "Odd Name"),
        ("s", "a.b"),
        ("public", "customers"),
        ("public", "quo\"te"),
        ("odd schema", "x"),
    ];

    fn find(typed: &str) -> Result<usize, NoSingleTable> {
        typed.parse::<RelationName>().unwrap().find(&TABLES)
    }

    #[test]
    fn names_are_found_as_they_are_typed_and_as_reports_write_them() {
        for (typed, place) in [
            ("public.orders", 0),
            ("public.orders.*", 0),
            ("archive.orders", 1),
            ("\"archive\".\"orders\"", 1),
            ("PUBLIC.Orders", 0),
            ("\"Odd Name\"", 2),
            ("Odd Name", 2),
            ("public.Odd Name", 2),
            ("s.\"a.b\"", 3),
            ("s.a.b", 3),
            ("customers", 4),
            ("public.\"quo\"\"te\"", 5),
            ("odd schema.x", 6),
        ] {
            assert_eq!(find(typed), Ok(place), "{typed}");
        }
    }

    #[test]
    fn what_means_none_or_several_says_which_there_are() {
        let both = vec!["public.orders".to_owned(), "archive.orders".to_owned()];
        assert_eq!(find("orders"), Err(NoSingleTable::Ambiguous(both)));
        assert_eq!(find("custmers"), Err(NoSingleTable::Unknown(vec!["public.customers".into()])));
        assert_eq!(
            find("public.ordesr"),
            Err(NoSingleTable::Unknown(vec!["public.orders".into(), "archive.orders".into()]))
        );
        assert_eq!(find("\"CUSTOMERS\""), Err(NoSingleTable::Unknown(vec!["public.customers".into()])));
        assert_eq!(find("nothing_like_it"), Err(NoSingleTable::Unknown(vec![])));
        for broken in ["", "\"open", "a.", ".a", "a\"b"] {
            assert!(broken.parse::<RelationName>().is_err(), "{broken}");
        }
    }

    #[test]
    fn columns_are_taken_apart_with_their_quotes() {
        assert_eq!(columns_of_list("id, \"b,c\", \"q\"\"\", d"), ["id", "b,c", "q\"", "d"]);
        assert_eq!(columns_of_list(""), [""; 0]);
    }

    #[test]
    fn names_in_statements_end_where_identifiers_do() {
        let read = |text: &'static str| schema_and_name(text).map(|((schema, name), rest)| (schema, name, rest));
        assert_eq!(read("s.t ATTACH"), Some(("s".into(), "t".into(), " ATTACH")));
        assert_eq!(read("\"a.b\".\"q\"\"\"\n"), Some(("a.b".into(), "q\"".into(), "\n")));
        assert_eq!(read("t ATTACH"), None);
        assert_eq!(read("s. t"), None);
    }
}
