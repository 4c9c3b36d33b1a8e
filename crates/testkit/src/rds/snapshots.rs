//! Snapshots: packed data directories.

use std::fs;

use super::error::RdsError;
use super::instance::Snapshot;
use super::instant::now;
use super::query::Query;
use super::standing::{Standing, Then};
use super::state::State;
use super::xml::element;

impl State {
    pub(super) fn create_snapshot(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["DBInstanceIdentifier", "DBSnapshotIdentifier", "Tags"]])?;
        let instance = query.identifier("DBInstanceIdentifier")?;
        let identifier = query.new_identifier("DBSnapshotIdentifier")?;
        let place = self.place(&instance)?;
        let known = &self.instances[place];
        if !matches!(known.standing.status(), "available" | "storage-optimization" | "stopped") {
            let message = format!(
                "Cannot create a snapshot because the database instance {instance} is not currently in the available state."
            );
            return Err(RdsError::instance_state(message));
        }
        let inherited = known.shape.property("CopyTagsToSnapshot") == "true";
        let mut tags = if inherited { known.shape.tags.clone() } else { Vec::new() };
        let new = query.tags().unwrap_or_default();
        tags.retain(|(key, _)| !new.iter().any(|(named, _)| named == key));
        tags.extend(new);
        let xml = self.take_snapshot(place, &identifier, tags)?;
        if self.instances[place].standing.rest == "available" {
            self.instances[place].standing.push("backing-up", Then::Nothing);
        }
        Ok(xml)
    }

    /// Copies the data of an instance, and writes the answer.
    pub(super) fn take_snapshot(
        &mut self,
        place: usize,
        identifier: &str,
        tags: Vec<(String, String)>,
    ) -> Result<String, RdsError> {
        self.check_new_snapshot(identifier)?;
        let instance = &self.instances[place];
        let Some(engine) = &instance.engine else {
            return Err(RdsError::instance_state(format!("Instance {} has no data.", instance.identifier)));
        };
        let file = self.snapshot_file();
        engine.pack_to(&file);
        let mut shape = instance.shape.clone();
        shape.tags = tags;
        let snapshot = Snapshot {
            identifier: identifier.into(),
            instance: instance.identifier.clone(),
            resource: instance.resource.clone(),
            instance_created_at: instance.created_at,
            created_at: now(),
            taken_at: now(),
            copy_of: None,
            standing: Standing::resting("available").then("creating", Then::Nothing),
            shape,
            port: instance.port,
            major: engine.backup.major,
            file,
        };
        Ok(self.add_snapshot(snapshot))
    }

    pub(super) fn copy_snapshot(&mut self, query: &Query) -> Result<String, RdsError> {
        let own = ["SourceDBSnapshotIdentifier", "TargetDBSnapshotIdentifier", "CopyTags", "Tags"];
        query.refuse_others(&[&own, &["KmsKeyId", "OptionGroupName", "CopyOptionGroup"]])?;
        let source = query.identifier("SourceDBSnapshotIdentifier")?;
        let identifier = query.new_identifier("TargetDBSnapshotIdentifier")?;
        let known = self.snapshots.iter().find(|snapshot| snapshot.identifier == source);
        let known = known.ok_or_else(|| RdsError::snapshot_not_found(&source))?;
        if known.standing.status() != "available" {
            let message = format!("The snapshot {source} is not in the available state.");
            return Err(RdsError::new(400, "InvalidDBSnapshotState", message));
        }
        self.check_new_snapshot(&identifier)?;
        let file = self.snapshot_file();
        fs::copy(&known.file, &file).expect("a snapshot can be copied");
        let mut shape = known.shape.clone();
        if !query.flag("CopyTags") {
            shape.tags.clear();
        }
        shape.tags.extend(query.tags().unwrap_or_default());
        if let Some(key) = query.text("KmsKeyId") {
            shape.properties.extend([("KmsKeyId".into(), key.into()), ("StorageEncrypted".into(), "true".into())]);
        }
        let copy = Snapshot {
            identifier,
            instance: known.instance.clone(),
            resource: known.resource.clone(),
            instance_created_at: known.instance_created_at,
            created_at: now(),
            taken_at: known.taken_at,
            copy_of: Some(known.arn()),
            standing: Standing::resting("available").then("creating", Then::Nothing),
            shape,
            port: known.port,
            major: known.major,
            file,
        };
        Ok(self.add_snapshot(copy))
    }

    pub(super) fn delete_snapshot(&mut self, query: &Query) -> Result<String, RdsError> {
        query.refuse_others(&[&["DBSnapshotIdentifier"]])?;
        let identifier = query.identifier("DBSnapshotIdentifier")?;
        let place = self.snapshots.iter().position(|snapshot| snapshot.identifier == identifier);
        let place = place.ok_or_else(|| RdsError::snapshot_not_found(&identifier))?;
        if self.snapshots[place].standing.status() != "available" {
            let message = format!("The snapshot {identifier} is not in the available state.");
            return Err(RdsError::new(400, "InvalidDBSnapshotState", message));
        }
        let mut snapshot = self.snapshots.remove(place);
        fs::remove_file(&snapshot.file).expect("a snapshot can be removed");
        self.event_of("db-snapshot", &identifier, "deletion", "Deleted manual snapshot");
        snapshot.standing.rest = "deleted".into();
        Ok(element("DBSnapshot", &snapshot.xml()))
    }

    fn check_new_snapshot(&self, identifier: &str) -> Result<(), RdsError> {
        if self.snapshots.iter().any(|snapshot| snapshot.identifier == identifier) {
            return Err(RdsError::snapshot_exists(identifier));
        }
        if self.used("ManualSnapshots") >= self.quotas["ManualSnapshots"] {
            let message = "Cannot create more than the allowed number of manual snapshots.";
            return Err(RdsError::new(400, "SnapshotQuotaExceeded", message));
        }
        Ok(())
    }

    /// Returns a new file for a snapshot; no other has its name.
    fn snapshot_file(&self) -> std::path::PathBuf {
        self.common.home.join(format!("{}.tar", Self::resource("snapshot")))
    }

    fn add_snapshot(&mut self, snapshot: Snapshot) -> String {
        let xml = element("DBSnapshot", &snapshot.xml());
        self.event_of("db-snapshot", &snapshot.identifier, "creation", "Manual snapshot created");
        self.snapshots.push(snapshot);
        xml
    }
}
