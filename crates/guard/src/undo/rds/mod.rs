//! The whole RDS instance as it was right before the command: restored as a new instance, held against the run's restore
//! point, and put in the live one's place, which is kept.

pub(super) mod cut_over;
mod held;
pub(super) mod names;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use holdpoint_core::Identity;
use holdpoint_core::quantity::listed;
use holdpoint_core::undoing::Way;
use holdpoint_operations::rds::{RdsSource, was_taken_back};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};

use super::gone_along;
use super::migrations::no_way;
use super::record::Record;
use super::work::Work;
use crate::{Error, ways_back};
use cut_over::CUT_OVER;
use names::{aside, name};

/// How the step ends in the ledger by which the new instance is known to be the database of then.
const HELD: &str = "is as the run's restore point says";
/// How many names a line holds.
const NAMED: usize = 5;

/// A restore to the instant before the command, which nothing stands against.
pub(super) struct ToAnInstant {
    source: RdsSource,
    /// The instant, by whole seconds as RDS takes it.
    at: DateTime<Utc>,
    /// The name of the new instance.
    target: String,
    warnings: Vec<String>,
}

impl ToAnInstant {
    /// Looks at what stands in the way; what is lost has to be accepted.
    ///
    /// # Errors
    /// [`Error::NoSuchWay`] with every obstacle; [`Error::DataLossNotAccepted`].
    pub(super) async fn plan(work: &Work<'_>) -> Result<Self, Error> {
        let own = &work.options;
        let Some(source) = own.instance.clone() else {
            let why = "no RDS instance is configured for this database: rds_instance in holdpoint.toml";
            return Err(no_way(work, Way::Rds.word(), why.to_owned()));
        };
        let Some(noted) = work.steps.iter().find_map(|step| step.instant) else {
            return Err(no_way(work, Way::Rds.word(), "no instant was noted before its command".to_owned()));
        };
        let at = noted.trunc_subsecs(0);
        let target = name(&source.instance, work.run.as_str());
        let mut warnings = vec![format!("the new instance costs what {} costs, until one is dropped", source.instance)];
        let begun = source.made_as(&target).await?;
        if let Some(begun) = begun.as_ref().filter(|begun| was_taken_back(begun)) {
            let why = format!(
                "{0} was put into service, and that was taken back: it may hold what was written to it meanwhile. holdpoint rds \
                 drop {0}, then the same undo makes another",
                begun.name
            );
            return Err(no_way(work, Way::Rds.word(), why));
        }
        let in_place = begun.as_ref().is_some_and(|begun| begun.name.eq_ignore_ascii_case(&source.instance));
        if !in_place {
            let restorable = source.restorable().await?;
            let window = &restorable.window;
            // An instant that is too young is waited for; one that is too old never comes back.
            let early = window.earliest_at.is_some_and(|earliest| at < earliest.trunc_subsecs(0));
            if let Err(error) = window.demand_instance().and_then(|()| window.check_open()) {
                return Err(no_way(work, Way::Rds.word(), error.to_string()));
            }
            if let Some(why) = ways_back::serves_another(window.endpoint.as_ref(), &own.live).await? {
                return Err(no_way(work, Way::Rds.word(), format!("{}: {why}", source.instance)));
            }
            let aside = aside(&source.instance, work.run.as_str());
            if source.is_taken(&aside).await? {
                return Err(no_way(work, Way::Rds.word(), format!("the name {aside} is taken")));
            }
            if early {
                let why = format!("{} is before what {} can be restored to", told(at), source.instance);
                return Err(no_way(work, Way::Rds.word(), why));
            }
            warnings.extend(window.warnings.iter().cloned());
        }
        let others = other_databases(&own.live).await?;
        if !others.is_empty() {
            let names = listed(&others, NAMED);
            warnings.push(format!("other databases of {} go back with it: {names}", source.instance));
            warnings.extend(gone_along::told(work.context, &work.step.identity, at).await);
        }
        let accepted = own.accept_data_loss_since;
        if accepted.is_none_or(|since| since > at) {
            let lost = format!("everything in {}", source.instance);
            if !own.dry_run {
                let run = work.run.to_string();
                return Err(Error::DataLossNotAccepted { run, way: Way::Rds, since: at, accepted, lost });
            }
            warnings.push(format!("--accept-data-loss-since {} is needed: {lost} since then is lost", told(at)));
        }
        Ok(Self { source, at, target, warnings })
    }

    pub(super) fn words(&self) -> Vec<String> {
        let Self { source, at, target, .. } = self;
        vec![
            format!("wait until {} can be restored to {}, and restore it as {target}", source.instance, told(*at)),
            format!("hold {target} against the run's restore point, and read its tables to their ends"),
            format!("rename {} aside and {target} to {}", source.instance, source.instance),
        ]
    }

    /// What is left in RDS where it ends before the live one was renamed, and what goes on with it.
    pub(super) fn left(&self, going_on: &str) -> String {
        let (name, region) = (&self.target, self.source.plane.rds.region());
        format!(
            "where RDS has begun to make it, {name} is in {region} and costs: the same undo goes on with it ({going_on}); or drop \
             it: holdpoint rds drop {name} --region {region}"
        )
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Makes the new instance and holds it against the restore point. The live one is as it was, whatever happens.
    ///
    /// # Errors
    /// What RDS refuses, and [`Error::InstanceDiffers`]: the new instance is there until it is dropped.
    pub(super) async fn make(&self, work: &Work<'_>, record: &mut Record<'_>) -> Result<(), Error> {
        if record.has_done(CUT_OVER) {
            return Ok(());
        }
        let made = format!("{} is restored to {} as {}", self.source.instance, told(self.at), self.target);
        let is_there = self.source.made_as(&self.target).await?.is_some();
        if !is_there || !record.has_done(&made) {
            if !is_there {
                self.source.wait_until_restorable(self.at).await?;
            }
            self.source.restored(self.at, &self.target).await?;
            record.done(&made).await?;
        }
        let held = held(&self.target);
        if is_there && record.has_done(&held) {
            return Ok(());
        }
        let proof = self.held_against(work).await?;
        record.undo.proof = proof;
        record.done(&held).await
    }
}

/// How the step is called by which the new instance is known to be the database of then.
fn held(target: &str) -> String {
    format!("{target} {HELD}")
}

fn told(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

async fn identity_of(settings: &ConnectionSettings) -> Result<Identity, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint undo")).await?;
    let read = identity::read(&session).await;
    session.close().await;
    Ok(read?.identity)
}

/// The other databases of the server, without the provider's own.
async fn other_databases(live: &ConnectionSettings) -> Result<Vec<String>, Error> {
    const SQL: &str = "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate \
                       AND datname <> pg_catalog.current_database() AND datname NOT IN ('postgres', 'rdsadmin') ORDER BY 1";
    let session = Session::connect(live, &SessionPurpose::new("holdpoint undo")).await?;
    let rows = session.query("reading the names of databases", SQL, &[]).await;
    session.close().await;
    Ok(rows?.iter().map(|row| row.get(0)).collect())
}
