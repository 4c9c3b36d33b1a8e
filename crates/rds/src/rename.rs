//! One rename of an instance: what RDS is told, and the waits before and after it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::client::Rds;
use crate::error::{Awaited, Error, Result};
use crate::failure::classify;
use crate::halfway::Steps;
use crate::instance::Instance;
use crate::name::same;
use crate::standing::Standing;
use crate::wait::{Reading, Waiting, Whom};

/// One rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rename {
    /// The instance, by its resource id.
    pub resource: String,
    /// The name that it has.
    pub from: String,
    /// The name that it gets.
    pub to: String,
}

impl Rename {
    /// Whether an instance has the name that it shall get, or is on its way to it.
    fn is_asked_for(&self, there: &Instance) -> bool {
        [Some(&there.name), there.renames_to.as_ref()].into_iter().flatten().any(|name| same(name, &self.to))
    }
}

impl Rds {
    /// Waits until RDS takes a rename of an instance that is at work on something else, such as a backup. Of one that `serves` then
    /// nothing but that it can be used is enough; what is wrong with the other may be why.
    pub(crate) async fn wait_to_rename(
        &self,
        rename: &Rename,
        serves: bool,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<()> {
        let there = self.find_resource(&rename.resource).await?;
        let there = there.ok_or_else(|| Error::Gone { subject: rename.from.clone() })?;
        let is_ready = match there.standing() {
            Standing::Usable => true,
            Standing::Working => false,
            Standing::Stopped | Standing::Broken | Standing::Going => !serves,
        };
        if is_ready || rename.is_asked_for(&there) || !same(&there.name, &rename.from) {
            return Ok(());
        }
        let whom = Whom::Resource { id: &rename.resource, until_named: &rename.from };
        match self.wait_named(whom, waiting, now, report).await {
            Err(Error::Ended { .. } | Error::Stopped { .. }) if !serves => Ok(()),
            waited => waited,
        }
    }

    /// Waits until an instance has its new name: what `serves` then until it is available under it; of the other its name alone
    /// counts, whatever else is wrong with it, as meanwhile the production name leads nowhere.
    pub(crate) async fn wait_renamed(
        &self,
        rename: &Rename,
        serves: bool,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<()> {
        let Rename { resource: id, from, to } = rename;
        let whom = match serves {
            true => Whom::Resource { id, until_named: to },
            false => Whom::Renamed { id, from, to },
        };
        self.wait_named(whom, waiting, now, report).await
    }

    /// Waits for a name; who gives up is told that RDS goes on with it.
    async fn wait_named(
        &self,
        whom: Whom<'_>,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<()> {
        match self.wait_for(whom, waiting, now, report).await {
            Ok(_) => Ok(()),
            Err(Error::GaveUp { subject, status, waited_seconds, .. }) => {
                Err(Error::GaveUp { subject, awaited: Awaited::Rename, status, waited_seconds })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes one rename, unless RDS is at it or has done it: a process that is gone may have asked for it, or the answer to
    /// this call was lost and the SDK asked again.
    pub(crate) async fn rename(&self, rename: &Rename, steps: &Steps) -> Result<()> {
        const ACTION: &str = "ModifyDBInstance";
        let there = self.find_resource(&rename.resource).await?;
        let there = there.ok_or_else(|| Error::Gone { subject: rename.from.clone() })?;
        if rename.is_asked_for(&there) {
            steps.ask();
            return Ok(());
        }
        // RDS takes names: whoever has this one by now may be another instance.
        if !same(&there.name, &rename.from) || there.renames_to.is_some() {
            return Err(Error::Overtaken { subject: there.name });
        }
        let call = self.client.modify_db_instance().db_instance_identifier(&rename.from);
        let call = call.new_db_instance_identifier(&rename.to).apply_immediately(true);
        steps.ask();
        let failed = match call.send().await.map_err(|failure| classify(failure, ACTION, &rename.from)) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let there = self.find_resource(&rename.resource).await;
        if there.as_ref().is_ok_and(|there| there.as_ref().is_some_and(|there| rename.is_asked_for(there))) {
            return Ok(());
        }
        let is_refused = match &failed {
            Error::Credentials { .. } | Error::AccessDenied { .. } | Error::Throttled { .. } => true,
            // Another attempt may have been heard before this one was refused.
            failed => there.is_ok() && !failed.may_be_heard(),
        };
        if is_refused {
            steps.refused();
        }
        Err(match failed {
            Error::NameTaken { .. } => Error::NameTaken { name: rename.to.clone() },
            failed => failed,
        })
    }
}
