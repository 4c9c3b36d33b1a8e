//! One transaction whose end is known even when the connection is lost in the middle of it.

use holdpoint_postgres::Session;

use super::{RecoverError, side};
use crate::Error;

const WHAT: &str = "committing the change";

/// Commits, and finds out what became of it where the answer was lost.
///
/// `transaction` is its `pg_current_xact_id()`.
///
/// # Errors
/// That of the server for a transaction that is taken back; [`RecoverError::CommitUnknown`].
pub(super) async fn commit(session: &Session, transaction: &str) -> Result<(), Error> {
    let Err(lost) = session.run(WHAT, "COMMIT").await else { return Ok(()) };
    if lost.sqlstate().is_some() && !session.is_closed() {
        return Err(lost.into());
    }
    let lost = Error::from(lost);
    match fate(session, transaction).await {
        Ok(Some(true)) => Ok(()),
        Ok(Some(false)) => Err(lost),
        Ok(None) | Err(_) => {
            Err(RecoverError::CommitUnknown { transaction: transaction.to_owned(), source: Box::new(lost) }.into())
        }
    }
}

/// Ends what a session is doing, and its transaction: others would wait for its locks.
pub(super) async fn cancel(session: &Session) {
    session.canceller().cancel().await.ok();
    // The request may reach the server late and hit this instead of what it was meant for.
    for _ in 0..2 {
        if session.run("ending what is running", "ROLLBACK").await.is_ok() {
            break;
        }
    }
}

/// Asks whether a transaction was committed, as long as a server may need to start again.
async fn fate(session: &Session, transaction: &str) -> Result<Option<bool>, Error> {
    let mut last = None;
    for attempt in 0..60 {
        if attempt > 0 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        let asked = async {
            let again = side::connect(session.settings(), 10).await?;
            let sql = "SELECT pg_xact_status($1::text::xid8)";
            let row = again.query_one(WHAT, sql, &[&transaction]).await?;
            again.close().await;
            Ok::<Option<String>, Error>(row.get(0))
        };
        match asked.await {
            Ok(status) => match status.as_deref() {
                Some("committed") => return Ok(Some(true)),
                Some("aborted") => return Ok(Some(false)),
                // Its session has not noticed yet that nobody is there.
                Some(_) => last = None,
                None => return Ok(None),
            },
            Err(error) => last = Some(error),
        }
    }
    last.map_or(Ok(None), Err)
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::ConnectionSettings;
    use holdpoint_postgres::connection::Environment;
    use holdpoint_testkit::Cluster;

    use super::*;

    /// The session is ended before the answer to its COMMIT can come: what the server did decides.
    #[tokio::test]
    async fn a_lost_answer_is_found_out() {
        let cluster = Cluster::shared(holdpoint_testkit::NEWEST);
        cluster.create_database("lost_answers");
        cluster.psql("lost_answers", "CREATE TABLE public.t (id int)");
        let settings = ConnectionSettings::resolve(&cluster.url("lost_answers"), &Environment::default()).unwrap();
        for committed in [true, false] {
            let session = side::connect(&settings, 5).await.unwrap();
            session.run("a change", "BEGIN; INSERT INTO public.t VALUES (1)").await.unwrap();
            let sql = "SELECT pg_current_xact_id()::text, pg_backend_pid()";
            let row = session.query_one("which transaction", sql, &[]).await.unwrap();
            let (transaction, pid): (String, i32) = (row.get(0), row.get(1));
            if committed {
                session.run("the commit whose answer is lost", "COMMIT").await.unwrap();
            }
            cluster.psql("postgres", &format!("SELECT pg_terminate_backend({pid}, 10000)"));
            assert_eq!(commit(&session, &transaction).await.is_ok(), committed);
        }
        assert_eq!(cluster.psql("lost_answers", "SELECT count(*) FROM t"), "1");
        cluster.drop_database("lost_answers");
    }
}
