//! `plan` for people.

use holdpoint_guard::plan::{KnownFrom, PlanReport};
use holdpoint_guard::tools::Severity;
use holdpoint_review::{Finding, Requirement, Rewrite, RiskClass, TableAtRisk, Through};

use super::table::{bullets, columns, plain};
use crate::quantity::{bytes, count, instant};

/// As many lines of one kind say enough; `--json` has everything.
const SHOWN: usize = 60;

/// Tells what is pending, what it does, and what is asked for it.
pub(crate) fn migration_plan(report: &PlanReport) -> String {
    let mut text = format!("plan: {}\n{}\n", report.verdict.words(), head(report));
    if !report.pending.is_empty() {
        let row = |one: &holdpoint_guard::tools::Migration| {
            let runs = if report.runs.contains(&one.name) { "yes" } else { "no" };
            vec![one.name.clone(), runs.to_owned(), one.rollback.words()]
        };
        text.push('\n');
        text.push_str(&columns(
            &["PENDING", "THE TOOL RUNS IT", "UNDONE BY"],
            report.pending.iter().take(SHOWN).map(row),
        ));
        text.push_str(&more(report.pending.len()));
    }
    text.push_str(&findings(report));
    if report.has_sql() {
        text.push_str(&statements(report));
        text.push_str(&tables(report));
        text.push_str(&bullets("notes", &report.notes()));
        text.push_str(&bullets("what undoes it puts data at risk itself", &report.rollback.places));
        text.push_str(&advice(report));
    }
    text.push_str(&waivers(report));
    text
}

fn head(report: &PlanReport) -> String {
    let pending = report.pending.len() as u64;
    let how = if pending > 0 { format!(", {}", report.transactions.words()) } else { String::new() };
    let known = &report.known;
    let (name, version) =
        (known.database.as_deref().unwrap_or_default(), known.server_version.as_deref().unwrap_or_default());
    let at = known.read_at.map(instant).unwrap_or_default();
    let from = match known.from {
        KnownFrom::Database => format!("database {name} (PostgreSQL {version}), read {at}"),
        KnownFrom::Export => format!("database {name} (PostgreSQL {version}), exported {at}"),
        KnownFrom::Files => "no database was asked".to_owned(),
    };
    let (pending, applied) = (count(pending), count(report.applied as u64));
    plain(format!("{} in {}: {pending} pending, {applied} applied{how}\n{from}", report.tool, report.migrations))
}

fn more(all: usize) -> String {
    if all > SHOWN { format!("and {} more: see --json\n", all - SHOWN) } else { String::new() }
}

fn findings(report: &PlanReport) -> String {
    // The table of pending migrations says already what undoes each.
    let told = report.findings.iter().filter(|one| one.severity > Severity::Note);
    let lines: Vec<String> = told
        .map(|one| {
            let severity = if one.severity == Severity::Stop { "stop" } else { "look" };
            format!("{severity}: {}\n      {}", one.message, one.advice)
        })
        .collect();
    let text = bullets("files and tracking table", &lines);
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn statements(report: &PlanReport) -> String {
    let told: Vec<(&str, &Finding)> =
        report.review.review.findings().filter(|(_, one)| one.risks() != [RiskClass::Additive]).collect();
    if told.is_empty() {
        return "\nthe SQL only adds\n".to_owned();
    }
    let row = |(file, one): &(&str, &Finding)| {
        let locks: Vec<String> = one
            .locks
            .iter()
            .filter(|lock| lock.mode.blocks_writes())
            .map(|lock| format!("{} on {}", lock.mode, lock.table))
            .collect();
        let risks: Vec<&str> = one.risks().iter().map(|risk| risk.word()).collect();
        vec![
            format!("{file}:{}", one.line),
            what(one),
            locks.join(", "),
            rewrite(&one.rewrite).to_owned(),
            if one.transactional { "yes" } else { "no" }.to_owned(),
            risks.join(", "),
            one.way_back.words().to_owned(),
        ]
    };
    let headings = ["STATEMENT", "WHAT IT DOES", "LOCKS", "REWRITES", "IN A TRANSACTION", "RISKS", "WAY BACK"];
    format!("\n{}{}", columns(&headings, told.iter().take(SHOWN).map(row)), more(told.len()))
}

fn what(one: &Finding) -> String {
    let mut words = one.kind.label().to_owned();
    if let Some(target) = &one.target {
        let column = target.column.as_ref().map(|column| format!(".{column}")).unwrap_or_default();
        words.push_str(&format!(": {}{column}", target.name));
    }
    match &one.unreviewable {
        Some(why) => format!("{words}: {why}"),
        None => words,
    }
}

fn rewrite(rewrite: &Rewrite) -> &'static str {
    match rewrite {
        Rewrite::No => "no",
        Rewrite::Yes => "yes",
        Rewrite::ByType { .. } | Rewrite::ByCatalog => "perhaps",
        Rewrite::Unknown => "not known",
    }
}

fn tables(report: &PlanReport) -> String {
    let review = &report.review;
    let mut text = String::new();
    if review.everything_at_risk {
        text.push_str("\neverything is at risk: something cannot be reviewed\n");
    }
    if review.tables.is_empty() {
        text.push_str(if review.everything_at_risk { "" } else { "\nno table is at risk\n" });
    } else {
        let row = |one: &TableAtRisk| {
            let loses = match one.columns.is_empty() {
                true => one.loss.words().to_owned(),
                false => format!("{}: {}", one.loss.words(), one.columns.join(", ")),
            };
            let size = one.bytes.map_or_else(|| "?".to_owned(), bytes);
            let rows = one.rows.map_or_else(|| "?".to_owned(), |rows| format!("about {}", count(rows)));
            vec![one.table.to_string(), loses, size, rows, through(one)]
        };
        let headings = ["TABLE AT RISK", "LOSES", ">SIZE", ">ROWS", "THROUGH"];
        text.push_str(&format!("\n{}", columns(&headings, review.tables.iter().take(SHOWN).map(row))));
        text.push_str(&more(review.tables.len()));
    }
    if !report.known.catalog {
        text.push_str("no catalog is known: tables that keys, triggers or views reach are not told\n");
    }
    if !review.unresolved.is_empty() {
        let names: Vec<String> = review.unresolved.iter().map(ToString::to_string).collect();
        text.push_str(&plain(format!("not in the catalog: {}\n", names.join(", "))));
    }
    text
}

fn through(table: &TableAtRisk) -> String {
    match &table.through {
        None => "named".to_owned(),
        Some(Through::ForeignKey(name)) => format!("foreign key {name}"),
        Some(Through::Parent(name)) => format!("part of {name}"),
        Some(Through::View(name)) => format!("view {name}"),
        Some(Through::DependsOn(name)) => format!("depends on {name}"),
        Some(Through::Trigger(name)) => format!("trigger {name}"),
        Some(Through::Schema(name)) => format!("schema {name}"),
        Some(Through::Owner(name)) => format!("owned by {name}"),
        Some(Through::Column(name)) => format!("column of {name}"),
    }
}

fn advice(report: &PlanReport) -> String {
    let files = &report.review.review.files;
    let all: Vec<String> = files
        .iter()
        .flat_map(|file| {
            file.advice.iter().map(|one| format!("{}:{} {}: {}", file.file, one.line, one.rule, one.message))
        })
        .collect();
    let shown = all.len().min(SHOWN);
    format!("{}{}", bullets("squawk's advice, which decides nothing", &all[..shown]), more(all.len()))
}

fn waivers(report: &PlanReport) -> String {
    let assessment = &report.assessment;
    let taken: Vec<String> = assessment
        .risks
        .iter()
        .filter_map(|risk| {
            let reason = risk.waived.as_ref()?;
            Some(format!("{} in {}:{}: {reason}", risk.class.word(), risk.file, risk.line))
        })
        .collect();
    let unused: Vec<String> = report
        .unused_waivers
        .iter()
        .map(|one| {
            let object = one.object.as_ref().map(|object| format!(" of {object}")).unwrap_or_default();
            format!("{}{object}", one.rule.word())
        })
        .collect();
    let asked = match assessment.requirement {
        Requirement::Nothing => String::new(),
        Requirement::Warn => "\nasked for: that a person looks\n".to_owned(),
        Requirement::ProvenRestorePoint(policy) => {
            let age = match u64::try_from(policy.max_age_seconds) {
                Ok(seconds @ 1..) => {
                    format!("at most {} old", crate::quantity::milliseconds(seconds.saturating_mul(1000)))
                }
                _ => "made for the run".to_owned(),
            };
            format!(
                "\nasked for: a restore point proven at level {}, {age}, which holdpoint guard -- COMMAND makes or finds\n",
                policy.level
            )
        }
        Requirement::Refuse => "\nasked for: a waiver with a reason (--waive CLASS:OBJECT=REASON)\n".to_owned(),
    };
    format!("{}{}{asked}", bullets("risks taken", &taken), bullets("waivers that fit nothing", &unused))
}
