//! Each sslmode against servers with and without a certificate that can be checked.

use std::fs;

use holdpoint_postgres::connection::{ConnectionSettings, Environment};
use holdpoint_postgres::{Error, Session, SessionPurpose};
use holdpoint_testkit::{Certificates, Cluster, ClusterOptions, NEWEST};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use crate::{connect, open};

fn server(certificates: Certificates) -> Cluster {
    let mut options = ClusterOptions::major(NEWEST);
    options.certificates = Some(certificates);
    Cluster::start(options)
}

async fn encrypted(session: &Session) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    session.query_one("x", sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn every_mode_does_what_libpq_does() {
    let cluster = server(Certificates::for_names(&["localhost"]));
    let root = cluster.root_certificate().unwrap();
    let base = cluster.tcp_url("postgres").replace("127.0.0.1", "localhost");
    for (mode, tls) in [("disable", false), ("allow", false), ("prefer", true), ("require", true)] {
        let session = open(&format!("{base}?sslmode={mode}")).await;
        assert_eq!(encrypted(&session).await, tls, "{mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let session = open(&format!("{base}?sslmode={mode}&sslrootcert={}", root.display())).await;
        assert!(encrypted(&session).await, "{mode}");
        session.canceller().cancel().await.unwrap();
    }
    let session =
        open(&format!("{base}?sslmode=verify-full&sslnegotiation=direct&sslrootcert={}", root.display())).await;
    assert!(encrypted(&session).await);

    // Without the root, and by a name that is not in the certificate.
    for mode in ["verify-ca", "verify-full"] {
        let error = connect(&format!("{base}?sslmode={mode}")).await.unwrap_err();
        let Error::TlsFailed { problem, cure, .. } = &error else { panic!("{error:?}") };
        assert!(problem.contains("not signed by an authority that this system trusts"), "{problem}");
        assert!(cure.contains("sslrootcert=") && cure.contains("sslmode=require"), "{cure}");
    }
    let by_address = format!("{}?sslrootcert={}", cluster.tcp_url("postgres"), root.display());
    let error = connect(&format!("{by_address}&sslmode=verify-full")).await.unwrap_err();
    assert!(error.to_string().contains("not made out to 127.0.0.1 but to"), "{error}");
    assert!(encrypted(&open(&format!("{by_address}&sslmode=verify-ca")).await).await);
}

#[tokio::test]
async fn a_root_file_makes_require_check_and_another_authority_fails() {
    let cluster = server(Certificates::for_names(&["localhost"]));
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.crt");
    fs::write(&other, Certificates::for_names(&["localhost"]).root).unwrap();
    let base = cluster.tcp_url("postgres").replace("127.0.0.1", "localhost");
    for mode in ["require", "verify-full"] {
        let error = connect(&format!("{base}?sslmode={mode}&sslrootcert={}", other.display())).await.unwrap_err();
        assert!(matches!(&error, Error::TlsFailed { problem, .. } if problem.contains("other.crt")), "{error:?}");
    }
    fs::write(&other, "nonsense").unwrap();
    let error = connect(&format!("{base}?sslmode=verify-full&sslrootcert={}", other.display())).await.unwrap_err();
    assert!(matches!(&error, Error::BadFile { path, .. } if *path == other), "{error:?}");
    let error = connect(&format!("{base}?sslmode=verify-full&sslrootcert=/nowhere.crt")).await.unwrap_err();
    assert!(matches!(&error, Error::BadFile { .. }), "{error:?}");
}

/// What PostgreSQL's manual makes: self-signed, an authority by its own word, the host in the subject only.
#[tokio::test]
async fn a_self_signed_certificate_is_its_own_root() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let pem = params.self_signed(&key).unwrap().pem();
    let cluster = server(Certificates { root: pem.clone(), server: pem, server_key: key.serialize_pem() });
    let root = cluster.root_certificate().unwrap();
    let base = cluster.tcp_url("postgres").replace("127.0.0.1", "localhost");
    assert!(encrypted(&open(&format!("{base}?sslmode=require")).await).await);
    assert!(encrypted(&open(&format!("{base}?sslmode=verify-full&sslrootcert={}", root.display())).await).await);
    let by_address = format!("{}?sslmode=verify-full&sslrootcert={}", cluster.tcp_url("postgres"), root.display());
    assert!(matches!(connect(&by_address).await.unwrap_err(), Error::TlsFailed { .. }));
    assert!(matches!(connect(&format!("{base}?sslmode=verify-full")).await.unwrap_err(), Error::TlsFailed { .. }));

    // psql, with what a child gets, agrees.
    let url = format!("{base}?sslmode=verify-full&sslrootcert={}", root.display());
    let settings = ConnectionSettings::resolve(&url, &Environment::default()).unwrap();
    let session = Session::connect(&settings, &SessionPurpose::new("x")).await.unwrap();
    let child = session.settings().child_environment();
    let mut psql = cluster.program("psql");
    for name in &child.removed {
        psql.env_remove(name);
    }
    psql.envs(child.set.iter().map(|(name, value)| (*name, value.expose())));
    let output = psql.args(["-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "t", "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn an_expired_certificate_is_refused_by_the_modes_that_check() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem();
    let cluster = server(Certificates { root: pem.clone(), server: pem, server_key: key.serialize_pem() });
    let base = cluster.tcp_url("postgres").replace("127.0.0.1", "localhost");
    let root = cluster.root_certificate().unwrap();
    let error = connect(&format!("{base}?sslmode=verify-ca&sslrootcert={}", root.display())).await.unwrap_err();
    assert!(error.to_string().contains("has expired"), "{error}");
    open(&format!("{base}?sslmode=require")).await;
}

#[tokio::test]
async fn prefer_and_allow_go_the_other_way_when_refused() {
    for (rule, mode, tls) in [("hostssl", "prefer", false), ("hostnossl", "allow", true)] {
        let mut options = ClusterOptions::major(NEWEST);
        options.certificates = Some(Certificates::for_names(&["localhost"]));
        options.access = vec![format!("{rule} all all 127.0.0.1/32 reject")];
        let cluster = Cluster::start(options);
        let session = open(&format!("{}?sslmode={mode}", cluster.tcp_url("postgres"))).await;
        assert_eq!(encrypted(&session).await, tls, "{mode}");
        let other = if tls { "disable" } else { "require" };
        let error = connect(&format!("{}?sslmode={other}", cluster.tcp_url("postgres"))).await.unwrap_err();
        assert!(matches!(error, Error::NotAllowed { .. }), "{error:?}");
    }
}
