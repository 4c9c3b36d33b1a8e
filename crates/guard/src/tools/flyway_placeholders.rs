//! Placeholders in Flyway's SQL: `${name}`, or between the signs that the configuration names.

use std::collections::BTreeMap;

use super::FlywayOptions;

/// Replaces placeholders; gives the names of those without a value. Flyway's own begin with `flyway:`.
pub(super) fn replaced(options: &FlywayOptions, text: &str) -> (String, Vec<String>) {
    let Some(values) = &options.placeholders else { return (text.to_owned(), Vec::new()) };
    let (begin, end) = &options.placeholder_signs;
    let mut unknown: BTreeMap<String, ()> = BTreeMap::new();
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(begin.as_str()) {
        let after = &rest[at + begin.len()..];
        let Some(length) = after.find(end.as_str()) else { break };
        let name = &after[..length];
        done.push_str(&rest[..at]);
        match values.get(&name.to_lowercase()) {
            Some(value) => done.push_str(value),
            None => {
                done.push_str(&rest[at..at + begin.len() + length + end.len()]);
                if !name.starts_with("flyway:") {
                    unknown.insert(name.to_owned(), ());
                }
            }
        }
        rest = &after[length + end.len()..];
    }
    done.push_str(rest);
    (done, unknown.into_keys().collect())
}
