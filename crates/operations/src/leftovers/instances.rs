//! RDS instances that were made for some work, whose maker was killed before it dropped them.

use chrono::TimeDelta;
use holdpoint_rds::{DropOptions, Made, Maker, Standing, standing};

use super::{Found, Leftover, LeftoverKind, Unseen, What, judge_age};
use crate::Error;
use crate::rds::{ControlPlane, RdsSource, list, lives, told};

/// Finds the temporary instances that were made of one. A maker that is seen to have ended proves that nobody needs its
/// instance, whatever its age; one of another machine is judged by age.
pub(super) async fn find(source: &RdsSource, min_age: TimeDelta, unseen: &mut Vec<Unseen>) -> Vec<Found> {
    let made = match list(&source.plane).await {
        Ok(report) => report.instances,
        Err(error) => {
            let place = format!("instances made of the RDS instance {}", source.instance);
            unseen.push(Unseen { place, reason: error.line() });
            return Vec::new();
        }
    };
    let is_of_it = |one: &Made| {
        let of = one.source.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&source.instance));
        of && standing(&one.status) != Standing::Going
    };
    let temporary = made.into_iter().filter(is_of_it).filter_map(|one| one.maker.clone().map(|maker| (one, maker)));
    temporary.map(|(made, maker)| judged(source, made, &maker, min_age)).collect()
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
