//! How far a cut-over of an instance is, by its tags and the names of now.

use crate::instance::Instance;
use crate::marks;
use crate::name::same;

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
pub(crate) fn serves_for(one: &Instance, source: &Instance) -> bool {
    marks::is_own(&one.tags, &one.resource_id)
        && marks::is_made_of(&one.tags, &source.resource_id)
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
