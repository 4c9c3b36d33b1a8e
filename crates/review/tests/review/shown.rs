//! Findings in one line each, to compare with what is expected.

use holdpoint_review::{
    Dialect, Finding, LockMode, Loss, Made, MigrationSql, Review, ReviewOptions, Rewrite, Role, Within, review,
};

/// Reviews one file as a driver would send it.
pub(crate) fn of(sql: &str) -> Review {
    review(&[MigrationSql::new("m.sql", sql, Dialect::Driver)], &ReviewOptions { advice: false, ..Default::default() })
}

/// Every finding that does more than read.
pub(crate) fn lines(review: &Review) -> Vec<String> {
    review.findings().map(|(_, finding)| line(finding)).collect()
}

fn mode(mode: LockMode) -> &'static str {
    match mode {
        LockMode::AccessShare => "AS",
        LockMode::RowShare => "RS",
        LockMode::RowExclusive => "RE",
        LockMode::ShareUpdateExclusive => "SUE",
        LockMode::Share => "S",
        LockMode::ShareRowExclusive => "SRE",
        LockMode::Exclusive => "E",
        LockMode::AccessExclusive => "AE",
    }
}

/// One finding: where it stands, kind, target, loss, rewrite, locks, tables written.
pub(crate) fn line(finding: &Finding) -> String {
    let mut words: Vec<String> = finding
        .within
        .iter()
        .map(|within| match within {
            Within::Do => "do>".to_owned(),
            Within::Routine(name) => format!("{name}()>"),
            Within::Trigger(name) => format!("trigger {name}>"),
            Within::Prepared(name) => format!("prepared {name}>"),
            Within::Branch => "rule>".to_owned(),
        })
        .collect();
    words.push(format!("{:?}", finding.kind));
    if let Some(target) = &finding.target {
        let column = target.column.as_ref().map(|column| format!(".{column}")).unwrap_or_default();
        words.push(format!("{}{column}", target.name));
        if target.cascade {
            words.push("cascade".into());
        }
    }
    if let Some(why) = &finding.unreviewable {
        words.push(format!("({why})"));
    }
    if !matches!(finding.loses, Loss::Nothing | Loss::Unknown) {
        words.push(format!("loses {:?}", finding.loses));
    }
    match &finding.rewrite {
        Rewrite::No | Rewrite::Unknown => {}
        Rewrite::Yes => words.push("rewrites".into()),
        Rewrite::ByType { to, using } => words.push(format!("rewrites by {to}{}", if *using { " using" } else { "" })),
        Rewrite::ByCatalog => words.push("rewrites perhaps".into()),
    }
    if !finding.transactional {
        words.push("no transaction".into());
    }
    for lock in &finding.locks {
        words.push(format!("{}:{}", mode(lock.mode), lock.table));
    }
    for touch in finding.touches.iter().filter(|touch| touch.role >= Role::Add) {
        let made = match touch.made {
            Made::No => "",
            Made::Perhaps => " (perhaps new)",
            Made::Yes => " (new)",
        };
        let before = touch.before.as_ref().map(|before| format!(" was {before}")).unwrap_or_default();
        words.push(format!("{:?}={}{before}{made}", touch.role, touch.table));
    }
    words.join(" ")
}

/// The entries of the corpus: one statement, or several that belong together.
pub(crate) fn corpus() -> Vec<String> {
    let text = include_str!("../fixtures/corpus.sql");
    let mut entries: Vec<String> = Vec::new();
    let mut together = false;
    for line in text.lines().skip(1) {
        match line {
            "--+" => {
                together = true;
                entries.push(String::new());
            }
            "--." => together = false,
            "" => {}
            line if together => {
                let last = entries.last_mut().expect("an entry is open");
                last.push_str(line);
                last.push('\n');
            }
            line => entries.push(line.to_owned()),
        }
    }
    entries
}

/// Compares with a file below `tests/snapshots`; with `HOLDPOINT_UPDATE_SNAPSHOTS` set it writes the file instead.
pub(crate) fn snapshot(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("HOLDPOINT_UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        std::fs::write(&path, text).expect("the snapshot is written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if let Some((place, (expected, found))) = expected.lines().zip(text.lines()).enumerate().find(|(_, (a, b))| a != b)
    {
        panic!("{name}:{}: {expected:?} was expected, {found:?} came", place + 1);
    }
    assert_eq!(expected.lines().count(), text.lines().count(), "{name}");
}
