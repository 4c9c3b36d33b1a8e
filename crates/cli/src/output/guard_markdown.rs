//! `guard` for the summary of a job.

use holdpoint_guard::run::GuardReport;

use crate::failure::ErrorReport;

/// The report of a guarded run: its first line as the heading, all of it below.
pub(crate) fn guard_markdown(report: &GuardReport) -> String {
    let text = super::guard_ended(report);
    let heading = text.lines().next().unwrap_or_default();
    section(heading, &text)
}

/// Why the command did not run, or what broke off.
pub(crate) fn not_guarded_markdown(failure: &ErrorReport) -> String {
    section(&format!("did not run, or broke off (code {})", failure.exit_code), &failure.lines())
}

/// A heading and a text that Markdown shows as it is: its fence is longer than any in the text.
fn section(heading: &str, text: &str) -> String {
    let longest = text.split(|sign| sign != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let heading: String = heading.chars().filter(|sign| !"<>`\\*_[]|".contains(*sign)).collect();
    format!("### holdpoint guard: {heading}\n\n{fence}text\n{}\n{fence}\n\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::section;

    #[test]
    fn nothing_in_the_text_ends_its_fence_or_means_anything_in_the_heading() {
        let text = section("run <b>1</b>: `done`", "a\n````\nb\n");
        assert_eq!(text, "### holdpoint guard: run b1/b: done\n\n`````text\na\n````\nb\n`````\n\n");
    }
}
