//! Snapshots: made, listed, copied, dropped. A restore of one is planned as any other ([`RestoreOptions`]).
//!
//! [`RestoreOptions`]: crate::RestoreOptions

use aws_sdk_rds::types::DbSnapshot;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::call::{count, instant_in, tags_in, tags_out};
use crate::client::Rds;
use crate::error::{Awaited, Error, Result, told};
use crate::failure::classify;
use crate::marks::{self, Tags};
use crate::name::{check_given, check_name, is_named, same};
use crate::wait::{Reading, Waiting};

/// A snapshot of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Snapshot {
    /// Its name (`DBSnapshotIdentifier`).
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The name that its instance had.
    pub instance: String,
    /// The resource id of its instance.
    pub resource_id: String,
    /// `manual`, `automated`, `awsbackup`, `shared` or `public`.
    pub kind: String,
    /// RDS's status.
    pub status: String,
    /// How much of it is made, in percent.
    pub percent: Option<u32>,
    /// When it was made (`SnapshotCreateTime`); of a copy, when it was copied.
    pub created_at: Option<DateTime<Utc>>,
    /// The instant that its data are of (`OriginalSnapshotCreateTime`): that of the snapshot that it is a copy of.
    pub taken_at: Option<DateTime<Utc>>,
    /// The engine.
    pub engine: String,
    /// The engine's version.
    pub engine_version: Option<String>,
    /// The size of the storage in GiB, which bounds what it costs.
    pub storage_gib: Option<u32>,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
    /// The key.
    pub kms_key: Option<String>,
    /// Whether holdpoint made it: only then it can be dropped by holdpoint.
    pub is_ours: bool,
    /// Its tags.
    pub tags: Tags,
}

impl Snapshot {
    fn of(action: &'static str, raw: &DbSnapshot) -> Result<Self> {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let name =
            raw.db_snapshot_identifier().ok_or(Error::InvalidAnswer { action, lacks: "DBSnapshotIdentifier" })?;
        let tags = tags_in(raw.tag_list());
        let kind = text(raw.snapshot_type());
        Ok(Self {
            name: name.to_owned(),
            arn: text(raw.db_snapshot_arn()),
            instance: text(raw.db_instance_identifier()),
            resource_id: text(raw.dbi_resource_id()),
            status: text(raw.status()),
            percent: count(raw.percent_progress()),
            created_at: instant_in(raw.snapshot_create_time()),
            taken_at: instant_in(raw.original_snapshot_create_time().or(raw.snapshot_create_time())),
            engine: text(raw.engine()),
            engine_version: raw.engine_version().map(str::to_owned),
            storage_gib: count(raw.allocated_storage()),
            is_encrypted: raw.encrypted().unwrap_or_default(),
            kms_key: raw.kms_key_id().map(str::to_owned),
            // Tags of an instance may be copied to every snapshot of it.
            is_ours: kind == "manual" && tags.get(marks::KIND).is_some_and(|kind| kind == "snapshot"),
            kind,
            tags,
        })
    }
}

impl Rds {
    /// The snapshots of an instance, or of all; those that AWS makes by itself too. The oldest first.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:DescribeDBSnapshots`.
    pub async fn snapshots(&self, instance: Option<&str>) -> Result<Vec<Snapshot>> {
        const ACTION: &str = "DescribeDBSnapshots";
        let call = self.client.describe_db_snapshots().set_db_instance_identifier(instance.map(str::to_owned));
        let mut items = call.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(raw) = items.next().await {
            let raw = raw.map_err(|failure| classify(failure, ACTION, instance.unwrap_or("snapshots")))?;
            found.push(Snapshot::of(ACTION, &raw)?);
        }
        found.sort_by(|one, other| (one.created_at, &one.name).cmp(&(other.created_at, &other.name)));
        Ok(found)
    }

    /// The snapshot of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of [`snapshots`](Self::snapshots).
    pub async fn snapshot(&self, name: &str) -> Result<Snapshot> {
        const ACTION: &str = "DescribeDBSnapshots";
        check_given(name)?;
        let answer = self.client.describe_db_snapshots().db_snapshot_identifier(name).send().await;
        let answer = answer.map_err(|failure| classify(failure, ACTION, name))?;
        let mut found = answer.db_snapshots().iter();
        let raw = found.find(|one| is_named(name, one.db_snapshot_identifier(), one.db_snapshot_arn()));
        Snapshot::of(ACTION, raw.ok_or_else(|| Error::NotFound { subject: name.to_owned() })?)
    }

    /// Makes a snapshot of an instance and returns at once; [`wait_snapshot`](Self::wait_snapshot) does the rest. It
    /// costs until it is dropped.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::WrongState`], [`Error::Quota`], [`Error::NotFound`].
    pub async fn create_snapshot(&self, instance: &str, name: &str, now: DateTime<Utc>) -> Result<Snapshot> {
        self.create_snapshot_of_point(instance, name, &Tags::new(), now).await
    }

    /// As [`create_snapshot`](Self::create_snapshot), with the tags by which it is known as that of a restore point.
    ///
    /// # Errors
    /// As [`create_snapshot`](Self::create_snapshot).
    pub async fn create_snapshot_of_point(
        &self,
        instance: &str,
        name: &str,
        point: &Tags,
        now: DateTime<Utc>,
    ) -> Result<Snapshot> {
        const ACTION: &str = "CreateDBSnapshot";
        check_name(name)?;
        let source = self.lone_instance(instance).await?;
        let was_there = self.is_there(name).await?;
        let call = self.client.create_db_snapshot().db_instance_identifier(&source.name).db_snapshot_identifier(name);
        let mut tags = tags(&source.name, &source.resource_id, now);
        tags.extend(point.clone());
        let answer = call.set_tags(Some(tags_out(&tags))).send().await;
        let answer = match answer.map_err(|failure| classify(failure, ACTION, name)) {
            Ok(answer) => answer,
            Err(error) => {
                let subject = source.name.clone();
                let error = match error {
                    Error::NotFound { .. } => Error::NotFound { subject },
                    Error::WrongState { message, .. } => Error::WrongState { subject, message },
                    Error::Stopped { thing, .. } => Error::Stopped { subject, thing },
                    other => other,
                };
                return self.made_now(name, was_there, &tags, error).await;
            }
        };
        let raw = answer.db_snapshot().ok_or(Error::InvalidAnswer { action: ACTION, lacks: "DBSnapshot" })?;
        Snapshot::of(ACTION, raw)
    }

    /// Copies a snapshot, also one that AWS made by itself, so that it stays when its instance goes; with another key
    /// where one is named.
    ///
    /// # Errors
    /// As [`create_snapshot`](Self::create_snapshot).
    pub async fn copy_snapshot(
        &self,
        from: &str,
        name: &str,
        kms_key: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Snapshot> {
        const ACTION: &str = "CopyDBSnapshot";
        check_name(name)?;
        let source = self.snapshot(from).await?;
        let was_there = self.is_there(name).await?;
        let call = self.client.copy_db_snapshot().source_db_snapshot_identifier(&source.name);
        let call = call.target_db_snapshot_identifier(name).set_kms_key_id(kms_key.map(str::to_owned));
        let mut all = marks::own(&source.tags);
        all.extend(tags(&source.instance, &source.resource_id, now));
        let answer = call.set_tags(Some(tags_out(&all))).send().await;
        let answer = match answer.map_err(|failure| classify(failure, ACTION, name)) {
            Ok(answer) => answer,
            Err(Error::NotFound { .. }) => return Err(Error::NotFound { subject: source.name }),
            Err(error) => return self.made_now(name, was_there, &all, error).await,
        };
        let raw = answer.db_snapshot().ok_or(Error::InvalidAnswer { action: ACTION, lacks: "DBSnapshot" })?;
        Snapshot::of(ACTION, raw)
    }

    /// Whether a snapshot has that name; `false` where nobody may look.
    pub(crate) async fn is_there(&self, name: &str) -> Result<bool> {
        match self.snapshot(name).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. } | Error::AccessDenied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The snapshot of the name, where it has the tags that this call gives: an answer that was lost is asked for again, and
    /// then RDS refuses, as it is being made. The `error` where one was there before, it is another, or nobody may look.
    async fn made_now(&self, name: &str, was_there: bool, tags: &Tags, error: Error) -> Result<Snapshot> {
        if was_there || !matches!(error, Error::NameTaken { .. } | Error::WrongState { .. }) {
            return Err(error);
        }
        match self.snapshot(name).await {
            Ok(found) if marks::is_of(tags, &found.tags) => Ok(found),
            _ => Err(error),
        }
    }

    /// Waits until a snapshot is available.
    ///
    /// # Errors
    /// [`Error::Ended`] when it failed, [`Error::GaveUp`], which stops nothing.
    pub async fn wait_snapshot(
        &self,
        name: &str,
        waiting: &Waiting,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<Snapshot> {
        let mut readings: u128 = 0;
        loop {
            let snapshot = self.snapshot(name).await?;
            let waited_seconds = waiting.waited(readings);
            let percent = snapshot.percent.map(|percent| format!(" {percent} %")).unwrap_or_default();
            let status = format!("{}{percent}", snapshot.status);
            report(&Reading { name: name.to_owned(), status, waited_seconds, events: Vec::new() });
            match snapshot.status.as_str() {
                "available" => return Ok(snapshot),
                "failed" | "incompatible-restore" | "incompatible-parameters" => {
                    return Err(Error::Ended { subject: name.to_owned(), status: snapshot.status, event: None });
                }
                _ => {}
            }
            readings += 1;
            if readings >= waiting.most_readings() {
                return Err(Error::GaveUp {
                    subject: name.to_owned(),
                    awaited: Awaited::Snapshot,
                    status: snapshot.status,
                    waited_seconds,
                });
            }
            tokio::time::sleep(waiting.pause()).await;
        }
    }

    /// The snapshot that a drop would remove.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for one that holdpoint did not make, [`Error::NotFound`].
    pub async fn plan_drop_snapshot(&self, name: &str) -> Result<Snapshot> {
        let snapshot = self.snapshot(name).await?;
        if !snapshot.is_ours || !same(&snapshot.name, name) {
            return Err(Error::NotOurs { subject: snapshot.name });
        }
        Ok(snapshot)
    }

    /// Drops a snapshot that [`plan_drop_snapshot`](Self::plan_drop_snapshot) gave.
    ///
    /// # Errors
    /// [`Error::Gone`] where another one has its name since the plan was made, [`Error::NotOurs`] where its tags are gone,
    /// [`Error::WrongState`] while it is made or copied, and what RDS refuses.
    pub async fn drop_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        const ACTION: &str = "DeleteDBSnapshot";
        let found = match self.plan_drop_snapshot(&snapshot.name).await {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        let subject = snapshot.name.clone();
        if snapshot.created_at.is_none() {
            // RDS says when it is made once it is.
            let message = format!("it was {}: look at it again", snapshot.status);
            return Err(Error::WrongState { subject, message });
        }
        // An ARN says no more than the name.
        if found.created_at != snapshot.created_at {
            return Err(Error::Gone { subject });
        }
        let answer = self.client.delete_db_snapshot().db_snapshot_identifier(&snapshot.name).send().await;
        match answer.map_err(|failure| classify(failure, ACTION, &snapshot.name)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn tags(instance: &str, resource: &str, now: DateTime<Utc>) -> Tags {
    [
        (marks::KIND, "snapshot"),
        (marks::SOURCE, instance),
        (marks::SOURCE_RESOURCE, resource),
        (marks::MADE_AT, &told(now)),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}
