//! Every step of the five runbooks has its row in `docs/runbook.md`, and what the row says is so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::commands::{Call, problem, words};
use crate::page::{read, root};

/// A step of a runbook, as `tests/fixtures/runbooks/steps.tsv` lists it.
struct Step {
    heading: String,
    kind: String,
    text: String,
}

/// A row of the table: what is here for a step.
struct Row {
    heading: String,
    step: String,
    here: String,
    tests: Vec<String>,
}

/// The steps by file and line, such as `nuclom-drizzle:28`.
fn steps() -> BTreeMap<String, Step> {
    let list = read("tests/fixtures/runbooks/steps.tsv");
    let steps = list.lines().map(|line| {
        let parts: Vec<&str> = line.split('\t').collect();
        assert_eq!(parts.len(), 5, "{line}");
        let file = parts[0].trim_end_matches(".md");
        let step = Step { heading: parts[2].into(), kind: parts[3].into(), text: parts[4].into() };
        (format!("{file}:{}", parts[1]), step)
    });
    steps.collect()
}

/// The cells of a row; a sign that Markdown would take for its own has a backslash before it.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut signs = row.trim().trim_start_matches('|').chars().peekable();
    while let Some(sign) = signs.next() {
        match (sign, cells.last_mut()) {
            ('|', _) => cells.push(String::new()),
            ('\\', Some(cell)) if signs.peek().is_some_and(|next| "|_*".contains(*next)) => cell.extend(signs.next()),
            (sign, Some(cell)) => cell.push(sign),
            (_, None) => {}
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
}

fn rows() -> Vec<(String, Row)> {
    let page = read("docs/runbook.md");
    let section = page.split_once("\n## Five runbooks, step by step\n").expect("the section is there").1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| where "));
    let read = |line: &str| {
        let cells = cells(line);
        assert_eq!(cells.len(), 5, "{line}");
        let tests = cells[4].split(", ").map(|name| name.trim_matches('`').to_owned());
        let row = Row {
            heading: cells[1].clone(),
            step: cells[2].trim_matches('`').replace("&lt;", "<"),
            here: cells[3].clone(),
            tests: tests.filter(|name| name != "-").collect(),
        };
        (cells[0].clone(), row)
    };
    rows.map(read).collect()
}

/// The commands of the program in a text, as words, with ids for what stands for one.
fn commands(text: &str) -> Vec<Vec<String>> {
    let code = text.split('`').skip(1).step_by(2);
    let id = |code: &str| words(&code.replace("RUN", "20261121T024300Z-k3f9"));
    code.filter_map(|code| code.strip_prefix("holdpoint ")).map(id).collect()
}

fn refused(words: Vec<String>) -> Option<String> {
    problem(&Call { place: String::new(), words })
}

/// What is wrong with the promise of a row; nothing where it is kept.
fn broken_promise(row: &Row, tests: &BTreeSet<String>) -> Option<String> {
    let commands = commands(&row.here);
    if let Some(why) = row.here.strip_prefix("out of scope: ") {
        return (why.len() < 10 || !row.tests.is_empty()).then(|| "no reason, or a test".to_owned());
    }
    if let Some(what) = row.here.strip_prefix("not yet: ") {
        let issue = what.rsplit_once("(issue ").and_then(|(_, rest)| rest.strip_suffix(')')?.parse::<u8>().ok());
        return match commands.into_iter().next() {
            Some(words) if issue.is_some() && row.tests.is_empty() => {
                refused(words).is_none().then(|| "the program has it by now".to_owned())
            }
            _ => Some("no command, no issue, or a test".to_owned()),
        };
    }
    if commands.is_empty() || row.tests.is_empty() {
        return Some("neither a command with a test, nor why there is none".to_owned());
    }
    let wrong = commands.into_iter().find_map(refused);
    wrong.or_else(|| row.tests.iter().find(|name| !is_test(name, tests)).map(|name| format!("no such test: {name}")))
}

/// Whether a test of that name is in a module of that name; further folders need not be named.
fn is_test(name: &str, tests: &BTreeSet<String>) -> bool {
    tests.iter().any(|test| test.ends_with(&format!("::{name}")))
}

/// Every test of the project with the folders and the file where it stands.
fn all_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["crates", "tests"] {
        collect(&root().join(folder), folder, &mut found);
    }
    found
}

fn collect(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder that can be listed").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            collect(&path, &format!("{module}::{name}"), found);
        } else if let Some(stem) = name.strip_suffix(".rs") {
            let source = std::fs::read_to_string(&path).expect("a source file is text");
            let module = if stem == "mod" { module.to_owned() } else { format!("{module}::{stem}") };
            found.extend(tests_in(&source).map(|test| {
                // A file of tests beside a module's is the module's.
                format!("{}::{test}", module.trim_end_matches("::tests"))
            }));
        }
    }
}

fn tests_in(source: &str) -> impl Iterator<Item = &str> {
    let marked = source.split("test]\n").skip(1).chain(source.split("test(flavor = \"multi_thread\")]\n").skip(1));
    marked.filter_map(|rest| rest.trim_start().trim_start_matches("async ").strip_prefix("fn ")?.split('(').next())
}

#[test]
fn every_step_has_its_row() {
    let (steps, rows) = (steps(), rows());
    assert!(steps.len() > 400, "{} steps", steps.len());
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (place, row) in &rows {
        let known = steps.get(place).is_some_and(|step| {
            step.heading == row.heading && step.text.starts_with(row.step.trim_end_matches('…')) && row.step.len() > 2
        });
        if !known || !seen.insert(place) {
            wrong.push(format!("{place}: {} is no step of that heading, or has two rows", row.step));
        }
    }
    wrong.extend(steps.keys().filter(|place| !seen.contains(place)).map(|place| format!("{place} has no row")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_is_true() {
    let tests = all_tests();
    let wrong: Vec<String> = rows()
        .iter()
        .filter_map(|(place, row)| Some(format!("{place}: {}: {}", row.here, broken_promise(row, &tests)?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every block of SQL in the runbooks is one of those whose plan is a snapshot.
#[test]
fn every_block_of_sql_is_reviewed() {
    for (place, _) in steps().iter().filter(|(_, step)| step.kind == "sql") {
        let (runbook, line) = place.split_once(':').expect("a file and a line");
        let line: u32 = line.parse().expect("a number");
        let path = format!("crates/review/tests/fixtures/runbooks/{runbook}/line-{line:03}.sql");
        assert!(root().join(&path).is_file(), "{place}: {path} is missing");
    }
}

/// The checks can fail.
#[test]
fn a_wrong_row_is_found() {
    let tests = all_tests();
    let row = |here: &str, tests: &[&str]| Row {
        heading: String::new(),
        step: String::new(),
        here: here.to_owned(),
        tests: tests.iter().map(|name| (*name).to_owned()).collect(),
    };
    let known = "runbook::a_wrong_row_is_found";
    let found = |here: &str, names: &[&str]| broken_promise(&row(here, names), &tests);
    assert_eq!(found("`holdpoint backup`, and more", &[known]), None);
    assert_eq!(found("out of scope: the application's own", &[]), None);
    assert_eq!(found("not yet: `holdpoint dance` (issue 9)", &[]), None);
    assert_eq!(found("not yet: `holdpoint backup --dance` (issue 9)", &[]), None);
    for (here, names) in [
        ("`holdpoint backup`", &["runbook::no_such_test"][..]),
        ("`holdpoint backup`", &["pages::a_wrong_row_is_found"]),
        ("`holdpoint backup`", &[]),
        ("`holdpoint backup --dance`", &[known]),
        ("not yet: `holdpoint backup` (issue 9)", &[]),
        ("not yet: `holdpoint dance`", &[]),
        ("out of scope: ", &[]),
        ("words", &[known]),
    ] {
        assert!(found(here, names).is_some(), "{here} {names:?}");
    }
    assert_eq!(cells(r"| a:1 | b | `c \| d` | e | - |"), ["a:1", "b", "`c | d`", "e", "-"]);
}
