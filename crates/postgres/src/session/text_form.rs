//! The one text form of values: what every session that copies, dumps or digests must agree on.
//!
//! Without it honest backups of a database with its own time zone come out different (measured). The list is the
//! design's plus what `pg_dump` itself sets before it reads.

use serde::Serialize;

use super::Session;
use crate::Error;

/// The settings that were made and read back, as names and values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextForm {
    /// Names and values, in the order they were set.
    pub settings: Vec<(String, String)>,
    /// The database's encoding, which children write in: our own sessions always speak UTF-8 and name the encoding of
    /// what they copy.
    pub encoding: String,
}

/// Changes how a value reads.
const FORM: &[(&str, &str)] = &[
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    // Names of tables, functions and roles are values too: those of regclass and its like.
    ("quote_all_identifiers", "off"),
    // How definitions write strings.
    ("standard_conforming_strings", "on"),
];

/// Changes which rows come, in which order, and for how long.
const READING: &[(&str, &str)] = &[
    ("row_security", "off"),
    ("synchronize_seqscans", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

impl Session {
    /// Sets the text form for the rest of the session and reads every setting back.
    ///
    /// `search_path` becomes empty, so statements name schemas. Call it outside a transaction: a rolled back one
    /// takes settings with it.
    ///
    /// # Errors
    /// [`Error::SettingDiffers`] where the server, or a pooler before it, does not keep a setting.
    pub async fn pin_text_form(&self) -> Result<TextForm, Error> {
        const WHAT: &str = "setting the text form";
        let mut wanted: Vec<(String, String)> = vec![("search_path".to_owned(), String::new())];
        let plain = FORM.iter().chain(READING).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        wanted.extend(plain);
        if self.server.major >= 17 {
            wanted.push(("transaction_timeout".to_owned(), "0".to_owned()));
        }
        let known = "SELECT 1 FROM pg_catalog.pg_settings WHERE name = 'restrict_nonsystem_relation_kind'";
        if !self.query(WHAT, known, &[]).await?.is_empty() {
            wanted.push(("restrict_nonsystem_relation_kind".to_owned(), "view, foreign-table".to_owned()));
        }
        let (names, values): (Vec<&str>, Vec<&str>) = wanted.iter().map(|(n, v)| (n.as_str(), v.as_str())).unzip();
        let set = "SELECT pg_catalog.set_config(name, value, false) \
                   FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS wanted (name, value)";
        self.query(WHAT, set, &[&names, &values]).await?;

        let read = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.unnest($1::text[]) AS wanted (name)";
        for (row, (name, wanted)) in self.query(WHAT, read, &[&names]).await?.iter().zip(&wanted) {
            let found: String = row.get(1);
            if !same(name, wanted, &found) {
                return Err(Error::SettingDiffers { name: name.clone(), wanted: wanted.clone(), found });
            }
        }
        let encoding = self.query_one(WHAT, "SELECT pg_catalog.current_setting('server_encoding')", &[]).await?;
        Ok(TextForm { settings: wanted, encoding: encoding.get(0) })
    }
}

fn same(name: &str, wanted: &str, found: &str) -> bool {
    match name {
        // ISO output has one order of year, month and day; what follows is for input.
        "DateStyle" => found.split(',').next() == Some(wanted),
        "search_path" => matches!(found, "" | "\"\""),
        "restrict_nonsystem_relation_kind" => {
            let parts = |text: &str| {
                let mut parts: Vec<_> = text.split(',').map(|part| part.trim().to_owned()).collect();
                parts.sort();
                parts
            };
            parts(wanted) == parts(found)
        }
        _ => wanted == found,
    }
}

impl TextForm {
    /// Writes the settings as `PGOPTIONS` does, for children.
    ///
    /// Left out is what `pg_dump` sets for its own reading and changes on the way. The search path is: with an empty one
    /// to fall back to, its patterns without a schema would match nothing, silently.
    pub fn pg_options(&self) -> String {
        let own = |name: &str| matches!(name, "restrict_nonsystem_relation_kind" | "search_path");
        let settings = self.settings.iter().filter(|(name, _)| !own(name));
        // Else a role's own client_encoding would change every row that is not ASCII.
        let encoding = ("client_encoding".to_owned(), self.encoding.clone());
        let options = settings.chain([&encoding]);
        options.map(|(name, value)| format!("-c {name}={}", escaped(value))).collect::<Vec<_>>().join(" ")
    }
}

fn escaped(value: &str) -> String {
    value.chars().flat_map(|c| (c == '\\' || c.is_whitespace()).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_by_what_they_mean() {
        assert!(same("DateStyle", "ISO", "ISO, DMY"));
        assert!(!same("DateStyle", "ISO", "SQL, ISO"));
        assert!(same("search_path", "", "\"\""));
        assert!(same("restrict_nonsystem_relation_kind", "view, foreign-table", "foreign-table,view"));
        assert!(!same("TimeZone", "UTC", "Europe/Vienna"));
    }

    #[test]
    fn options_escape_what_would_end_them() {
        let settings = vec![("a".into(), r"b c\d".into()), ("search_path".into(), String::new())];
        let form = TextForm { settings, encoding: "LATIN1".into() };
        assert_eq!(
            form.pg_options(),
            r"-c a=b\ c\\d -c client_encoding=LATIN1",
            "pg_dump has a search path of its own"
        );
    }
}
