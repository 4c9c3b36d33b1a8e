//! Roles, database settings and grants as SQL, for people who restore without holdpoint.

use std::time::Duration;

use holdpoint_core::manifest::DatabaseProperties;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::{ClientProgram, PgDumpall};

use crate::{Context, Error, database_properties};

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

/// Writes the statements that give a database its properties, as comments.
pub(crate) fn properties_sql(database: &str, properties: &DatabaseProperties) -> String {
    let mut sql = String::from("\n-- Properties of the database: run after restoring, under the name it then has.\n");
    for statement in database_properties::statements(database, properties) {
        sql.push_str("-- ");
        for character in statement.chars() {
            sql.push(character);
            // Both end a comment in psql; what follows must stay in it, and be right once it is taken out of it.
            if matches!(character, '\n' | '\r') {
                sql.push_str("-- ");
            }
        }
        sql.push_str(";\n");
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_whole_and_nothing_leaves_the_comment() {
        let properties = DatabaseProperties {
            owner: "o".into(),
            grants: Some(vec!["app=c/o".into()]),
            comment: Some("two\nlines\rDROP TABLE x;".into()),
            settings: vec![holdpoint_core::manifest::DatabaseSetting {
                role: None,
                name: "search_path".into(),
                value: "\"$user\", public".into(),
            }],
            connection_limit: -1,
        };
        let sql = properties_sql("d", &properties);
        assert!(sql.contains("\n-- ALTER DATABASE \"d\" SET \"search_path\" TO '$user', 'public';\n"), "{sql}");
        assert!(sql.contains("\n-- GRANT CONNECT ON DATABASE \"d\" TO \"app\";\n"), "{sql}");
        let lines = sql.split(['\n', '\r']).filter(|line| !line.is_empty());
        assert!(lines.clone().all(|line| line.starts_with("-- ")), "{sql}");
    }
}
