//! Ending what is connected to the database that an undo by RDS put aside: pools then connect to the name again, and so come to
//! the restored instance. Who stays goes on writing into the one that is aside, and is told.

use holdpoint_operations::Error as OperationError;
use holdpoint_operations::rds::PlaceTaken;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

/// What became of sessions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// How many were ended.
    pub(super) count: usize,
    /// Those that were not, or why none was, in words.
    pub(super) left: Vec<String>,
}

/// Ends what is connected to the database of `live` on the instance that went aside.
pub(super) async fn on_aside(live: &ConnectionSettings, taken: &PlaceTaken) -> Ended {
    let aside = &taken.aside;
    let Some(at) = &taken.aside_at else {
        let why = format!("sessions of {aside} were not ended: RDS does not say where it is reached");
        return Ended { count: 0, left: vec![why] };
    };
    let settings = live.with_server(at.host.clone(), at.port);
    let ended = async {
        let session = Session::connect(&settings, &SessionPurpose::new("holdpoint undo")).await?;
        let ended = each(&session).await;
        session.close().await;
        ended
    };
    match ended.await {
        Ok(Ended { count, left }) => {
            let left = left.into_iter().map(|who| format!("still connected to {aside}: {who}")).collect();
            Ended { count, left }
        }
        Err(error) => Ended { count: 0, left: vec![format!("sessions of {aside} could not be ended: {error}")] },
    }
}

/// Ends every other session of the database, one by one: a single one that this role may not end must not save the others.
async fn each(session: &Session) -> Result<Ended, OperationError> {
    const LIST: &str = "SELECT pid, COALESCE(usename::text, ''), COALESCE(application_name, '') \
                        FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
                          AND pid <> pg_catalog.pg_backend_pid() \
                          AND (backend_type = 'client backend' OR backend_type IS NULL AND usesysid IS NOT NULL) ORDER BY pid";
    const WHAT: &str = "ending sessions of the database that went aside";
    let mut ended = Ended::default();
    for row in session.query(WHAT, LIST, &[]).await? {
        let (pid, role, program): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
        match session.query_one(WHAT, "SELECT pg_catalog.pg_terminate_backend($1)", &[&pid]).await {
            Ok(signalled) if signalled.get(0) => ended.count += 1,
            // It went by itself meanwhile.
            Ok(_) => {}
            Err(error) if error.sqlstate() == Some("42501") => {
                let program = if program.is_empty() { String::new() } else { format!(" ({program})") };
                let may_not = "which this role may not end: it needs pg_signal_backend, or has to be ended by hand";
                ended.left.push(format!("process {pid} of role {role}{program}, {may_not}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use holdpoint_operations::rds::Endpoint;
    use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

    use super::*;

    async fn connect(cluster: &Cluster, role: &str, name: &str) -> Session {
        let settings = ConnectionSettings::resolve(&cluster.url_as(role, "shop"), &Default::default()).unwrap();
        Session::connect(&settings, &SessionPurpose::new(name)).await.unwrap()
    }

    async fn lives(session: &Session) -> bool {
        session.query_one("a test", "SELECT 1", &[]).await.is_ok()
    }

    #[tokio::test]
    async fn a_session_that_may_not_be_ended_keeps_no_other_from_being_ended() {
        for major in [14, NEWEST] {
            let cluster = Cluster::start(ClusterOptions::major(major));
            cluster.create_database("shop");
            cluster.psql("shop", "CREATE ROLE migrates LOGIN; CREATE ROLE app LOGIN; CREATE ROLE other LOGIN");
            cluster.psql("shop", "GRANT app TO migrates");
            // Members of a role may end its sessions, and one of another role is between them.
            let first = connect(&cluster, "app", "pool one").await;
            let stranger = connect(&cluster, "other", "reports").await;
            let second = connect(&cluster, "app", "pool two").await;
            let own = connect(&cluster, "migrates", "holdpoint undo").await;
            let ended = each(&own).await.unwrap();
            assert_eq!((ended.count, ended.left.len()), (2, 1), "{ended:?}");
            assert!(
                ended.left[0].contains("of role other") && ended.left[0].contains("pg_signal_backend"),
                "{ended:?}"
            );
            let within = tokio::time::Instant::now() + Duration::from_secs(300);
            while lives(&first).await || lives(&second).await {
                assert!(tokio::time::Instant::now() < within, "PostgreSQL {major}: they were not ended");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(lives(&stranger).await, "PostgreSQL {major}");
        }
    }

    #[tokio::test]
    async fn an_instance_that_is_not_reached_is_told() {
        let settings = ConnectionSettings::resolve("postgresql://ann@127.0.0.1:1/shop", &Default::default()).unwrap();
        let taken = |aside_at| PlaceTaken {
            name: "shop".to_owned(),
            aside: "shop-old".to_owned(),
            aside_at,
            way_back: String::new(),
            open: Vec::new(),
        };
        let told = on_aside(&settings, &taken(None)).await;
        assert_eq!((told.count, told.left.len()), (0, 1));
        assert!(told.left[0].contains("RDS does not say where it is reached"), "{told:?}");
        let at = Endpoint { host: "127.0.0.1".to_owned(), port: 1 };
        let told = on_aside(&settings, &taken(Some(at))).await;
        assert!(told.left[0].starts_with("sessions of shop-old could not be ended: "), "{told:?}");
    }
}
