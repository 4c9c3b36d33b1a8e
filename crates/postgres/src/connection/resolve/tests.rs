//! Precedence, defaults and refusals, without a server.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::connection::{Roots, SslMode};

fn resolve(source: &str, variables: &[(&str, &str)]) -> ConnectionSettings {
    let environment = Environment::new(variables.iter().copied().chain([("USER", "osuser")]));
    ConnectionSettings::resolve(source, &environment).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn refusal(source: &str, variables: &[(&str, &str)]) -> String {
    let environment = Environment::new(variables.iter().copied());
    ConnectionSettings::resolve(source, &environment).expect_err(source).to_string()
}

#[test]
fn the_url_beats_the_service_beats_the_environment_beats_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services");
    fs::write(&file, "[shop]\nhost=from-service\nport=7000\nuser=from-service\n").unwrap();
    let file = file.to_str().unwrap();
    let variables = [
        ("PGSERVICEFILE", file),
        ("PGSERVICE", "shop"),
        ("PGHOST", "from-environment"),
        ("PGPORT", "8000"),
        ("PGUSER", "from-environment"),
        ("PGDATABASE", "from-environment"),
    ];
    let settings = resolve("postgresql://from-url/", &variables);
    assert_eq!(settings.endpoint(), "from-url:7000");
    assert_eq!(settings.user(), "from-service");
    assert_eq!(settings.database(), "from-environment");
    let settings = resolve("", &variables[2..]);
    assert_eq!(settings.endpoint(), "from-environment:8000");
    assert_eq!(resolve("host=h", &[]).redacted(), "postgresql://osuser@h:5432/osuser?sslmode=verify-full");
    assert_eq!(
        refusal("service=none", &[("PGSERVICEFILE", file), ("PGSYSCONFDIR", "/nowhere")]),
        format!("connection service \"none\" is not defined in {file} or /nowhere/pg_service.conf")
    );
}

#[test]
fn remote_hosts_are_checked_unless_something_else_is_said() {
    let mode = |source: &str| resolve(source, &[]).tls.mode;
    assert_eq!(mode("postgresql://db.example.com/x"), SslMode::VerifyFull);
    assert_eq!(mode("postgresql://localhost,db.example.com/x"), SslMode::VerifyFull);
    for local in ["localhost", "127.0.0.1", "[::1]", "%2Ftmp", "127.1.2.3"] {
        assert_eq!(mode(&format!("postgresql://{local}/x")), SslMode::Prefer, "{local}");
    }
    assert_eq!(mode("postgresql://db.example.com/x?hostaddr=127.0.0.1"), SslMode::Prefer);
    assert_eq!(mode("postgresql://localhost/x?hostaddr=192.0.2.1"), SslMode::VerifyFull);
    for said in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
        assert_eq!(mode(&format!("postgresql://db.example.com/x?sslmode={said}")).name(), said);
    }
    assert_eq!(resolve("postgresql://db.example.com/x", &[("PGSSLMODE", "require")]).tls.mode, SslMode::Require);
    assert_eq!(mode("postgresql://db.example.com/x?ssl=true"), SslMode::Require);
    assert_eq!(mode("postgresql://localhost/x?sslrootcert=system"), SslMode::VerifyFull);
    assert!(refusal("postgresql://u@h/x?sslrootcert=system&sslmode=require", &[]).contains("too weak"));
    assert!(refusal("postgresql://u@h/x?sslmode=on", &[]).contains("is none of disable"));
}

#[test]
fn given_authorities_are_for_whoever_names_none_and_asks_for_a_check() {
    let tls = |source: &str, variables: &[(&str, &str)]| {
        let environment = Environment::new(variables.iter().copied().chain([("USER", "me")]));
        let tls = ConnectionSettings::resolve(source, &environment.trusting("/rds.pem".into())).unwrap().tls;
        (tls.mode, tls.roots)
    };
    let given = |mode| (mode, Roots::File("/rds.pem".into()));
    for host in ["db.example.com", "127.0.0.1"] {
        assert_eq!(tls(&format!("postgresql://{host}/x"), &[]), given(SslMode::VerifyFull));
        assert_eq!(tls(&format!("postgresql://{host}/x?sslmode=verify-ca"), &[]), given(SslMode::VerifyCa));
    }
    assert_eq!(tls("postgresql://h/x", &[("PGSSLMODE", "require")]), given(SslMode::Require));
    let own = |mode| (mode, Roots::File("/own.pem".into()));
    assert_eq!(tls("postgresql://h/x?sslrootcert=/own.pem", &[]), own(SslMode::VerifyFull));
    assert_eq!(tls("postgresql://127.0.0.1/x", &[("PGSSLROOTCERT", "/own.pem")]), own(SslMode::Prefer));
    assert_eq!(tls("postgresql://h/x?sslrootcert=system", &[]), (SslMode::VerifyFull, Roots::System));
    for unchecked in ["sslmode=no-verify", "ssl=no-verify", "sslaccept=accept_invalid_certs"] {
        assert_eq!(
            tls(&format!("postgresql://h/x?{unchecked}"), &[]),
            (SslMode::Require, Roots::System),
            "{unchecked}"
        );
    }
}

#[test]
fn prismas_parameters_are_understood_and_not_passed_on() {
    let settings = resolve(
        "postgresql://u:p@localhost:6543/db?schema=shop&connection_limit=1&pool_timeout=2&pgbouncer=true\
         &socket_timeout=3&statement_cache_size=0&connect_timeout=9",
        &[],
    );
    assert_eq!(settings.schema(), Some("shop"));
    assert!(settings.said_to_be_pooled());
    assert_eq!(settings.connect_timeout, Some(Duration::from_secs(9)));
    assert!(settings.child_environment().set.iter().all(|(_, value)| value.expose() != "shop"));

    let tls = resolve("postgresql://u@h/d?sslmode=require&sslcert=../root.pem&sslaccept=strict", &[]).tls;
    assert_eq!((tls.mode, tls.roots, tls.client), (SslMode::VerifyFull, Roots::File("../root.pem".into()), None));
    let tls = resolve("postgresql://u@h/d?sslaccept=accept_invalid_certs", &[]).tls;
    assert_eq!((tls.mode, tls.checks_signer()), (SslMode::Require, false));
    let settings = resolve("postgresql://u@h/d?sslidentity=x.p12&sslpassword=hunter2", &[]);
    assert!(settings.warnings()[0].contains("PKCS 12"));
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    assert!(refusal("postgresql://u@h/d?require_auth=scram-sha-256", &[]).contains("channel_binding=require"));
    assert!(
        refusal("postgresql://u@h/d", &[("PGREQUIREPEER", "postgres")]).starts_with("connection parameter requirepeer")
    );
    assert!(refusal("postgresql://u@h/d?conect_timeout=1", &[]).contains("did you mean connect_timeout?"));
    assert!(refusal("postgresql://u@h:0/d", &[]).contains("from 1 to 65535"));
    assert!(refusal("postgresql://u@h:99999/d", &[]).contains("from 1 to 65535"));
    assert!(refusal("postgresql://u@a,b/d?port=1,2,3", &[]).contains("3 ports for 2 hosts"));
    assert!(refusal("postgresql://u@a/d?connect_timeout=soon", &[]).contains("is not a number"));
    assert!(refusal("postgresql://h/d", &[]).contains("USER"));
    assert!(resolve("postgresql://u@h/d?replication=false", &[]).warnings().is_empty());
}

#[test]
fn several_hosts_and_addresses_keep_their_ports() {
    let settings = resolve("postgresql://a,b:7,[2001:db8::1]:8/d", &[]);
    assert_eq!(settings.endpoint(), "a:5432,b:7,[2001:db8::1]:8");
    assert_eq!(resolve("host=a,b port=9", &[]).endpoint(), "a:9,b:9");
    let pinned = settings.with_resolved_address("192.0.2.1".parse().unwrap());
    assert_eq!((pinned.servers[0].endpoint(), pinned.servers.len()), ("a:5432".to_owned(), 1));
    assert_eq!(pinned.endpoint(), settings.endpoint());
    assert_eq!(pinned.servers[0].address, Some("192.0.2.1".parse().unwrap()));
}

#[test]
fn the_password_file_answers_last_and_localhost_stands_for_the_default_socket() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pass");
    fs::write(&file, "localhost:*:*:u:socket\nother:*:*:u:other\n/srv/pg:*:*:u:folder\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let variables = [("PGPASSFILE", file.to_str().unwrap())];
    let password = |source: &str| {
        let settings = resolve(source, &variables);
        settings.servers.iter().map(|s| s.password.as_ref().map(|p| p.expose().to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(password("host=/var/run/postgresql user=u"), [Some("socket".to_owned())]);
    assert_eq!(password("host=/srv/pg user=u"), [Some("folder".to_owned())]);
    assert_eq!(password("host=other,elsewhere user=u"), [Some("other".to_owned()), None]);
    assert_eq!(password("host=other user=u password=said"), [Some("said".to_owned())]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let settings = resolve("host=other,localhost user=u", &variables);
    assert!(settings.servers.iter().all(|server| server.password.is_none()));
    assert_eq!(settings.warnings().len(), 1, "{:?}", settings.warnings());
}

#[test]
fn no_form_shows_the_password() {
    let environment = Environment::new([("PGPASSWORD", "hunter2"), ("USER", "u")]);
    assert!(!format!("{environment:?}").contains("hunter2"));
    for settings in [
        ConnectionSettings::resolve("postgresql://h/d", &environment).unwrap(),
        resolve("postgresql://u:hunter2@h/d", &[]),
        resolve("host=h password=hunter2", &[]),
    ] {
        assert_eq!(settings.servers[0].password.as_ref().unwrap().expose(), "hunter2");
        let child = settings.child_environment();
        assert!(!format!("{settings:?} {settings} {} {child:?}", settings.redacted()).contains("hunter2"));
    }
    for source in ["postgresql://u:hunter2@h:x/d", "postgresql://u:hunter2@h/d?nope=1", "password=hunter2 nope=1"] {
        assert!(!refusal(source, &[]).contains("hunter2"));
    }
}
