//! Names of instances and snapshots, by the rules of the API reference (`DBInstanceIdentifier`).

use crate::error::{Error, Result};

/// The longest name of an instance.
const LONGEST: usize = 63;

/// Checks a name against AWS's rules: 1 to 63 letters, digits or hyphens, a letter first, no hyphen last, no two
/// hyphens together.
///
/// # Errors
/// [`Error::InvalidName`] with the broken rule.
pub fn check_name(name: &str) -> Result<()> {
    let fail = |reason| Err(Error::InvalidName { name: name.to_owned(), reason });
    if name.is_empty() {
        return fail("it is empty");
    }
    if name.len() > LONGEST {
        return fail("it is longer than 63 characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return fail("it has other characters than letters, digits and hyphens");
    }
    if !name.as_bytes()[0].is_ascii_alphabetic() {
        return fail("it does not begin with a letter");
    }
    if name.ends_with('-') {
        return fail("it ends with a hyphen");
    }
    if name.contains("--") {
        return fail("it has two hyphens together");
    }
    Ok(())
}

/// Checks that a name is there: a call without one is answered with whatever RDS has first.
///
/// # Errors
/// [`Error::InvalidName`].
pub(crate) fn check_given(name: &str) -> Result<()> {
    match name.trim().is_empty() {
        true => Err(Error::InvalidName { name: name.to_owned(), reason: "it is empty" }),
        false => Ok(()),
    }
}

/// Whether what RDS answered with is what was named, by name or ARN.
pub(crate) fn is_named(wanted: &str, name: Option<&str>, arn: Option<&str>) -> bool {
    [name, arn].into_iter().flatten().any(|own| same(own, wanted))
}

/// A name with an ending, cut so that RDS takes it.
#[must_use]
pub fn with_ending(name: &str, ending: &str) -> String {
    let mut kept = name.to_owned();
    kept.truncate(LONGEST.saturating_sub(ending.len()));
    format!("{}{ending}", kept.trim_end_matches('-'))
}

/// RDS stores names in lower case.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_rds_takes() {
        for name in ["a", "shop", "Shop-2", "s-1-2", &"a".repeat(63)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "1shop", "-shop", "shop-", "sh--op", "sh_op", "shöp", "sh.op", "sh op", &"a".repeat(64)] {
            assert!(matches!(check_name(name), Err(Error::InvalidName { .. })), "{name}");
        }
    }

    #[test]
    fn a_name_with_an_ending_is_one_that_rds_takes() {
        for name in ["shop".to_owned(), "a".repeat(63), format!("{}-bcd", "a".repeat(58))] {
            let aside = with_ending(&name, "-old");
            assert!(check_name(&aside).is_ok() && aside.ends_with("-old"), "{aside}");
        }
    }
}
