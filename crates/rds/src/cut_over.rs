//! The cut-over by rename: the source goes aside, the new instance takes its name; and the way back.
//!
//! What was planned stands in the new instance's tags before the first rename, and where each instance is shows in its
//! resource id. So every step is found done or not, and a killed cut-over goes on in another process.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::client::Rds;
use crate::cut_over_plan::CutOverPlan;
use crate::error::{Error, Result};
use crate::halfway::Steps;
use crate::instance::Instance;
use crate::marks::{self, Tags};
use crate::wait::{Reading, Waiting};

/// A cut-over that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CutOverReport {
    /// What was done.
    pub plan: CutOverPlan,
    /// The instance that has the production name now.
    pub serving: Instance,
    /// The command that takes it back.
    pub way_back: Option<String>,
    /// Why its end does not stand in the new instance's tags, where that failed: every rename is made, and the same cut-over
    /// notes it.
    pub not_noted: Option<String>,
}

impl Rds {
    /// Does what is planned: notes it in the new instance's tags, makes each rename, waits for it, and holds the endpoint
    /// against the name. After an error or a kill, plan again: only what is left is planned; what `steps` say then, and where the
    /// names are, [`names_left`](Self::names_left) tells. A way back is planned until
    /// [`note_taken_back`](Self::note_taken_back) says that nothing is left of it.
    ///
    /// # Errors
    /// [`Error::Overtaken`] where names or tags are others than planned; what RDS refuses; [`Error::GaveUp`] and the like
    /// while waiting; [`Error::Differs`] when the name does not lead to the instance that shall serve. That the end could not be
    /// noted is none, as all renames are made then: [`CutOverReport::not_noted`].
    pub async fn cut_over(
        &self,
        plan: &CutOverPlan,
        steps: &Steps,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<CutOverReport> {
        let serving = if plan.goes_back { &plan.source_resource } else { &plan.new_resource };
        // Between the two renames the name leads nowhere: the first is asked for when RDS would take the second.
        for rename in &plan.renames {
            self.wait_to_rename(rename, rename.resource == *serving, waiting, now, report).await?;
        }
        self.check_still_as_planned(plan).await?;
        let state = if plan.goes_back { marks::GOING_BACK } else { marks::BEGUN };
        self.note(plan, state).await?;
        for rename in &plan.renames {
            let made = async {
                self.wait_to_rename(rename, rename.resource == *serving, waiting, now, report).await?;
                self.rename(rename, steps).await?;
                self.wait_renamed(rename, rename.resource == *serving, waiting, now, report).await?;
                steps.made();
                Ok(())
            };
            made.await.map_err(|failure| match failure {
                // The way back stands in the tags of what is gone.
                Error::Gone { .. } | Error::NotFound { .. }
                    if rename.resource == plan.new_resource && !plan.goes_back =>
                {
                    let (aside, name) = (plan.aside.clone(), plan.name.clone());
                    Error::LeftAside { aside, name, failure: Box::new(failure) }
                }
                failure => failure,
            })?;
        }
        let expected = serving;
        let serving = self.instance(&plan.name).await?;
        if serving.resource_id != *expected || serving.endpoint.is_none() || !serving.keeps(&plan.name) {
            let differences = vec![match serving.keeps(&plan.name) {
                true => format!("the name leads to {}, not to {expected}", serving.resource_id),
                false => format!("{}, which has the name, is being renamed", serving.resource_id),
            }];
            return Err(Error::Differs { subject: plan.name.clone(), differences });
        }
        let not_noted = match plan.goes_back {
            true => None,
            false => self.note(plan, marks::DONE).await.err().map(|failure| failure.to_string()),
        };
        let way_back = (!plan.goes_back).then(|| format!("holdpoint rds cut-over {} --back", plan.name));
        Ok(CutOverReport { plan: plan.clone(), serving, way_back, not_noted })
    }

    /// Notes that a way back came to its end, with all that follows from it elsewhere.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:AddTagsToResource`; [`Error::Gone`]. The way back is planned again then.
    pub async fn note_taken_back(&self, plan: &CutOverPlan) -> Result<()> {
        self.note(plan, marks::TAKEN_BACK).await
    }

    /// Writes down how far it is. ARNs follow names, so the instance is looked up anew.
    async fn note(&self, plan: &CutOverPlan, state: &str) -> Result<()> {
        let subject = || plan.apart.clone();
        let new = self.find_resource(&plan.new_resource).await?.ok_or_else(|| Error::Gone { subject: subject() })?;
        let mut tags: Tags = [
            (marks::CUT_OVER_STATE, state),
            (marks::CUT_OVER_NAME, &plan.name),
            (marks::CUT_OVER_ASIDE, &plan.aside),
            (marks::CUT_OVER_WAS, &plan.apart),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let unchecked = plan.unchecked.as_deref().map(marks::value);
        if unchecked.is_some() || new.tags.contains_key(marks::UNCHECKED) {
            tags.insert(marks::UNCHECKED.to_owned(), unchecked.unwrap_or_default());
        }
        self.tag(&new.arn, &new.name, &tags).await
    }
}
