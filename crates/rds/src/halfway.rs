//! Where the names are after a cut-over that ended between its renames: the production name leads nowhere then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::client::Rds;
use crate::cut_over_plan::CutOverPlan;
use crate::error::Result;
use crate::instance::Instance;
use crate::marks;
use crate::name::same;

/// How many renames of a plan RDS was told to make, and how many it made: for whoever ends a cut-over, as work that is dropped
/// tells nothing.
#[derive(Debug, Default)]
pub struct Steps {
    asked: AtomicUsize,
    made: AtomicUsize,
}

impl Steps {
    /// Right before RDS is told: whoever is ended meanwhile does not know whether it heard.
    pub(crate) fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// RDS refused what it was told last.
    pub(crate) fn refused(&self) {
        self.asked.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn made(&self) {
        self.made.fetch_add(1, Ordering::SeqCst);
    }
}

impl Rds {
    /// Where the names are by which a cut-over that failed or was ended goes on, in words; `None` where nothing was renamed and
    /// nothing is being. RDS is asked for at most `within`; where it does not answer, what is known without it is told.
    pub async fn names_left(&self, plan: &CutOverPlan, steps: &Steps, within: Duration) -> Option<String> {
        let known = Known::of(plan, steps)?;
        match tokio::time::timeout(within, self.with_both(plan)).await {
            Ok(Ok(all)) => known.by(&all),
            Ok(Err(_)) | Err(_) => Some(known.unseen()),
        }
    }

    /// All instances; the two of a plan also where a list does not show one that is being renamed.
    async fn with_both(&self, plan: &CutOverPlan) -> Result<Vec<Instance>> {
        let mut all = self.instances().await?;
        for id in [&plan.source_resource, &plan.new_resource] {
            if !all.iter().any(|one| one.resource_id == *id) {
                all.extend(self.find_resource(id).await?);
            }
        }
        Ok(all)
    }
}

/// What is known of a cut-over that has begun.
struct Known<'a> {
    plan: &'a CutOverPlan,
    /// Counted from the first rename of the whole cut-over, of which a plan may be the rest.
    asked: usize,
    made: usize,
}

impl<'a> Known<'a> {
    /// `None` where no rename was asked for, by this process or one before it.
    fn of(plan: &'a CutOverPlan, steps: &Steps) -> Option<Self> {
        let before = 2_usize.saturating_sub(plan.renames.len());
        let [asked, made] = [&steps.asked, &steps.made].map(|count| count.load(Ordering::SeqCst) + before);
        let was_begun = matches!(plan.noted.as_deref(), Some(marks::BEGUN | marks::GOING_BACK));
        (!plan.renames.is_empty() && (asked > 0 || was_begun)).then_some(Self { plan, asked, made })
    }

    fn parts(&self) -> [(&'static str, &'a str); 2] {
        [("the source", &self.plan.source_resource), ("the restored instance", &self.plan.new_resource)]
    }

    /// By what RDS shows.
    fn by(&self, all: &[Instance]) -> Option<String> {
        let name = &self.plan.name;
        let [source, new] = self.parts().map(|(what, id)| {
            let found = all.iter().find(|one| one.resource_id == *id);
            found.map_or_else(|| format!("{what} is gone"), |found| format!("{what} is {}", now(found)))
        });
        let where_they_are = format!("{source}, and {new}");
        let serving = if self.plan.goes_back { &self.plan.source_resource } else { &self.plan.new_resource };
        let Some(holder) = all.iter().find(|one| same(&one.name, name)) else {
            return Some(format!("nothing has the name {name} now: {where_they_are}"));
        };
        if holder.resource_id == *serving {
            return Some(format!("{name} leads to what shall serve: {where_they_are}"));
        }
        if !self.parts().iter().any(|(_, id)| holder.resource_id == **id) {
            return Some(format!("another instance has the name {name}: {where_they_are}"));
        }
        if holder.is_being_renamed() {
            return Some(format!("nothing has the name {name} once RDS has made the first rename: {where_they_are}"));
        }
        // Readings may be older than what RDS was told.
        (self.asked > 0)
            .then(|| format!("RDS was told to rename {name}, after which nothing has that name: {where_they_are}"))
    }

    /// By what was asked for, where RDS does not answer.
    fn unseen(&self) -> String {
        let CutOverPlan { name, aside, apart, goes_back, renames, .. } = self.plan;
        // Of the rest of one that was begun, in whichever direction, nobody knows here what was renamed before.
        let had = |text: String| if renames.len() > 1 { text } else { String::new() };
        let (first, first_to, second) = if *goes_back { (name, apart, aside) } else { (name, aside, apart) };
        match (self.made, self.asked) {
            (2.., _) => format!("both renames are made: {name} leads to what shall serve"),
            (1, 2..) => {
                let had = had(format!(": {first_to} was renamed"));
                format!("nothing has the name {name} until RDS has renamed {second} to it{had}")
            }
            (1, _) => {
                let had = had(format!("what had it is {first_to}, and "));
                format!("nothing has the name {name} now: {had}{second} shall get it")
            }
            (0, 1..) => format!(
                "RDS was told to rename {first} to {first_to}, after which nothing has the name {name}; where the names are now \
                 is not known"
            ),
            (0, 0) => format!(
                "its renames were begun before, so nothing may have the name {name}; where the names are now is not known"
            ),
        }
    }
}

/// The name of an instance, and to which it is on its way.
fn now(instance: &Instance) -> String {
    match &instance.renames_to {
        Some(next) => format!("{} and becomes {next}", instance.name),
        None if instance.is_being_renamed() => format!("{}, which RDS renames", instance.name),
        None => instance.name.clone(),
    }
}
