//! `doctor` for people.

use holdpoint_operations::doctor::{Check, DoctorReport, Outcome};

use super::table::columns;
use crate::quantity::counted;

/// One line a check, its cure below where there is one.
pub(crate) fn doctor(report: &DoctorReport) -> String {
    let mut text = String::new();
    let mut section = "";
    for part in report.checks.chunk_by(|one, next| one.section == next.section) {
        let name = part.first().map_or("", |check| check.section);
        if name != section {
            text.push_str(&format!("{}{name}\n", if section.is_empty() { "" } else { "\n" }));
            section = name;
        }
        text.push_str(columns(&["", "", ""], part.iter().flat_map(rows)).trim_start_matches('\n'));
    }
    let of = |outcome| report.checks.iter().filter(|check| check.outcome == outcome).count() as u64;
    let (failures, warnings) = (of(Outcome::Failure), of(Outcome::Warning));
    text.push_str(&format!(
        "\n{}, {}, {}\n",
        counted(report.checks.len() as u64, "check"),
        counted(warnings, "warning"),
        counted(failures, "failure")
    ));
    text
}

fn rows(check: &Check) -> Vec<Vec<String>> {
    let word = match check.outcome {
        Outcome::Ok => "  ok",
        Outcome::Warning => "  warning",
        Outcome::Failure => "  FAILURE",
    };
    let mut rows = vec![vec![word.to_owned(), check.name.clone(), check.detail.clone()]];
    if !check.cure.is_empty() {
        rows.push(vec![String::new(), String::new(), format!("cure: {}", check.cure)]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stands_out_with_its_cure() {
        let check = |section, name: &str, outcome, cure: &str| Check {
            section,
            name: name.into(),
            outcome,
            detail: format!("detail of {name}"),
            cure: cure.into(),
        };
        let report = DoctorReport {
            checks: vec![
                check("database", "connect", Outcome::Ok, ""),
                check("database", "rights", Outcome::Failure, "GRANT it"),
                check("repository", "write", Outcome::Warning, "look"),
            ],
        };
        let text = doctor(&report);
        assert_eq!(
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>(),
            [
                "database",
                "ok connect detail of connect",
                "FAILURE rights detail of rights",
                "cure: GRANT it",
                "",
                "repository",
                "warning write detail of write",
                "cure: look",
                "",
                "3 checks, 1 warning, 1 failure",
            ]
        );
    }
}
