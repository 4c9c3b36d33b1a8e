//! `recover-table` for people.

use holdpoint_core::fingerprint::as_sql;
use holdpoint_operations::recover::{RecoverMode, RecoverPlan, RecoverReport, TableChange};

use super::table::{bullets, facts};
use crate::quantity::{bytes, count, counted, milliseconds};

/// Tells what came back; `elsewhere` is how the database was named, where it is not the configured one.
pub(crate) fn recover_table(report: &RecoverReport, elsewhere: Option<&str>) -> String {
    let plan = &report.plan;
    let mut text = match (plan.dry_run, plan.mode, report.changed) {
        (true, ..) if !plan.refusals().is_empty() => {
            "this would be refused, because of what is in the way; live tables are as they were\n"
        }
        (true, ..) => "this would be done; live tables are as they were\n",
        (false, RecoverMode::Side, _) => "recovered beside; live tables are as they were\n",
        (false, _, true) => "recovered; the change is committed\n",
        (false, _, false) => "nothing was to be changed; live tables are as they were\n",
    }
    .to_owned();
    text.push_str(&head(plan, Some(report.took_ms)));
    text.push_str(&tables(plan));
    text.push_str(&bullets("warnings", &plan.warnings));
    if let (true, Some(schema)) = (report.side_kept, &plan.side_schema) {
        let named = elsewhere.map(|named| format!(" --into {named}")).unwrap_or_default();
        text.push_str(&format!(
            "remove the side tables with: DROP SCHEMA \"{schema}\" CASCADE, or, when they are a day old: holdpoint \
             leftovers{named} --remove\n"
        ));
    }
    text
}

/// Tells what would be done, before anybody is asked.
pub(crate) fn recovery_plan(plan: &RecoverPlan) -> String {
    format!("the plan:\n{}{}{}", head(plan, None), tables(plan), bullets("warnings", &plan.warnings))
}

fn head(plan: &RecoverPlan, took_ms: Option<u64>) -> String {
    // The index of a small archive may be larger than its tables, so one number is no part of the other.
    let (with, what) = if plan.point.is_some() { (" with the index", "archive") } else { ("", "dump") };
    let all = (plan.archive_bytes > 0).then(|| format!("{with}; the {what} has {}", bytes(plan.archive_bytes)));
    let fetched = format!("{}{}", bytes(plan.fetched_bytes), all.unwrap_or_default());
    facts([
        ("  from", Some(plan.from.clone())),
        ("  into", Some(plan.into.clone())),
        ("  mode", Some(mode(plan.mode).to_owned())),
        ("  side schema", plan.side_schema.clone()),
        ("  fetched", Some(fetched)),
        ("  took", took_ms.map(milliseconds)),
    ])
}

fn mode(mode: RecoverMode) -> &'static str {
    match mode {
        RecoverMode::Side => "side",
        RecoverMode::Missing => "missing",
        RecoverMode::Upsert => "upsert",
        RecoverMode::Replace => "replace",
    }
}

fn tables(plan: &RecoverPlan) -> String {
    plan.tables.iter().map(|table| one(table, plan.mode, plan.point.is_some())).collect()
}

fn one(table: &TableChange, mode: RecoverMode, of_point: bool) -> String {
    let live = table.live.as_deref().map_or_else(|| "gone; it is made again".to_owned(), as_sql);
    let name = as_sql(&table.table);
    let renamed = (mode != RecoverMode::Side && live != name).then_some(live);
    let found = (table.found_rows != table.recorded_rows).then(|| format!(", {} asked for", table.found_rows));
    let rows = format!("{}{}", counted(table.recorded_rows, "row"), found.unwrap_or_default());
    let changes = format!(
        "{} inserted, {} changed, {} deleted, {} left",
        count(table.inserted),
        count(table.changed),
        count(table.deleted),
        count(table.left)
    );
    let list = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
    let sequences: Vec<String> =
        table.sequences.iter().map(|sequence| format!("{} to {}", as_sql(&sequence.name), sequence.to)).collect();
    let mut text = format!("{name}\n");
    text.push_str(&facts([
        ("  live table", renamed),
        ("  side table", table.side.as_deref().map(as_sql)),
        (if of_point { "  in the restore point" } else { "  in the source" }, Some(rows)),
        ("  found by", list(&table.key)),
        ("  live rows", (mode != RecoverMode::Side).then_some(changes)),
        ("  held back", list(&table.held_back)),
        ("  firing", list(&table.firing)),
        ("  sequences", list(&sequences)),
    ]));
    let indented = |title: &str, texts: &[String]| -> String {
        bullets(title, texts).lines().map(|line| format!("  {line}\n")).collect()
    };
    text.push_str(&indented("worth knowing", &table.notes));
    text.push_str(&indented("in the way", &table.refusals));
    text
}
