//! What a cut-over will do, in either direction, by the names and tags of now.

use serde::Serialize;

use crate::client::Rds;
use crate::cut_over_marks::{has_renamed, serves_for, source_of, was_taken_back};
use crate::error::{Error, Result};
use crate::instance::{Endpoint, Instance};
use crate::marks;
use crate::name::{check_name, same, with_ending};
use crate::rename::Rename;
use crate::standing::Standing;

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

impl Rds {
    /// Plans a cut-over to an instance that [`finish_restore`](Self::finish_restore) found as asked, or the rest of one
    /// that was begun; `goes_back` plans the way back. `new` is any name that the new instance had or has. One that was
    /// noted, but of which RDS refused the first rename, is planned anew.
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::Unready`], [`Error::NameTaken`], [`Error::NameInTheWay`], [`Error::OwnName`],
    /// [`Error::NotCutOver`], [`Error::Ambiguous`], [`Error::Gone`] when either instance is away; [`Error::WrongState`]
    /// while RDS renames one of them for the other direction; [`Error::SourceAside`] while another one serves in the
    /// place of the source; [`Error::Overtaken`] where another one has the production name by now.
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
    pub(crate) async fn check_still_as_planned(&self, plan: &CutOverPlan) -> Result<()> {
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
