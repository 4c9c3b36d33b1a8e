//! What a point-in-time restore will do, before it does it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::asked::{self, desired};
use crate::client::Rds;
use crate::cut_over_marks::kept_for;
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::marks::{self, Tags};
use crate::name::{check_name, same, with_ending};
use crate::problem::Problem;
use crate::properties::{How, Properties, PropertyLine};
use crate::quota::Quota;
use crate::restore_options::{RestoreOptions, When};
use crate::snapshots::Snapshot;
use crate::standing::unusual;
use crate::window::Window;

/// What a restore will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// The source as it is now.
    pub source: Instance,
    /// The name of the new instance.
    pub target: String,
    /// To which instant it was asked.
    pub to: When,
    /// The instant that this is now, whole seconds.
    pub at: Option<DateTime<Utc>>,
    /// The snapshot that is restored instead of an instant.
    pub snapshot: Option<Snapshot>,
    /// What can be restored.
    pub window: Window,
    /// The properties of the new instance.
    pub new: Properties,
    /// Both side by side.
    pub lines: Vec<PropertyLine>,
    /// The tags of the new instance.
    pub tags: Tags,
    /// The quotas that count; empty where they may not be read.
    pub quotas: Vec<Quota>,
    /// What has to be solved first; empty when the restore can begin.
    pub problems: Vec<Problem>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

impl RestorePlan {
    /// Whether the restore can begin.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.problems.is_empty()
    }

    /// What the restore call cannot set.
    #[must_use]
    pub fn modified_after(&self) -> Vec<&PropertyLine> {
        self.lines.iter().filter(|line| line.how == How::ModifiedAfter && line.new != "-").collect()
    }
}

/// What a plan is made of.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) source: Instance,
    pub(crate) window: Window,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) target_taken: bool,
    /// The present name of the instance whose cut-over, or its way back, needs the target's name.
    pub(crate) target_kept_for: Option<String>,
    /// `Err` says why they are not known.
    pub(crate) quotas: std::result::Result<Vec<Quota>, String>,
}

/// Makes the plan of a restore from facts. Pure.
#[must_use]
pub(crate) fn plan_of(facts: Facts, options: &RestoreOptions, now: DateTime<Utc>) -> RestorePlan {
    let Facts { source, window, snapshot, target_taken, target_kept_for, quotas } = facts;
    let mut problems = Vec::new();
    let mut warnings = window.warnings.clone();
    let at = match (&snapshot, options.to) {
        (Some(snapshot), _) => usable(snapshot, &source).map(|()| snapshot.taken_at),
        (None, When::Latest) => window.check_open().map(|()| window.latest_at),
        (None, When::At(at)) => window.check(at, now).map(Some),
    };
    let at = at.unwrap_or_else(|error| {
        problems.push(Problem::of(&error));
        None
    });
    if let Err(error) = check_name(&options.target) {
        problems.push(Problem::of(&error));
    } else if target_taken {
        problems.push(Problem::of(&Error::NameTaken { name: options.target.clone() }));
    } else if let Some(serving) = target_kept_for {
        problems.push(Problem {
            what: format!("the name {} is kept for the cut-over of {serving}, or its way back", options.target),
            hint: Some(format!("choose another name: --into {}", with_ending(&options.target, "-2"))),
        });
    }
    if options.copy_on_write {
        problems.push(Problem {
            what: format!("{} is an instance: only a cluster of Aurora is cloned", source.name),
            hint: Some("leave --copy-on-write out".to_owned()),
        });
    }
    let asked = asked::of_instance(options);
    let new = desired(&source.properties, &asked);
    let storage = i64::from(new.storage_gib.unwrap_or_default());
    let wanted = [("DBInstances", 1), ("AllocatedStorage", storage)];
    let quotas = Quota::counted(quotas, &wanted, &mut problems, &mut warnings);
    let mut tags = marks::of_restore(&source.tags, &source.name, &source.resource_id, at, &asked, now);
    if let Some(maker) = &options.maker {
        maker.mark(&mut tags);
    }
    problems.extend(Problem::of_tags("the new instance", tags.len() + marks::TAGS_OF_READY));
    if !source.replicas.is_empty() {
        warnings.push(format!("read replicas stay with the source: {}", source.replicas.join(", ")));
    }
    if source.is_pending {
        warnings
            .push("modifications of the source wait for its maintenance window: they are not taken over".to_owned());
    }
    warnings.extend(unusual(&source.status));
    warnings.push("passwords are those of the restored instant; blocks are read from S3 at their first use".to_owned());
    RestorePlan {
        lines: source.properties.beside(&new),
        target: options.target.clone(),
        to: options.to,
        at,
        snapshot,
        window,
        new,
        tags,
        quotas,
        problems,
        warnings,
        source,
    }
}

/// Whether a snapshot is ready, and one of this source.
fn usable(snapshot: &Snapshot, source: &Instance) -> Result<()> {
    let subject = snapshot.name.clone();
    if snapshot.resource_id != source.resource_id {
        let message = format!("it is of {}, not of {}", snapshot.instance, source.name);
        return Err(Error::WrongState { subject, message });
    }
    match snapshot.status.as_str() {
        "available" => Ok(()),
        status => Err(Error::WrongState { subject, message: format!("it is {status}") }),
    }
}

impl Rds {
    /// Plans a restore. Nothing is changed; what stands against it is told in the plan, all of it at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such source; [`Error::AccessDenied`] names the permission.
    pub async fn plan_restore(&self, options: &RestoreOptions, now: DateTime<Utc>) -> Result<RestorePlan> {
        let Some(source) = self.find(&options.source).await? else {
            return match self.find_cluster(&options.source).await? {
                Some(cluster) => Err(Error::ClusterSource { subject: cluster.name }),
                None => Err(Error::NotFound { subject: options.source.clone() }),
            };
        };
        let window = self.window_of(&source, now).await?;
        let snapshot = match &options.snapshot {
            Some(name) => Some(self.snapshot(name).await?),
            None => None,
        };
        let target = check_name(&options.target).is_ok().then_some(&options.target);
        let (mut target_taken, mut target_kept_for) = (false, None);
        if let Some(target) = target {
            let all = self.instances().await?;
            target_taken = all.iter().any(|one| same(&one.name, target)) || self.find(target).await?.is_some();
            target_kept_for = kept_for(&all, target).map(|serving| serving.name.clone());
        }
        // They only help; a restore that RDS would grant is not kept from it by their lack.
        let quotas = self.quotas().await.map_err(|error| error.to_string());
        Ok(plan_of(Facts { source, window, snapshot, target_taken, target_kept_for, quotas }, options, now))
    }

    /// The name of a new instance of a source where nobody says one: the source's with `-restored`, or with a number after that
    /// where a cut-over or its way back needs it.
    ///
    /// # Errors
    /// Those of [`instances`](Self::instances).
    pub async fn name_for_restore(&self, source: &str) -> Result<String> {
        let all = self.instances().await?;
        let numbered = (2..100).map(|number| with_ending(source, &format!("-restored-{number}")));
        let first = with_ending(source, "-restored");
        let free = std::iter::once(first.clone()).chain(numbered).find(|name| kept_for(&all, name).is_none());
        Ok(free.unwrap_or(first))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    pub(crate) fn shop() -> Instance {
        Instance {
            name: "shop".into(),
            resource_id: "db-SHOP".into(),
            engine: "postgres".into(),
            status: "available".into(),
            latest_restorable_at: Some(at("2026-11-21T03:00:00Z")),
            tags: [("team".to_owned(), "a".to_owned())].into(),
            properties: Properties {
                class: Some("db.m6g.large".into()),
                storage_gib: Some(100),
                subnet_group: Some("private".into()),
                security_groups: vec!["sg-1".into()],
                parameter_group: Some("shop-pg16".into()),
                multi_az: Some(true),
                deletion_protection: Some(true),
                retention_days: Some(7),
                backup_window: Some("03:00-03:30".into()),
                monitoring_seconds: Some(0),
                monitoring_role: Some("arn:aws:iam::1:role/x".into()),
                ..Properties::default()
            },
            ..Instance::default()
        }
    }

    fn facts(source: Instance) -> Facts {
        let bounds = Some((Some(at("2026-11-14T03:00:00Z")), None));
        let window = Window::of_instance(&source, bounds, NOW.parse().unwrap());
        Facts { source, window, snapshot: None, target_taken: false, target_kept_for: None, quotas: Ok(Vec::new()) }
    }

    const NOW: &str = "2026-11-21T03:04:00Z";

    #[test]
    fn everything_is_taken_from_the_source_but_what_was_asked_other() {
        let options = RestoreOptions::new("shop", "shop-r", When::At(at("2026-11-20T10:00:00.7Z")));
        let plan = plan_of(facts(shop()), &options, at(NOW));
        assert!(plan.is_possible(), "{:?}", plan.problems);
        assert_eq!(plan.at, Some(at("2026-11-20T10:00:00Z")));
        assert_eq!(plan.new, Properties { monitoring_role: None, ..shop().properties });
        assert_eq!(plan.tags["team"], "a");
        assert_eq!(plan.tags[marks::SOURCE_RESOURCE], "db-SHOP");
        assert!(!plan.tags.contains_key(marks::ASKED));
        assert!(plan.modified_after().iter().any(|line| line.property == "Multi-AZ"));

        let options = RestoreOptions { class: Some("db.t4g.small".into()), ..options }.temporary();
        let plan = plan_of(facts(shop()), &options, at(NOW));
        assert_eq!(
            plan.tags[marks::ASKED],
            "class=db.t4g.small multi-az=false deletion-protection=false retention-days=0"
        );
        assert_eq!(plan.new, desired(&shop().properties, &plan.tags[marks::ASKED]));
        assert_eq!((plan.new.multi_az, plan.new.deletion_protection), (Some(false), Some(false)));
        assert_eq!((plan.new.class.as_deref(), plan.new.backup_window), (Some("db.t4g.small"), None));
    }

    #[test]
    fn everything_that_stands_against_it_is_told_at_once() {
        let options = RestoreOptions::new("shop", "shop--r", When::At(at("2026-11-01T00:00:00Z")));
        let mut facts_of = facts(shop());
        facts_of.quotas = Ok(vec![
            Quota { name: "DBInstances".into(), used: 40, most: 40 },
            Quota { name: "ManualSnapshots".into(), used: 1, most: 100 },
        ]);
        let plan = plan_of(facts_of, &options, at(NOW));
        let told: Vec<&str> = plan.problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("its window is") && told[1].contains("hyphens") && told[2].contains("DBInstances"));
        assert!(plan.problems.iter().all(|problem| problem.hint.is_some()), "{:?}", plan.problems);
        assert_eq!(plan.quotas.len(), 1);

        let mut facts_of = facts(shop());
        facts_of.target_taken = true;
        facts_of.quotas = Err("access denied".into());
        let plan = plan_of(facts_of, &RestoreOptions::new("shop", "shop-r", When::Latest), at(NOW));
        assert_eq!(plan.problems[0].what, "the name shop-r is taken");
        assert_eq!(plan.at, shop().latest_restorable_at);
        assert!(plan.warnings.iter().any(|line| line.contains("quotas are not known")), "{:?}", plan.warnings);
    }

    #[test]
    fn too_many_tags_are_refused_before_rds_does() {
        let mut source = shop();
        source.tags = (0..48).map(|n| (format!("t{n}"), String::new())).collect();
        let plan = plan_of(facts(source), &RestoreOptions::new("shop", "shop-r", When::Latest), at(NOW));
        assert!(plan.problems[0].what.contains("tags"), "{:?}", plan.problems);
    }
}
