//! Lists that pages repeat from the program's source are complete: exit codes, configuration keys, phases, variables.

use std::collections::BTreeSet;

use crate::page::{first_cells, read};

/// The two lists have the same members; what only one has is shown.
#[track_caller]
fn assert_same_members(what: &str, documented: &BTreeSet<String>, real: &BTreeSet<String>) {
    let missing: Vec<_> = real.difference(documented).collect();
    let invented: Vec<_> = documented.difference(real).collect();
    assert!(missing.is_empty() && invented.is_empty(), "{what}: not documented {missing:?}, invented {invented:?}");
}

/// The texts between two marks, wherever they occur.
fn between(text: &str, before: &str, after: &str) -> Vec<String> {
    text.split(before).skip(1).filter_map(|rest| rest.split_once(after)).map(|(found, _)| found.to_owned()).collect()
}

#[test]
fn exit_codes_are_the_published_constants() {
    let source = read("crates/cli/src/exit_code.rs");
    let constants = between(&source, "pub const ", ";\n");
    let constants = constants.iter().filter_map(|one| one.split_once(": u8 = "));
    let values: std::collections::BTreeMap<&str, &str> = constants.collect();
    let list = &between(&source, " = [\n    (DONE", "];")[0];
    let real: BTreeSet<String> = between(&format!("(DONE{list}"), "(", ")")
        .iter()
        .map(|pair| pair.split_once(", ").expect("a pair"))
        .map(|(name, word)| format!("{} {}", values[name], word.trim_matches('"')))
        .collect();
    assert!(real.len() > 15, "{real:?}");
    assert_eq!(real.len(), values.len(), "every constant is in the list of all");
    let page = read("docs/exit-codes.md");
    let rows = page.lines().take_while(|line| !line.starts_with("## "));
    let rows = rows.filter(|line| line.starts_with("| ") && line.contains("| `"));
    let documented: BTreeSet<String> = rows
        .map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>())
        .map(|cells| format!("{} {}", cells[1], cells[2]))
        .collect();
    assert_same_members("exit codes", &documented, &real);
    let bad: Vec<String> = first_cells(&page, "## Bad input");
    assert!(bad.len() > 20, "the table of bad input: {bad:?}");
}

/// The keys of the sample configuration, sections included, with names of databases, targets and waivers as `NAME`.
fn sample_keys(sample: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for line in sample.lines() {
        let line = line.trim_start_matches('#').trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let mut parts: Vec<&str> = name.split('.').collect();
            if matches!(parts[0], "database" | "target" | "waiver") {
                parts[1] = "NAME";
            }
            section = parts.join(".") + ".";
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            keys.insert(format!("{section}{key}"));
        }
    }
    keys
}

#[test]
fn configuration_keys_are_those_of_the_sample() {
    let real = sample_keys(&read("config/holdpoint.toml"));
    assert!(real.len() > 30, "{real:?}");
    let documented = first_cells(&read("docs/configuration.md"), "## The file").into_iter().collect();
    assert_same_members("configuration keys", &documented, &real);
}

#[test]
fn keys_are_read_from_a_sample() {
    let sample = "# a = 1\n# Prose is b = c here.\n# [database.shop]\n# url = \"x\"\n[gate]\nlevel = \"full\"\n";
    let keys: Vec<String> = sample_keys(sample).into_iter().collect();
    assert_eq!(keys, ["a", "database.NAME.url", "gate.level"]);
}

#[test]
fn phases_are_those_of_the_program() {
    let source = read("crates/core/src/progress.rs");
    let names = &between(&source, "fn name(self)", "\n    }\n")[0];
    let real: BTreeSet<String> = between(names, "=> \"", "\"").into_iter().collect();
    assert!(real.len() > 10, "{real:?}");
    let documented = first_cells(&read("docs/testing.md"), "## Named phases").into_iter().collect();
    assert_same_members("phases", &documented, &real);
}

/// Every finding about migrations is in the table of its page.
#[test]
fn findings_about_migrations_are_those_of_the_program() {
    let source = read("crates/guard/src/tools/finding.rs");
    let variants = &between(&source, "pub enum Finding {\n", "\n}\n")[0];
    let names = variants.lines().filter_map(|line| line.strip_prefix("    "));
    let names = names.filter(|line| line.starts_with(|sign: char| sign.is_ascii_uppercase()));
    let snake = |name: &str| {
        let words = name.trim_end_matches([',', '{', ' ']).chars();
        let apart = words.flat_map(|sign| sign.is_ascii_uppercase().then_some('_').into_iter().chain([sign]));
        apart.collect::<String>().trim_start_matches('_').to_lowercase()
    };
    let real: BTreeSet<String> = names.map(snake).collect();
    assert!(real.len() > 15, "{real:?}");
    let documented: BTreeSet<String> =
        first_cells(&read("docs/migration-tools.md"), "## Findings").into_iter().collect();
    assert_same_members("findings", &documented, &real);
}

/// Every variable that the program reads by a name of its own is in the table of the configuration's page.
#[test]
fn own_variables_are_documented() {
    // Those that only debug builds know are on the page about testing; the scratch id is given, not read.
    let elsewhere = ["HOLDPOINT_PAUSE_AT", "HOLDPOINT_PAUSE_MARKER", "HOLDPOINT_SCRATCH_ID"];
    let mut real = BTreeSet::new();
    visit(&crate::page::root().join("crates/cli/src"), &mut |text| {
        for name in text.split(['"', '`', ' ']).filter(|word| word.starts_with("HOLDPOINT_") && word.len() > 10) {
            let plain = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            if plain && !elsewhere.contains(&name) {
                real.insert(name.to_owned());
            }
        }
    });
    let page = read("docs/configuration.md");
    let cells = first_cells(&page, "## Environment variables").join(",");
    let names = cells.split([',', '`', ' ']).filter(|name| name.starts_with("HOLDPOINT_"));
    assert_same_members("variables", &names.map(str::to_owned).collect(), &real);
}

/// The layout of the repository on the page about formats is the program's.
#[test]
fn the_layout_is_the_programs() {
    let source = read("crates/core/src/layout.rs");
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let page = read("docs/format.md");
    let names = ["manifest.json", "index.jsonl.zst", "archive.dump", "dump.sql.gz", "contents.dump", "globals.sql"];
    let folders = ["restore-points/", "verifications/", "pins/", "withdrawn/", "runs/", "identities/", "/lease"];
    for name in names.iter().chain(&folders).chain(&["holdpoint.json"]) {
        assert!(source.contains(name), "{name} is not in the layout any more");
        assert!(page.contains(name), "{name} is not on the page");
    }
    // A key that is new in the source is looked for, too.
    for literal in between(source, "format!(\"{database}/", "\")") {
        let folder = literal.split('/').next().unwrap_or_default();
        assert!(page.contains(&format!("<database>/{folder}")), "{literal} is not on the page");
    }
}

fn visit(folder: &std::path::Path, look: &mut dyn FnMut(&str)) {
    for entry in std::fs::read_dir(folder).expect("a folder that can be listed").flatten() {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            look(&std::fs::read_to_string(&path).expect("a source file is text"));
        }
    }
}
