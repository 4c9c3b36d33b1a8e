//! The program as it is called: with an environment of its own, without a server.

#![expect(clippy::disallowed_methods, reason = "the program under test is started as a person would")]

mod demo;

use std::path::Path;
use std::process::{Command, Output};

use holdpoint::exit_code;

/// The program, in an empty folder, with nothing but these variables.
fn holdpoint(folder: &Path, variables: &[(&str, &str)], words: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_holdpoint"));
    program.current_dir(folder).env_clear().env("HOME", folder).env("USER", "me").env("TMPDIR", folder);
    program.envs(variables.iter().copied()).args(words).output().expect("the program starts")
}

fn code(output: &Output) -> u8 {
    u8::try_from(output.status.code().expect("it was not killed")).expect("codes are small")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

fn error_document(output: &Output) -> serde_json::Value {
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("stdout is one JSON document");
    assert_eq!(document["error"]["exit_code"], code(output));
    document
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["--help"][..], &["guard", "--help"], &["help", "restore"], &["--version"]] {
        let output = holdpoint(folder.path(), &[], words);
        assert_eq!(code(&output), exit_code::DONE, "{words:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn wrong_usage_is_told_on_stderr_or_as_json() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&[][..], &["lsit"], &["guard", "npm"], &["backup", "--jobs", "0"], &["list", "--repository", "x"]] {
        let output = holdpoint(folder.path(), &[], words);
        assert_eq!(code(&output), exit_code::USAGE, "{words:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words:?}");
        let output = holdpoint(folder.path(), &[], &[&["--json"], words].concat());
        assert_eq!(error_document(&output)["error"]["kind"], "usage", "{words:?}");
    }
}

#[test]
fn no_secret_that_was_typed_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let url = [("DATABASE_URL", "postgresql://ann:hunter2@host:port/db")];
    let key = [("HOLDPOINT_REPOSITORY", "s3://key:hunter2@bucket")];
    for (variables, words) in [
        (&url[..], &["backup"][..]),
        (&url, &["doctor", "--json", "-vv"]),
        (&key, &["list"]),
        (&[], &["list", "--repository", "s3://key:hunter2@bucket"]),
        (&[], &["restore", "--from", "latest", "--into", "postgresql://ann:hunter2@host:port/db"]),
        (&[], &["restore", "--from", "postgresql://ann:hunter2@h", "--into", "ann:hunter2@h"]),
    ] {
        let output = holdpoint(folder.path(), variables, words);
        assert_eq!(code(&output), exit_code::USAGE, "{words:?} {}", text(&output.stderr));
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(!all.contains("hunter2"), "{words:?}: {all}");
    }
}

#[test]
fn an_unknown_configuration_key_stops_everything_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("holdpoint.toml"), "[repository]\nulr = \"file:///nowhere\"\n").unwrap();
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let output = holdpoint(&below, &[], &["backup"]);
    assert_eq!(code(&output), exit_code::USAGE);
    let said = text(&output.stderr);
    assert!(said.contains("holdpoint.toml:2: unknown key \"ulr\" (did you mean \"url\"?)"), "{said}");
}

#[test]
fn a_missing_repository_is_told_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("file://{}/nowhere", folder.path().display());
    let words = ["list", "--database", "shop", "--repository", &nowhere];
    let output = holdpoint(folder.path(), &[], &[&words[..], &["--json"]].concat());
    assert_eq!(code(&output), exit_code::REPOSITORY);
    assert!(error_document(&output)["error"]["hint"].as_str().unwrap().contains("holdpoint init"));
    assert!(!folder.path().join("nowhere").exists(), "reading must not make it");
    assert_eq!(code(&holdpoint(folder.path(), &[], &["init", "--repository", &nowhere])), exit_code::DONE);
    let output = holdpoint(folder.path(), &[], &words);
    assert_eq!(code(&output), exit_code::DONE, "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("no restore points of shop yet"));
    let output = holdpoint(folder.path(), &[], &["show", "--database", "shop", "--repository", &nowhere]);
    assert_eq!(code(&output), exit_code::NOT_FOUND);
}

#[test]
fn a_guard_without_a_lasting_repository_never_runs_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("DATABASE_URL", "postgresql://127.0.0.1:1/shop"), ("PATH", "/usr/bin:/bin")];
    let output = holdpoint(folder.path(), &variables, &["guard", "--", "touch", "ran"]);
    assert_eq!(code(&output), exit_code::REFUSED);
    assert!(!folder.path().join("ran").exists() && !folder.path().join(".local").exists());
}

#[test]
fn plain_text_is_gzip_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = holdpoint(folder.path(), &[], &["backup", "--format", "plain", "--compress", "zstd"]);
    assert_eq!(code(&output), exit_code::USAGE);
    assert!(text(&output.stderr).contains("--format plain is stored as gzip"));
}

#[test]
fn a_server_that_is_not_there_is_postgresqls_failure() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("DATABASE_URL", "postgresql://127.0.0.1:1/shop")];
    let output = holdpoint(folder.path(), &variables, &["backup", "--json"]);
    assert_eq!(code(&output), exit_code::POSTGRES, "{}", text(&output.stderr));
    let document = error_document(&output);
    assert!(document["error"]["message"].as_str().unwrap().contains("127.0.0.1:1"), "{document}");
}

#[test]
fn a_policy_is_printed_without_any_server() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["init", "--print-policy", "writer", "--repository", "s3://acme-backups/pg"];
    let output = holdpoint(folder.path(), &[], &words);
    assert_eq!(code(&output), exit_code::DONE);
    let policy: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_holdpoint"));
    program.current_dir(folder.path()).env_clear().args(["completions", "zsh"]);
    let mut child = program.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), exit_code::DONE, "{}", text(&output.stderr));
}

#[test]
fn the_scratch_keeper_is_there_and_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let help = holdpoint(folder.path(), &[], &["--help"]);
    assert!(!text(&help.stdout).contains("scratch-keeper"));
    // Its parent is gone before it said what to do: nothing to keep, nothing left.
    let output = holdpoint(folder.path(), &[], &["scratch-keeper"]);
    assert_eq!(code(&output), exit_code::DONE);
}
