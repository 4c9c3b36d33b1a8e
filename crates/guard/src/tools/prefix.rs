//! The numbers that names of migrations begin with.

use std::collections::BTreeMap;

use super::Finding;

/// The digits at a name's beginning, empty where there are none.
pub(super) fn number(name: &str) -> &str {
    let end = name.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(name.len());
    &name[..end]
}

/// Finds numbers that several names share: two people made the next migration at the same time.
pub(super) fn shared<'a>(names: impl IntoIterator<Item = &'a str>, pending: &[String]) -> Vec<Finding> {
    let mut by_number: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for name in names {
        by_number.entry(number(name)).or_default().push(name.to_owned());
    }
    let several = by_number.into_iter().filter(|(number, names)| !number.is_empty() && names.len() > 1);
    several
        .map(|(number, migrations)| Finding::DuplicatePrefix {
            prefix: number.to_owned(),
            pending: migrations.iter().any(|name| pending.contains(name)),
            refused: false,
            migrations,
        })
        .collect()
}
