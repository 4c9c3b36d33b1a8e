//! What holdpoint made and did not remove, and its removal.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::client::Rds;
use crate::cut_over_marks::{has_renamed, source_of};
use crate::error::{Error, Result, Thing};
use crate::failure::classify;
use crate::gone::Going;
use crate::instance::Instance;
use crate::maker::Maker;
use crate::marks;
use crate::name::{check_name, same};
use crate::standing::Standing;
use crate::wait::{Reading, Waiting, Whom};

/// An instance that holdpoint made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Its resource id.
    pub resource_id: String,
    /// Its status.
    pub status: String,
    /// Its class, which it is billed by.
    pub class: Option<String>,
    /// Its storage in GiB.
    pub storage_gib: Option<u32>,
    /// The name that its source had.
    pub source: Option<String>,
    /// The resource id of its source.
    pub source_resource: Option<String>,
    /// The instant that it was restored to.
    pub restored_to: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub made_at: Option<DateTime<Utc>>,
    /// When it was found to be as asked; `None` while that is still open.
    pub ready_at: Option<DateTime<Utc>>,
    /// Whether it serves in the place of its source.
    pub is_in_service: bool,
    /// Whether it is protected against deletion.
    pub is_protected: bool,
    /// Who made it for some work and drops it again; `None` where a person does.
    pub maker: Option<Maker>,
    /// The instances of a cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

impl Made {
    fn of(instance: &Instance, all: &[Instance]) -> Option<Self> {
        // An instance of a cluster comes and goes with that.
        (instance.cluster.is_none() && marks::is_own(&instance.tags, &instance.resource_id)).then(|| Self {
            name: instance.name.clone(),
            resource_id: instance.resource_id.clone(),
            status: instance.status.clone(),
            class: instance.properties.class.clone(),
            storage_gib: instance.properties.storage_gib,
            source: instance.tags.get(marks::SOURCE).cloned(),
            source_resource: instance.tags.get(marks::SOURCE_RESOURCE).cloned(),
            restored_to: marks::instant(&instance.tags, marks::RESTORED_TO),
            made_at: marks::instant(&instance.tags, marks::MADE_AT),
            ready_at: marks::instant(&instance.tags, marks::READY_AT),
            is_in_service: is_in_service(instance, all),
            is_protected: instance.properties.deletion_protection == Some(true),
            maker: Maker::of(&instance.tags),
            members: Vec::new(),
        })
    }
}

/// A cut-over renamed it or its source and was not taken back, or somebody gave it the name that its source had.
pub(crate) fn is_in_service(instance: &Instance, all: &[Instance]) -> bool {
    has_renamed(instance, source_of(instance, all))
        || instance.tags.get(marks::SOURCE).is_some_and(|had| same(had, &instance.name))
}

/// Whether what is to be dropped is still there as it was planned; `false` where it is gone already. Between a plan and its
/// confirmation there may be hours.
///
/// # Errors
/// [`Error::Gone`] where it was renamed: what has the name now is another one. [`Error::InService`] where it serves now.
pub(crate) fn still_to_drop(planned: &Made, found: Option<(&str, bool)>, thing: Thing) -> Result<bool> {
    let subject = || planned.name.clone();
    match found {
        None => Ok(false),
        Some((name, _)) if !same(name, &planned.name) => Err(Error::Gone { subject: subject() }),
        Some((_, true)) => Err(Error::InService { subject: subject(), thing }),
        Some(_) => Ok(true),
    }
}

/// How an instance is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DropOptions {
    /// The instance.
    pub name: String,
    /// The name of a last snapshot; without it nothing remains.
    pub final_snapshot: Option<String>,
    /// Whether its protection against deletion is taken away first.
    pub lift_protection: bool,
}

/// What a drop will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DropPlan {
    /// The instance.
    pub instance: Made,
    /// The last snapshot.
    pub final_snapshot: Option<String>,
    /// Whether its protection is taken away first.
    pub lifts_protection: bool,
    /// Whether it is being deleted already.
    pub is_going: bool,
}

/// The command by which a drop goes on, in whatever process.
#[must_use]
pub fn drop_command(name: &str, final_snapshot: Option<&str>, lifts_protection: bool) -> String {
    let mut command = format!("holdpoint rds drop {name}");
    if lifts_protection {
        command.push_str(" --lift-protection");
    }
    if let Some(snapshot) = final_snapshot {
        command.push_str(&format!(" --final-snapshot {snapshot}"));
    }
    command
}

/// What failed before RDS had taken a drop on, with the command that goes on with it.
pub(crate) fn unfinished(
    name: &str,
    going: Vec<String>,
    final_snapshot: Option<&str>,
    lifts_protection: bool,
    failure: Error,
) -> Error {
    let command = drop_command(name, final_snapshot, lifts_protection);
    Error::DropUnfinished { subject: name.to_owned(), going, command, failure: Box::new(failure) }
}

/// How long a restore of that source will take, by those that are still there: the middle of theirs.
#[must_use]
pub fn estimate_seconds(made: &[Made], source: &str) -> Option<i64> {
    let of_source = made.iter().filter(|one| one.source.as_deref() == Some(source));
    let mut seconds: Vec<i64> =
        of_source.filter_map(|one| Some((one.ready_at? - one.made_at?).num_seconds())).collect();
    seconds.sort_unstable();
    seconds.get(seconds.len() / 2).copied()
}

impl Rds {
    /// The instance that a restore made under this name, whatever a cut-over called it since; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`instances`](Self::instances).
    pub async fn made_as(&self, name: &str) -> Result<Option<Instance>> {
        let all = self.instances().await?;
        let ours = |one: &Instance| one.cluster.is_none() && marks::is_own(&one.tags, &one.resource_id);
        let mut made = all.into_iter().filter(ours);
        let was = |one: &Instance| one.tags.get(marks::CUT_OVER_WAS).is_some_and(|was| same(was, name));
        Ok(made.find(|one| same(&one.name, name) || was(one)))
    }

    /// The instances that holdpoint made and that are still there, the oldest first.
    ///
    /// # Errors
    /// Those of [`instances`](Self::instances).
    pub async fn made(&self) -> Result<Vec<Made>> {
        let all = self.instances().await?;
        let mut made: Vec<Made> = all.iter().filter_map(|one| Made::of(one, &all)).collect();
        made.sort_by(|one, other| (one.made_at, &one.name).cmp(&(other.made_at, &other.name)));
        Ok(made)
    }

    /// Plans a drop. Only what carries holdpoint's tags can be dropped, never a source, and never what serves in the
    /// place of its source.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotOurs`], [`Error::InService`], [`Error::Protected`], [`Error::InvalidName`],
    /// [`Error::LastSnapshotTaken`].
    pub async fn plan_drop(&self, options: &DropOptions) -> Result<DropPlan> {
        let instance = self.instance(&options.name).await?;
        let subject = instance.name.clone();
        let others = self.instances().await?;
        let made = match (Made::of(&instance, &others), &instance.cluster) {
            (Some(made), _) => made,
            (None, Some(cluster)) if marks::is_ours(&instance.tags) => {
                return Err(Error::ClusterMember { source_name: subject, cluster: cluster.clone() });
            }
            (None, _) => return Err(Error::NotOurs { subject }),
        };
        // Tags of an instance can be copied by hand; the source of a restore is never what was restored.
        let is_source = others.iter().any(|other| {
            other.resource_id != instance.resource_id
                && other.tags.get(marks::SOURCE_RESOURCE).is_some_and(|id| *id == instance.resource_id)
        });
        if is_source || instance.tags.get(marks::SOURCE_RESOURCE).is_some_and(|id| *id == instance.resource_id) {
            return Err(Error::IsSource { subject });
        }
        if made.is_in_service {
            return Err(Error::InService { subject, thing: Thing::Instance });
        }
        if made.is_protected && !options.lift_protection {
            return Err(Error::Protected { subject });
        }
        let is_going = instance.standing() == Standing::Going;
        if let Some(snapshot) = &options.final_snapshot {
            check_name(snapshot)?;
            // RDS looks at the name once the protection is lifted. Of what it drops already it is the snapshot itself.
            if !is_going && self.is_there(snapshot).await? {
                return Err(Error::LastSnapshotTaken { name: snapshot.clone() });
            }
        }
        Ok(DropPlan {
            lifts_protection: made.is_protected,
            final_snapshot: options.final_snapshot.clone(),
            is_going,
            instance: made,
        })
    }

    /// Drops the instance of a plan with its automated backups, and waits until it is gone.
    ///
    /// # Errors
    /// [`Error::Gone`] and [`Error::InService`] where it was renamed since the plan was made: nothing is dropped then.
    /// [`Error::DropUnfinished`] with what RDS refuses; [`Error::GaveUp`] when it is still there, which stops nothing.
    pub async fn drop_made(
        &self,
        plan: &DropPlan,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<()> {
        let Made { name, resource_id, .. } = &plan.instance;
        if !self.is_still_to_drop(&plan.instance, waiting).await? {
            return Ok(());
        }
        self.begin_drop(plan, waiting, now, report).await.map_err(|failure| {
            unfinished(name, Vec::new(), plan.final_snapshot.as_deref(), plan.lifts_protection, failure)
        })?;
        self.wait_gone(Going::Instance { name, resource_id }, waiting, report).await
    }

    /// Drops the instance of a plan as [`drop_made`](Self::drop_made) does, and returns once RDS has taken it on: nothing
    /// but time is needed then until it is gone.
    ///
    /// # Errors
    /// What RDS refuses; [`Error::WrongState`] where it does not let an instance be dropped in this state yet.
    pub async fn begin_drop(
        &self,
        plan: &DropPlan,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<()> {
        let name = &plan.instance.name;
        if plan.lifts_protection {
            const ACTION: &str = "ModifyDBInstance";
            let call = self.client.modify_db_instance().db_instance_identifier(name).deletion_protection(false);
            call.apply_immediately(true).send().await.map_err(|failure| classify(failure, ACTION, name))?;
            let whom = Whom::Resource { id: &plan.instance.resource_id, until_named: name };
            self.wait_for(whom, waiting, now, report).await?;
            // That takes minutes.
            if !self.is_still_to_drop(&plan.instance, waiting).await? {
                return Ok(());
            }
        }
        if !plan.is_going {
            const ACTION: &str = "DeleteDBInstance";
            let mut call = self.client.delete_db_instance().db_instance_identifier(name).delete_automated_backups(true);
            call = match &plan.final_snapshot {
                Some(snapshot) => call.final_db_snapshot_identifier(snapshot).skip_final_snapshot(false),
                None => call.skip_final_snapshot(true),
            };
            match call.send().await.map_err(|failure| classify(failure, ACTION, name)) {
                Ok(_) => {}
                Err(Error::NotFound { .. }) => {
                    let Made { name, resource_id, .. } = &plan.instance;
                    if !self.is_gone(Going::Instance { name, resource_id }, waiting).await? {
                        let message = "RDS did not find it to drop it, and shows it".to_owned();
                        return Err(Error::WrongState { subject: name.clone(), message });
                    }
                }
                // The answer to an earlier attempt was lost: it goes, and the snapshot is its own.
                Err(Error::WrongState { .. } | Error::NameTaken { .. })
                    if self.is_going(&plan.instance, waiting).await? => {}
                Err(Error::NameTaken { .. }) => {
                    return Err(Error::LastSnapshotTaken { name: plan.final_snapshot.clone().unwrap_or_default() });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// As [`still_to_drop`], by what RDS says now; gone is what it does not show in several readings in a row.
    async fn is_still_to_drop(&self, made: &Made, waiting: &Waiting) -> Result<bool> {
        for reading in 0..waiting.readings.max(1) {
            if reading > 0 {
                tokio::time::sleep(waiting.pause()).await;
            }
            let all = self.instances().await?;
            let found = all.iter().find(|one| one.resource_id == made.resource_id);
            let found = found.map(|one| (one.name.as_str(), is_in_service(one, &all)));
            if still_to_drop(made, found, Thing::Instance)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether RDS is dropping it, or has.
    async fn is_going(&self, made: &Made, waiting: &Waiting) -> Result<bool> {
        let Made { name, resource_id, .. } = made;
        match self.find_resource(resource_id).await? {
            Some(found) => Ok(found.standing() == Standing::Going),
            None => self.is_gone(Going::Instance { name, resource_id }, waiting).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restore_takes_is_estimated_by_those_of_its_source_that_ended() {
        let at = |minute: u32| format!("2026-11-21T02:{minute:02}:00Z").parse().ok();
        let made = |source: &str, ready: Option<u32>| Made {
            source: Some(source.to_owned()),
            made_at: at(0),
            ready_at: ready.and_then(at),
            ..Made::default()
        };
        let all = [Some(50), Some(10), None, Some(20)].map(|ready| made("shop", ready));
        assert_eq!(estimate_seconds(&all, "shop"), Some(20 * 60));
        assert_eq!(estimate_seconds(&all[1..3], "shop"), Some(10 * 60));
        assert_eq!((estimate_seconds(&all[2..3], "shop"), estimate_seconds(&all, "other")), (None, None));
    }
}
