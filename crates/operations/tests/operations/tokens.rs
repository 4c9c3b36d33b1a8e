//! IAM tokens as passwords, against a front that verifies them as RDS does, with a short life.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_operations::hint::of_postgres;
use holdpoint_operations::rds::{CredentialSource, RdsOptions, passwords};
use holdpoint_postgres::connection::{ConnectionSettings, Environment, Host, Passwords};
use holdpoint_postgres::programs::{PgDump, PgRestore, ProgramName, judge};
use holdpoint_postgres::{Error, Session, SessionPurpose};
use holdpoint_testkit::{ADMIN, Cluster, ClusterOptions, Identity, NEWEST, READ_ONLY, TokenFront};
use tokio_util::sync::CancellationToken;

use crate::support::programs;

/// The life of a token at the front; tokens have whole seconds, so one is a second older than it is.
const LIFE: Duration = Duration::from_secs(8);

/// The minutes that our clock is ahead; it decides when a token is made anew, not what is in it.
#[derive(Clone, Default)]
struct Ahead(Arc<AtomicI64>);

impl Ahead {
    fn tokens(&self, identity: &Identity) -> Passwords {
        let options = RdsOptions { region: Some("us-east-1".to_owned()), ..RdsOptions::default() };
        let keys = CredentialSource::Keys {
            access_key_id: identity.access_key.to_owned(),
            secret_access_key: identity.secret_key.to_owned(),
        };
        let (minutes, start) = (Arc::clone(&self.0), DateTime::<Utc>::UNIX_EPOCH);
        passwords(options, keys, Arc::new(move || start + TimeDelta::minutes(minutes.load(Ordering::SeqCst))))
    }

    async fn age_by(&self, minutes: i64) {
        tokio::time::sleep(LIFE + Duration::from_millis(1200)).await;
        self.0.fetch_add(minutes, Ordering::SeqCst);
    }
}

fn settings(front: &TokenFront, role: &str) -> ConnectionSettings {
    let url =
        format!("{}?sslmode=verify-full&sslrootcert={}", front.url(role, "postgres"), front.ca_bundle().display());
    ConnectionSettings::resolve(&url, &Environment::default()).unwrap()
}

async fn open(settings: &ConnectionSettings) -> Result<Session, Error> {
    Session::connect(settings, &SessionPurpose::new("tokens")).await
}

#[tokio::test]
async fn a_token_is_shared_while_it_is_good_and_whoever_comes_later_or_elsewhere_gets_another() {
    let cluster = Cluster::start(ClusterOptions::major(NEWEST));
    let front = TokenFront::start(&cluster, ADMIN, &["postgres"], LIFE);
    // Another address; a front takes no token that was made for another one.
    let other = TokenFront::start(&cluster, ADMIN, &["postgres"], LIFE);
    let authorities = [&front, &other].map(|front| std::fs::read_to_string(front.ca_bundle()).unwrap());
    std::fs::write(front.ca_bundle(), authorities.concat()).unwrap();
    let ahead = Ahead::default();
    let settings = settings(&front, "postgres").with_passwords(ahead.tokens(&ADMIN)).unwrap();
    let first = open(&settings).await.unwrap();
    open(&settings.with_database("template1")).await.unwrap();
    assert_eq!(front.accepted()[0], front.accepted()[1], "one token for both");
    // So a restored instance is reached, by an undo and by the data check of a cut-over.
    let Host::Tcp(host) = settings.servers()[0].host.clone() else { panic!("{settings:?}") };
    let port =
        other.url("postgres", "postgres").rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
    open(&settings.with_server(host.clone(), port)).await.unwrap();
    assert_eq!(other.accepted().len(), 1);
    assert!(other.accepted()[0].starts_with(&format!("{host}:{port}/")), "a token of its own");
    let shown = format!("{:?} {settings:?}", first.settings());
    assert!(!shown.contains("X-Amz"), "{shown}");

    // For nine minutes the same one is used; this front does not take it for as long.
    ahead.age_by(9).await;
    let error = open(&settings).await.unwrap_err();
    let Error::TokenRefused { user, .. } = &error else { panic!("{error:?}") };
    assert_eq!((user.as_str(), front.refused()), ("postgres", vec!["expired".to_owned()]));
    let hint = of_postgres(&error).unwrap();
    assert!(hint.contains("GRANT rds_iam TO") && hint.contains("rds-db:connect"), "{hint}");

    // Then another is made: also for what was narrowed to a server when the old one was good.
    ahead.0.fetch_add(1, Ordering::SeqCst);
    let later = open(first.settings()).await.unwrap();
    assert_eq!(later.show("is_superuser").await.unwrap(), "on");
    assert_ne!(front.accepted()[2], front.accepted()[0]);

    // And for a program that is started later still.
    ahead.age_by(10).await;
    let never = CancellationToken::new();
    let pg_dump = programs(&cluster).find(ProgramName::PgDump, NEWEST, &never).await.unwrap();
    let program = PgDump::new(&pg_dump, first.settings(), "").schema_only().program().await.unwrap();
    let mut running = program.start().unwrap();
    let mut archive = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut running.take_stdout().unwrap(), &mut archive).await.unwrap();
    judge(&pg_dump, running.wait().await.unwrap()).unwrap();
    assert!(archive.starts_with(b"PGDMP"));
    let accepted = front.accepted();
    assert!(accepted.len() == 4 && accepted[3] != accepted[2], "{}", accepted.len());
    assert_eq!(first.show("is_superuser").await.unwrap(), "on", "an open session outlives its token");
    first.canceller().cancel().await.unwrap();
}

/// pg_restore with several jobs connects once more at its end, with the password that it began with.
#[tokio::test]
async fn a_restore_that_outlives_its_token_ends_well() {
    let cluster = Cluster::start(ClusterOptions::major(NEWEST));
    // The index takes longer than a token lives; its table has to have been one of several.
    cluster.psql(
        "postgres",
        "CREATE FUNCTION public.slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql
             AS $$ BEGIN PERFORM pg_catalog.pg_sleep(9.5); RETURN n; END $$;
         CREATE TABLE a (n int); INSERT INTO a VALUES (1);
         CREATE TABLE b (n int PRIMARY KEY); CREATE DATABASE copy",
    );
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    cluster.psql("postgres", "SET search_path = public; CREATE INDEX ON a (slow(n))");
    let made =
        cluster.program("pg_dump").args(["-Fc", "-f"]).arg(&archive).args(["-d", &cluster.url("postgres")]).status();
    assert!(made.unwrap().success());
    let front = TokenFront::start(&cluster, ADMIN, &["postgres"], LIFE);
    let into =
        settings(&front, "postgres").with_database("copy").with_passwords(Ahead::default().tokens(&ADMIN)).unwrap();
    let never = CancellationToken::new();
    let pg_restore = programs(&cluster).find(ProgramName::PgRestore, NEWEST, &never).await.unwrap();
    PgRestore::of_file(&pg_restore, &archive).jobs(2).run_into(&into, "", &never).await.unwrap();
    assert_eq!(cluster.psql("copy", "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'"), "2");
    assert!(front.refused().is_empty(), "{:?}", front.refused());
}

#[tokio::test]
async fn tokens_that_are_refused_or_must_not_be_sent_are_told() {
    let cluster = Cluster::start(ClusterOptions::major(NEWEST));
    cluster.psql("postgres", "CREATE ROLE plain LOGIN");
    let front = TokenFront::start(&cluster, ADMIN, &["postgres"], LIFE);
    let ahead = Ahead::default();
    for (role, identity, why, said) in [
        ("postgres", READ_ONLY, "signed by rokey/", "PAM authentication failed"),
        ("plain", ADMIN, "not a role of IAM", "password authentication failed"),
        (
            "postgres",
            Identity { access_key: ADMIN.access_key, secret_key: "another" },
            "the signature is wrong",
            "PAM authentication failed",
        ),
    ] {
        let settings = settings(&front, role).with_passwords(ahead.tokens(&identity)).unwrap();
        let error = open(&settings).await.unwrap_err();
        assert!(matches!(&error, Error::TokenRefused { .. }) && error.to_string().contains(said), "{error:?}");
        assert!(front.refused().last().unwrap().starts_with(why), "{:?}", front.refused());
    }
    assert!(front.accepted().is_empty());

    // Names that no token can be for.
    let odd = settings(&front, "a%20b").with_passwords(ahead.tokens(&ADMIN)).unwrap();
    let error = open(&odd).await.unwrap_err();
    assert!(matches!(&error, Error::PasswordNotMade { user, .. } if user == "a b"), "{error:?}");
    assert!(of_postgres(&error).unwrap().contains("credentials"));

    // Nothing is sent that others could read.
    for mode in ["disable", "allow", "prefer"] {
        let url = format!("{}?sslmode={mode}", front.url("postgres", "postgres"));
        let plain = ConnectionSettings::resolve(&url, &Environment::default()).unwrap();
        let error = plain.with_passwords(ahead.tokens(&ADMIN)).unwrap_err();
        assert!(error.to_string().contains("is too weak for IAM authentication"), "{error}");
    }
    let socket = ConnectionSettings::resolve(&cluster.url("postgres"), &Environment::default()).unwrap();
    assert!(matches!(socket.with_passwords(ahead.tokens(&ADMIN)), Err(Error::BadParameter { .. })));
    assert_eq!(front.refused().len(), 3, "nobody came");
}
