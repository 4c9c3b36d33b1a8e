//! `compare` for people.

use holdpoint_core::fingerprint::Difference;
use holdpoint_operations::compare::{
    CompareReport, LargeObjectDifferences, ObjectChange, ObjectDifference, Side, SideKind, TableChange, TableDifference,
};

use super::table::{bullets, columns, plain};
use crate::quantity::{count, counted, instant, milliseconds};

/// As many lines of one kind say enough; `--json` has everything.
const SHOWN: usize = 40;

/// Tells what differs, and so what a restore would lose.
pub(crate) fn compare(report: &CompareReport) -> String {
    let verdict = if report.equal { "equal" } else { "different" };
    let mut text = format!(
        "{verdict}: {} and {}, compared in {}\n",
        side(&report.then),
        side(&report.now),
        milliseconds(report.took_ms)
    );
    let tables = &report.tables;
    text.push_str(&format!(
        "{} of {} equal ({})\n",
        count(tables.equal),
        counted(tables.then, "table"),
        counted(tables.equal_rows, "row")
    ));
    if !tables.differences.is_empty() {
        text.push('\n');
        let headings = ["TABLE", ">THEN", ">NOW", "DIFFERENCE"];
        text.push_str(&columns(&headings, tables.differences.iter().take(SHOWN).map(table)));
        text.push_str(&more(tables.differences.len()));
    }
    text.push_str(&objects(&report.objects));
    text.push_str(&listed("sequences", &report.sequences));
    text.push_str(&large_objects(&report.large_objects));
    text.push_str(&listed("the database itself", &report.properties));
    text.push_str(&bullets("not compared", &report.not_read));
    text.push_str(&bullets("notes", &report.notes));
    text
}

pub(super) fn side(side: &Side) -> String {
    let at = instant(side.at);
    match side.kind {
        SideKind::RestorePoint => format!("restore point {} ({at})", side.name),
        SideKind::Database => format!("{} ({at})", side.name),
    }
}

fn more(all: usize) -> String {
    if all > SHOWN { format!("and {} more: see --json\n", all - SHOWN) } else { String::new() }
}

fn table(one: &TableDifference) -> Vec<String> {
    let rows = |rows: Option<u64>| rows.map_or_else(|| "-".to_owned(), count);
    let about = if one.estimated { "about " } else { "" };
    vec![
        one.table.clone(),
        rows(one.rows_then),
        format!("{}{}", if one.rows_now.is_some() { about } else { "" }, rows(one.rows_now)),
        difference(one),
    ]
}

fn difference(one: &TableDifference) -> String {
    let why = one.why.as_deref().unwrap_or_default();
    match one.change {
        TableChange::Rows => "rows differ".to_owned(),
        TableChange::Gone => "gone since".to_owned(),
        TableChange::Added if why.is_empty() => "added since".to_owned(),
        TableChange::Added => format!("added since; {why}"),
        TableChange::NotCompared => format!("not compared: {why}"),
        TableChange::Columns => {
            let signed = |sign: &str, names: &[String]| -> Vec<String> {
                names.iter().map(|name| format!("{sign}{name}")).collect()
            };
            let names = [signed("+", &one.columns_added), signed("-", &one.columns_gone)].concat().join(", ");
            let rows = match one.rows_equal {
                Some(true) => "; rows equal in the columns of then",
                Some(false) => "; rows differ too",
                None => "; rows not comparable",
            };
            format!("columns changed ({names}){rows}")
        }
    }
}

fn objects(all: &[ObjectDifference]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut text = "schema objects:\n".to_owned();
    for one in all.iter().take(SHOWN) {
        text.push_str(&format!("  - {}\n", plain(object(one))));
        for line in one.definition.iter().flat_map(|diff| diff.lines()) {
            text.push_str(&format!("      {}\n", plain(line.replace('\t', "    "))));
        }
    }
    text.push_str(&more(all.len()));
    text
}

fn object(one: &ObjectDifference) -> String {
    let owners = match (&one.owner_then, &one.owner_now) {
        (Some(then), Some(now)) => format!("owner {then} then, {now} now"),
        _ => String::new(),
    };
    let what = match one.change {
        ObjectChange::Definition if owners.is_empty() => "definition changed".to_owned(),
        ObjectChange::Definition => format!("definition changed; {owners}"),
        ObjectChange::Owner => owners,
        ObjectChange::Gone => "gone since".to_owned(),
        ObjectChange::Added => "added since".to_owned(),
    };
    format!("{}: {what}", one.object)
}

fn line(one: &Difference) -> String {
    match (&one.expected, &one.found) {
        (Some(then), Some(now)) => format!("{}: {then} then, {now} now", one.name),
        (Some(then), None) => format!("{}: gone since ({then} then)", one.name),
        (None, Some(now)) => format!("{}: added since ({now} now)", one.name),
        (None, None) => one.name.clone(),
    }
}

fn listed(title: &str, all: &[Difference]) -> String {
    let mut lines: Vec<String> = all.iter().take(SHOWN).map(line).collect();
    if all.len() > SHOWN {
        lines.push(more(all.len()).trim_end().to_owned());
    }
    bullets(title, &lines)
}

fn large_objects(found: &LargeObjectDifferences) -> String {
    if *found == LargeObjectDifferences::default() {
        return String::new();
    }
    let counts = format!(
        "{} gone since, {} changed, {} added since",
        count(found.gone),
        count(found.changed),
        count(found.added)
    );
    let examples = found.examples.iter().take(5).map(|one| one.name.clone()).collect::<Vec<_>>().join(", ");
    let owners = found.owners_or_grants.then(|| "some belong to another role, or have other grants".to_owned());
    let such = (!examples.is_empty()).then(|| format!("such as {examples}"));
    let lines: Vec<String> = [Some(counts), such, owners].into_iter().flatten().collect();
    bullets("large objects", &lines)
}
