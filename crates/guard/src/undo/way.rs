//! The way that an undo goes: which one it is, and what would be done on it.

use holdpoint_core::ledger::RunState;
use holdpoint_core::undoing::Way;

use super::UndoPlan;
use super::migrations::no_way;
use super::rds::ToAnInstant;
use super::rds::cut_over::is_under_way;
use super::record;
use super::recover::Recovering;
use super::restore::Restoring;
use super::rollback::RollingBack;
use super::work::Work;
use crate::{Error, runs};

/// A way that is ready to be gone.
pub(super) enum Todo {
    Rollback(RollingBack),
    Recover(Recovering),
    Restore(Box<Restoring>),
    Rds(Box<ToAnInstant>),
}

impl Todo {
    /// Whether something that the project has to undo its migrations is still to run.
    pub(super) fn runs_scripts(&self) -> bool {
        match self {
            Self::Rollback(rollback) | Self::Recover(Recovering { rollback, .. }) => rollback.is_open,
            Self::Restore(_) | Self::Rds(_) => false,
        }
    }
}

impl Work<'_> {
    /// The way that was asked for; else the one at which an undo broke off; else the best that is there.
    /// With what better ones are passed over, and why.
    pub(super) async fn chosen(&self) -> Result<(Way, Todo, Vec<String>), Error> {
        let broken_off = self.step.undo.as_ref().filter(|_| self.step.state == RunState::Undoing).map(|undo| undo.way);
        let broken_off = broken_off.or_else(|| is_under_way(&self.step).then_some(Way::Rds));
        if let Some(way) = self.options.way.or(broken_off) {
            return Ok((way, self.todo(way).await?, Vec::new()));
        }
        let recorded = self.recorded_ways();
        let mut why_not: Vec<String> = Vec::new();
        for way in recorded {
            match self.todo(way).await {
                Ok(todo) => {
                    let passed_over = why_not.into_iter().map(|why| format!("a better way is passed over: {why}"));
                    return Ok((way, todo, passed_over.collect()));
                }
                Err(Error::NoSuchWay { why, .. }) => {
                    let why = self.options.mask.message(&format!("{}: {why}", way.word()));
                    // The next one may be refused.
                    self.context.progress.note(&why);
                    why_not.push(why);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NoSuchWay { run: self.run.to_string(), way: "undo".to_owned(), why: why_not.join("; ") })
    }

    /// The ways of the run, the best first; without a record only the restore is certain.
    fn recorded_ways(&self) -> Vec<Way> {
        let with_ways = self.steps.iter().rev().find(|step| !step.ways_back.is_empty());
        let ways: Vec<Way> =
            with_ways.map(|step| step.ways_back.iter().map(|one| one.way).collect()).unwrap_or_default();
        let ways: Vec<Way> = ways.into_iter().filter(|way| *way != Way::Beside).collect();
        match ways.is_empty() {
            true => vec![if self.is_snapshot { Way::Rds } else { Way::Restore }],
            false => ways,
        }
    }

    async fn todo(&self, way: Way) -> Result<Todo, Error> {
        if self.is_snapshot && way != Way::Rds {
            let why = "the run's restore point is a snapshot of the instance, against which only another instance can be held: \
                       --way rds";
            return Err(no_way(self, way.word(), why.to_owned()));
        }
        Ok(match way {
            Way::Rollback => Todo::Rollback(RollingBack::plan_alone(self).await?),
            Way::Recover => Todo::Recover(Recovering::plan(self).await?),
            Way::Rds => Todo::Rds(Box::new(ToAnInstant::plan(self).await?)),
            Way::Restore | Way::Beside => Todo::Restore(Box::new(Restoring::plan(self).await?)),
        })
    }

    pub(super) fn plan(&self, way: Way, todo: &Todo) -> UndoPlan {
        let scripts_take = match todo {
            Todo::Recover(recover) => recover.scripts_take.clone(),
            Todo::Rollback(_) | Todo::Restore(_) | Todo::Rds(_) => Vec::new(),
        };
        let mut done = record::kept(&self.step, way);
        match todo {
            Todo::Rollback(rollback) | Todo::Recover(Recovering { rollback, .. }) => {
                done.extend(rollback.ran.iter().filter(|ran| !done.contains(ran)).cloned().collect::<Vec<_>>());
            }
            Todo::Restore(_) | Todo::Rds(_) => {}
        }
        let (steps, warnings, written_since, taken) = match todo {
            Todo::Rollback(rollback) => (rollback.words(), rollback.warnings.clone(), None, rollback.taken.clone()),
            Todo::Recover(recover) => (recover.words(), recover.warnings(), None, recover.taken.clone()),
            Todo::Restore(restore) => (restore.words(), restore.warnings(), restore.written_since.clone(), Vec::new()),
            Todo::Rds(instant) => (instant.words(), instant.warnings(), None, Vec::new()),
        };
        let recorded = self.steps.iter().rev().find(|step| !step.ways_back.is_empty());
        let ways = recorded.map(|step| step.ways_back.clone()).unwrap_or_default();
        let (own, other_ways): (Vec<_>, Vec<_>) = ways.into_iter().partition(|one| one.way == way);
        let data_lost = own.first().map_or_else(
            || format!("everything written since {}", self.point.at().format("%Y-%m-%dT%H:%M:%SZ")),
            |one| one.data_lost.clone(),
        );
        let warnings =
            warnings.into_iter().chain(self.standing.clone()).chain(runs::not_told_from_here(&self.step)).collect();
        UndoPlan {
            run: self.run.clone(),
            way,
            point: self.point.clone(),
            steps,
            done,
            data_lost,
            written_since,
            taken,
            scripts_take,
            goes_along: match todo {
                Todo::Rollback(rollback) | Todo::Recover(Recovering { rollback, .. }) => rollback.goes_along.clone(),
                Todo::Restore(_) | Todo::Rds(_) => Vec::new(),
            },
            command: own.into_iter().next().map(|one| one.command),
            other_ways,
            warnings,
        }
    }
}
