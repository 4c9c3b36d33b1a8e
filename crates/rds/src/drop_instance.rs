//! The drop of an instance that holdpoint made.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::client::Rds;
use crate::drop_options::{DropOptions, unfinished};
use crate::error::{Error, Result, Thing};
use crate::failure::classify;
use crate::gone::Going;
use crate::instance::Instance;
use crate::made::Made;
use crate::marks;
use crate::name::check_name;
use crate::standing::Standing;
use crate::wait::{Reading, Waiting, Whom};

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

impl Rds {
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
        let of_it = |other: &Instance| marks::is_made_of(&other.tags, &instance.resource_id);
        if of_it(&instance) || others.iter().any(of_it) {
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
        let going = Going::Instance { name, resource_id };
        if !self.is_still_to_drop(going, waiting).await? {
            return Ok(());
        }
        self.begin_drop(plan, waiting, now, report).await.map_err(|failure| {
            unfinished(name, Vec::new(), plan.final_snapshot.as_deref(), plan.lifts_protection, failure)
        })?;
        self.wait_gone(going, waiting, report).await
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
        let Made { name, resource_id, .. } = &plan.instance;
        let going = Going::Instance { name, resource_id };
        if plan.lifts_protection {
            const ACTION: &str = "ModifyDBInstance";
            let call = self.client.modify_db_instance().db_instance_identifier(name).deletion_protection(false);
            call.apply_immediately(true).send().await.map_err(|failure| classify(failure, ACTION, name))?;
            let whom = Whom::Resource { id: resource_id, until_named: name };
            self.wait_for(whom, waiting, now, report).await?;
            // That takes minutes.
            if !self.is_still_to_drop(going, waiting).await? {
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
                    if !self.is_gone(going, waiting).await? {
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

    /// Whether RDS is dropping it, or has.
    async fn is_going(&self, made: &Made, waiting: &Waiting) -> Result<bool> {
        let Made { name, resource_id, .. } = made;
        match self.find_resource(resource_id).await? {
            Some(found) => Ok(found.standing() == Standing::Going),
            None => self.is_gone(Going::Instance { name, resource_id }, waiting).await,
        }
    }
}
