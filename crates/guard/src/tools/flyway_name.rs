//! Names of Flyway's migrations: `V1.2__what.sql`, `R__what.sql`, `U1.2__what.sql`, `B1.2__what.sql`.

use std::cmp::Ordering;

use super::FlywayOptions;

/// What a migration of Flyway is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Versioned,
    Repeatable,
    Undo,
    Baseline,
}

const KINDS: [Kind; 4] = [Kind::Versioned, Kind::Repeatable, Kind::Undo, Kind::Baseline];

/// A version: parts compared as numbers, so that 001 is 1 and 1.0 is 1.
#[derive(Clone, Debug)]
pub(super) struct Version(Vec<String>);

impl Version {
    /// Reads a version; `None` where a part is no number.
    pub(super) fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(['.', '_']).collect();
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts: Vec<String> = parts
            .iter()
            .all(is_number)
            .then(|| parts.iter().map(|part| part.trim_start_matches('0').to_owned()).collect())?;
        while parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
        Some(Self(parts))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without leading zeros, the longer number is the larger.
        let sizes = |version: &Self| version.0.iter().map(|part| (part.len(), part.clone())).collect::<Vec<_>>();
        sizes(self).cmp(&sizes(other))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

/// A migration's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FlywayName {
    pub(super) kind: Kind,
    /// Absent for repeatable migrations.
    pub(super) version: Option<Version>,
    /// With spaces for underscores, as the history has it.
    pub(super) description: String,
}

impl FlywayName {
    /// Reads a file's name; `None` where it is no migration's.
    pub(super) fn read(name: &str, options: &FlywayOptions) -> Option<Self> {
        let stem = options.suffixes.iter().find_map(|suffix| name.strip_suffix(suffix.as_str()))?;
        let (kind, rest) = KINDS
            .into_iter()
            .zip(&options.prefixes)
            .find_map(|(kind, prefix)| Some((kind, stem.strip_prefix(prefix.as_str())?)))?;
        let (version, description) = rest.split_once(options.separator.as_str()).unwrap_or((rest, ""));
        let version = match kind {
            Kind::Repeatable if version.is_empty() => None,
            Kind::Repeatable => return None,
            _ => Some(Version::read(version)?),
        };
        Some(Self { kind, version, description: description.replace('_', " ") })
    }
}

/// Whether one file is the undo migration of another.
pub(super) fn undoes(script: &str, migration: &str, options: &FlywayOptions) -> bool {
    let (Some(script), Some(migration)) = (FlywayName::read(script, options), FlywayName::read(migration, options))
    else {
        return false;
    };
    script.kind == Kind::Undo && migration.kind == Kind::Versioned && script.version == migration.version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        let version = |text| Version::read(text).unwrap();
        assert_eq!(version("001"), version("1"));
        assert_eq!(version("1.0"), version("1"));
        assert_eq!(version("1_2"), version("1.2"));
        for (less, more) in [("2", "10"), ("1.9", "1.10"), ("1", "1.0.1"), ("20240101", "20240102")] {
            assert!(version(less) < version(more), "{less} {more}");
        }
        assert!(Version::read("1a").is_none() && Version::read("").is_none() && Version::read("1..2").is_none());
    }

    #[test]
    fn names_are_taken_apart() {
        let options = FlywayOptions::default();
        let read = |name: &str| FlywayName::read(name, &options);
        let name = read("V002__add_user_2fa.sql").unwrap();
        assert_eq!((name.kind, name.description.as_str()), (Kind::Versioned, "add user 2fa"));
        assert_eq!(read("R__views.sql").unwrap().version, None);
        assert_eq!(read("U2__x.sql").unwrap().kind, Kind::Undo);
        for other in ["readme.sql", "Views.sql", "V__x.sql", "R1__x.sql", "V1__x.txt", "v1__x.sql"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert!(undoes("U2__other_words.sql", "V002__add_user_2fa.sql", &options));
        assert!(!undoes("U3__x.sql", "V002__x.sql", &options));
    }
}
