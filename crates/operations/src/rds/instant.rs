//! To which instant: said, the latest, or the one noted right before a guarded command.

use std::str::FromStr;

use chrono::{DateTime, SubsecRound as _, Utc};
use holdpoint_core::{PointId, RunId};
use holdpoint_rds::When;

use crate::catalogue::show_any;
use crate::{Context, Error};

/// How a person names an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// The latest that RDS can restore.
    Latest,
    /// This one.
    At(DateTime<Utc>),
    /// Right before the command of a guarded run.
    BeforeRun(RunId),
    /// As a restore point of the folder has the database.
    Point(PointId),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let instant = |text: &str| DateTime::parse_from_rfc3339(text).map(|at| Self::At(at.with_timezone(&Utc)));
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Some(run) = text.strip_prefix("before:").or_else(|| text.strip_prefix("run:")) {
            return run
                .parse()
                .map(Self::BeforeRun)
                .map_err(|_| format!("\"{run}\" is no run: holdpoint runs lists them"));
        }
        if let Ok(point) = text.parse() {
            return Ok(Self::Point(point));
        }
        instant(text.strip_prefix("rds:").unwrap_or(text)).map_err(|_| {
            format!(
                "\"{text}\" is no instant: write it with its time zone, such as 2026-11-21T02:43:00Z, or latest, \
                 before:RUN, or a restore point's id"
            )
        })
    }
}

/// Turns what a person said into what RDS is asked; only `before:RUN` and a restore point need the repository.
///
/// # Errors
/// [`Error::Usage`] for a run that is not there or whose command never ran; [`Error::NoSuchPoint`].
pub async fn resolve(context: Option<&Context>, moment: &Moment) -> Result<When, Error> {
    let here = || context.ok_or_else(|| Error::Internal("what is recorded needs a repository".to_owned()));
    let run = match moment {
        Moment::Latest => return Ok(When::Latest),
        Moment::At(at) => return Ok(When::At(*at)),
        // What was committed after its snapshot is not in it: RDS goes by seconds, and this is the one that has begun.
        Moment::Point(point) => {
            let shown = show_any(here()?, point).await?;
            return Ok(When::At(shown.manifest.snapshot_at().trunc_subsecs(0)));
        }
        Moment::BeforeRun(run) => run,
    };
    let context = here()?;
    let steps = context.repository.steps(&context.database, run).await?;
    let noted = steps.iter().find_map(|step| step.instant);
    noted.map(When::At).ok_or_else(|| {
        Error::Usage(format!("no instant is noted for run {run}: there is no such run, or its command never ran"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_time_zones() {
        let at = |text: &str| text.parse::<Moment>();
        assert_eq!(at("latest"), Ok(Moment::Latest));
        let expected = Moment::At("2026-11-21T01:43:00Z".parse().unwrap());
        for text in ["2026-11-21T02:43:00+01:00", "rds:2026-11-21T01:43:00Z"] {
            assert_eq!(at(text).as_ref(), Ok(&expected), "{text}");
        }
        assert!(matches!(at("before:20261121T024300Z-k3f9"), Ok(Moment::BeforeRun(_))));
        assert!(matches!(at("20261121T024300Z-k3f9"), Ok(Moment::Point(_))));
        for text in ["2026-11-21T02:43:00", "2026-11-21", "yesterday", "", "before:x"] {
            let told = at(text).unwrap_err();
            assert!(told.contains("with its time zone") || told.contains("holdpoint runs"), "{text}: {told}");
        }
    }
}
