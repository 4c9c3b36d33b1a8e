//! Waivers: risks that somebody takes, with a reason that is recorded.

use serde::{Deserialize, Serialize};

use crate::{Catalog, Finding, ObjectClass, ObjectName, Requirement, Review, RiskClass, RiskPolicy};

/// A risk that somebody takes. It comes from flags or configuration, never from the SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The class.
    pub rule: RiskClass,
    /// The object, as a statement by the migrating role would name it, or the file's name where a finding has none; all
    /// of the class where it is left out.
    #[serde(default)]
    pub object: Option<String>,
    /// Why. A waiver without one has no effect.
    pub reason: String,
}

/// One risk of one finding, weighed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Weighed {
    /// The file.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The class.
    pub class: RiskClass,
    /// The object, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What the policy asks for.
    pub requirement: Requirement,
    /// The reason of the waiver that lets it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

/// What a policy asks for a review as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// The most that is asked for, waived risks left out.
    pub requirement: Requirement,
    /// Every risk for which something is asked.
    pub risks: Vec<Weighed>,
    /// Waivers that fit nothing, or have no reason: their place in the list that was given.
    pub unused: Vec<usize>,
}

/// Weighs a review by a policy.
///
/// With a catalog the names in waivers and in statements are compared by the relations that they mean: a waiver for
/// `public.users` is one for `users`, and none for `users` in a statement that means another schema's.
pub fn assess(review: &Review, policy: &RiskPolicy, waivers: &[Waiver], catalog: Option<&Catalog>) -> Assessment {
    let mut used = vec![false; waivers.len()];
    let mut risks = Vec::new();
    for (file, finding) in review.findings() {
        let object = finding.target.as_ref().map(|target| target.name.to_string());
        for class in finding.risks() {
            let requirement = policy.requirement(class);
            if requirement == Requirement::Nothing {
                continue;
            }
            let fits = |waiver: &Waiver| {
                waiver.rule == class
                    && !waiver.reason.trim().is_empty()
                    && waiver.object.as_deref().is_none_or(|object| names(object, file, finding, catalog))
            };
            let place = waivers.iter().position(fits);
            if let Some(place) = place {
                used[place] = true;
            }
            risks.push(Weighed {
                file: file.to_owned(),
                line: finding.line,
                class,
                object: object.clone(),
                requirement,
                waived: place.map(|place| waivers[place].reason.clone()),
            });
        }
    }
    let open = risks.iter().filter(|risk| risk.waived.is_none()).map(|risk| risk.requirement);
    let requirement = open.fold(Requirement::Nothing, Requirement::and);
    let unused = used.iter().enumerate().filter(|(_, used)| !**used).map(|(place, _)| place).collect();
    Assessment { requirement, risks, unused }
}

/// Whether what a person typed names what a finding acts on.
fn names(typed: &str, file: &str, finding: &Finding, catalog: Option<&Catalog>) -> bool {
    let Some(target) = &finding.target else { return typed == file };
    let is_relation = matches!(
        target.class,
        ObjectClass::Table | ObjectClass::View | ObjectClass::MaterializedView | ObjectClass::Constraint
    );
    if let Some(catalog) = catalog.filter(|_| is_relation) {
        let name = target.before.as_ref().unwrap_or(&target.name);
        let meant = catalog.meant(name, finding.search_path.as_deref());
        if !meant.is_empty() {
            let typed = catalog.named(typed);
            return typed.is_some_and(|typed| meant.iter().all(|one| one.name == *typed));
        }
    }
    typed == target.name.to_string() || ObjectName::typed(typed).as_ref() == Some(&target.name)
}
