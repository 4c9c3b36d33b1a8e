//! Tables that nobody named, whose rows stay as they are: the last look before a change is committed.

use std::collections::BTreeMap;

use holdpoint_postgres::Session;

use super::RecoverError;
use crate::Error;

/// Rows of other tables that this transaction changed or deleted.
///
/// The server counts them (unless `track_counts` is off), whatever made it touch them.
pub(super) struct Bystanders(BTreeMap<String, i64>);

impl Bystanders {
    /// Reads the counts as they are; `named` are the tables that are to change, whose partitions change with them.
    pub(super) async fn read(session: &Session, named: &[u32]) -> Result<Self, Error> {
        let sql = "SELECT format('%I.%I', schemaname, relname), (n_tup_upd + n_tup_del)::int8 \
                   FROM pg_stat_xact_user_tables \
                   WHERE n_tup_upd + n_tup_del > 0 AND relid <> ALL ($1::oid[]) AND relid NOT IN ( \
                     SELECT p.relid::oid FROM unnest($1::oid[]) t, pg_partition_tree(t::regclass) p(relid))";
        let rows = session.query("looking at other tables", sql, &[&named]).await?;
        Ok(Self(rows.iter().map(|row| (row.get(0), row.get(1))).collect()))
    }

    /// Demands that nothing was done to them since.
    ///
    /// # Errors
    /// [`RecoverError::Refused`] naming those that were changed.
    pub(super) async fn untouched(&self, session: &Session, named: &[u32]) -> Result<(), Error> {
        let now = Self::read(session, named).await?;
        let touched = now.0.iter().filter(|(table, count)| self.0.get(*table) != Some(count));
        let say =
            |table: &String| format!("foreign keys would change or delete rows of {table}: recover it in the same go");
        let reasons: Vec<String> = touched.map(|(table, _)| say(table)).collect();
        if reasons.is_empty() { Ok(()) } else { Err(RecoverError::Refused { reasons }.into()) }
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::ConnectionSettings;
    use holdpoint_postgres::connection::Environment;
    use holdpoint_testkit::{Cluster, MAJORS};

    use super::super::side;
    use super::*;

    #[tokio::test]
    async fn what_a_cascade_touches_is_seen() {
        for major in MAJORS {
            let cluster = Cluster::shared(major);
            cluster.create_database("bystanders");
            let sql = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE \"B\" (a int REFERENCES a ON DELETE CASCADE);
                       CREATE TABLE c (a int REFERENCES a ON DELETE SET NULL); INSERT INTO a VALUES (1), (2), (3);
                       INSERT INTO \"B\" VALUES (1), (2); INSERT INTO c VALUES (2)";
            cluster.psql("bystanders", sql);
            let settings = ConnectionSettings::resolve(&cluster.url("bystanders"), &Environment::default()).unwrap();
            let session = side::connect(&settings, 5).await.unwrap();
            let row = session.query_one("which table", "SELECT 'public.a'::regclass::oid", &[]).await.unwrap();
            let named: Vec<u32> = vec![row.get(0)];
            let touched = async |sql: &str| {
                session.run("a change", &format!("{sql}; BEGIN")).await.unwrap();
                let before = Bystanders::read(&session, &named).await.unwrap();
                session
                    .run("a change", "DELETE FROM public.a WHERE id = (SELECT max(id) FROM public.a)")
                    .await
                    .unwrap();
                let outcome = before.untouched(&session, &named).await;
                session.run("its end", "COMMIT").await.unwrap();
                outcome.map_err(|error| error.to_string())
            };
            assert_eq!(touched("UPDATE public.c SET a = a").await, Ok(()), "{major}: nobody refers to 3");
            let error = touched("SELECT").await.unwrap_err();
            assert!(error.contains("rows of public.\"B\"") && error.contains("rows of public.c"), "{major}: {error}");
            let error = touched("SELECT").await.unwrap_err();
            assert!(error.contains("public.\"B\"") && !error.contains("public.c"), "{major}: {error}");
            session.close().await;
            cluster.drop_database("bystanders");
        }
    }
}
