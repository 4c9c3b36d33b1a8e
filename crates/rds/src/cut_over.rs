//! The cut-over by rename: the source goes aside, the new instance takes its name; and the way back.
//!
//! What was planned stands in the new instance's tags before the first rename, and where each instance is shows in its
//! resource id. So every step is found done or not, and a killed cut-over goes on in another process.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::client::Rds;
use crate::error::{Awaited, Error, Result};
use crate::failure::classify;
use crate::halfway::Steps;
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
    /// Whether it goes on with renames that were begun before: the data were looked at then.
    pub is_begun: bool,
    /// What the new instance's tags said of it when it was planned.
    #[serde(skip)]
    pub noted: Option<String>,
    /// Where the new instance was put into service once, and that was taken back, the name that it had before: it may hold what
    /// was written meanwhile.
    #[serde(skip)]
    pub taken_back: Option<String>,
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

impl Rename {
    /// Whether an instance has the name that it shall get, or is on its way to it.
    fn is_asked_for(&self, there: &Instance) -> bool {
        [Some(&there.name), there.renames_to.as_ref()].into_iter().flatten().any(|name| same(name, &self.to))
    }
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
    /// Why its end does not stand in the new instance's tags, where that failed: every rename is made, and the same cut-over
    /// notes it.
    pub not_noted: Option<String>,
}

impl Rds {
    /// Plans a cut-over to an instance that [`finish_restore`](Self::finish_restore) found as asked, or the rest of one
    /// that was begun; `goes_back` plans the way back. `new` is any name that the new instance had or has. One that was
    /// noted, but of which RDS refused the first rename, is planned anew.
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::Unready`], [`Error::NameTaken`], [`Error::NameInTheWay`], [`Error::OwnName`],
    /// [`Error::NotCutOver`], [`Error::Ambiguous`], [`Error::Gone`] when either instance is
    /// away; [`Error::WrongState`] while RDS renames one of them for the other direction; [`Error::SourceAside`] while another one serves in the place of the source; [`Error::Overtaken`] where another one has the
    /// production name by now.
    pub async fn plan_cut_over(&self, new: &str, aside: Option<&str>, goes_back: bool) -> Result<CutOverPlan> {
        let all = self.instances().await?;
        let instance = named(&all, new)?;
        let Some(instance) = instance else {
            return match all.iter().find(|one| same(&one.name, new)) {
                Some(_) => Err(Error::NotOurs { subject: new.to_owned() }),
                None if self.find_cluster(new).await?.is_some() => {
                    Err(Error::ClusterSource { subject: new.to_owned() })
                }
                None => Err(Error::NotFound { subject: new.to_owned() }),
            };
        };
        plan_of(&all, instance, aside, goes_back)
    }

    /// Whether all is still as a cut-over was planned. Between its plan and its first rename lie the check of the data and a
    /// question, which may take hours.
    async fn check_still_as_planned(&self, plan: &CutOverPlan) -> Result<()> {
        let all = self.instances().await?;
        let new = all.iter().find(|one| one.resource_id == plan.new_resource);
        let new = new.ok_or_else(|| Error::Gone { subject: plan.apart.clone() })?;
        let now = plan_of(&all, new, Some(&plan.aside), plan.goes_back)?;
        // RDS may have come to the end of a rename that another process asked for.
        let is_made =
            |rename: &Rename| all.iter().any(|one| one.resource_id == rename.resource && same(&one.name, &rename.to));
        let names = |plan: &CutOverPlan| [&plan.name, &plan.aside, &plan.apart].map(Clone::clone);
        let is_same = names(&now) == names(plan)
            && now.source_resource == plan.source_resource
            && (now.is_begun, &now.noted) == (plan.is_begun, &plan.noted)
            && plan.renames.iter().all(|rename| now.renames.contains(rename) || is_made(rename));
        if is_same { Ok(()) } else { Err(Error::Overtaken { subject: new.name.clone() }) }
    }

    /// Waits until RDS takes a rename of an instance that is at work on something else, such as a backup. Of one that `serves` then
    /// nothing but that it can be used is enough; what is wrong with the other may be why.
    async fn wait_to_rename(
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
    async fn wait_renamed(
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
    async fn rename(&self, rename: &Rename, steps: &Steps) -> Result<()> {
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

/// The instance of ours that somebody means by a name that it has or had. A name that nothing has may be the one between two
/// renames, or the one before them; a production name that several had, one after the other, is the last one's alone.
fn named<'a>(all: &'a [Instance], name: &str) -> Result<Option<&'a Instance>> {
    let ours = || all.iter().filter(|one| marks::is_own(&one.tags, &one.resource_id));
    let had = |one: &Instance, key: &str| one.tags.get(key).is_some_and(|had| same(had, name));
    if let Some(exact) = ours().find(|one| same(&one.name, name)) {
        return Ok(Some(exact));
    }
    let state = |one: &Instance, state: &str| one.tags.get(marks::CUT_OVER_STATE).is_some_and(|is| is == state);
    let is_under_way = |one: &&Instance| {
        (state(one, marks::BEGUN) || state(one, marks::GOING_BACK)) && has_renamed(one, source_of(one, all))
    };
    let serves = |one: &&Instance| one.tags.get(marks::CUT_OVER_NAME).is_some_and(|name| one.keeps(name));
    let was = || ours().filter(|one| had(one, marks::CUT_OVER_WAS));
    let under_way = ours().filter(|one| had(one, marks::CUT_OVER_WAS) || had(one, marks::CUT_OVER_NAME));
    for meant in [under_way.filter(is_under_way).collect(), was().filter(serves).collect(), was().collect::<Vec<_>>()] {
        match meant.as_slice() {
            [] => {}
            [one] => return Ok(Some(one)),
            several => {
                let names = several.iter().map(|one| one.name.clone()).collect();
                return Err(Error::Ambiguous { subject: name.to_owned(), names });
            }
        }
    }
    Ok(None)
}

/// Whether a cut-over to an instance was noted as begun and as neither done nor taken back.
#[must_use]
pub fn is_cut_over_begun(instance: &Instance) -> bool {
    instance.tags.get(marks::CUT_OVER_STATE).is_some_and(|state| state == marks::BEGUN)
}

/// Whether an instance was put into service once, by a cut-over that was taken back: it may hold what was written meanwhile. So
/// it is also where that was not noted, because whoever took it back was killed before.
#[must_use]
pub fn was_taken_back(instance: &Instance) -> bool {
    match instance.tags.get(marks::CUT_OVER_STATE).map(String::as_str) {
        Some(marks::TAKEN_BACK) => true,
        Some(marks::GOING_BACK) => instance.tags.get(marks::CUT_OVER_WAS).is_some_and(|was| instance.keeps(was)),
        _ => false,
    }
}

/// What an instance was made of, by its tag, whatever it is called now.
pub(crate) fn source_of<'a>(one: &Instance, all: &'a [Instance]) -> Option<&'a Instance> {
    let id = one.tags.get(marks::SOURCE_RESOURCE).filter(|id| !id.is_empty())?;
    all.iter().find(|other| other.resource_id == *id)
}

/// Whether a cut-over renamed an instance or its source, or is renaming one, and was not taken back. One that was only noted,
/// because RDS refused its first rename, has not, whatever names they got by hand since.
pub(crate) fn has_renamed(instance: &Instance, source: Option<&Instance>) -> bool {
    let tag = |key: &str| instance.tags.get(key);
    let Some(state) = tag(marks::CUT_OVER_STATE).filter(|state| *state != marks::TAKEN_BACK) else { return false };
    if state == marks::BEGUN {
        // Any other name was given by somebody else, and nothing is gone on with.
        let gets = |one: Option<&Instance>, name| one.zip(tag(name)).is_some_and(|(one, name)| one.has_or_gets(name));
        return gets(source, marks::CUT_OVER_ASIDE) || gets(Some(instance), marks::CUT_OVER_NAME);
    }
    let keeps = |one: Option<&Instance>, name| one.zip(tag(name)).is_some_and(|(one, name)| one.keeps(name));
    !(keeps(source, marks::CUT_OVER_NAME) && keeps(Some(instance), marks::CUT_OVER_WAS))
}

/// Whether an instance of ours stands in the place of a source by a cut-over, or is on its way there or back.
fn serves_for(one: &Instance, source: &Instance) -> bool {
    marks::is_own(&one.tags, &one.resource_id)
        && one.tags.get(marks::SOURCE_RESOURCE).is_some_and(|id| *id == source.resource_id)
        && has_renamed(one, Some(source))
}

/// The instance whose cut-over, or its way back, needs a name: a new one of that name would be in the way.
pub(crate) fn kept_for<'a>(all: &'a [Instance], name: &str) -> Option<&'a Instance> {
    let needs = |one: &Instance| {
        [marks::CUT_OVER_NAME, marks::CUT_OVER_ASIDE, marks::CUT_OVER_WAS]
            .iter()
            .any(|key| one.tags.get(*key).is_some_and(|needed| same(needed, name)))
    };
    all.iter().filter(|one| needs(one) && marks::is_own(&one.tags, &one.resource_id)).find(|one| {
        let source = source_of(one, all);
        // Without its source there is no way back.
        source.is_some() && has_renamed(one, source)
    })
}

/// Plans a cut-over to an instance, by what RDS says of all.
fn plan_of(all: &[Instance], instance: &Instance, wanted: Option<&str>, goes_back: bool) -> Result<CutOverPlan> {
    if let Some(cluster) = &instance.cluster {
        return Err(Error::ClusterMember { source_name: instance.name.clone(), cluster: cluster.clone() });
    }
    let tag = |key: &str| instance.tags.get(key).cloned();
    let Some(source) = source_of(instance, all) else {
        let subject = tag(marks::SOURCE).or_else(|| tag(marks::SOURCE_RESOURCE)).unwrap_or_default();
        return Err(Error::Gone { subject });
    };
    let is_renamed = has_renamed(instance, Some(source));
    if !is_renamed && let Some(serving) = all.iter().find(|one| serves_for(one, source)) {
        let (subject, aside, serving) = (instance.name.clone(), source.name.clone(), serving.name.clone());
        return Err(Error::SourceAside { subject, aside, serving });
    }
    // One of which nothing was renamed was not begun.
    let noted = tag(marks::CUT_OVER_STATE).filter(|state| is_renamed || state != marks::BEGUN);
    if !instance.tags.contains_key(marks::READY_AT) {
        return Err(Error::Unready { subject: instance.name.clone() });
    }
    if goes_back && noted.as_deref().is_none_or(|state| state == marks::TAKEN_BACK) {
        return Err(Error::NotCutOver { subject: instance.name.clone() });
    }
    // What a begun one wrote down is what is gone on with.
    let begun = is_renamed || goes_back;
    let name = tag(marks::CUT_OVER_NAME).filter(|_| begun).unwrap_or_else(|| source.name.clone());
    let apart = tag(marks::CUT_OVER_WAS).filter(|_| begun).unwrap_or_else(|| instance.name.clone());
    let planned = wanted.map_or_else(|| with_ending(&name, "-old"), str::to_owned);
    let aside = tag(marks::CUT_OVER_ASIDE).filter(|_| begun).unwrap_or(planned);
    check_name(&aside)?;
    // Where it is the source's own, nothing would be renamed, and nobody could tell that from a rename that is made.
    if !begun && same(&aside, &name) {
        return Err(Error::OwnName { name: aside });
    }
    if !begun && same(&aside, &apart) {
        return Err(Error::NameTaken { name: aside });
    }
    for taken in [&aside, &name, &apart] {
        let by = all.iter().find(|one| same(&one.name, taken));
        let both = [source.resource_id.as_str(), instance.resource_id.as_str()];
        if by.is_some_and(|by| !both.contains(&by.resource_id.as_str())) {
            if begun && same(taken, &name) {
                return Err(Error::Overtaken { subject: instance.name.clone() });
            }
            return Err(match begun {
                true => Error::NameInTheWay { subject: instance.name.clone(), name: taken.clone() },
                false => Error::NameTaken { name: taken.clone() },
            });
        }
    }
    let gets = if goes_back { [(source, &name), (instance, &apart)] } else { [(source, &aside), (instance, &name)] };
    for (one, to) in gets {
        // What RDS does for the other direction ends first: by the names of now nothing would be left to do.
        if let Some(next) = one.renames_to.as_ref().filter(|next| !same(next, to)) {
            let message = format!("RDS renames it to {next}");
            return Err(Error::WrongState { subject: one.name.clone(), message });
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
    if !goes_back && wanted.is_some_and(|wanted| !same(wanted, &aside)) {
        warnings.push(format!("it was begun before: {} goes aside as {aside}", source.name));
    }
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
        is_begun: !goes_back && noted.as_deref() == Some(marks::BEGUN),
        taken_back: tag(marks::CUT_OVER_WAS).filter(|_| !is_renamed && was_taken_back(instance)),
        noted,
        warnings,
    })
}
