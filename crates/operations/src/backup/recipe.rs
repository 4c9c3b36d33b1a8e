//! The plain-tools recipe: how to restore a point without holdpoint.

use holdpoint_core::manifest::{PointFormat, ServerFacts};
use holdpoint_core::name::quote_literal;

/// Writes the commands that restore a stored object with nothing but the aws client and PostgreSQL's programs.
///
/// `$TARGET` is the URL of a database server's maintenance database, `$DATABASE` the name to restore under.
pub(crate) fn recipe(object_url: &str, globals_url: &str, stored_as: PointFormat, server: &ServerFacts) -> Vec<String> {
    let fetch = |url: &str, file: &str| match url.strip_prefix("file://") {
        Some(path) => format!("cp {} {file}", shell(path)),
        None => format!("aws s3 cp {} {file}", shell(url)),
    };
    let create = format!(
        "psql \"$TARGET\" -c \"CREATE DATABASE \\\"$DATABASE\\\" TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}\"",
        quote_literal(&server.encoding),
        quote_literal(&server.collate),
        quote_literal(&server.ctype)
    );
    let mut lines = vec![
        "# TARGET: URL of the server's maintenance database; DATABASE: the name to restore under".to_owned(),
        fetch(globals_url, "globals.sql"),
        "psql \"$TARGET\" -f globals.sql  # roles that exist already are reported and left as they are".to_owned(),
        create,
    ];
    match stored_as {
        PointFormat::Archive => {
            lines.push(fetch(object_url, "archive.dump"));
            lines.push("pg_restore --exit-on-error -j 2 -d \"${TARGET%/*}/$DATABASE\" archive.dump".to_owned());
        }
        PointFormat::Plain => {
            lines.push(fetch(object_url, "dump.sql.gz"));
            lines.push("gunzip -c dump.sql.gz | psql -v ON_ERROR_STOP=1 -X \"${TARGET%/*}/$DATABASE\"".to_owned());
        }
    }
    lines
}

fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
