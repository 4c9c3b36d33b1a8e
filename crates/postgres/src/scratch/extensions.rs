//! Extensions: what a scratch server has, against what a database needs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Error;
use crate::session::Session;

/// An extension that a server could create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AvailableExtension {
    /// Its name.
    pub name: String,
    /// The version that is created by default.
    pub default_version: Option<String>,
    /// All versions.
    pub versions: Vec<String>,
}

/// A needed extension that a server cannot create as it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExtensionGap {
    /// Its name.
    pub name: String,
    /// The version that the database has.
    pub needed: String,
    /// What is in the way.
    pub reason: GapReason,
}

/// What is in the way of an extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// It is not installed: a restore fails.
    Absent,
    /// It is there in another version: a restore succeeds (an archive names no version) with another extension.
    VersionDiffers {
        /// The version a restore would create.
        created: Option<String>,
    },
}

/// Reads the extensions that a server could create, by name.
pub async fn available(session: &Session) -> Result<Vec<AvailableExtension>, Error> {
    let sql = "SELECT e.name::text, e.default_version, coalesce(pg_catalog.array_agg(v.version ORDER BY v.version) \
               FILTER (WHERE v.version IS NOT NULL), '{}') \
               FROM pg_catalog.pg_available_extensions e \
               LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name \
               GROUP BY 1, 2 ORDER BY 1";
    let rows = session.query("listing the available extensions", sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| AvailableExtension { name: row.get(0), default_version: row.get(1), versions: row.get(2) })
        .collect())
}

/// Compares needed extensions, as name and version, with available ones.
#[must_use]
pub fn extension_gaps<'a>(
    needed: impl IntoIterator<Item = (&'a str, &'a str)>,
    available: &[AvailableExtension],
) -> Vec<ExtensionGap> {
    let by_name: BTreeMap<&str, &AvailableExtension> =
        available.iter().map(|extension| (extension.name.as_str(), extension)).collect();
    needed
        .into_iter()
        .filter_map(|(name, version)| {
            let reason = match by_name.get(name) {
                None => GapReason::Absent,
                Some(extension) if extension.default_version.as_deref() == Some(version) => return None,
                Some(extension) => GapReason::VersionDiffers { created: extension.default_version.clone() },
            };
            Some(ExtensionGap { name: name.to_owned(), needed: version.to_owned(), reason })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_absent_from_other_versions() {
        let extension = |name: &str, version: &str| AvailableExtension {
            name: name.into(),
            default_version: Some(version.into()),
            versions: vec!["1.0".into(), version.into()],
        };
        let available = [extension("pg_trgm", "1.6"), extension("hstore", "1.8")];
        let gaps = extension_gaps([("hstore", "1.8"), ("pg_trgm", "1.5"), ("postgis", "3.4")], &available);
        let gaps: Vec<_> = gaps.iter().map(|gap| (gap.name.as_str(), &gap.reason)).collect();
        let differs = GapReason::VersionDiffers { created: Some("1.6".into()) };
        assert_eq!(gaps, [("pg_trgm", &differs), ("postgis", &GapReason::Absent)]);
    }
}
