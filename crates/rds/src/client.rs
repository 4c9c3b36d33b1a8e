//! The client, and what it reads.

use aws_config::SdkConfig;
use aws_sdk_rds::Client;
use aws_sdk_rds::config::Builder;
use aws_sdk_rds::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_rds::config::timeout::TimeoutConfig;
use aws_sdk_rds::types::{Filter, SourceType};
use chrono::{DateTime, Utc};
use holdpoint_aws::{Address, CredentialSource, TooManyRequests, http_client, shared_config};

use crate::call::{instant_in, instant_out, tags_out};
use crate::error::{Error, Result};
use crate::failure::classify;
use crate::instance::Instance;
use crate::marks::Tags;
use crate::name::{check_given, is_named, same};
use crate::options::{RdsOptions, Timing};
use crate::quota::Quota;
use crate::wait::Happened;
use crate::window::Bounds;

/// The control plane of RDS in one account and region.
#[derive(Clone)]
pub struct Rds {
    pub(crate) client: Client,
    pub(crate) shared: SdkConfig,
}

impl std::fmt::Debug for Rds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rds").field("region", &self.region()).finish_non_exhaustive()
    }
}

impl Rds {
    /// Makes a client. Nothing is asked of RDS yet.
    ///
    /// # Errors
    /// [`Error::Configuration`]: no region, or a certificate file that cannot be used.
    pub async fn connect(options: &RdsOptions, credentials: &CredentialSource, timing: &Timing) -> Result<Self> {
        let address = Address {
            region: options.region.clone(),
            endpoint: options.endpoint.clone(),
            profile: options.profile.clone(),
            ca_bundle: options.ca_bundle.clone(),
        };
        let http = http_client(&address).await?;
        let shared = shared_config(&address, credentials, &http).await?;
        let retries = RetryConfig::standard()
            .with_max_attempts(timing.attempts)
            .with_initial_backoff(timing.first_pause)
            .with_max_backoff(timing.longest_pause);
        // The SDK's own budget of retries is shared by the whole process and never refills by time.
        let partition = RetryPartition::custom("holdpoint-rds").token_bucket(TokenBucket::unlimited()).build();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(timing.connect_for)
            .operation_attempt_timeout(timing.answer_for)
            .operation_timeout(timing.call_for)
            .build();
        let mut config = Builder::from(&shared)
            .retry_config(retries)
            .retry_partition(partition)
            .retry_classifier(TooManyRequests)
            .timeout_config(timeouts);
        if let Some(endpoint) = &options.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Self { client: Client::from_conf(config.build()), shared })
    }

    /// The region in use.
    #[must_use]
    pub fn region(&self) -> &str {
        self.shared.region().map(AsRef::as_ref).unwrap_or_default()
    }

    /// Every instance of the account in the region.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:DescribeDBInstances`, and what every call may meet.
    pub async fn instances(&self) -> Result<Vec<Instance>> {
        self.instances_by(None).await
    }

    /// The instance of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of [`instances`](Self::instances).
    pub async fn instance(&self, name: &str) -> Result<Instance> {
        const ACTION: &str = "DescribeDBInstances";
        check_given(name)?;
        let answer = self.client.describe_db_instances().db_instance_identifier(name).send().await;
        let answer = answer.map_err(|failure| classify(failure, ACTION, name))?;
        let mut found = answer.db_instances().iter();
        let raw = found.find(|one| is_named(name, one.db_instance_identifier(), one.db_instance_arn()));
        Instance::of(ACTION, raw.ok_or_else(|| Error::NotFound { subject: name.to_owned() })?)
    }

    /// The instance of that name, which is no cluster's: what is asked for is not done with clusters.
    ///
    /// # Errors
    /// [`Error::ClusterSource`] for a cluster and an instance of one; else as [`instance`](Self::instance).
    pub async fn lone_instance(&self, name: &str) -> Result<Instance> {
        match self.instance(name).await {
            Ok(Instance { cluster: Some(cluster), .. }) => Err(Error::ClusterSource { subject: cluster }),
            Err(error @ Error::NotFound { .. }) => match self.find_cluster(name).await {
                Ok(Some(cluster)) => Err(Error::ClusterSource { subject: cluster.name }),
                // Who may not look at clusters has none that is told.
                Ok(None) | Err(_) => Err(error),
            },
            found => found,
        }
    }

    /// The instance of that name, `None` where there is none.
    ///
    /// # Errors
    /// Those of [`instances`](Self::instances).
    pub async fn find(&self, name: &str) -> Result<Option<Instance>> {
        match self.instance(name).await {
            Ok(instance) => Ok(Some(instance)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The instance with that resource id whatever its name is at present, `None` where it is gone.
    ///
    /// # Errors
    /// Those of [`instances`](Self::instances).
    pub async fn find_resource(&self, resource_id: &str) -> Result<Option<Instance>> {
        if resource_id.is_empty() {
            return Ok(None);
        }
        let filter = Filter::builder().name("dbi-resource-id").values(resource_id).build();
        let found = self.instances_by(Some(filter)).await;
        let found = match found {
            Err(Error::NotFound { .. }) => Vec::new(),
            other => other?,
        };
        // Some endpoints ignore filters that they do not know.
        Ok(found.into_iter().find(|instance| instance.resource_id == resource_id))
    }

    async fn instances_by(&self, filter: Option<Filter>) -> Result<Vec<Instance>> {
        const ACTION: &str = "DescribeDBInstances";
        let pages = self.client.describe_db_instances().set_filters(filter.map(|filter| vec![filter])).into_paginator();
        let mut items = pages.items().send();
        let mut found = Vec::new();
        while let Some(raw) = items.next().await {
            let raw = raw.map_err(|failure| classify(failure, ACTION, "instances"))?;
            found.push(Instance::of(ACTION, &raw)?);
        }
        Ok(found)
    }

    /// The instant since which the source can be restored; `None` where RDS does not say (the first backup is not made
    /// yet). `DescribeDBInstances` knows only the latest.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:DescribeDBInstanceAutomatedBackups`.
    pub(crate) async fn restore_window(&self, source: &Instance) -> Result<Option<Bounds>> {
        const ACTION: &str = "DescribeDBInstanceAutomatedBackups";
        let call = self.client.describe_db_instance_automated_backups();
        let answer = call.db_instance_identifier(&source.name).send().await;
        let answer = match answer.map_err(|failure| classify(failure, ACTION, &source.name)) {
            Err(Error::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let of_source = answer.db_instance_automated_backups().iter().find(|backup| {
            backup.dbi_resource_id().is_none_or(|id| id == source.resource_id)
                && backup.db_instance_identifier().is_none_or(|name| same(name, &source.name))
        });
        let window = of_source.and_then(|backup| backup.restore_window());
        Ok(window.map(|window| (instant_in(window.earliest_time()), instant_in(window.latest_time()))))
    }

    /// The account's quotas.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:DescribeAccountAttributes`. It is tried twice only: a plan without quotas is
    /// one that says so.
    pub async fn quotas(&self) -> Result<Vec<Quota>> {
        const ACTION: &str = "DescribeAccountAttributes";
        let twice = Builder::new().retry_config(RetryConfig::standard().with_max_attempts(2));
        let answer = self.client.describe_account_attributes().customize().config_override(twice).send().await;
        let answer = answer.map_err(|failure| classify(failure, ACTION, "account"))?;
        let quota = |quota: &aws_sdk_rds::types::AccountQuota| {
            let name = quota.account_quota_name()?.to_owned();
            Some(Quota { name, used: quota.used().unwrap_or_default(), most: quota.max().unwrap_or(i64::MAX) })
        };
        Ok(answer.account_quotas().iter().filter_map(quota).collect())
    }

    /// What happened to an instance, or to a cluster, since `since`, the oldest first.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:DescribeEvents`.
    pub async fn events(&self, name: &str, is_cluster: bool, since: DateTime<Utc>) -> Result<Vec<Happened>> {
        const ACTION: &str = "DescribeEvents";
        let kind = if is_cluster { SourceType::DbCluster } else { SourceType::DbInstance };
        let call = self.client.describe_events().source_type(kind).source_identifier(name);
        let answer = call.start_time(instant_out(since)).send().await;
        let answer = answer.map_err(|failure| classify(failure, ACTION, name))?;
        let event = |event: &aws_sdk_rds::types::Event| {
            let message = event.message()?.trim().to_owned();
            Some(Happened { at: instant_in(event.date())?, message })
        };
        Ok(answer.events().iter().filter_map(event).collect())
    }

    /// Sets tags, those of the same key are replaced.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without `rds:AddTagsToResource`.
    pub(crate) async fn tag(&self, arn: &str, subject: &str, tags: &Tags) -> Result<()> {
        const ACTION: &str = "AddTagsToResource";
        let call = self.client.add_tags_to_resource().resource_name(arn).set_tags(Some(tags_out(tags)));
        call.send().await.map_err(|failure| classify(failure, ACTION, subject))?;
        Ok(())
    }
}
