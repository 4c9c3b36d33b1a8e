use std::path::Path;

use super::*;
use crate::variables::Variables;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("holdpoint.toml"))
}

fn error(text: &str) -> String {
    parse(text).expect_err("was accepted").to_string()
}

/// Every key of the sample is commented; this reads it as it stands, and with every key in force.
#[test]
fn the_sample_is_valid_with_and_without_its_comments() {
    let sample = include_str!("../../../../config/holdpoint.toml");
    parse(sample).unwrap();
    let in_force = |line: &str| {
        let key = line.strip_prefix("# ").filter(|rest| {
            rest.split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
        });
        let section = line.strip_prefix("# ").filter(|rest| rest.starts_with('[') && rest.ends_with(']'));
        key.or(section).unwrap_or(line).to_owned()
    };
    let all = sample.lines().map(in_force).collect::<Vec<_>>().join("\n");
    let keys = all.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    let config = parse(&all).unwrap_or_else(|error| panic!("{error}\n{all}"));
    assert!(keys >= 39, "only {keys} keys are in the sample");
    assert_eq!(config.database.len(), 2);
    assert_eq!(config.gate.level, Some(Level::Full));
    assert!(config.target.values().any(|target| !target.production));
    assert!(config.repository.s3.object_lock_days.is_some());
}

/// A key that the program knows and the sample does not would never be found.
#[test]
fn the_sample_has_every_key() {
    let sample = include_str!("../../../../config/holdpoint.toml");
    for probe in [
        "",
        "[database.x]",
        "[target.x]",
        "[repository]",
        "[repository.s3]",
        "[repository.timeouts]",
        "[backup]",
        "[scratch]",
        "[gate]",
        "[guard]",
        "[retention]",
        "[cron]",
    ] {
        let Err(ConfigError::UnknownKey { known, .. }) = parse(&format!("{probe}\nno_such_key = 1")) else {
            panic!("{probe} takes anything")
        };
        assert!(!known.is_empty());
        for key in known {
            assert!(
                sample.contains(&format!("{key} = "))
                    || sample.contains(&format!("[{key}"))
                    || sample.contains(&format!(".{key}]")),
                "{probe} {key}"
            );
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_the_nearest_name() {
    let text = "[database.shop]\nurl = \"env:A\"\n\n[repository.s3]\nregion = \"x\"\nendpiont = \"y\"\n";
    let error = parse(text).unwrap_err();
    assert_eq!(error.to_string(), "holdpoint.toml:6: unknown key \"endpiont\" (did you mean \"endpoint\"?)");
    assert!(error.hint().unwrap().contains("endpoint"));
    assert_eq!(self::error("[databse.shop]"), "holdpoint.toml:1: unknown key \"databse\" (did you mean \"database\"?)");
    assert_eq!(self::error("[gate]\nflavour = 1"), "holdpoint.toml:2: unknown key \"flavour\"");
}

#[test]
fn no_error_repeats_a_secret() {
    for text in [
        "[database.shop]\nurl = postgresql://ann:hunter2@h/db",
        "[database.shop]\nclient_major = \"postgresql://ann:hunter2@h/db\"",
        "[repository]\nurl = \"s3://key:hunter2@bucket\"",
        "database = \"hunter2\"",
        "[database.shop]\nurl = \"postgresql://ann:hunter2@h/db\"\nurl = \"x\"",
        "[target.a]\nproduction = \"hunter2\"\nurl = \"x\"",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error} {error:?}");
    }
    let config = parse("[database.shop]\nurl = \"postgresql://ann:hunter2@h/db\"").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn contradictions_are_refused() {
    for (text, word) in [
        ("default_database = \"x\"", "there is no [database.x]"),
        ("[scratch]\nkind = \"url\"", "scratch.url"),
        ("[scratch]\nkind = \"command\"", "scratch.up"),
        ("[scratch]\nurl = \"x\"", "scratch.kind"),
        ("[scratch]\nup = \"x\"", "scratch.kind"),
        ("[repository.s3]\nkms_key_id = \"x\"", "sse"),
        ("[gate]\nlevel = \"everything\"", "stored, sampled, full or instance"),
        ("[gate]\nmax_age = \"soon\"", "30m"),
        ("[backup]\nmax_rate = \"fast\"", "50M"),
        ("[risk]\ndestroys_data = \"everything\"", "full 1d"),
        ("[risk]\ndestroys_data = \"full soon\"", "30m"),
        ("[risk]\nother = \"warn\"", "other"),
        ("[waiver.x]\nrule = \"destroys_data\"\nreason = \" \"", "waiver.x.reason"),
        ("[migrations]\ntable = \"x\"", "with its schema"),
        ("[rds]\nanswer_within = \"0\"", "rds.answer_within is at least 100ms"),
        ("[backup]\njobs = 0", "auto, or from 1 to 256"),
        ("[backup]\njobs = \"many\"", "auto, or from 1 to 256"),
        ("[database.\"a/b\"]", "cannot name a database"),
        ("[database.shop]\nurl = \"\"", "empty"),
        ("[database.shop]\nurl = \"env:\"", "name of a variable"),
    ] {
        let error = error(text);
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn it_is_found_upward_and_its_paths_start_at_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b/c");
    std::fs::create_dir_all(&deep).unwrap();
    assert!(find(None, &deep, Sections::Together).unwrap().path.is_none());
    std::fs::write(folder.path().join("a/holdpoint.toml"), "[scratch]\ndirectory = \"scratch\"").unwrap();
    let config = find(None, &deep, Sections::Together).unwrap();
    assert_eq!(config.scratch.directory.unwrap(), folder.path().join("a/scratch"));
    assert_eq!(config.path.unwrap(), folder.path().join("a/holdpoint.toml"));
    let error = find(Some(Path::new("other.toml")), &deep, Sections::Together).unwrap_err();
    assert!(error.to_string().contains("other.toml"), "{error}");
}

#[test]
fn a_variable_must_be_set() {
    let value = Value::parse("env:SHOP_URL").unwrap();
    let variables = Variables::new([("SHOP_URL", "postgresql:///shop")]);
    assert_eq!(value.get("database.shop.url", &variables).unwrap(), "postgresql:///shop");
    let error = value.get("database.shop.url", &Variables::default()).unwrap_err();
    assert_eq!(error.to_string(), "database.shop.url is env:SHOP_URL, and SHOP_URL is not set");
}

#[test]
fn wrong_sections_of_databases_are_set_aside_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let read = |text: &str, sections| {
        std::fs::write(&path, text).unwrap();
        find(Some(&path), folder.path(), sections)
    };
    let wrong = "default_database = \"billing\"\n[database.shop]\nurl = \"env:A\"\n[database.billing]\nurll = \"env:B\"\n\
                 [database.crm]\nurl = 5\n[database.trial]\nurl = 5\nenvironment = \"staging\"\n[cron]\nparallel = 2\n\
                 [database.\"z b\"]\nurl = \"env:D\"\n[database.\"x trial\"]\nenvironment = \"staging\"\n";
    let error = read(wrong, Sections::Together).unwrap_err().to_string();
    assert!(error.contains("holdpoint.toml:5: unknown key \"urll\""), "{error}");
    let config = read(wrong, Sections::OneByOne).unwrap();
    assert_eq!(
        (config.database.keys().map(DatabaseName::as_str).collect::<Vec<_>>(), config.cron.parallel),
        (vec!["shop"], Some(2))
    );
    let told: Vec<_> = config.unreadable.iter().map(|(name, one)| (name.as_str(), one.message.as_str())).collect();
    let [("billing", billing), ("crm", crm), ("z_b-9c92cf6b", odd)] = &told[..] else { panic!("{told:?}") };
    assert!(billing.ends_with("holdpoint.toml:5: unknown key \"urll\" (did you mean \"url\"?)"), "{billing}");
    assert!(crm.contains("holdpoint.toml:7: "), "{crm}");
    assert!(odd.contains("holdpoint.toml:13: \"z b\" cannot name a database in the repository"), "{odd}");
    assert!(config.unreadable.values().next().unwrap().hint.as_ref().unwrap().starts_with("known here: url"));
    // What else is wrong is nobody's alone.
    for more in ["[cron]\nparalel = 2\n", "[cron]\nparallel = 0\n", "no TOML\n"] {
        let text = format!("[database.billing]\nurll = \"env:B\"\n{more}");
        read(&text, Sections::OneByOne).unwrap_err();
    }
    let config = read("[database.shop]\nurl = \"env:A\"\n", Sections::OneByOne).unwrap();
    assert!(config.unreadable.is_empty() && config.database.len() == 1);
}
