//! Tables without lines: a heading row, or names and values.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Makes a table with headings; columns whose heading begins with `>` stand to the right.
pub(super) fn columns(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = bare();
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    for row in rows {
        table.add_row(row.into_iter().map(plain));
    }
    for (place, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(place)
            && heading.starts_with('>')
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    finish(&mut table)
}

/// Makes two columns: names and values. Rows without a value are left out.
pub(super) fn facts<'a>(rows: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let mut table = bare();
    for (name, value) in rows {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            table.add_row([name.to_owned(), plain(value)]);
        }
    }
    finish(&mut table)
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(super::width());
    table
}

fn finish(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Names come from databases: a control character in one must not reach the terminal.
pub(super) fn plain(text: String) -> String {
    let hidden = |c: char| c.is_control() && c != '\n';
    if text.contains(hidden) { text.replace(hidden, "\u{fffd}") } else { text }
}

/// Writes texts as a list below a title; nothing where there are none.
pub(super) fn bullets(title: &str, texts: &[String]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let lines: String = texts.iter().map(|text| format!("  - {}\n", plain(text.clone()))).collect();
    format!("{title}:\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_end_without_blanks() {
        let text = columns(&["ID", ">SIZE"], [vec!["a".into(), "1 B".into()], vec!["bcd".into(), "100 B".into()]]);
        assert_eq!(text, "ID    SIZE\na      1 B\nbcd  100 B\n");
    }

    #[test]
    fn facts_without_a_value_are_left_out() {
        let text = facts([("one", Some("1".into())), ("two", None), ("three", Some(String::new()))]);
        assert_eq!(text, "one  1\n");
    }

    #[test]
    fn control_characters_stay_off_the_terminal() {
        assert!(!facts([("a", Some("x\u{1b}[31my".to_owned()))]).contains('\u{1b}'));
        assert!(!bullets("t", &["x\u{7}".to_owned()]).contains('\u{7}'));
    }
}
