use std::path::PathBuf;

use clap::Parser as _;
use holdpoint_core::verification::Level;

use super::*;
use crate::arguments::{Arguments, Verb};
use crate::config::Config;

/// A certificate of an authority, whose key nobody has.
const PEM: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBnTCCAUOgAwIBAgIUHd2p0DojrdvJ/hjM++Nt4uHoBYAwCgYIKoZIzj0EAwIw\n\
IzEhMB8GA1UEAwwYaG9sZHBvaW50IHRlc3QgYXV0aG9yaXR5MCAXDTI2MTEyMjE1\n\
NDExMVoYDzIxMjYxMDI5MTU0MTExWjAjMSEwHwYDVQQDDBhob2xkcG9pbnQgdGVz\n\
dCBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQj4rqxeyBJh4In\n\
LWrgYFFDmg/wObW4wjEh1ZLaqEwSw3bs5gO0E1bjMV5cPqog9YyK1Fa7dQ+Cgwwn\n\
cx+gTR/zo1MwUTAdBgNVHQ4EFgQUwNScbyIwSTHEPSNDKzUQvUwjKBIwHwYDVR0j\n\
BBgwFoAUwNScbyIwSTHEPSNDKzUQvUwjKBIwDwYDVR0TAQH/BAUwAwEB/zAKBggq\n\
hkjOPQQDAgNIADBFAiEA70TB55lIbszbvAVkEnsI0rWL06gewiUSyeC7BzRsUUwC\n\
IGaqydmWagzeVsqK1qS7pfQc1IM1nkcJI1wdft8i/SeG\n\
-----END CERTIFICATE-----\n";

fn settings(words: &[&str], variables: &[(&str, &str)], file: &str) -> Settings {
    let arguments = Arguments::try_parse_from([&["holdpoint", "list"], words].concat()).unwrap();
    let all = [("USER", "me"), ("HOME", "/home/me")].into_iter().chain(variables.iter().copied());
    let nowhere = Path::new("/nonexistent");
    let settings = Settings::gather(arguments.common, Variables::new(all), nowhere, Sections::Together).unwrap();
    Settings { config: Config::parse(file, Path::new("/x/holdpoint.toml")).unwrap(), ..settings }
}

#[test]
fn flags_beat_variables_and_empty_variables_are_not_set() {
    let variables = [("HOLDPOINT_DATABASE", "env"), ("HOLDPOINT_REPOSITORY", "s3://env")];
    assert_eq!(settings(&[], &variables, "").database_name().unwrap().as_str(), "env");
    assert_eq!(settings(&["--database", "flag"], &variables, "").database_name().unwrap().as_str(), "flag");
    assert_eq!(settings(&[], &variables, "").repository().unwrap().url.to_string(), "s3://env");
    let empty = [("HOLDPOINT_DATABASE", ""), ("HOLDPOINT_REPOSITORY", ""), ("HOLDPOINT_CONFIG", "")];
    assert!(settings(&[], &empty, "").repository().unwrap().defaulted);
    let arguments = Arguments::try_parse_from(["holdpoint", "list"]).unwrap();
    let wrong = Variables::new([("HOLDPOINT_REPOSITORY", "s3://key:hunter2@bucket")]);
    let error = Settings::gather(arguments.common, wrong, Path::new("/nonexistent"), Sections::Together)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("HOLDPOINT_REPOSITORY: ") && !error.contains("hunter2"), "{error}");
}

#[test]
fn limits_of_a_backup_come_from_flags_then_the_file() {
    use std::time::Duration;
    let file = "[backup]\njobs = 3\nmax_rate = \"50M\"\nmax_snapshot_age = \"2h\"\nmax_lock_wait = \"10s\"";
    let limits = |words: &[&str], file: &str| {
        let typed = Arguments::try_parse_from([&["holdpoint", "backup"], words].concat()).unwrap();
        let Verb::Backup(backup) = typed.verb else { panic!("not a backup") };
        settings(&[], &[], file).limits(&backup.limits)
    };
    let (jobs, of_file) = limits(&[], file);
    assert_eq!((jobs, of_file.choose_jobs, of_file.max_rate.map(u64::from)), (3, false, Some(50 << 20)));
    assert_eq!(of_file.max_snapshot_age, Some(Duration::from_secs(7200)));
    assert_eq!(of_file.max_lock_wait, Some(Duration::from_secs(10)));

    let words = ["--jobs", "auto", "--max-rate", "0", "--max-snapshot-age", "30m", "--max-lock-wait", "0"];
    let (jobs, of_flags) = limits(&words, file);
    assert!(jobs >= 1 && of_flags.choose_jobs);
    assert_eq!((of_flags.max_rate, of_flags.max_lock_wait), (None, None), "0 takes away what the file sets");
    assert_eq!(of_flags.max_snapshot_age, Some(Duration::from_secs(1800)));

    let (_, none) = limits(&[], "");
    assert_eq!(none, holdpoint_operations::backup::BackupLimits { choose_jobs: true, ..Default::default() });
    assert!(!limits(&["-j", "4"], "").1.choose_jobs && limits(&["-j", "4"], "").0 == 4);
    assert!(limits(&[], "[backup]\njobs = \"auto\"").1.choose_jobs);
}

fn from(words: &[&str], variables: &[(&str, &str)], file: &str) -> String {
    let chosen = settings(words, variables, file).connection(Purpose::Backup).unwrap();
    format!("{} {}", chosen.from, chosen.settings.database())
}

const SHOP: &str = "[database.shop]\nurl = \"postgresql://h/file\"\n";
const BOTH: &str = "[database.shop]\nurl = \"postgresql://h/file\"\nbackup_url = \"env:BACKUP\"\n\
                    [database.other]\nurl = \"postgresql://h/other\"\n";

#[test]
fn the_environment_beats_the_file() {
    assert_eq!(from(&[], &[], SHOP), "database.shop.url file");
    assert_eq!(from(&[], &[("DATABASE_URL", "postgresql://h/env")], SHOP), "DATABASE_URL env");
    assert_eq!(from(&[], &[("DATABASE_URL", "")], SHOP), "database.shop.url file", "an empty one is not set");
}

#[test]
fn a_named_database_beats_the_environment() {
    let variables = [("DATABASE_URL", "postgresql://h/env"), ("BACKUP", "postgresql://h/backup")];
    assert_eq!(from(&["--database", "other"], &variables, BOTH), "database.other.url other");
    assert_eq!(from(&["--database", "shop"], &variables, BOTH), "database.shop.backup_url backup");
    assert_eq!(from(&["--database", "unknown"], &variables, BOTH), "DATABASE_URL env");
}

#[test]
fn backups_go_past_the_pooler() {
    let pooled = ("DATABASE_URL", "postgresql://h-pooler/x?pgbouncer=true");
    for direct in ["DIRECT_URL", "DATABASE_URL_UNPOOLED", "POSTGRES_URL_NON_POOLING"] {
        assert_eq!(from(&[], &[pooled, (direct, "postgresql://h/direct")], ""), format!("{direct} direct"));
    }
    let file = "[database.shop]\nurl = \"postgresql://h/file\"\ndirect_url = \"postgresql://h/direct\"";
    assert_eq!(from(&[], &[pooled], file), "database.shop.direct_url direct");
    let migrate = settings(&[], &[pooled, ("DIRECT_URL", "postgresql://h/direct")], "").connection(Purpose::Migrate);
    assert_eq!(migrate.unwrap().from, "DATABASE_URL");
    let variables = [("HOLDPOINT_BACKUP_URL", "postgresql://h/own"), ("DIRECT_URL", "postgresql://h/direct")];
    assert_eq!(from(&[], &variables, ""), "HOLDPOINT_BACKUP_URL own");
}

#[test]
fn libpqs_variables_are_the_last_resort() {
    assert_eq!(from(&[], &[("PGHOST", "h"), ("PGDATABASE", "pg")], ""), "PGHOST pg");
    assert_eq!(from(&[], &[("PGHOST", "h"), ("DATABASE_URL", "postgresql://h/env")], ""), "DATABASE_URL env");
}

#[test]
fn without_a_database_the_error_says_what_to_set() {
    let error = settings(&[], &[], "").connection(Purpose::Backup).unwrap_err();
    assert_eq!(error.exit_code(), holdpoint::exit_code::USAGE);
    assert!(error.hint().unwrap().contains("DATABASE_URL"));
    let error = settings(&[], &[], BOTH).connection(Purpose::Backup).unwrap_err();
    assert!(error.to_string().contains("other, shop"), "{error}");
    let error = settings(&["--database", "shop"], &[], BOTH).connection(Purpose::Backup).unwrap_err();
    assert!(error.to_string().contains("BACKUP is not set"), "{error}");
}

#[test]
fn authorities_are_for_what_is_on_rds() {
    use holdpoint_postgres::connection::Roots;
    let folder = tempfile::tempdir().unwrap();
    let [variable, own, common] = ["variable", "own", "common"].map(|name| {
        let file = folder.path().join(name);
        std::fs::write(&file, PEM).unwrap();
        file
    });
    let file = format!(
        "default_database = \"shop\"\n[database.shop]\nurl = \"postgresql://h/shop\"\nca_bundle = \"{}\"\n\
         [database.kept]\nurl = \"postgresql://h/kept\"\nrds_instance = \"kept\"\n\
         [database.far]\nurl = \"postgresql://shop.abc.eu-central-1.RDS.amazonaws.com/far\"\n\
         [database.home]\nurl = \"postgresql://h/home\"\n[rds]\ndatabase_ca_bundle = \"{}\"\n",
        own.display(),
        common.display()
    );
    let named = |name: &str, variables: &[(&str, &str)]| {
        let chosen = settings(&["--database", name], variables, &file).connection(Purpose::Backup).unwrap();
        chosen.settings.tls().roots.clone()
    };
    let of = |file: &PathBuf| Roots::File(file.clone());
    assert_eq!(named("shop", &[]), of(&own));
    assert_eq!(named("kept", &[]), of(&common));
    assert_eq!(named("far", &[]), of(&common));
    assert_eq!(named("home", &[]), Roots::System, "nothing says that it is on RDS");
    let chosen = [("HOLDPOINT_RDS_CA_BUNDLE", variable.to_str().unwrap())];
    for name in ["shop", "kept", "far", "home"] {
        assert_eq!(named(name, &chosen), of(&variable), "{name}");
    }
    // What is named beside the chosen one has its own; the variable is for endpoints of Amazon only.
    let beside = |named: &str, variables: &[(&str, &str)]| {
        let target = settings(&[], variables, &file).named_database("--into", named).unwrap();
        target.settings.tls().roots.clone()
    };
    assert_eq!(beside("kept", &chosen), of(&common));
    assert_eq!(beside("postgresql://h/kept", &chosen), of(&common), "as its section says");
    assert_eq!(beside("postgresql://laptop/x", &chosen), Roots::System);
    assert_eq!(beside("postgresql://x.y.eu-central-1.rds.amazonaws.com/x", &chosen), of(&variable));
    // A file that nothing is checked with may be missing.
    let gone = [("HOLDPOINT_RDS_CA_BUNDLE", "/nowhere"), ("PGSSLMODE", "prefer")];
    assert!(settings(&[], &gone, &file).connection(Purpose::Backup).is_ok());
    let error = settings(&[], &gone[..1], &file).connection(Purpose::Backup).unwrap_err();
    assert_eq!(error.exit_code(), holdpoint::exit_code::USAGE);
    assert!(error.to_string().starts_with("HOLDPOINT_RDS_CA_BUNDLE: /nowhere: "), "{error}");
}

#[test]
fn a_url_that_cannot_be_read_names_its_origin_and_shows_nothing() {
    let text = "postgresql://ann:hunter2@h:x/db";
    let error = settings(&[], &[("DATABASE_URL", text)], "").connection(Purpose::Backup).unwrap_err();
    assert_eq!(error.exit_code(), holdpoint::exit_code::USAGE);
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("DATABASE_URL") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_database_has_its_configured_name_or_one_of_its_own() {
    let name = |words: &[&str], variables: &[(&str, &str)], file: &str| {
        settings(words, variables, file).database_name().unwrap().to_string()
    };
    assert_eq!(name(&[], &[], SHOP), "shop");
    assert_eq!(name(&["--database", "x"], &[], SHOP), "x");
    assert_eq!(name(&[], &[], &format!("default_database = \"other\"\n{BOTH}")), "other");
    assert_eq!(name(&[], &[("DATABASE_URL", "postgresql://db.example.com/shop")], ""), "db-shop");
    assert_eq!(name(&[], &[("DATABASE_URL", "postgresql://10.0.0.7/shop")], ""), "10.0.0.7-shop");
    assert_eq!(name(&[], &[("DATABASE_URL", "postgresql://%2Ftmp/shop")], ""), "localhost-shop");
}

#[test]
fn a_repository_is_chosen_in_order_and_a_defaulted_one_is_told() {
    let file = "[repository]\nurl = \"s3://from-file/x\"";
    let chosen = settings(&["--repository", "s3://from-flag"], &[], file).repository().unwrap();
    assert_eq!((chosen.url.to_string().as_str(), chosen.defaulted), ("s3://from-flag", false));
    assert_eq!(settings(&[], &[], file).repository().unwrap().url.to_string(), "s3://from-file/x");
    let chosen = settings(&[], &[], "").repository().unwrap();
    assert!(chosen.defaulted);
    assert_eq!(chosen.url.to_string(), "file:///home/me/.local/share/holdpoint/repository");
}

#[test]
fn a_guard_refuses_a_repository_that_will_be_gone() {
    let lasting = |words: &[&str], variables: &[(&str, &str)], allow| {
        let settings = settings(words, variables, "");
        settings.demand_lasting(&settings.repository().unwrap(), allow).map_err(|error| error.exit_code())
    };
    let local = ["--repository", "file:///backups"];
    assert_eq!(lasting(&[], &[], false), Err(holdpoint::exit_code::REFUSED));
    assert_eq!(lasting(&[], &[], true), Ok(()));
    assert_eq!(lasting(&local, &[], false), Ok(()));
    assert_eq!(lasting(&local, &[("CI", "true")], false), Err(holdpoint::exit_code::REFUSED));
    assert_eq!(lasting(&local, &[("CI", "false")], false), Ok(()));
    assert_eq!(lasting(&local, &[("CI", "true")], true), Ok(()));
    assert_eq!(lasting(&["--repository", "s3://bucket"], &[("CI", "1")], false), Ok(()));
}

#[test]
fn only_what_is_marked_may_be_replaced() {
    let file = "[database.shop]\nurl = \"postgresql://h/shop\"\n\
                [database.stage]\nurl = \"env:STAGE\"\nenvironment = \"staging\"\n\
                [target.laptop]\nurl = \"postgresql://h/laptop\"\nproduction = false\n\
                [target.twice]\nurl = \"postgresql://h/shop\"\nproduction = false\n\
                [target.careful]\nurl = \"postgresql://h/careful\"\n";
    let settings = settings(&[], &[("STAGE", "postgresql://h/stage")], file);
    let replaceable = |into: &str| settings.target(into).unwrap().replaceable;
    assert!(replaceable("laptop") && replaceable("stage"));
    assert!(replaceable("postgresql://h:5432/laptop") && replaceable("env:STAGE"));
    assert!(!replaceable("careful") && !replaceable("postgresql://h/elsewhere"));
    assert!(!replaceable("postgresql://h/shop"), "the file says both; production wins");
    let error = settings.target("laptpo").unwrap_err();
    assert!(error.hint().unwrap().contains("laptop"), "{error}");
    assert!(settings.target("env:UNSET").unwrap_err().to_string().contains("UNSET is not set"));
}

#[test]
fn production_rows_stay_off_a_ci_runner() {
    let private = |level, file: &str| {
        let settings = settings(&[], &[("CI", "true")], file);
        let scratch = settings.scratch(None, 18).unwrap();
        settings.demand_private(level, &scratch).map_err(|error| error.exit_code())
    };
    assert_eq!(private(Level::Full, ""), Err(holdpoint::exit_code::REFUSED));
    assert_eq!(private(Level::Stored, ""), Ok(()));
    assert_eq!(private(Level::Full, "[scratch]\nallow_ci = true"), Ok(()));
    assert_eq!(private(Level::Full, "[scratch]\nkind = \"url\"\nurl = \"postgresql://h/x\""), Ok(()));
}

#[test]
fn a_scratch_url_takes_nothing_from_productions_variables() {
    use holdpoint_postgres::scratch::ScratchOptions;
    let settings = settings(&[], &[("PGHOST", "production"), ("PGDATABASE", "shop"), ("PGPASSWORD", "x")], "");
    let ScratchOptions::Url(given) = settings.scratch(Some("postgresql://admin@scratch"), 18).unwrap() else {
        panic!()
    };
    assert_eq!((given.settings.endpoint(), given.settings.database()), ("scratch:5432".to_owned(), "admin"));
}

#[test]
fn a_guarded_command_lacks_what_only_holdpoint_may_use() {
    let file = "[database.shop]\nurl = \"env:DATABASE_URL\"\nbackup_url = \"env:BACKUP\"\n\
                [database.two]\nurl = \"env:DATABASE_URL\"\nbackup_url = \"env:DATABASE_URL\"\n\
                [guard]\nkeep_environment = [\"AWS_PROFILE\"]\nnotify = \"env:HOOK\"\nhealth_url = \"env:WELL\"\n\
                [cron]\nwebhook = \"env:CHAT\"\nwebhook_secret = \"env:KEY\"\nping = \"env:PING\"\n\
                [target.copy]\nurl = \"env:COPY\"\n[target.live]\nurl = \"env:DATABASE_URL\"\n\
                [scratch]\nkind = \"url\"\nurl = \"env:SCRATCH\"";
    let variables = [
        ("DATABASE_URL", "a"),
        ("BACKUP", "b"),
        ("SCRATCH", "c"),
        ("HOOK", "1"),
        ("WELL", "2"),
        ("CHAT", "3"),
        ("KEY", "4"),
        ("PING", "5"),
        ("COPY", "6"),
        ("OTHER", "7"),
        ("HOLDPOINT_REPOSITORY", "s3://ddd"),
        ("AWS_SECRET_ACCESS_KEY", "e"),
        ("AWS_PROFILE", "f"),
        ("AWS_REGION", "g"),
    ];
    let names = |on_s3| -> Vec<String> {
        let environment = settings(&[], &variables, file).child_environment(on_s3);
        environment.into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
    };
    assert_eq!(names(true), ["AWS_PROFILE", "AWS_REGION", "DATABASE_URL", "HOME", "OTHER", "USER"]);
    let all = settings(&[], &variables, file);
    let mut environment = all.child_environment(true);
    all.without_flags(&mut environment, &[Some("env:OTHER"), Some("env:AWS_PROFILE"), Some("https://x"), None]);
    let left: Vec<_> = environment.iter().map(|(name, _)| name.to_string_lossy()).collect();
    assert_eq!(left, ["AWS_PROFILE", "AWS_REGION", "DATABASE_URL", "HOME", "USER"]);
    assert!(names(false).contains(&"AWS_SECRET_ACCESS_KEY".to_owned()), "no repository needs it: it is the command's");
}

#[test]
fn the_gates_policy_comes_from_flags_then_single_risks_then_the_file_then_the_default() {
    use holdpoint_core::risk::{Requirement, RiskClass};
    let policy = |words: &[&str], file: &str, class| {
        let words = [&["holdpoint", "guard"], words, &["--", "true"]].concat();
        let Verb::Guard(guard) = Arguments::try_parse_from(words).unwrap().verb else { panic!() };
        match settings(&[], &[], file).gate_policy(&guard.gate).requirement(class) {
            Requirement::ProvenRestorePoint(policy) => (policy.level, policy.max_age_seconds),
            other => panic!("{other:?}"),
        }
    };
    let file = "[gate]\nlevel = \"stored\"\nmax_age = \"2h\"\n[risk]\nadditive = \"full 1h\"";
    let (destroys, additive) = (RiskClass::DestroysData, RiskClass::Additive);
    assert_eq!(policy(&[], "", destroys), (Level::Full, 0));
    assert_eq!(policy(&[], "", additive), (Level::Full, 7 * 86_400));
    assert_eq!(policy(&[], file, destroys), (Level::Stored, 7200));
    assert_eq!(policy(&[], file, additive), (Level::Full, 3600));
    assert_eq!(policy(&["--level", "sampled", "--max-age", "0"], file, additive), (Level::Sampled, 0));
}

#[test]
fn how_a_command_runs_comes_from_flags_then_the_file_and_zero_takes_away() {
    use std::time::Duration;
    let run = |words: &[&str], variables: &[(&str, &str)], file: &str| {
        let words = [&["holdpoint", "guard"], words, &["--", "true"]].concat();
        let Verb::Guard(guard) = Arguments::try_parse_from(words).unwrap().verb else { panic!() };
        settings(&[], variables, file).run_options(&guard.run, None)
    };
    let file = "[guard]\nlock_timeout = \"2s\"\ncommand_timeout = \"1h\"\nbefore = \"on\"\nnotify = \"env:HOOK\"";
    let hook = [("HOOK", "https://chat.example/s3cret"), ("GITHUB_SHA", "abc")];
    let set = run(&[], &hook, file).unwrap();
    assert_eq!((set.lock_timeout, set.before.as_deref()), (Some(Duration::from_secs(2)), Some("on")));
    assert_eq!(set.notify.as_ref().map(holdpoint_core::Secret::expose), Some("https://chat.example/s3cret"));
    assert_eq!(set.origin.commit.as_deref(), Some("abc"));
    assert!(!format!("{set:?}").contains("s3cret"));
    let flags = ["--lock-timeout", "0", "--max-runtime", "0", "--before", "other", "--health-retries", "3"];
    let set = run(&flags, &hook, file).unwrap();
    assert_eq!((set.lock_timeout, set.command_timeout), (Some(Duration::ZERO), None), "for a lock, for ever");
    assert_eq!((set.before.as_deref(), set.health.retries), (Some("other"), 3));
    assert!(run(&[], &[], file).is_err(), "a variable that is named and not set");
}

#[test]
fn programs_are_looked_for_where_they_were_named() {
    let file = "postgresql_directory = \"/all\"\n[database.shop]\npostgresql_directory = \"/shop\"";
    let configured =
        |variables: &[(&str, &str)], file: &str| settings(&[], variables, file).programs().unwrap().configured;
    assert_eq!(configured(&[], file), Some(PathBuf::from("/shop")));
    assert_eq!(configured(&[("HOLDPOINT_POSTGRESQL_DIRECTORY", "/env")], file), Some(PathBuf::from("/env")));
    assert_eq!(configured(&[], "postgresql_directory = \"/all\""), Some(PathBuf::from("/all")));
    let search = settings(&[], &[("PATH", "/bin::.:/usr/bin")], "").programs().unwrap();
    assert_eq!(search.path, [PathBuf::from("/bin"), PathBuf::from("/usr/bin")]);
}

#[test]
fn the_repository_may_be_named_by_a_variable() {
    let file = "[repository]\nurl = \"env:STORE\"\n";
    let chosen = settings(&[], &[("STORE", "s3://bucket/pg")], file).repository().unwrap();
    assert_eq!((chosen.url.to_string().as_str(), chosen.defaulted), ("s3://bucket/pg", false));
    let unset = settings(&[], &[], file).repository().unwrap_err().to_string();
    assert!(unset.contains("STORE"), "{unset}");
    let wrong = settings(&[], &[("STORE", "nowhere")], file).repository().unwrap_err().to_string();
    assert!(wrong.starts_with("STORE: "), "{wrong}");
}

#[test]
fn the_account_is_the_user_where_no_variable_names_one() {
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    for unset in [&[][..], &[("USER", ""), ("LOGNAME", "")]] {
        assert_eq!(with_account(unset.iter().copied()).get("USER"), Some(own.as_str()));
    }
    assert_eq!(with_account([("LOGNAME", "ann")].into_iter()).get("USER"), None);
}

#[test]
fn passwords_of_connections_are_known() {
    let found = settings(&[], &[("DATABASE_URL", "postgresql://ann:hu%40sh@h/db")], "").passwords();
    assert!(!found.is_empty() && found.iter().all(|one| one == "hu@sh"), "{}", found.len());
}

#[test]
fn only_a_url_that_nobody_gives_is_none() {
    let file = |url: &str| format!("[database.shop]\n{url}\n[database.dev]\nenvironment = \"staging\"");
    let perhaps = |variables: &[(&str, &str)], url: &str| {
        settings(&["--database", "shop"], variables, &file(url)).perhaps_connection(Purpose::Backup)
    };
    assert!(perhaps(&[], "").unwrap().is_none());
    assert!(perhaps(&[("SHOP", "postgresql://h/shop")], "url = \"env:SHOP\"").unwrap().is_some());
    assert!(perhaps(&[], "url = \"env:SHOP\"").is_err(), "the check would be left out silently");
    assert!(perhaps(&[("SHOP", "mysql://h/shop")], "url = \"env:SHOP\"").is_err());
    let production = settings(&[], &[], &file("")).production("--all").unwrap();
    assert_eq!(production.iter().map(holdpoint_core::DatabaseName::as_str).collect::<Vec<_>>(), ["shop"]);
    assert!(settings(&[], &[], "").production("--all").is_err());
}
