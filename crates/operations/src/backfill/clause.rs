//! What a person typed as `--set` and `--where`, looked at before the server is asked.
//!
//! Both become parts of one statement, whose other part keeps it within a batch: a text that could end its part early
//! must not get there. Whether it is good SQL, the server says.

use holdpoint_core::mask::shadow;
use holdpoint_core::relation_name::columns_of_list;

use super::BackfillError;

/// Gives the columns that assignments set.
///
/// # Errors
/// [`BackfillError::BadClause`].
pub(super) fn columns(set: &[String]) -> Result<Vec<String>, BackfillError> {
    let mut columns = Vec::new();
    for text in set {
        let bad = |why: &str| BackfillError::BadClause { flag: "--set", text: text.clone(), why: why.to_owned() };
        let shadow = contained(text).map_err(bad)?;
        for (from, to) in parts(&shadow) {
            let equals = shadow[from..to].find('=').map(|at| from + at).ok_or_else(|| bad("it has no ="))?;
            let target = text[from..equals].trim();
            let names = match target.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
                Some(list) => columns_of_list(list),
                None => columns_of_list(target),
            };
            if names.is_empty() || names.iter().any(String::is_empty) || text[equals + 1..to].trim().is_empty() {
                return Err(bad("it is no assignment"));
            }
            if has_from(&shadow[equals + 1..to]) {
                return Err(bad("it takes rows of another table with FROM: write a subquery in brackets"));
            }
            columns.extend(names);
        }
    }
    Ok(columns)
}

/// Looks whether a condition stays one in brackets.
///
/// # Errors
/// [`BackfillError::BadClause`].
pub(super) fn condition(text: &str) -> Result<(), BackfillError> {
    let bad = |why: &str| BackfillError::BadClause { flag: "--where", text: text.to_owned(), why: why.to_owned() };
    let shadow = contained(text).map_err(bad)?;
    if text.trim().is_empty() || (shadow.trim().is_empty() && text.trim().starts_with("--")) {
        return Err(bad("it is empty"));
    }
    Ok(())
}

/// Gives the shadow of a text that ends nothing but what it began itself.
fn contained(text: &str) -> Result<String, &'static str> {
    let shadow = shadow(text).ok_or(
        "a quote or comment in it does not end, or ends differently by the session's settings: write E'…' for backslashes",
    )?;
    let mut depth = 0_i32;
    for sign in shadow.chars() {
        match sign {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' => return Err("it holds a semicolon"),
            _ => {}
        }
        if depth < 0 {
            return Err("it closes a bracket that it did not open");
        }
    }
    if depth == 0 { Ok(shadow) } else { Err("it leaves a bracket open") }
}

/// Whether a FROM stands in no bracket, but for that of IS DISTINCT FROM: whatever it joins multiplies rows, and its WHERE is
/// the batch's.
fn has_from(shadow: &str) -> bool {
    let mut depth = 0_i32;
    let (mut word, mut before) = (String::new(), String::new());
    for sign in shadow.chars().chain([' ']) {
        if sign.is_ascii_alphanumeric() || "_$".contains(sign) {
            word.push(sign.to_ascii_lowercase());
            continue;
        }
        if !word.is_empty() {
            if depth == 0 && word == "from" && !["distinct", "."].contains(&before.as_str()) {
                return true;
            }
            before = std::mem::take(&mut word);
        }
        match sign {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        if !sign.is_whitespace() {
            before = sign.to_string();
        }
    }
    false
}

/// Cuts at the commas that stand in no bracket.
fn parts(shadow: &str) -> Vec<(usize, usize)> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, sign) in shadow.char_indices() {
        match sign {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push((from, at));
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push((from, shadow.len()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<Vec<String>, String> {
        columns(&[text.to_owned()]).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_that_are_set_are_found() {
        assert_eq!(set("a = f(b, 'x, c = 1'), \"C d\" = 2 -- , e = 3").unwrap(), ["a", "C d"]);
        assert_eq!(set("(a, b) = (SELECT 1, 2)").unwrap(), ["a", "b"]);
        assert_eq!(set("a = b >= c").unwrap(), ["a"]);
    }

    #[test]
    fn what_could_leave_its_place_is_refused() {
        for text in ["a = 1; DROP TABLE t", "a = 1)", "a = (1", "a = 'x", "a", "= 1", "a =", "a = 1,", "a = 1 /* x", ""]
        {
            assert!(set(text).is_err(), "{text}");
        }
        for text in ["v = 1 FROM par", "v = 1\nfrom\nonly par", "v = (1)FROM par", "v = a IS DISTINCT FROM b FROM par"]
        {
            assert!(set(text).is_err_and(|why| why.contains("with FROM")), "{text}");
        }
        for text in [
            "v = (SELECT x FROM par WHERE par.id = t.id)",
            "v = extract(year FROM at)",
            "v = a IS NOT DISTINCT\nFROM b",
            "v = t.from",
            "v = \"from\" || ' from ' -- from",
            "v = from_a + a_from",
        ] {
            assert!(set(text).is_ok(), "{text}");
        }
        for text in ["true) OR (true", "a = 1;", "x = '", "", " ", "a = 'x\\' OR true OR '"] {
            assert!(condition(text).is_err(), "{text}");
        }
        for text in ["a IS NULL", "f(a) = ')'", "a = ANY (ARRAY[1, 2]) -- done", "a = E'x\\''"] {
            assert!(condition(text).is_ok(), "{text}");
        }
    }
}
