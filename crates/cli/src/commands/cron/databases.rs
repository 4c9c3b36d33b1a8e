//! Which databases a run works on, and which comes first.

use chrono::{DateTime, Utc};
use holdpoint_core::DatabaseName;
use tokio::time::timeout_at;

use super::Common;
use crate::arguments::CronArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// The databases of a run, each sorted by name.
pub(super) struct Databases {
    /// Those to work on.
    pub(super) works: Vec<DatabaseName>,
    /// Those of which the configuration does not tell enough: they fail, and the others are worked on.
    pub(super) refused: Vec<(DatabaseName, Failure)>,
}

impl Databases {
    /// Finds them by the configuration and the share.
    ///
    /// # Errors
    /// With `--all` where there is none.
    pub(super) fn find(invocation: &Invocation, arguments: &CronArguments) -> Result<Self, Failure> {
        let settings = &invocation.settings;
        if !arguments.all {
            return Ok(Self { works: vec![settings.database_name()?], refused: Vec::new() });
        }
        let (names, unreadable) = (settings.production("--all")?, &settings.config.unreadable);
        let several = names.len() + unreadable.len() > 1;
        let has_url = |name: &DatabaseName| {
            let section = settings.config.database.get(name);
            section.is_some_and(|one| one.url.is_some() || one.direct_url.is_some() || one.backup_url.is_some())
        };
        // DATABASE_URL would be the same database under several names.
        let (bare, works): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| several && !has_url(name));
        let bare = bare.into_iter().map(|name| {
            let message = format!("[database.{name}] names no url, and --all works on several databases");
            let failure = Failure::usage(message, format!("write url = \"env:NAME\" below [database.{name}]"));
            (name, failure)
        });
        let wrong = unreadable.iter().map(|(name, one)| {
            let hint = one.hint.clone().unwrap_or_else(|| "docs/configuration.md lists every key".to_owned());
            (name.clone(), Failure::usage(one.message.clone(), hint))
        });
        let share = |name: &DatabaseName| arguments.shard.is_none_or(|shard| shard.holds(name));
        let mut refused: Vec<_> = bare.chain(wrong).filter(|(name, _)| share(name)).collect();
        refused.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { works: works.into_iter().filter(|name| share(name)).collect(), refused })
    }
}

/// Where time may not be enough for all, those come first that had their turn the longest ago: else the same would be left
/// out every night. What the repository does not tell is a warning, and the order that of the names.
pub(super) async fn longest_waiting_first(
    invocation: &Invocation,
    common: &Common,
    databases: Vec<DatabaseName>,
) -> (Vec<DatabaseName>, Option<String>) {
    let Some(deadline) = common.deadline.filter(|_| databases.len() > common.settings.parallel) else {
        return (databases, None);
    };
    let asked = async {
        let repository = invocation.open(&invocation.settings.repository()?, true).await?;
        let mut turns = Vec::new();
        for database in &databases {
            let begun_at = match repository.cron_history(database).await {
                Ok(history) => history.begun_at,
                // When its turn was nobody knows; that it cannot be read is told when it comes.
                Err(error) if error.is_of_record() => None,
                Err(error) => return Err(error.into()),
            };
            turns.push((begun_at, database.clone()));
        }
        Ok::<_, Failure>(turns)
    };
    match timeout_at(deadline, asked).await {
        Ok(Ok(turns)) => (in_order(turns), None),
        Ok(Err(failure)) => {
            let why = failure.told(&common.telling.mask, false).message;
            (databases, Some(format!("which database waits the longest for its turn is not known: {why}")))
        }
        Err(_) => (databases, None),
    }
}

fn in_order(mut turns: Vec<(Option<DateTime<Utc>>, DatabaseName)>) -> Vec<DatabaseName> {
    turns.sort();
    turns.into_iter().map(|(_, database)| database).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_had_its_turn_the_longest_ago_comes_first() {
        let at = |hour: u32| Some(format!("2026-11-21T{hour:02}:00:00Z").parse().unwrap());
        let turns = [(at(3), "a"), (at(2), "b"), (None, "d"), (None, "c"), (at(1), "e")];
        let turns = turns.map(|(at, name)| (at, name.parse().unwrap())).to_vec();
        assert_eq!(in_order(turns).iter().map(DatabaseName::as_str).collect::<Vec<_>>(), ["c", "d", "e", "b", "a"]);
    }
}
