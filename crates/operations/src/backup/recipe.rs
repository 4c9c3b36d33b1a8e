//! The plain-tools recipe: how to restore a point without holdpoint.

use holdpoint_core::manifest::{PointFormat, ServerFacts};
use holdpoint_postgres::scratch::DatabaseLocale;

/// Writes the commands that restore a stored object with nothing but the aws client and PostgreSQL's programs.
///
/// libpq's own variables name the server, so any way to connect works; `$DATABASE` is the name to restore under.
pub(crate) fn recipe(object_url: &str, globals_url: &str, stored_as: PointFormat, server: &ServerFacts) -> Vec<String> {
    let fetch = |url: &str, file: &str| match url.strip_prefix("file://") {
        Some(path) => format!("cp {} {file}", shell(path)),
        None => format!("aws s3 cp {} {file}", shell(url)),
    };
    let mut lines = vec![
        "# PGHOST, PGPORT, PGUSER, PGPASSWORD: the server; DATABASE: the name to restore under".to_owned(),
        fetch(globals_url, "globals.sql"),
        "psql -X -d postgres -f globals.sql  # roles that exist already are reported and left as they are".to_owned(),
        create(server),
    ];
    match stored_as {
        PointFormat::Archive => {
            lines.push(fetch(object_url, "archive.dump"));
            lines.push("pg_restore --exit-on-error -j 2 -d \"$DATABASE\" archive.dump".to_owned());
        }
        PointFormat::Plain => {
            lines.push(fetch(object_url, "dump.sql.gz"));
            lines.push("gunzip -c dump.sql.gz | psql -X -v ON_ERROR_STOP=1 -d \"$DATABASE\"".to_owned());
        }
    }
    lines
}

/// Creates the database with the source's encoding and locale, whatever its provider.
fn create(server: &ServerFacts) -> String {
    const NAME: &str = "name";
    let statement = DatabaseLocale::from(server).statement(NAME, server.version_num / 10_000);
    let escaped: String = statement
        .chars()
        .flat_map(|character| {
            let escape = matches!(character, '\\' | '"' | '$' | '`').then_some('\\');
            escape.into_iter().chain([character])
        })
        .collect();
    format!("psql -X -d postgres -c \"{}\"", escaped.replacen(NAME, "$DATABASE", 1))
}

pub(crate) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_is_kept_whatever_its_provider() {
        let server = ServerFacts {
            version_num: 170_011,
            version: "17.11".into(),
            encoding: "UTF8".into(),
            locale_provider: "icu".into(),
            collate: "C".into(),
            ctype: "C".into(),
            locale: Some("de-DE".into()),
            collation_version: None,
            lc_monetary: "C".into(),
            xmloption: "content".into(),
            tablespaces: vec![],
            preload_libraries: String::new(),
        };
        let lines = recipe("s3://b/k/archive.dump", "s3://b/k/globals.sql", PointFormat::Archive, &server);
        let create = &lines[3];
        assert!(create.contains("CREATE DATABASE \\\"$DATABASE\\\" TEMPLATE template0"), "{create}");
        assert!(create.contains("LOCALE_PROVIDER 'icu'") && create.contains("ICU_LOCALE 'de-DE'"), "{create}");
    }
}
