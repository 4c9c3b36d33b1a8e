//! The cut-over by rename: the source goes aside, the new instance takes its name; and the way back.
//!
//! What was planned stands in the new instance's tags before the first rename, and where each instance is shows in its
//! resource id. So every step is found done or not, and a killed cut-over goes on in another process.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::client::Rds;
use crate::error::{Awaited, Error, Result};
use crate::failure::classify;
use crate::instance::{Endpoint, Instance};
use crate::marks::{self, Tags};
use crate::name::{check_name, same, with_ending};
use crate::standing::Standing;
use crate::wait::{Reading, Waiting, Whom};

/// What a cut-over does, in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CutOverPlan {
    /// The production name.
    pub name: String,
    /// The name that the source has, or gets, while the new instance serves.
    pub aside: String,
    /// The name that the new instance has, or gets, while the source serves.
    pub apart: String,
    /// The resource id of the source.
    pub source_resource: String,
    /// The resource id of the new instance.
    pub new_resource: String,
    /// Whether the source takes its name back.
    pub goes_back: bool,
    /// The renames, in order, as far as they are not made yet.
    pub renames: Vec<Rename>,
    /// Why the data of the new instance are not checked, where somebody decided that.
    pub unchecked: Option<String>,
    /// Where the production name leads at present.
    pub endpoint: Option<Endpoint>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

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

/// A cut-over that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CutOverReport {
    /// What was done.
    pub plan: CutOverPlan,
    /// The instance that has the production name now.
    pub serving: Instance,
    /// The command that takes it back.
    pub way_back: Option<String>,
}

impl Rds {
    /// Plans a cut-over to an instance that [`finish_restore`](Self::finish_restore) found as asked, or the rest of one
    /// that was begun; `goes_back` plans the way back. `new` is any name that the new instance had or has.
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::Unready`], [`Error::NameTaken`], [`Error::Gone`] when either instance is away.
    pub async fn plan_cut_over(&self, new: &str, aside: Option<&str>, goes_back: bool) -> Result<CutOverPlan> {
        let all = self.instances().await?;
        let had = |one: &&Instance, key: &str| one.tags.get(key).is_some_and(|name| same(name, new));
        let ours = || all.iter().filter(|one| marks::is_ours(&one.tags));
        let instance = ours()
            .find(|one| same(&one.name, new))
            .or_else(|| ours().find(|one| had(one, marks::CUT_OVER_WAS) || had(one, marks::CUT_OVER_NAME)));
        let Some(instance) = instance else {
            return match all.iter().find(|one| same(&one.name, new)) {
                Some(_) => Err(Error::NotOurs { subject: new.to_owned() }),
                None if self.find_cluster(new).await?.is_some() => {
                    Err(Error::ClusterSource { subject: new.to_owned() })
                }
                None => Err(Error::NotFound { subject: new.to_owned() }),
            };
        };
        if let Some(cluster) = &instance.cluster {
            return Err(Error::ClusterMember { source_name: instance.name.clone(), cluster: cluster.clone() });
        }
        let tag = |key: &str| instance.tags.get(key).cloned();
        let source_resource = tag(marks::SOURCE_RESOURCE).unwrap_or_default();
        let source = all.iter().find(|one| one.resource_id == source_resource && !source_resource.is_empty());
        let Some(source) = source else {
            return Err(Error::Gone { subject: tag(marks::SOURCE).unwrap_or_else(|| source_resource.clone()) });
        };
        let state = tag(marks::CUT_OVER_STATE).filter(|state| state != marks::TAKEN_BACK);
        if !instance.tags.contains_key(marks::READY_AT) {
            return Err(Error::Unready { subject: instance.name.clone() });
        }
        if goes_back && state.is_none() {
            return Err(Error::NotCutOver { subject: instance.name.clone() });
        }
        // What a begun one wrote down is what is gone on with.
        let begun = state.is_some();
        let name = tag(marks::CUT_OVER_NAME).filter(|_| begun).unwrap_or_else(|| source.name.clone());
        let apart = tag(marks::CUT_OVER_WAS).filter(|_| begun).unwrap_or_else(|| instance.name.clone());
        let planned = aside.map_or_else(|| with_ending(&name, "-old"), str::to_owned);
        let aside = tag(marks::CUT_OVER_ASIDE).filter(|_| begun).unwrap_or(planned);
        check_name(&aside)?;
        for taken in [&aside, &name, &apart] {
            let by = all.iter().find(|one| same(&one.name, taken));
            let both = [source.resource_id.as_str(), instance.resource_id.as_str()];
            if by.is_some_and(|by| !both.contains(&by.resource_id.as_str())) {
                return Err(Error::NameTaken { name: taken.clone() });
            }
        }
        let rename = |one: &Instance, to: &str| {
            (!same(&one.name, to)).then(|| Rename {
                resource: one.resource_id.clone(),
                from: one.name.clone(),
                to: to.to_owned(),
            })
        };
        let renames = if goes_back {
            [rename(instance, &apart), rename(source, &name)]
        } else {
            [rename(source, &aside), rename(instance, &name)]
        };
        let mut warnings = Vec::new();
        if !source.replicas.is_empty() {
            warnings.push(format!("read replicas stay with the source: {}", source.replicas.join(", ")));
        }
        warnings.push("the name leads nowhere until RDS has renamed both, which may take ten minutes".to_owned());
        warnings.push("what is written to the instance that goes aside stays there: end its writers first".to_owned());
        for one in [source, instance] {
            if one.standing() != Standing::Usable {
                warnings.push(format!("{} is {}", one.name, one.status));
            }
        }
        let serving = all.iter().find(|one| same(&one.name, &name));
        Ok(CutOverPlan {
            endpoint: serving.and_then(|one| one.endpoint.clone()),
            source_resource: source.resource_id.clone(),
            new_resource: instance.resource_id.clone(),
            renames: renames.into_iter().flatten().collect(),
            unchecked: tag(marks::UNCHECKED).filter(|reason| begun && !reason.is_empty()),
            name,
            aside,
            apart,
            goes_back,
            warnings,
        })
    }

    /// Does what is planned: notes it in the new instance's tags, makes each rename, waits for it, and holds the endpoint
    /// against the name. After an error or a kill, plan again: only what is left is planned.
    ///
    /// # Errors
    /// What RDS refuses; [`Error::GaveUp`] and the like while waiting; [`Error::Differs`] when the name does not lead to
    /// the instance that shall serve.
    pub async fn cut_over(
        &self,
        plan: &CutOverPlan,
        waiting: &Waiting,
        now: DateTime<Utc>,
        report: &mut (dyn FnMut(&Reading) + Send),
    ) -> Result<CutOverReport> {
        let state = if plan.goes_back { marks::GOING_BACK } else { marks::BEGUN };
        self.note(plan, state).await?;
        for rename in &plan.renames {
            const ACTION: &str = "ModifyDBInstance";
            let call = self.client.modify_db_instance().db_instance_identifier(&rename.from);
            let call = call.new_db_instance_identifier(&rename.to).apply_immediately(true);
            match call.send().await.map_err(|failure| classify(failure, ACTION, &rename.from)) {
                Ok(_) => {}
                Err(Error::NameTaken { .. }) => return Err(Error::NameTaken { name: rename.to.clone() }),
                Err(error) => return Err(error),
            }
            let whom = Whom::Resource { id: &rename.resource, until_named: &rename.to };
            match self.wait_for(whom, waiting, now, report).await {
                Ok(_) => {}
                Err(Error::GaveUp { subject, status, waited_seconds, .. }) => {
                    return Err(Error::GaveUp { subject, awaited: Awaited::Rename, status, waited_seconds });
                }
                Err(error) => return Err(error),
            }
        }
        let serving = self.instance(&plan.name).await?;
        let expected = if plan.goes_back { &plan.source_resource } else { &plan.new_resource };
        if serving.resource_id != *expected || serving.endpoint.is_none() {
            let differences = vec![format!("the name leads to {}, not to {expected}", serving.resource_id)];
            return Err(Error::Differs { subject: plan.name.clone(), differences });
        }
        self.note(plan, if plan.goes_back { marks::TAKEN_BACK } else { marks::DONE }).await?;
        let way_back = (!plan.goes_back).then(|| format!("holdpoint rds cut-over {} --back", plan.name));
        Ok(CutOverReport { plan: plan.clone(), serving, way_back })
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

/// Whether the renames of a cut-over to an instance were begun and not finished.
#[must_use]
pub fn is_cut_over_begun(instance: &Instance) -> bool {
    instance.tags.get(marks::CUT_OVER_STATE).is_some_and(|state| state == marks::BEGUN)
}
