//! What shows that the database itself is as before: its owner, grants, comment and settings, and its large objects.
//!
//! No way but a restore brings these back, and nobody can tell who set one: what is not as before is open.

use holdpoint_core::fingerprint::{Aspect, Difference};
use holdpoint_core::ledger::RunStep;
use holdpoint_core::quantity::listed;
use holdpoint_operations::compare::{CompareReport, LargeObjectDifferences};

use super::rows::Told;

const NAMED: usize = 5;

/// Judges the database's own properties and large objects: `then` is how they differ from the run's restore point,
/// `since` from the one made right before the undo, and `added_by_run` how many large objects the run is known to have
/// made.
pub(super) fn judge_database(then: &CompareReport, since: Option<&CompareReport>, added_by_run: Option<u64>) -> Told {
    if !then.whole {
        let part = "not looked at: large objects, and settings, grants, comment and owner of the database, for the \
                    restore point holds a part of it";
        return Told { proof: vec![part.to_owned()], ..Told::default() };
    }
    let mut told = properties(&then.properties, since.map(|since| since.properties.as_slice()));
    let objects = large_objects(&then.large_objects, since.map(|since| &since.large_objects), added_by_run);
    told.proof.extend(objects.proof);
    told.open.extend(objects.open);
    told.proof.extend(then.not_read.iter().map(|what| format!("not looked at: {what}")));
    told
}

/// How many large objects a run that applied everything made, by its rehearsal; `None` where nobody knows.
pub(super) fn added_by_run(step: &RunStep, fully: bool) -> Option<u64> {
    let rehearsal = step.rehearsal.as_deref().filter(|_| fully)?;
    let unread = rehearsal.not_told.iter().any(|what| what.starts_with("large objects: "));
    (!unread).then(|| rehearsal.large_objects.map_or(0, |objects| objects.inserted))
}

fn properties(then: &[Difference], since: Option<&[Difference]>) -> Told {
    let mut told = Told::default();
    // An extension that came or went is told as an object.
    let own = |one: &&Difference| one.aspect != Aspect::Extension || (one.expected.is_some() && one.found.is_some());
    let known = |of: &[Difference], name: &str| of.iter().any(|one| one.name == name);
    for one in then.iter().filter(own) {
        let how = match (&one.expected, &one.found) {
            (_, None) => "is gone",
            (None, _) => "stays",
            _ => "is not as before",
        };
        let by = match since.map(|since| known(since, &one.name)) {
            Some(true) => "set since the undo began",
            _ => "by the run, or set since",
        };
        told.open.push(format!("{} {how}: {by}", one.name));
    }
    if told.open.is_empty() {
        told.proof.push("owner, grants, comment and settings of the database are as before".to_owned());
    }
    told
}

fn large_objects(
    then: &LargeObjectDifferences,
    since: Option<&LargeObjectDifferences>,
    added_by_run: Option<u64>,
) -> Told {
    let mut told = Told::default();
    let such = |is: fn(&Difference) -> bool| {
        let names: Vec<String> =
            then.examples.iter().filter(|one| is(one)).map(|one| one.name.replace("large object ", "")).collect();
        if names.is_empty() { String::new() } else { format!(" ({})", listed(&names, NAMED)) }
    };
    if then.gone > 0 {
        told.open.push(format!("{} large objects{} are gone", then.gone, such(|one| one.found.is_none())));
    }
    if then.changed > 0 {
        let names = such(|one| one.expected.is_some() && one.found.is_some());
        told.open.push(format!("{} large objects{names} have another content", then.changed));
    }
    if then.owners_or_grants {
        told.open.push("large objects belong to another role than before, or have other grants".to_owned());
    }
    if then.added > 0 {
        let what = format!("{} large objects{} are new", then.added, such(|one| one.expected.is_none()));
        if added_by_run == Some(0) && since.is_some_and(|since| since.added == 0) {
            told.proof.push(format!("{what}: written since, for the run makes none"));
        } else {
            told.open.push(format!("{what}: by the run or its undo, or written since"));
        }
    }
    let taken = since.map(|since| since.gone).unwrap_or_default();
    if taken > added_by_run.unwrap_or_default() {
        let whose = match added_by_run {
            Some(added) => format!("and the run made {added}"),
            None => "and nobody knows how many of them the run made".to_owned(),
        };
        told.open.push(format!("{taken} large objects that were there when the undo began are gone, {whose}"));
    }
    if *then == LargeObjectDifferences::default() && since.is_some_and(|since| *since != *then) {
        told.proof.push("large objects are those of the restore point".to_owned());
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(aspect: Aspect, name: &str, expected: Option<&str>, found: Option<&str>) -> Difference {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Difference { aspect, name: name.to_owned(), expected: text(expected), found: text(found) }
    }

    #[test]
    fn what_is_set_otherwise_than_before_is_open_whoever_set_it() {
        let setting = |expected, found| property(Aspect::DatabaseProperty, "setting a for all roles", expected, found);
        let stays = setting(None, Some("a value"));
        let told = properties(std::slice::from_ref(&stays), Some(&[]));
        assert_eq!(told.open, ["setting a for all roles stays: by the run, or set since"]);
        let other = setting(Some("a value"), Some("another"));
        let told = properties(std::slice::from_ref(&other), Some(std::slice::from_ref(&other)));
        assert_eq!(told.open, ["setting a for all roles is not as before: set since the undo began"]);
        let again = properties(&[], Some(&[stays]));
        assert_eq!((again.open.len(), again.proof.len()), (0, 1), "the way took it away again");
        let extension = |found| property(Aspect::Extension, "extension e", Some("1.0"), found);
        assert_eq!(properties(&[extension(Some("1.1"))], None).open.len(), 1);
        assert_eq!(properties(&[extension(None)], None).open, [""; 0], "the schema tells that");
    }

    #[test]
    fn large_objects_are_as_before_or_others_where_the_run_makes_none() {
        let differ = |gone, changed, added| LargeObjectDifferences { gone, changed, added, ..Default::default() };
        let open = |then: &LargeObjectDifferences, since: &LargeObjectDifferences, by_run| {
            large_objects(then, Some(since), by_run).open.len()
        };
        let none = differ(0, 0, 0);
        assert_eq!(open(&none, &none, None), 0);
        assert_eq!(open(&differ(1, 0, 0), &none, Some(0)), 1);
        assert_eq!(open(&differ(0, 1, 0), &none, Some(0)), 1);
        assert_eq!(open(&LargeObjectDifferences { owners_or_grants: true, ..none.clone() }, &none, Some(0)), 1);
        assert_eq!(open(&differ(0, 0, 2), &none, Some(0)), 0, "others wrote them before the undo");
        assert_eq!(open(&differ(0, 0, 2), &differ(0, 0, 1), Some(0)), 1, "and one came with it");
        for by_run in [Some(1), None] {
            assert_eq!(open(&differ(0, 0, 2), &none, by_run), 1, "{by_run:?}");
        }
        assert_eq!(open(&none, &differ(1, 0, 0), Some(1)), 0, "its own");
        for by_run in [Some(0), None] {
            assert_eq!(open(&none, &differ(1, 0, 0), by_run), 1, "others', {by_run:?}");
        }
    }
}
