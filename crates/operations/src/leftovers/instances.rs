//! RDS instances that were made for some work, whose maker was killed before it dropped them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use holdpoint_rds::{DropOptions, Made, Maker, Standing, standing};

use super::{Found, Leftover, LeftoverKind, Unseen, What, judge_age};
use crate::Error;
use crate::rds::{ControlPlane, RdsSource, list, lives, told};

/// Finds the temporary instances that were made of one, whatever names cut-overs gave it and them. A maker that is seen to
/// have ended proves that nobody needs its instance, whatever its age; one of another machine is judged by age.
pub(super) async fn find(source: &RdsSource, min_age: TimeDelta, unseen: &mut Vec<Unseen>) -> Vec<Found> {
    let made = match list(&source.plane).await {
        Ok(report) => report.instances,
        Err(error) => {
            let place = format!("instances made of the RDS instance {}", source.instance);
            unseen.push(Unseen { place, reason: error.line() });
            return Vec::new();
        }
    };
    let kin = kin_of(&source.instance, &made);
    let is_of_it = |one: &Made| {
        let of = is_of(&source.instance, one) || one.source_resource.as_ref().is_some_and(|id| kin.contains(id));
        of && standing(&one.status) != Standing::Going
    };
    let temporary = made.into_iter().filter(is_of_it).filter_map(|one| one.maker.clone().map(|maker| (one, maker)));
    temporary.map(|(made, maker)| judged(source, made, &maker, min_age)).collect()
}

fn is_of(instance: &str, made: &Made) -> bool {
    made.source.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(instance))
}

/// The resource ids of all that has the name of an instance, was made of it, or that it was made of: cut-overs hand the name on.
fn kin_of(instance: &str, made: &[Made]) -> BTreeSet<String> {
    let mut kin = BTreeSet::new();
    let mut known = 0;
    loop {
        for one in made {
            if one.name.eq_ignore_ascii_case(instance) || is_of(instance, one) || kin.contains(&one.resource_id) {
                kin.insert(one.resource_id.clone());
                kin.extend(one.source_resource.clone());
            }
        }
        if kin.len() == known {
            return kin;
        }
        known = kin.len();
    }
}

fn judged(source: &RdsSource, made: Made, maker: &Maker, min_age: TimeDelta) -> Found {
    let by = format!("made for {} by {}", maker.needed_for, told(maker));
    let (dead, reason) = match lives(maker) {
        Some(true) => (false, format!("{by}, which runs")),
        Some(false) => (true, format!("{by}, which ended without dropping it; it costs")),
        None => {
            let (dead, age) = judge_age(made.made_at, Some((source.plane.clock)()), min_age);
            (dead, format!("{by}; {age}; it costs"))
        }
    };
    let leftover = Leftover {
        kind: LeftoverKind::TemporaryInstance,
        place: made.name.clone(),
        id: made.resource_id,
        since: made.made_at,
        bytes: made.storage_gib.map(|gib| u64::from(gib) << 30),
        dead,
        reason,
        removed: false,
        problem: None,
    };
    Found { leftover, what: What::Instance { plane: Box::new(source.plane.clone()), name: made.name } }
}

/// Drops one; RDS has taken that on when this returns.
pub(super) async fn drop_instance(plane: &ControlPlane, name: &str) -> Result<(), Error> {
    let options = DropOptions { name: name.to_owned(), ..DropOptions::default() };
    let plan = plane.rds.plan_drop(&options).await?;
    let mut listen = plane.listener(None);
    Ok(plane.rds.begin_drop(&plan, &plane.waiting, (plane.clock)(), &mut listen).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_of_the_instance_is_known_through_cut_overs() {
        let made = |name: &str, id: &str, source: &str, source_resource: &str| Made {
            name: name.to_owned(),
            resource_id: id.to_owned(),
            source: Some(source.to_owned()),
            source_resource: Some(source_resource.to_owned()),
            ..Made::default()
        };
        let kin = |all: &[Made]| kin_of("shop", all).into_iter().collect::<Vec<_>>().join(" ");
        // `shop` was db-0, then db-1 made of it, and is db-2 made of db-1; what verifies snapshots of db-0 was made of another name.
        let second = made("shop", "db-2", "shop", "db-1");
        let first = made("shop-old-2", "db-1", "shop", "db-0");
        assert_eq!(
            kin(&[second.clone(), first.clone(), made("shop-old-verify", "db-9", "shop-old", "db-0")]),
            "db-0 db-1 db-2"
        );
        // Also where the one in between was put into service under another name, and where that went back.
        assert_eq!(kin(&[Made { source: Some("other".into()), ..first }, second]), "db-0 db-1 db-2");
        assert_eq!(kin(&[made("shop-new", "db-1", "SHOP", "db-0")]), "db-0 db-1");
        assert_eq!(kin(&[made("pool-r", "db-5", "pool", "db-4")]), "");
    }
}
