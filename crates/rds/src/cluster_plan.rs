//! What a point-in-time restore of a cluster will do: a cluster that is like its source, and one instance that is like the
//! source's writer.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use crate::asked::{self, desired_cluster, desired_member};
use crate::client::Rds;
use crate::cluster::{AURORA, Cluster};
use crate::cluster_member::{member_name, member_side, member_tags};
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::marks::{self, Tags};
use crate::name::check_name;
use crate::problem::Problem;
use crate::properties::{How, Properties, PropertyLine};
use crate::quota::Quota;
use crate::restore_options::{RestoreOptions, When};
use crate::standing::unusual;
use crate::window::Window;

/// What a restore of a cluster will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterPlan {
    /// The source as it is now.
    pub source: Cluster,
    /// The name of the source's instance that writes, as which the new one is made.
    pub writer: Option<String>,
    /// The name of the new cluster.
    pub target: String,
    /// The name of its instance.
    pub member: String,
    /// Whether it shares the source's storage until either writes.
    pub copy_on_write: bool,
    /// To which instant it was asked.
    pub to: When,
    /// The instant that this is now, whole seconds.
    pub at: Option<DateTime<Utc>>,
    /// What can be restored.
    pub window: Window,
    /// The properties of the new cluster.
    pub new: Properties,
    /// Those of its instance.
    pub new_member: Properties,
    /// The clusters side by side.
    pub lines: Vec<PropertyLine>,
    /// The instances side by side.
    pub member_lines: Vec<PropertyLine>,
    /// The tags of the new cluster.
    pub tags: Tags,
    /// The quotas that count; empty where they may not be read.
    pub quotas: Vec<Quota>,
    /// What has to be solved first; empty when the restore can begin.
    pub problems: Vec<Problem>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

impl ClusterPlan {
    /// Whether the restore can begin.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.problems.is_empty()
    }
}

/// What a plan is made of.
#[derive(Debug, Clone)]
pub(crate) struct ClusterFacts {
    pub(crate) source: Cluster,
    pub(crate) writer: Option<Instance>,
    /// The names that are wanted and taken.
    pub(crate) taken: Vec<String>,
    /// `Err` says why they are not known.
    pub(crate) quotas: std::result::Result<Vec<Quota>, String>,
}

/// Why a cluster is none that is restored here.
fn unknown(source: &Cluster) -> Option<Error> {
    let kind = match (source.engine.as_str(), source.mode.as_str()) {
        ("postgres", _) => "a Multi-AZ DB cluster".to_owned(),
        (AURORA, "" | "provisioned") => return None,
        (AURORA, mode) => format!("a cluster of the mode {mode}"),
        _ => return None,
    };
    Some(Error::UnknownCluster { subject: source.name.clone(), kind })
}

/// Makes the plan of a cluster's restore from facts. Pure.
#[must_use]
pub(crate) fn cluster_plan_of(facts: ClusterFacts, options: &RestoreOptions, now: DateTime<Utc>) -> ClusterPlan {
    let ClusterFacts { source, writer, taken, quotas } = facts;
    let window = Window::of_cluster(&source, now);
    let mut problems: Vec<Problem> = unknown(&source).iter().map(Problem::of).collect();
    let mut warnings = window.warnings.clone();
    let at = match options.to {
        When::Latest if options.copy_on_write => window.check_open().map(|()| Some(now.trunc_subsecs(0))),
        When::Latest => window.check_open().map(|()| window.latest_at),
        When::At(at) => window.check(at, now).map(Some),
    };
    let at = at.unwrap_or_else(|error| {
        problems.push(Problem::of(&error));
        None
    });
    if options.copy_on_write && options.to != When::Latest {
        problems.push(Problem {
            what: "a copy-on-write clone has the present state, not an earlier one".to_owned(),
            hint: Some("say --at latest, or leave --copy-on-write out".to_owned()),
        });
    }
    let member = member_name(&options.target);
    match check_name(&options.target) {
        Err(error) => problems.push(Problem::of(&error)),
        Ok(()) => problems.extend(taken.into_iter().map(|name| Problem::of(&Error::NameTaken { name }))),
    }
    let mut new_member = desired_member(writer.as_ref().map(|writer| &writer.properties), "");
    new_member.class = options.class.clone().or(new_member.class);
    if new_member.class.is_none() {
        problems.push(Problem {
            what: format!("{} has no instance as which the new one could be made", source.name),
            hint: Some("name a class: --class db.r6g.large".to_owned()),
        });
    }
    let asked = asked::of_cluster(options, &new_member);
    let new = desired_cluster(&source.properties, &asked);
    let wanted = [("DBClusters", 1), ("DBInstances", 1)];
    let quotas = Quota::counted(quotas, &wanted, &mut problems, &mut warnings);
    let mut tags = marks::of_restore(&source.tags, &source.name, &source.resource_id, at, &asked, now);
    tags.insert(marks::MEMBER.to_owned(), member.clone());
    if let Some(maker) = &options.maker {
        maker.mark(&mut tags);
    }
    problems.extend(Problem::of_tags("the new cluster", tags.len() + marks::TAGS_OF_READY));
    problems.extend(Problem::of_tags("its instance", member_tags(writer.as_ref(), &tags, now).len()));
    if asked.len() > marks::LONGEST_VALUE {
        problems.push(Problem {
            what: format!(
                "what its instance is made as is longer than a tag's {} letters: {asked}",
                marks::LONGEST_VALUE
            ),
            hint: Some("give the writer a parameter group of a shorter name".to_owned()),
        });
    }
    let others = source.members.len().saturating_sub(1);
    if others > 0 {
        warnings.push(format!("the new cluster has one instance, and {} has {}", source.name, others + 1));
    }
    warnings.extend(unusual(&source.status));
    if options.copy_on_write {
        warnings.push("what either side changes is stored twice from then on, and billed".to_owned());
    }
    warnings.push("passwords are those of the restored instant".to_owned());
    let before = writer.as_ref().map(|writer| member_side(&writer.properties)).unwrap_or_default();
    let mut member_lines = before.beside(&new_member);
    // The call that makes the instance says all of them; security groups and log exports are the cluster's.
    member_lines.retain(|line| line.property != "security groups" && line.property != "log exports");
    member_lines.iter_mut().for_each(|line| line.how = How::Given);
    ClusterPlan {
        lines: source.properties.beside(&new),
        member_lines,
        writer: writer.map(|writer| writer.name),
        target: options.target.clone(),
        member,
        copy_on_write: options.copy_on_write,
        to: options.to,
        at,
        window,
        new,
        new_member,
        tags,
        quotas,
        problems,
        warnings,
        source,
    }
}

impl Rds {
    /// Plans the restore of a cluster. Nothing is changed; what stands against it is told in the plan, all of it at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such cluster; [`Error::AccessDenied`] names the permission.
    pub async fn plan_cluster_restore(&self, options: &RestoreOptions, now: DateTime<Utc>) -> Result<ClusterPlan> {
        let source = self.cluster(&options.source).await?;
        let writer = self.writer_of(&source).await?;
        let mut taken = Vec::new();
        if check_name(&options.target).is_ok() {
            // Instances and clusters have names of their own; with one name for both, nobody could say which is meant.
            if self.find_cluster(&options.target).await?.is_some() || self.find(&options.target).await?.is_some() {
                taken.push(options.target.clone());
            }
            let member = member_name(&options.target);
            if self.find(&member).await?.is_some() {
                taken.push(member);
            }
        }
        let quotas = self.quotas().await.map_err(|error| error.to_string());
        Ok(cluster_plan_of(ClusterFacts { source, writer, taken, quotas }, options, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::at;

    const NOW: &str = "2026-11-21T03:00:10Z";

    fn shop() -> Cluster {
        Cluster {
            name: "shop".into(),
            resource_id: "cluster-SHOP".into(),
            engine: AURORA.into(),
            mode: "provisioned".into(),
            status: "available".into(),
            earliest_restorable_at: Some(at("2026-11-20T03:00:00Z")),
            latest_restorable_at: Some(at("2026-11-21T03:00:00Z")),
            retention_days: 7,
            members: vec!["shop-2".into(), "shop-1".into()],
            writer: Some("shop-1".into()),
            tags: [("team".to_owned(), "a".to_owned())].into(),
            properties: Properties {
                parameter_group: Some("shop-cluster".into()),
                deletion_protection: Some(true),
                retention_days: Some(7),
                ..Properties::default()
            },
            ..Cluster::default()
        }
    }

    fn writer() -> Instance {
        let properties = Properties {
            class: Some("db.r6g.large".into()),
            parameter_group: Some("shop-pg".into()),
            promotion_tier: Some(2),
            retention_days: Some(7),
            security_groups: vec!["sg-1".into()],
            performance_insights: Some(false),
            performance_insights_days: Some(7),
            ..Properties::default()
        };
        Instance { name: "shop-1".into(), resource_id: "db-1".into(), properties, ..Instance::default() }
    }

    fn plan(source: Cluster, options: &RestoreOptions) -> ClusterPlan {
        let facts = ClusterFacts { source, writer: Some(writer()), taken: Vec::new(), quotas: Ok(Vec::new()) };
        cluster_plan_of(facts, options, at(NOW))
    }

    #[test]
    fn the_cluster_is_its_sources_and_its_instance_the_writers() {
        let options = RestoreOptions::new("shop", "shop-r", When::At(at("2026-11-21T02:00:00.9Z")));
        let made = plan(shop(), &options);
        assert!(made.is_possible(), "{:?}", made.problems);
        assert_eq!((made.at, made.member.as_str()), (Some(at("2026-11-21T02:00:00Z")), "shop-r-1"));
        assert_eq!(made.new, shop().properties);
        assert_eq!(made.new_member.class.as_deref(), Some("db.r6g.large"));
        assert_eq!((made.new_member.promotion_tier, made.new_member.retention_days), (Some(2), None));
        assert_eq!(made.new_member.performance_insights_days, None, "RDS takes no days where there are no insights");
        assert_eq!(made.tags[marks::ASKED], "class=db.r6g.large parameter-group=shop-pg");
        assert_eq!((made.tags[marks::MEMBER].as_str(), made.tags["team"].as_str()), ("shop-r-1", "a"));
        assert!(made.member_lines.iter().all(|line| line.property != "security groups"), "{:?}", made.member_lines);
        assert!(made.warnings[0].contains("one instance, and shop has 2"), "{:?}", made.warnings);
        // Where the source is gone, the tags alone say what its instance is.
        assert_eq!(desired_member(None, &made.tags[marks::ASKED]).parameter_group.as_deref(), Some("shop-pg"));

        let options = RestoreOptions { class: Some("db.t4g.medium".into()), ..options }.temporary();
        let made = plan(shop(), &options);
        assert_eq!((made.new.deletion_protection, made.new.retention_days), (Some(false), Some(1)));
        assert_eq!(made.new_member.class.as_deref(), Some("db.t4g.medium"));
        assert_eq!(desired_cluster(&shop().properties, &made.tags[marks::ASKED]), made.new);
    }

    #[test]
    fn a_clone_has_the_present_state_alone() {
        let clone = |to| RestoreOptions { copy_on_write: true, ..RestoreOptions::new("shop", "shop-r", to) };
        let made = plan(shop(), &clone(When::Latest));
        assert!(made.is_possible() && made.at == Some(at(NOW)), "{made:?}");
        let made = plan(shop(), &clone(When::At(at("2026-11-21T02:00:00Z"))));
        assert!(made.problems[0].what.contains("the present state"), "{:?}", made.problems);
        assert!(made.problems[0].hint.is_some());
    }

    #[test]
    fn what_stands_against_it_is_told_at_once() {
        let options = RestoreOptions::new("shop", "shop-r", When::At(at("2026-11-01T00:00:00Z")));
        let source = Cluster { mode: "serverless".into(), ..shop() };
        let quotas = Ok(vec![Quota { name: "DBClusters".into(), used: 40, most: 40 }]);
        let facts = ClusterFacts { source, writer: None, taken: vec!["shop-r-1".into()], quotas };
        let told: Vec<String> =
            cluster_plan_of(facts, &options, at(NOW)).problems.into_iter().map(|problem| problem.what).collect();
        for (one, says) in told.iter().zip([
            "shop is a cluster of the mode serverless",
            "its window is",
            "the name shop-r-1 is taken",
            "has no instance as which",
            "the quota DBClusters",
        ]) {
            assert!(one.contains(says), "{says}: {told:?}");
        }
        assert_eq!(told.len(), 5, "{told:?}");
        let source = Cluster { engine: "postgres".into(), ..shop() };
        assert!(plan(source, &options).problems[0].what.contains("a Multi-AZ DB cluster"));
        let source = Cluster { engine: "aurora-mysql".into(), ..shop() };
        assert!(plan(source, &options).problems[0].what.contains("runs aurora-mysql"));
    }

    #[test]
    fn tags_that_rds_does_not_take_are_found_in_the_plan() {
        let tags = |count: usize| -> Tags { (0..count).map(|number| (format!("t{number}"), "a".to_owned())).collect() };
        let planned = |of_cluster: usize, of_writer: usize, group: &str| {
            let source = Cluster { tags: tags(of_cluster), ..shop() };
            let properties = Properties { parameter_group: Some(group.to_owned()), ..writer().properties };
            let writer = Some(Instance { tags: tags(of_writer), properties, ..writer() });
            let facts = ClusterFacts { source, writer, taken: Vec::new(), quotas: Ok(Vec::new()) };
            let made = cluster_plan_of(facts, &RestoreOptions::new("shop", "shop-r", When::Latest), at(NOW));
            made.problems.into_iter().map(|problem| problem.what).collect::<Vec<String>>()
        };
        // With two that are added once it is ready.
        assert_eq!(planned(41, 45, "g"), Vec::<String>::new());
        assert!(planned(42, 45, "g")[0].starts_with("51 tags of the new cluster"), "{:?}", planned(42, 45, "g"));
        assert!(planned(41, 46, "g")[0].starts_with("51 tags of its instance"), "{:?}", planned(41, 46, "g"));
        assert!(planned(41, 45, &"g".repeat(255))[0].contains("a tag's 256 letters"));
    }

    #[test]
    fn an_instance_carries_the_tags_of_its_cluster_also_without_a_writer() {
        let made = plan(shop(), &RestoreOptions::new("shop", "shop-r", When::Latest));
        let tags = member_tags(Some(&writer()), &made.tags, at(NOW));
        assert!(marks::is_ours(&tags) && tags[marks::SOURCE_RESOURCE] == "db-1", "{tags:?}");
        assert_eq!(tags[marks::RESTORED_TO], made.tags[marks::RESTORED_TO]);
        let tags = member_tags(None, &made.tags, at(NOW));
        assert!(marks::is_ours(&tags) && !tags.contains_key(marks::SOURCE), "{tags:?}");
    }
}
