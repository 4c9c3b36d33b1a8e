//! The file in which a backfill writes down how far it came: found, compared, written whole or not at all, removed.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::BackfillError;
use super::standing::demand_same_key;
use super::state::{FORMAT, Progressed, What};

/// The file of one table's backfill.
#[derive(Clone, Debug)]
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// Names the file; a database's and a table's name may hold anything.
    pub(super) fn of(directory: &Path, what: &What) -> Self {
        let name = format!("backfill-{}-{}-{}.json", plain(&what.database), plain(&what.table), what.table_oid);
        Self { path: directory.join(name) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that was begun while the table had another name: that of the same table, by its OID, of the same database.
    pub(super) fn under_another_name(&self, what: &What) -> Result<Option<Self>, BackfillError> {
        if self.path.exists() {
            return Ok(None);
        }
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        let files = match std::fs::read_dir(directory) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        let (begins, ends) = (format!("backfill-{}-", plain(&what.database)), format!("-{}.json", what.table_oid));
        let mut paths: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&begins) && name.ends_with(&ends)
        });
        paths.sort();
        for path in paths {
            let file = Self { path };
            if file.is_of_another(what) {
                continue;
            }
            let found = file.found()?;
            let same =
                |found: &Progressed| (&found.what.system, &found.what.database) == (&what.system, &what.database);
            if found.is_some_and(|found| same(&found) && found.what.table_oid == what.table_oid) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Whether a file names another server or database, in whatever format it is: it is none of this backfill's.
    fn is_of_another(&self, what: &What) -> bool {
        let text = std::fs::read(&self.path).unwrap_or_default();
        let found: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let own = [("system", serde_json::json!(what.system)), ("database", serde_json::json!(what.database))];
        own.iter().any(|(key, own)| found["what"].get(key).is_some_and(|other| other != own))
    }

    /// Takes the place of a file that was begun under another name of the table.
    pub(super) fn replaces(&self, other: &Self) -> Result<(), BackfillError> {
        std::fs::rename(&other.path, &self.path).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &impl std::fmt::Display) -> BackfillError {
        BackfillError::State { file: self.path.clone(), why: error.to_string() }
    }

    /// Reads what an earlier one left; it must have been the same backfill.
    pub(super) fn read(&self, what: &What) -> Result<Option<Progressed>, BackfillError> {
        let Some(found) = self.found()? else { return Ok(None) };
        self.demand_same(&found.what, what)?;
        Ok(Some(found))
    }

    /// Reads what stands there, whatever it is of.
    pub(super) fn found(&self) -> Result<Option<Progressed>, BackfillError> {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        let found: Progressed = serde_json::from_slice(&text).map_err(|error| self.failed(&error))?;
        if found.format != FORMAT {
            return Err(self.failed(&format!("it has format {}, this program knows {FORMAT}", found.format)));
        }
        Ok(Some(found))
    }

    /// Refuses to go on with another backfill, or where the server may have lost what was committed.
    pub(super) fn demand_same(&self, earlier: &What, now: &What) -> Result<(), BackfillError> {
        let differs = [
            ("the server", earlier.system != now.system),
            ("the database", earlier.database != now.database),
            // It may have another name by now.
            ("the table", earlier.table_oid != now.table_oid),
            ("--key", earlier.key != now.key),
            ("--set", earlier.set != now.set),
            ("--where", earlier.condition != now.condition),
        ];
        if let Some((what, _)) = differs.iter().find(|(_, differs)| *differs) {
            return Err(BackfillError::AnotherBackfill { file: self.path.clone(), what: (*what).to_owned() });
        }
        if let (Some(then), Some(columns)) = (&earlier.key_columns, &now.key_columns) {
            demand_same_key(&now.table, then, columns, &self.path)?;
        }
        match (earlier.timeline, now.timeline) {
            (Some(then), Some(now)) if then != now => {
                Err(BackfillError::AnotherTimeline { file: self.path.clone(), then, now })
            }
            _ => Ok(()),
        }
    }

    /// Refuses to go on where the file is not what this process wrote last: somebody else went on from it.
    pub(super) fn demand_unchanged(&self, written: &Progressed) -> Result<(), BackfillError> {
        let found = match std::fs::read(&self.path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(self.failed(&error)),
        };
        let written_text = serde_json::to_vec_pretty(written).map_err(|error| self.failed(&error))?;
        if found.is_some_and(|found| found == written_text) {
            return Ok(());
        }
        Err(BackfillError::WentOn { table: written.what.table.clone(), file: self.path.clone() })
    }

    /// Writes it, whole or not at all, for this user's eyes alone: keys are values of rows.
    pub(super) fn write(&self, progressed: &Progressed) -> Result<(), BackfillError> {
        let write = || -> std::io::Result<()> {
            let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
            std::fs::create_dir_all(directory)?;
            let beside = self.path.with_extension("json.new");
            let mut file =
                std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(progressed)?)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)?;
            std::fs::File::open(directory)?.sync_all()
        };
        write().map_err(|error| self.failed(&error))
    }

    /// Removes it: the backfill is finished.
    pub(super) fn remove(&self) -> Result<(), BackfillError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }
}

/// A name in the name of a file.
fn plain(text: &str) -> String {
    let plain = |sign: char| if sign.is_ascii_alphanumeric() || "._-".contains(sign) { sign } else { '_' };
    text.chars().map(plain).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::{id, progressed, what};
    use super::*;

    #[test]
    fn a_file_that_somebody_else_wrote_or_removed_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::of(folder.path(), &what());
        let gone = file.demand_unchanged(&progressed()).unwrap_err();
        assert!(matches!(&gone, BackfillError::WentOn { .. }), "{gone}");
        file.write(&progressed()).unwrap();
        file.demand_unchanged(&progressed()).unwrap();
        let further = Progressed { after: Some(vec!["5".into()]), ..progressed() };
        file.write(&further).unwrap();
        let error = file.demand_unchanged(&progressed()).unwrap_err();
        assert!(matches!(&error, BackfillError::WentOn { .. }), "{error}");
        file.demand_unchanged(&further).unwrap();
    }

    #[test]
    fn a_table_with_another_name_is_found_by_its_oid() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::of(folder.path(), &what());
        file.write(&progressed()).unwrap();
        assert!(file.under_another_name(&what()).unwrap().is_none(), "it has its own name");
        let renamed = What { table: "public.new".into(), ..what() };
        let now = StateFile::of(folder.path(), &renamed);
        for other in [
            What { table_oid: 6_400, ..renamed.clone() },
            What { system: "8".into(), ..renamed.clone() },
            What { database: "shop2".into(), ..renamed.clone() },
        ] {
            assert!(StateFile::of(folder.path(), &other).under_another_name(&other).unwrap().is_none(), "{other:?}");
        }
        let earlier = now.under_another_name(&renamed).unwrap().expect("the file");
        assert_eq!(earlier.read(&renamed).unwrap(), Some(progressed()));
        now.replaces(&earlier).unwrap();
        assert!(!file.path().exists() && now.read(&renamed).unwrap().is_some());
        assert!(StateFile::of(&folder.path().join("none"), &renamed).under_another_name(&renamed).unwrap().is_none());
    }

    #[test]
    fn a_file_of_another_database_is_passed_over_whatever_its_format_is() {
        let folder = tempfile::tempdir().unwrap();
        let renamed = What { table: "public.new".into(), ..what() };
        let now = StateFile::of(folder.path(), &renamed);
        // Its name begins as one of `shop` would.
        let other = What { database: "shop-x".into(), ..what() };
        let file = StateFile::of(folder.path(), &other);
        let mut newer =
            serde_json::to_value(Progressed::begin(other, vec!["9".into()], progressed().began_at)).unwrap();
        newer["format"] = serde_json::json!(FORMAT + 1);
        std::fs::write(file.path(), newer.to_string()).unwrap();
        assert!(now.under_another_name(&renamed).unwrap().is_none());
        newer["what"]["database"] = serde_json::json!("shop");
        std::fs::write(file.path(), newer.to_string()).unwrap();
        assert!(
            matches!(now.under_another_name(&renamed), Err(BackfillError::State { .. })),
            "its own is not passed over"
        );
        std::fs::write(file.path(), "{").unwrap();
        assert!(matches!(now.under_another_name(&renamed), Err(BackfillError::State { .. })), "nobody knows whose");
    }

    #[test]
    fn a_file_is_of_one_backfill_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::of(&folder.path().join("new"), &what());
        assert!(file.path().ends_with("backfill-shop-public._odd_name_-16400.json"), "{:?}", file.path());
        assert_eq!(file.read(&what()).unwrap(), None);
        file.write(&progressed()).unwrap();
        assert_eq!(file.read(&what()).unwrap(), Some(progressed()));
        let other = What { set: vec!["a = 2".into()], ..what() };
        let error = file.read(&other).unwrap_err();
        assert!(matches!(&error, BackfillError::AnotherBackfill { what, .. } if what == "--set"), "{error}");
        let other = What { system: "8".into(), timeline: Some(4), ..what() };
        let error = file.read(&other).unwrap_err();
        assert!(matches!(&error, BackfillError::AnotherBackfill { what, .. } if what == "the server"), "{error}");
        let other = What { timeline: Some(4), ..what() };
        let error = file.read(&other).unwrap_err();
        assert!(matches!(&error, BackfillError::AnotherTimeline { then: 3, now: 4, .. }), "{error}");
        let other = What { key_columns: Some(vec![id("text", 25)]), ..what() };
        let error = file.read(&other).unwrap_err();
        assert!(error.to_string().ends_with("column id of its key was integer and is text"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--where leave out")), "{error}");
        // Where the server does not tell, or an older program wrote the file, nothing can be compared.
        assert!(file.read(&What { timeline: None, ..what() }).unwrap().is_some());
        let mut older: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        older["what"].as_object_mut().unwrap().remove("timeline");
        older["what"].as_object_mut().unwrap().remove("key_columns");
        std::fs::write(file.path(), older.to_string()).unwrap();
        assert!(file.read(&other).unwrap().is_some());
        std::fs::write(file.path(), "{").unwrap();
        assert!(matches!(file.read(&what()), Err(BackfillError::State { .. })));
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(file.read(&what()).unwrap(), None);
    }
}
