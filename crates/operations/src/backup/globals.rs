//! Roles, database settings and grants as SQL, for people who restore without holdpoint.

use std::fmt::Write as _;
use std::time::Duration;

use holdpoint_core::manifest::DatabaseProperties;
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::{ClientProgram, PgDumpall};

use crate::{Context, Error};

const LIMIT: Duration = Duration::from_secs(120);

/// Makes `globals.sql`: pg_dumpall's roles without passwords, then the database's own properties as comments, since
/// they name the database as it is called at the source.
pub(crate) async fn globals(
    context: &Context,
    pg_dumpall: &ClientProgram,
    settings: &ConnectionSettings,
    properties: &DatabaseProperties,
) -> Result<Vec<u8>, Error> {
    let mut sql = PgDumpall::new(pg_dumpall, settings).roles(LIMIT, &context.cancel).await?;
    sql.extend_from_slice(properties_sql(settings.database(), properties).as_bytes());
    Ok(sql)
}

/// Writes the statements that give a database its properties.
pub(crate) fn properties_sql(database: &str, properties: &DatabaseProperties) -> String {
    let name = quote_identifier(database);
    let mut sql = String::from("\n-- Properties of the database: run after restoring, under the name it then has.\n");
    let mut line = |text: String| {
        // A comment line must stay one line.
        writeln!(sql, "-- {}", text.replace('\n', " ")).ok();
    };
    line(format!("ALTER DATABASE {name} OWNER TO {};", quote_identifier(&properties.owner)));
    if let Some(comment) = &properties.comment {
        line(format!("COMMENT ON DATABASE {name} IS {};", quote_literal(comment)));
    }
    for setting in &properties.settings {
        let value = quote_literal(&setting.value);
        let parameter = quote_identifier(&setting.name);
        match &setting.role {
            Some(role) => {
                line(format!("ALTER ROLE {} IN DATABASE {name} SET {parameter} TO {value};", quote_identifier(role)))
            }
            None => line(format!("ALTER DATABASE {name} SET {parameter} TO {value};")),
        }
    }
    for grant in properties.grants.iter().flatten() {
        line(format!("grant: {grant}"));
    }
    sql
}
