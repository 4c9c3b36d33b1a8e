use clap::CommandFactory as _;

use super::*;

fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from([&["holdpoint"], words].concat())
}

#[test]
fn the_definition_holds_together() {
    Arguments::command().debug_assert();
}

/// The verbs of the design (`docs/architecture.md`) that come with a later issue.
const DUE: &[&str] = &[];

const ALL: &str = "init doctor backup list show verify restore recover-table compare prune pin unpin check cron adopt \
                   leftovers rds plan rehearse prepare guard undo runs settle status watch backfill demo completions";

#[test]
fn the_verbs_are_the_designs() {
    let command = Arguments::command();
    let have: Vec<&str> =
        command.get_subcommands().filter(|one| !one.is_hide_set()).map(clap::Command::get_name).collect();
    let want: Vec<&str> = ALL.split_whitespace().filter(|verb| !DUE.contains(verb)).collect();
    assert_eq!(have, want);
    assert!(DUE.iter().all(|verb| ALL.split_whitespace().any(|one| one == *verb)));
}

#[test]
fn every_verb_with_something_to_say_has_examples() {
    for verb in Arguments::command().get_subcommands().filter(|one| !one.is_hide_set()) {
        let examples = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(examples.contains(&format!("  holdpoint {}", verb.get_name())), "{} has no example", verb.get_name());
    }
}

/// An example in a help text that does not parse would be a lie.
#[test]
fn examples_parse() {
    let mut tried = 0;
    for verb in Arguments::command().get_subcommands() {
        let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter_map(|line| line.strip_prefix("  holdpoint ")) {
            let line = line.split([">", "|"].map(|c| c.chars().next().unwrap()).as_slice()).next().unwrap();
            let words = shell_words(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            parse(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            letter => word.push(letter),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[test]
fn verify_after_backup_has_a_level_of_its_own() {
    let verify = |words: &[&str]| match parse(words).unwrap().verb {
        Verb::Backup(backup) => backup.verify,
        other => panic!("{other:?}"),
    };
    assert_eq!(verify(&["backup"]), None);
    assert_eq!(verify(&["backup", "--verify"]), Some(Level::Full));
    assert_eq!(verify(&["backup", "--verify=stored"]), Some(Level::Stored));
    let error = parse(&["backup", "--verify=instance"]).unwrap_err().to_string();
    assert!(error.contains("is stored, sampled or full"), "{error}");
}

#[test]
fn a_selection_keeps_its_patterns() {
    let words = [
        "backup",
        "--table",
        "a.*",
        "--exclude-table-data",
        "b",
        "--table",
        "c",
        "--schema",
        "d",
        "--exclude-schema",
        "e",
        "--exclude-table",
        "f",
    ];
    let Verb::Backup(backup) = parse(&words).unwrap().verb else { panic!() };
    let selection = backup.selection();
    assert_eq!(selection.tables, ["a.*", "c"]);
    assert_eq!((selection.schemas, selection.exclude_schemas), (vec!["d".to_owned()], vec!["e".to_owned()]));
    assert_eq!((selection.exclude_tables, selection.exclude_table_data), (vec!["f".to_owned()], vec!["b".to_owned()]));
    assert_eq!(backup.lock_wait.as_secs(), 30);
}

#[test]
fn guard_takes_everything_after_the_dashes() {
    let words = ["guard", "--max-age", "90m", "--", "npm", "run", "x", "--json", "-v"];
    let arguments = parse(&words).unwrap();
    assert!(!arguments.common.json && arguments.common.verbose == 0);
    let Verb::Guard(guard) = arguments.verb else { panic!() };
    assert_eq!(guard.command, ["npm", "run", "x", "--json", "-v"]);
    assert_eq!(guard.gate.max_age.unwrap().as_secs(), 5400);
    for words in [&["guard"][..], &["guard", "--"], &["guard", "npm"]] {
        assert!(parse(words).is_err(), "{words:?}");
    }
}

#[test]
fn common_flags_stand_before_and_after_the_verb() {
    for words in [["--json", "--database", "shop", "list"], ["list", "--json", "--database", "shop"]] {
        let arguments = parse(&words).unwrap();
        assert!(arguments.common.json);
        assert_eq!(arguments.common.database.unwrap().as_str(), "shop");
    }
    assert!(parse(&["list", "-q", "-v"]).is_err());
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for words in [
        &["restore", "--from", "latest", "--into", "x", "--keep-old"][..],
        &["restore", "--from", "latest"],
        &["restore", "--from", "newest", "--into", "x"],
        &["restore", "--from", "latest", "--into", "x", "--jobs", "0"],
        &["backup", "--compress", "lzma"],
        &["backup", "--format", "directory"],
        &["adopt"],
        &["adopt", "--reason", " "],
        &["list", "--repository", "/var/backups"],
        &["list", "--database", "a/b"],
        &["cron", "--shard", "0/2"],
        &["cron", "--all", "--shard", "2/2"],
        &["cron", "--all", "--database", "shop"],
        &["cron", "--all", "--parallel", "0"],
        &["cron", "--verify", "instance"],
        &["prune", "--shard", "0/2"],
        &["check", "--shard", "0/2"],
        &["check", "--shard", "0/2", "--database", "shop"],
        &["prune", "--shard", "0/2", "--database", "shop"],
        &["cron", "--shard", "0/2", "--database", "shop"],
    ] {
        assert!(parse(words).is_err(), "{words:?}");
    }
}

#[test]
fn a_dump_that_is_here_needs_no_dot() {
    // Tests run in the crate's folder.
    let parsed = Arguments::try_parse_from(["holdpoint", "restore", "--from", "Cargo.toml", "--into", "x"]).unwrap();
    let Verb::Restore(arguments) = parsed.verb else { panic!("another verb") };
    assert_eq!(arguments.from, Some(holdpoint_core::selector::Selector::Foreign("./Cargo.toml".into())));
}

#[test]
fn leftovers_may_be_a_dry_run_alone_and_a_reason_says_something() {
    assert!(Arguments::try_parse_from(["holdpoint", "leftovers", "--dry-run"]).is_ok());
    for reason in ["", "  \t"] {
        assert!(Arguments::try_parse_from(["holdpoint", "guard", "--unproven", reason, "--", "true"]).is_err());
    }
    let error = Arguments::try_parse_from(["holdpoint", "verify", "--level", "instance"]).unwrap_err().to_string();
    assert!(error.contains("stored, sampled or full"), "{error}");
}
