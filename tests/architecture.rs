//! The architecture test: the crates and their arrows are those of `docs/architecture.md`, and stay so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// The crates and which of our own each may use. Arrows point from left to right only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("holdpoint-core", &[]),
    ("holdpoint-process", &[]),
    ("holdpoint-archive", &[]),
    ("holdpoint-review", &["core"]),
    ("holdpoint-postgres", &["core", "process"]),
    ("holdpoint-aws", &[]),
    ("holdpoint-repository", &["core", "aws"]),
    ("holdpoint-rds", &["core", "aws"]),
    ("holdpoint-engine", &["core", "archive", "postgres", "repository"]),
    ("holdpoint-operations", &["core", "archive", "postgres", "repository", "engine", "rds"]),
    (
        "holdpoint-guard",
        &["core", "process", "archive", "postgres", "repository", "engine", "rds", "operations", "review"],
    ),
    (
        "holdpoint",
        &["core", "process", "archive", "postgres", "repository", "engine", "rds", "operations", "review", "guard"],
    ),
    ("holdpoint-testkit", &[]),
    ("holdpoint-tests", &["testkit"]),
];

/// Crates that the table names and that have not been written yet.
const NOT_YET: &[&str] = &[];

/// Arrows that exist against the table, each to be taken away or put into it; one that is gone must go from here.
const KNOWN_DEVIATIONS: &[(&str, &str)] = &[];

/// Where crates of the AWS SDK may be used directly.
const MAY_USE_AWS: &[&str] = &["holdpoint-aws", "holdpoint-repository", "holdpoint-rds"];

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    // Only this platform's crates: the others' need not have been downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let options = ["--locked", "--filter-platform", &platform].map(str::to_owned).to_vec();
    command.manifest_path(root().join("Cargo.toml")).other_options(options);
    command.exec().expect("cargo metadata runs")
}

fn root() -> PathBuf {
    holdpoint_testkit::workspace_directory()
}

fn is_ours(name: &str) -> bool {
    name == "holdpoint" || name.starts_with("holdpoint-")
}

fn is_aws(name: &str) -> bool {
    ["aws-", "aws_"].iter().any(|prefix| name.starts_with(prefix))
}

fn uses(package: &Package, kinds: &[DependencyKind]) -> BTreeSet<String> {
    package.dependencies.iter().filter(|used| kinds.contains(&used.kind)).map(|used| used.name.clone()).collect()
}

/// What breaks the table, in words; nothing when all is well.
fn violations(packages: &[Package]) -> Vec<String> {
    let table: BTreeMap<&str, BTreeSet<String>> = MAY_USE
        .iter()
        .map(|(name, used)| (*name, used.iter().map(|used| format!("holdpoint-{used}")).collect()))
        .collect();
    let mut found = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        let Some(allowed) = table.get(name) else {
            found.push(format!("{name} is not in the table"));
            continue;
        };
        for used in uses(package, &[DependencyKind::Normal, DependencyKind::Build]) {
            if is_ours(&used) && !allowed.contains(&used) {
                found.push(format!("{name} may not use {used}"));
            }
            if is_aws(&used) && !MAY_USE_AWS.contains(&name) {
                found.push(format!("{name} may not use {used}"));
            }
        }
        for used in uses(package, &[DependencyKind::Development]) {
            let allowed = used == "holdpoint-testkit" && name != "holdpoint-testkit";
            if is_ours(&used) && !allowed || is_aws(&used) && !MAY_USE_AWS.contains(&name) {
                found.push(format!("{name} may not use {used} in its tests"));
            }
        }
    }
    found
}

#[test]
fn the_arrows_are_those_of_the_table() {
    let metadata = metadata();
    let packages: Vec<Package> = metadata.workspace_packages().into_iter().cloned().collect();
    let there: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for (name, _) in MAY_USE {
        assert_ne!(there.contains(name), NOT_YET.contains(name), "{name}: there, or not yet there, against this table");
    }
    let known: Vec<String> = KNOWN_DEVIATIONS.iter().map(|(user, used)| format!("{user} may not use {used}")).collect();
    assert_eq!(violations(&packages), known);
}

/// The check itself can fail: with two crates taking each other's place it does.
#[test]
fn a_wrong_arrow_is_found() {
    let metadata = metadata();
    let mut packages: Vec<Package> = metadata.workspace_packages().into_iter().cloned().collect();
    let place = |name: &str| packages.iter().position(|package| package.name.as_str() == name).expect("a crate");
    let (postgres, repository, testkit) =
        (place("holdpoint-postgres"), place("holdpoint-repository"), place("holdpoint-testkit"));
    let dependencies = packages[postgres].dependencies.clone();
    packages[postgres].dependencies = std::mem::replace(&mut packages[repository].dependencies, dependencies.clone());
    packages[testkit].dependencies = dependencies;
    let found = violations(&packages);
    for expected in [
        "holdpoint-repository may not use holdpoint-process",
        "holdpoint-postgres may not use aws-sdk-s3",
        "holdpoint-testkit may not use holdpoint-core",
    ] {
        assert!(found.iter().any(|line| line == expected), "{expected}: {found:#?}");
    }
}

/// Even through others the testkit reaches none of ours and no AWS crate.
#[test]
fn the_testkit_stands_alone() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves");
    let name_of = |id| metadata[id].name.as_str();
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> =
        resolve.nodes.iter().filter(|node| name_of(&node.id) == "holdpoint-testkit").map(|node| &node.id).collect();
    assert_eq!(open.len(), 1);
    while let Some(id) = open.pop() {
        let node = resolve.nodes.iter().find(|node| &node.id == id).expect("every crate has a node");
        for dependency in &node.deps {
            if dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
                && reached.insert(name_of(&dependency.pkg))
            {
                open.push(&dependency.pkg);
            }
        }
    }
    assert!(reached.contains("tempfile"), "the walk goes somewhere: {reached:?}");
    let wrong: Vec<_> = reached.iter().filter(|name| is_ours(name) || is_aws(name)).collect();
    assert!(wrong.is_empty(), "the testkit reaches {wrong:?}");
}

/// Two TLS providers in one program panic at run time.
#[test]
fn there_is_one_tls_provider() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock is there");
    let names: Vec<&str> = lock.split("[[package]]\n").skip(1).collect();
    let find = |name: &str| -> Vec<&&str> {
        names.iter().filter(|entry| entry.starts_with(&format!("name = \"{name}\"\n"))).collect()
    };
    assert_eq!(find("ring").len(), 1, "the one provider");
    assert_eq!(find("rustls").len(), 1, "one rustls");
    assert!(find("rustls")[0].contains("version = \"0.23."), "{}", find("rustls")[0]);
    for unwanted in ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls", "rustls-openssl", "boring"] {
        assert!(find(unwanted).is_empty(), "{unwanted} is in Cargo.lock");
    }
}

/// No file of the project names a place that exists on one developer's machine only.
#[test]
fn no_file_names_a_developers_folder() {
    // Put together here, so that this file does not name them either.
    let folders: Vec<String> = ["home", "Users", "root", "work"].iter().map(|name| format!("/{name}/")).collect();
    let example = format!("{}me", folders[0]); // the home folder of an account that tests make up
    let mut found = Vec::new();
    let mut files = 0;
    for folder in [".ci", "config", "crates", "docs", "scripts", "tests"] {
        visit(&root().join(folder), &mut |path| {
            let Ok(text) = std::fs::read_to_string(path) else { return };
            files += 1;
            for (number, line) in text.lines().enumerate() {
                let line = &line.replace(&example, "");
                if let Some(place) = folders.iter().find(|folder| names_folder(line, folder)) {
                    found.push(format!("{}:{}: {place}", path.display(), number + 1));
                }
            }
        });
    }
    assert!(files > 50, "only {files} files were looked at");
    assert!(found.is_empty(), "{found:#?}");
    assert!(names_folder(&format!("cd {}you/x", folders[0]), &folders[0]));
    assert!(!names_folder(&format!("s3:/{}x", folders[0]), &folders[0]), "a part of a longer path is something else");
}

/// Whether `line` names a path that begins with `folder`.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "/._-}>*$".contains(before))
    })
}

fn visit(folder: &Path, look: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, look);
        } else {
            look(&path);
        }
    }
}
