//! How the properties of two databases differ.

use std::collections::BTreeMap;

use holdpoint_core::fingerprint::{Aspect, Difference, compare_maps};
use holdpoint_core::manifest::{DatabaseProperties, Extension};

use super::elements;
use super::grants::{default_grants, without_grantors};

/// Compares the properties and extensions of a restored database with the recorded ones.
///
/// Of settings only names are told: a value may be an application's secret.
pub(crate) fn compare(
    expected: (&DatabaseProperties, &[Extension]),
    found: (&DatabaseProperties, &[Extension]),
) -> Vec<Difference> {
    let map = |properties: &DatabaseProperties| -> BTreeMap<String, String> {
        let mut map = BTreeMap::from([
            ("owner of the database".to_owned(), properties.owner.clone()),
            ("comment of the database".to_owned(), properties.comment.clone().unwrap_or_default()),
        ]);
        let grants = properties.grants.clone().unwrap_or_else(|| default_grants(&properties.owner));
        map.insert("grants on the database".to_owned(), without_grantors(&grants));
        map
    };
    let mut differences = compare_maps(Aspect::DatabaseProperty, &map(expected.0), &map(found.0), Clone::clone);
    let settings = |properties: &DatabaseProperties| -> BTreeMap<String, String> {
        let named = properties.settings.iter().map(|setting| {
            let role = setting.role.as_deref().unwrap_or("all roles");
            // A list may be stored with or without quotes.
            let value = elements(setting).map_or_else(|| setting.value.clone(), |list| format!("{list:?}"));
            (format!("setting {} for {role}", setting.name), value)
        });
        named.collect()
    };
    let of_settings =
        compare_maps(Aspect::DatabaseProperty, &settings(expected.0), &settings(found.0), |_| "a value".to_owned());
    differences.extend(of_settings.into_iter().map(|one| {
        let found = one.found.map(|value| if one.expected.is_some() { "another".to_owned() } else { value });
        Difference { found, ..one }
    }));
    let versions = |extensions: &[Extension]| -> BTreeMap<String, String> {
        extensions.iter().map(|one| (format!("extension {}", one.name), one.version.clone())).collect()
    };
    differences.extend(compare_maps(Aspect::Extension, &versions(expected.1), &versions(found.1), Clone::clone));
    differences
}

#[cfg(test)]
mod tests {
    use holdpoint_core::manifest::DatabaseSetting;

    use super::*;

    #[test]
    fn settings_that_differ_are_named_without_their_values() {
        let with = |settings: &[(&str, &str)]| DatabaseProperties {
            settings: settings
                .iter()
                .map(|(name, value)| DatabaseSetting { role: None, name: (*name).into(), value: (*value).into() })
                .collect(),
            ..DatabaseProperties::default()
        };
        let was = with(&[("app.key", "secret-1"), ("app.old", "secret-2"), ("search_path", "a,b")]);
        let is = with(&[("app.key", "secret-3"), ("app.new", "secret-4"), ("search_path", "\"a\", \"b\"")]);
        let lines: Vec<String> = compare((&was, &[]), (&is, &[])).iter().map(Difference::line).collect();
        assert_eq!(
            lines,
            [
                "setting app.key for all roles: expected a value, found another",
                "setting app.old for all roles: missing (expected a value)",
                "setting app.new for all roles: not in the restore point, found a value"
            ]
        );
    }

    #[test]
    fn default_grants_written_out_are_no_difference() {
        let default = DatabaseProperties { owner: "o".into(), ..DatabaseProperties::default() };
        let written = DatabaseProperties { grants: Some(default_grants("o")), ..default.clone() };
        assert!(compare((&default, &[]), (&written, &[])).is_empty());
        let fewer = DatabaseProperties { grants: Some(vec!["o=CTc/o".into()]), ..default.clone() };
        assert_eq!(compare((&default, &[]), (&fewer, &[])).len(), 1);
    }
}
