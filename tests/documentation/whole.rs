//! Pages are whole: no merge was left half done in one.

use crate::page::pages;

/// A line that a merge puts between two sides; one of equals signs alone may underline a heading.
fn is_mark(line: &str) -> bool {
    ["<<<<<<< ", ">>>>>>> ", "||||||| "].iter().any(|mark| line.starts_with(mark))
}

#[test]
fn no_page_holds_the_marks_of_a_merge() {
    let marks = |page: &crate::page::Page| {
        let lines = page.text.lines().enumerate().filter(|(_, line)| is_mark(line));
        lines.map(|(at, line)| format!("{}:{}: {line}", page.path.display(), at + 1)).collect::<Vec<_>>()
    };
    let found: Vec<String> = pages().iter().flat_map(marks).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// The check can fail.
#[test]
fn a_mark_is_found() {
    assert!(is_mark("<<<<<<< HEAD") && is_mark(">>>>>>> 1b3c600 (a change)"));
    assert!(!is_mark("=======") && !is_mark("`<<<<<<< HEAD`"));
}
