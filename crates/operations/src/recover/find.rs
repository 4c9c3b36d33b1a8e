//! Which tables a person means.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use holdpoint_core::fingerprint::qualified;
use holdpoint_core::name::unlikeness;

use super::RecoverError;

/// A table as a person names it: `orders`, `shop.orders`, `"Odd schema"."T"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// The schema, where it was named.
    pub schema: Option<String>,
    /// The table.
    pub name: String,
}

impl FromStr for TableName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (first, rest) = part(text);
        Ok(match rest.strip_prefix('.') {
            Some(name) => Self { schema: Some(first), name: part(name).0 },
            None => Self { schema: None, name: first },
        })
    }
}

/// Reads one part of a name, quoted or up to the next point, and what follows it.
fn part(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut name = String::new();
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != '"' {
            name.push(letter);
        } else if letters.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return (name, &quoted[at + 1..]);
        }
    }
    (text.to_owned(), "")
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&qualified(self.schema.as_deref(), &self.name))
    }
}

/// Which tables are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These.
    Tables(Vec<TableName>),
    /// All of a schema.
    Schema(String),
}

/// A table of the restore point: schema and name.
pub(super) type Known = (String, String);

/// Finds the tables that are wanted among those that there are.
///
/// A name is taken as it is written; where there is none such, in lower case, as SQL would read it.
pub(super) fn find(wanted: &Wanted, known: &[Known], place: &str) -> Result<Vec<Known>, RecoverError> {
    let mut found: Vec<Known> = Vec::new();
    match wanted {
        Wanted::Schema(schema) => {
            found.extend(known.iter().filter(|(own, _)| own == schema).cloned());
            if found.is_empty() {
                let mut schemas: Vec<String> = known.iter().map(|(schema, _)| format!("{schema}.*")).collect();
                schemas.dedup();
                return Err(unknown(&format!("{schema}.*"), schemas, place));
            }
        }
        Wanted::Tables(names) => {
            for name in names {
                let one = one(name, known, place)?;
                if !found.contains(&one) {
                    found.push(one);
                }
            }
        }
    }
    Ok(found)
}

fn one(name: &TableName, known: &[Known], place: &str) -> Result<Known, RecoverError> {
    let lower =
        TableName { schema: name.schema.as_ref().map(|own| own.to_lowercase()), name: name.name.to_lowercase() };
    for written in [name, &lower] {
        let fits = |(schema, table): &&Known| {
            *table == written.name && written.schema.as_ref().is_none_or(|own| own == schema)
        };
        let candidates: Vec<&Known> = known.iter().filter(fits).collect();
        match candidates[..] {
            [] => {}
            [one] => return Ok(one.clone()),
            _ => {
                return Err(RecoverError::AmbiguousTable {
                    name: name.to_string(),
                    candidates: candidates.iter().map(|(schema, table)| qualified(Some(schema), table)).collect(),
                });
            }
        }
    }
    let unlike = |(schema, table): &Known| {
        let elsewhere = usize::from(name.schema.as_ref().is_some_and(|own| own != schema));
        let alone = unlikeness(&name.name, table) + elsewhere;
        let whole = qualified(Some(schema), table);
        let distance = match name.schema {
            Some(_) => alone.min(unlikeness(&name.to_string(), &whole)),
            None => alone,
        };
        (distance, whole)
    };
    let mut near: Vec<(usize, String)> =
        known.iter().map(unlike).filter(|(distance, _)| *distance <= 3.min(name.name.len() / 2)).collect();
    near.sort();
    Err(unknown(&name.to_string(), near.into_iter().map(|(_, whole)| whole).collect(), place))
}

fn unknown(name: &str, mut nearest: Vec<String>, place: &str) -> RecoverError {
    let mut seen = std::collections::BTreeSet::new();
    nearest.retain(|one| seen.insert(one.clone()));
    nearest.truncate(3);
    RecoverError::UnknownTable { name: name.to_owned(), place: place.to_owned(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TableName {
        text.parse().unwrap()
    }

    fn known() -> Vec<Known> {
        [("public", "orders"), ("shop", "orders"), ("shop", "videos"), ("Odd schema", "a.b")]
            .map(|(schema, table)| (schema.to_owned(), table.to_owned()))
            .to_vec()
    }

    fn found(text: &str) -> Result<Vec<String>, RecoverError> {
        let found = find(&Wanted::Tables(vec![name(text)]), &known(), "the point")?;
        Ok(found.iter().map(|(schema, table)| qualified(Some(schema), table)).collect())
    }

    #[test]
    fn names_are_read_as_sql_writes_them() {
        assert_eq!(name("a.b"), TableName { schema: Some("a".into()), name: "b".into() });
        assert_eq!(name("\"Odd schema\".\"a.b\""), TableName { schema: Some("Odd schema".into()), name: "a.b".into() });
        assert_eq!(name("\"q\"\"q\""), TableName { schema: None, name: "q\"q".into() });
        assert_eq!(found("\"Odd schema\".\"a.b\"").unwrap(), ["Odd schema.\"a.b\""]);
    }

    #[test]
    fn a_schema_may_be_left_out_where_that_is_clear() {
        assert_eq!(found("videos").unwrap(), ["shop.videos"]);
        assert_eq!(found("Videos").unwrap(), ["shop.videos"]);
        match found("orders").unwrap_err() {
            RecoverError::AmbiguousTable { candidates, .. } => assert_eq!(candidates, ["public.orders", "shop.orders"]),
            other => panic!("{other}"),
        }
        assert_eq!(find(&Wanted::Schema("shop".into()), &known(), "the point").unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is_like_it() {
        for (asked, like) in [
            ("public.vidoes", Some("shop.videos")),
            ("shop.vidoes", Some("shop.videos")),
            ("public.videos", Some("shop.videos")),
            ("vidoes", Some("shop.videos")),
            ("zebra", None),
        ] {
            match found(asked).unwrap_err() {
                RecoverError::UnknownTable { nearest, .. } => {
                    assert_eq!(nearest.first().map(String::as_str), like, "{asked}: {nearest:?}");
                }
                other => panic!("{other}"),
            }
        }
        assert!(matches!(
            find(&Wanted::Schema("shops".into()), &known(), "p").unwrap_err(),
            RecoverError::UnknownTable { .. }
        ));
    }
}
