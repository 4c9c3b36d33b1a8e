//! Two texts as a unified diff, for people who look at what changed in a definition.

/// Lines of unchanged text around a change.
const CONTEXT: usize = 3;
/// Beyond this many comparisons the middle of two texts is shown as replaced: definitions are not that long.
const LARGEST_TABLE: usize = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Then(&'a str),
    Now(&'a str),
}

/// Writes how `now` differs from `then`; nothing where they are equal.
pub(super) fn unified(then: &str, now: &str) -> String {
    if then == now {
        return String::new();
    }
    let (was, is): (Vec<&str>, Vec<&str>) = (then.lines().collect(), now.lines().collect());
    let lines = align(&was, &is);
    let changed: Vec<usize> = (0..lines.len()).filter(|place| !matches!(lines[*place], Line::Same(_))).collect();
    let mut text = String::new();
    let mut places = changed.into_iter().peekable();
    while let Some(first) = places.next() {
        let mut last = first;
        while let Some(next) = places.next_if(|next| *next <= last + 2 * CONTEXT) {
            last = next;
        }
        let from = first.saturating_sub(CONTEXT);
        let to = (last + CONTEXT + 1).min(lines.len());
        text.push_str(&hunk(&lines, from, to));
    }
    text
}

fn hunk(lines: &[Line<'_>], from: usize, to: usize) -> String {
    let count = |lines: &[Line<'_>]| {
        let then = lines.iter().filter(|line| !matches!(line, Line::Now(_))).count();
        let now = lines.iter().filter(|line| !matches!(line, Line::Then(_))).count();
        (then, now)
    };
    let (before, inside) = (count(&lines[..from]), count(&lines[from..to]));
    // A side without lines is named by the line before it (POSIX, diff -u).
    let start = |before: usize, inside: usize| if inside == 0 { before } else { before + 1 };
    let mut text =
        format!("@@ -{},{} +{},{} @@\n", start(before.0, inside.0), inside.0, start(before.1, inside.1), inside.1);
    for line in &lines[from..to] {
        let (sign, line) = match line {
            Line::Same(line) => (' ', line),
            Line::Then(line) => ('-', line),
            Line::Now(line) => ('+', line),
        };
        text.push(sign);
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn align<'a>(was: &[&'a str], is: &[&'a str]) -> Vec<Line<'a>> {
    let head = was.iter().zip(is).take_while(|(one, other)| one == other).count();
    let tail = was[head..].iter().rev().zip(is[head..].iter().rev()).take_while(|(one, other)| one == other).count();
    let (was_middle, is_middle) = (&was[head..was.len() - tail], &is[head..is.len() - tail]);
    let mut lines: Vec<Line<'a>> = was[..head].iter().map(|line| Line::Same(line)).collect();
    if was_middle.len().saturating_mul(is_middle.len()) > LARGEST_TABLE {
        lines.extend(was_middle.iter().map(|line| Line::Then(line)));
        lines.extend(is_middle.iter().map(|line| Line::Now(line)));
    } else {
        lines.extend(middle(was_middle, is_middle));
    }
    lines.extend(was[was.len() - tail..].iter().map(|line| Line::Same(line)));
    lines
}

/// Aligns by the longest common subsequence.
fn middle<'a>(was: &[&'a str], is: &[&'a str]) -> Vec<Line<'a>> {
    let width = is.len() + 1;
    let mut longest = vec![0_u32; (was.len() + 1) * width];
    for one in (0..was.len()).rev() {
        for other in (0..is.len()).rev() {
            longest[one * width + other] = if was[one] == is[other] {
                longest[(one + 1) * width + other + 1] + 1
            } else {
                longest[(one + 1) * width + other].max(longest[one * width + other + 1])
            };
        }
    }
    let (mut one, mut other) = (0, 0);
    let mut lines = Vec::new();
    while one < was.len() && other < is.len() {
        if was[one] == is[other] {
            lines.push(Line::Same(was[one]));
            (one, other) = (one + 1, other + 1);
        } else if longest[(one + 1) * width + other] >= longest[one * width + other + 1] {
            lines.push(Line::Then(was[one]));
            one += 1;
        } else {
            lines.push(Line::Now(is[other]));
            other += 1;
        }
    }
    lines.extend(was[one..].iter().map(|line| Line::Then(line)));
    lines.extend(is[other..].iter().map(|line| Line::Now(line)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_more_is_one_line() {
        let then = "CREATE TABLE t (\n    a integer,\n    b text\n);\n";
        let now = "CREATE TABLE t (\n    a bigint,\n    b text,\n    c date\n);\n";
        assert_eq!(
            unified(then, now),
            "@@ -1,4 +1,5 @@\n CREATE TABLE t (\n-    a integer,\n-    b text\n+    a bigint,\n+    b text,\n+    c date\n );\n"
        );
        assert_eq!(unified(then, then), "");
    }

    #[test]
    fn changes_that_are_far_apart_are_hunks_of_their_own() {
        let lines = |from: u32| (from..from + 20).map(|line| format!("line {line}\n")).collect::<String>();
        let then = lines(0);
        let now = then.replace("line 2\n", "").replace("line 17\n", "line 17\nmore\n");
        assert_eq!(
            unified(&then, &now),
            "@@ -1,6 +1,5 @@\n line 0\n line 1\n-line 2\n line 3\n line 4\n line 5\n\
             @@ -16,5 +15,6 @@\n line 15\n line 16\n line 17\n+more\n line 18\n line 19\n"
        );
    }

    #[test]
    fn an_empty_side_counts_from_nothing() {
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
    }

    #[test]
    fn texts_without_bounds_cost_no_more() {
        let long = |word: &str| (0..5000).map(|line| format!("{word} {line}\n")).collect::<String>();
        let text = unified(&long("a"), &long("b"));
        assert!(text.starts_with("@@ -1,5000 +1,5000 @@\n-a 0\n"));
    }
}
