//! Text of others within Markdown that is read by people who did not write it.

/// Writes a name in a code span, whatever signs it has: a pull request's text is read by others.
#[must_use]
pub fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let text = text.replace('|', "\\|").replace(['\n', '\r'], " ");
    let blank = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{blank}{text}{blank}{fence}")
}

/// Writes words of others so that nothing in them is Markdown or HTML, or mentions anybody, on one line.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\n' | '\r' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // A sign without width parts it from the name.
            '@' => safe.push_str("@&#8203;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' => {
                safe.push('\\');
                safe.push(sign);
            }
            sign => safe.push(sign),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_cell() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("a|b\nc"), "`a\\|b c`");
        assert_eq!(code("a`b|c\nd"), "``a`b\\|c d``");
        assert_eq!(escaped("<img> | [x](y) *z*"), "&lt;img&gt; \\| \\[x\\](y) \\*z\\*");
        assert_eq!(escaped("<img> | [x](y)\n*z*"), "&lt;img&gt; \\| \\[x\\](y) \\*z\\*");
        assert_eq!((code("2_@ann|b.sql"), escaped("by @ann")), ("`2_@ann\\|b.sql`".into(), "by @&#8203;ann".into()));
    }
}
