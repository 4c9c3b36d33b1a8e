//! What holdpoint made and did not remove: instances and clusters, by their tags.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::client::Rds;
use crate::cluster::Cluster;
use crate::cut_over_marks::{has_renamed, source_of};
use crate::error::Result;
use crate::instance::Instance;
use crate::maker::Maker;
use crate::marks::{self, Tags};
use crate::name::same;

/// An instance or a cluster that holdpoint made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Its resource id.
    pub resource_id: String,
    /// Its status.
    pub status: String,
    /// Its class, which it is billed by.
    pub class: Option<String>,
    /// Its storage in GiB.
    pub storage_gib: Option<u32>,
    /// The name that its source had.
    pub source: Option<String>,
    /// The resource id of its source.
    pub source_resource: Option<String>,
    /// The instant that it was restored to.
    pub restored_to: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub made_at: Option<DateTime<Utc>>,
    /// When it was found to be as asked; `None` while that is still open.
    pub ready_at: Option<DateTime<Utc>>,
    /// Whether it serves in the place of its source.
    pub is_in_service: bool,
    /// Whether it is protected against deletion.
    pub is_protected: bool,
    /// Who made it for some work and drops it again; `None` where a person does.
    pub maker: Option<Maker>,
    /// The instances of a cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

impl Made {
    /// What the tags say.
    fn by(tags: &Tags) -> Self {
        Self {
            source: tags.get(marks::SOURCE).cloned(),
            source_resource: tags.get(marks::SOURCE_RESOURCE).cloned(),
            restored_to: marks::instant(tags, marks::RESTORED_TO),
            made_at: marks::instant(tags, marks::MADE_AT),
            ready_at: marks::instant(tags, marks::READY_AT),
            maker: Maker::of(tags),
            ..Self::default()
        }
    }

    pub(crate) fn of(instance: &Instance, all: &[Instance]) -> Option<Self> {
        // An instance of a cluster comes and goes with that.
        (instance.cluster.is_none() && marks::is_own(&instance.tags, &instance.resource_id)).then(|| Self {
            name: instance.name.clone(),
            resource_id: instance.resource_id.clone(),
            status: instance.status.clone(),
            class: instance.properties.class.clone(),
            storage_gib: instance.properties.storage_gib,
            is_in_service: is_in_service(instance, all),
            is_protected: instance.properties.deletion_protection == Some(true),
            ..Self::by(&instance.tags)
        })
    }

    pub(crate) fn of_cluster(cluster: &Cluster, all: &[Cluster]) -> Option<Self> {
        marks::is_own(&cluster.tags, &cluster.resource_id).then(|| Self {
            name: cluster.name.clone(),
            resource_id: cluster.resource_id.clone(),
            status: cluster.status.clone(),
            is_in_service: is_cluster_in_service(cluster, all),
            is_protected: cluster.properties.deletion_protection == Some(true),
            members: cluster.members.clone(),
            ..Self::by(&cluster.tags)
        })
    }
}

/// A cut-over renamed it or its source and was not taken back, or somebody gave it the name that its source had.
pub(crate) fn is_in_service(instance: &Instance, all: &[Instance]) -> bool {
    has_renamed(instance, source_of(instance, all))
        || instance.tags.get(marks::SOURCE).is_some_and(|had| same(had, &instance.name))
}

/// Whether a cluster serves in the place of its source. Clusters are renamed by hand, so no tag says it: it has the name that
/// its source had, or the source was renamed and nobody has its name yet.
pub(crate) fn is_cluster_in_service(cluster: &Cluster, all: &[Cluster]) -> bool {
    let Some(source) = cluster.tags.get(marks::SOURCE) else { return false };
    let is_source = |other: &Cluster| marks::is_made_of(&cluster.tags, &other.resource_id);
    match all.iter().find(|other| same(&other.name, source)) {
        Some(named) => named.resource_id == cluster.resource_id,
        None => all.iter().any(is_source),
    }
}

/// How long a restore of that source will take, by those that are still there: the middle of theirs.
#[must_use]
pub fn estimate_seconds(made: &[Made], source: &str) -> Option<i64> {
    let of_source = made.iter().filter(|one| one.source.as_deref() == Some(source));
    let mut seconds: Vec<i64> =
        of_source.filter_map(|one| Some((one.ready_at? - one.made_at?).num_seconds())).collect();
    seconds.sort_unstable();
    seconds.get(seconds.len() / 2).copied()
}

impl Rds {
    /// The instance that a restore made under this name, whatever a cut-over called it since; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`instances`](Self::instances).
    pub async fn made_as(&self, name: &str) -> Result<Option<Instance>> {
        let all = self.instances().await?;
        let ours = |one: &Instance| one.cluster.is_none() && marks::is_own(&one.tags, &one.resource_id);
        let mut made = all.into_iter().filter(ours);
        let was = |one: &Instance| one.tags.get(marks::CUT_OVER_WAS).is_some_and(|was| same(was, name));
        Ok(made.find(|one| same(&one.name, name) || was(one)))
    }

    /// The instances that holdpoint made and that are still there, the oldest first.
    ///
    /// # Errors
    /// Those of [`instances`](Self::instances).
    pub async fn made(&self) -> Result<Vec<Made>> {
        let all = self.instances().await?;
        let mut made: Vec<Made> = all.iter().filter_map(|one| Made::of(one, &all)).collect();
        made.sort_by(|one, other| (one.made_at, &one.name).cmp(&(other.made_at, &other.name)));
        Ok(made)
    }

    /// The clusters that holdpoint made and that are still there, the oldest first.
    ///
    /// # Errors
    /// Those of [`clusters`](Self::clusters).
    pub async fn made_clusters(&self) -> Result<Vec<Made>> {
        let all = self.clusters().await?;
        let mut made: Vec<Made> = all.iter().filter_map(|cluster| Made::of_cluster(cluster, &all)).collect();
        made.sort_by(|one, other| (one.made_at, &one.name).cmp(&(other.made_at, &other.name)));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restore_takes_is_estimated_by_those_of_its_source_that_ended() {
        let at = |minute: u32| format!("2026-11-21T02:{minute:02}:00Z").parse().ok();
        let made = |source: &str, ready: Option<u32>| Made {
            source: Some(source.to_owned()),
            made_at: at(0),
            ready_at: ready.and_then(at),
            ..Made::default()
        };
        let all = [Some(50), Some(10), None, Some(20)].map(|ready| made("shop", ready));
        assert_eq!(estimate_seconds(&all, "shop"), Some(20 * 60));
        assert_eq!(estimate_seconds(&all[1..3], "shop"), Some(10 * 60));
        assert_eq!((estimate_seconds(&all[2..3], "shop"), estimate_seconds(&all, "other")), (None, None));
    }
}
