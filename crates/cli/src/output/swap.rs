//! `restore --swap` for people: what would be done, and what was.

use holdpoint_core::verification::Obstacle;
use holdpoint_operations::compare::ObjectChange;
use holdpoint_operations::restore::swap::{ObjectSince, SwapInPlan, SwapPlan, SwapReport, TableSince, WrittenSince};

use super::catalogue::standing;
use super::table::{bullets, facts};
use crate::commands::Preview;
use crate::quantity::{bytes, count, counted, instant, milliseconds};

/// Tables named on a screen; `--json` has all.
const SHOWN: usize = 30;

/// Tells what a swap would do, what would stay behind, and what stands in the way.
pub(crate) fn swap_preview(preview: &Preview<SwapPlan>) -> String {
    let plan = &preview.plan;
    let mut text = "this would be swapped:\n".to_owned();
    text.push_str(&facts([
        ("  live", Some(plan.live.clone())),
        ("  for", Some(format!("{}, {}", plan.point, standing(&plan.standing)))),
        ("  as of", Some(instant(plan.snapshot_at))),
        ("  kept as", Some(plan.keep_as.clone())),
        ("  sessions to end", Some(count(plan.sessions))),
        ("  size now", plan.live_bytes.map(bytes)),
        ("  free there", plan.free_bytes.map(bytes)),
    ]));
    match &preview.written_since {
        Some(since) => text.push_str(&written_since(since)),
        None => text.push_str("what was written since the restore point was not looked at\n"),
    }
    text.push_str(&bullets("warnings", &plan.warnings));
    text.push_str(&obstacles(&plan.obstacles));
    text
}

/// Tells what putting a database in would do.
pub(crate) fn swap_in_preview(preview: &Preview<SwapInPlan>) -> String {
    let plan = &preview.plan;
    let mut text = "this would be swapped:\n".to_owned();
    text.push_str(&facts([
        ("  live", Some(plan.live.clone())),
        ("  for", Some(format!("{} ({})", plan.successor, plan.what))),
        ("  kept as", Some(plan.keep_as.clone())),
        ("  sessions to end", Some(count(plan.sessions))),
    ]));
    text.push_str(&obstacles(&plan.obstacles));
    text
}

/// Tells what was swapped, and the way back.
pub(crate) fn swap(report: &SwapReport) -> String {
    let mut text = "swapped\n".to_owned();
    let matched = report
        .compared
        .as_ref()
        .map(|compared| format!("{}, {}", counted(compared.tables, "table"), counted(compared.rows, "row")));
    text.push_str(&facts([
        ("  live", Some(report.live.clone())),
        ("  holds", report.point.as_ref().map(ToString::to_string)),
        ("  matched", matched),
        ("  at", Some(instant(report.swapped_at))),
        ("  closed for", Some(milliseconds(report.closed_for_ms))),
        ("  sessions ended", Some(count(report.sessions_ended as u64))),
        ("  kept as", Some(format!("{} (closed, whole)", report.kept_as))),
        ("  took", Some(milliseconds(report.took_ms))),
    ]));
    if let Some(since) = &report.written_since {
        text.push_str(&written_since(since));
    }
    text.push_str(&bullets("way back, way to the rows that stayed behind, and when all is well", &report.way_back));
    text.push_str(&bullets("warnings", &report.warnings));
    text
}

fn obstacles(obstacles: &[Obstacle]) -> String {
    let lines: Vec<String> = obstacles.iter().map(|one| format!("{}: {}", one.reason, one.cure)).collect();
    bullets("in the way", &lines)
}

fn written_since(since: &WrittenSince) -> String {
    let mut lines: Vec<String> = since.tables.iter().take(SHOWN).map(table).collect();
    if since.tables.len() > SHOWN {
        lines.push(format!("and {} more: see --json", since.tables.len() - SHOWN));
    }
    if since.large_objects > 0 {
        lines.push(counted(since.large_objects, "large object"));
    }
    let unchanged = counted(since.unchanged, "table");
    let mut text = if lines.is_empty() {
        format!("written since the restore point: nothing that was read ({unchanged} unchanged)\n")
    } else {
        let so_far = if since.at_least { ", at least, for others write on" } else { "" };
        bullets(&format!("written since the restore point ({unchanged} unchanged{so_far})"), &lines)
    };
    let object = |one: &ObjectSince| {
        let how = match one.change {
            ObjectChange::Added => "is new",
            ObjectChange::Gone => "is gone",
            ObjectChange::Definition | ObjectChange::Owner => "is another",
        };
        format!("{} {how}", one.object)
    };
    let mut objects: Vec<String> = since.objects.iter().take(SHOWN).map(object).collect();
    if since.objects.len() > SHOWN {
        objects.push(format!("and {} more: see --json", since.objects.len() - SHOWN));
    }
    text.push_str(&bullets("changed in the schema since the restore point", &objects));
    let unknown: Vec<String> = since.not_known.iter().map(|one| format!("{}: {}", one.name, one.why)).collect();
    text.push_str(&bullets("not known", &unknown));
    text
}

fn table(since: &TableSince) -> String {
    let what = match (since.rows_then, since.rows) {
        (Some(then), Some(now)) if then == now => format!("{}, some changed", counted(now, "row")),
        (Some(then), Some(now)) => format!("{}, had {}", counted(now, "row"), count(then)),
        (Some(then), None) => format!("is gone, had {}", counted(then, "row")),
        (None, _) => "is new".to_owned(),
    };
    format!("{}: {what}", since.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_said_as_far_as_it_is_known() {
        let table = |name: &str, rows_then, rows| TableSince { name: name.into(), rows_then, rows };
        let since = WrittenSince {
            at_least: true,
            tables: vec![
                table("s.a", Some(1000), Some(1200)),
                table("s.b", Some(1), Some(1)),
                table("s.c", Some(7), None),
                table("s.d", None, None),
            ],
            unchanged: 3,
            objects: vec![ObjectSince {
                object: "FUNCTION s.f()".into(),
                change: ObjectChange::Gone,
                definition: None,
                owner: None,
            }],
            ..WrittenSince::default()
        };
        let text = written_since(&since);
        for line in [
            "3 tables unchanged, at least",
            "s.a: 1,200 rows, had 1,000",
            "s.b: 1 row, some changed",
            "s.c: is gone, had 7 rows",
            "s.d: is new",
            "changed in the schema since the restore point",
            "FUNCTION s.f() is gone",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(written_since(&WrittenSince::default()).contains("nothing"));
    }
}
