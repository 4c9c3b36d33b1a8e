//! What is kept of the restore points: flags beat the file, rule by rule.

use chrono::TimeDelta;
use holdpoint_core::retention::RetentionPolicy;

use super::Settings;
use crate::arguments::RetentionArguments;

impl Settings {
    /// Puts the policy together. Where a flag names any rule, the file's rules do not count; its floors do.
    pub(crate) fn retention(&self, flags: &RetentionArguments) -> RetentionPolicy {
        let file = &self.config.retention;
        let default = RetentionPolicy::default();
        let rules = [flags.keep_last, flags.keep_hourly, flags.keep_daily, flags.keep_weekly, flags.keep_monthly];
        let flagged = rules.iter().any(Option::is_some) || flags.keep_yearly.is_some() || flags.keep_within.is_some();
        let rule = |flag: Option<u32>, own: Option<u32>| flag.or(own.filter(|_| !flagged)).unwrap_or_default();
        let span = |span: std::time::Duration| TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
        RetentionPolicy {
            last: rule(flags.keep_last, file.keep_last),
            hourly: rule(flags.keep_hourly, file.keep_hourly),
            daily: rule(flags.keep_daily, file.keep_daily),
            weekly: rule(flags.keep_weekly, file.keep_weekly),
            monthly: rule(flags.keep_monthly, file.keep_monthly),
            yearly: rule(flags.keep_yearly, file.keep_yearly),
            within: flags.keep_within.or(file.keep_within.filter(|_| !flagged)).map(span),
            minimum_count: flags.minimum_count.or(file.minimum_count).unwrap_or(default.minimum_count),
            minimum_age: flags.minimum_age.or(file.minimum_age).map_or(default.minimum_age, span),
            zone: flags.time_zone.or(file.time_zone).unwrap_or(default.zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Verb};
    use crate::variables::Variables;

    fn policy(file: &str, words: &[&str]) -> RetentionPolicy {
        let parsed = Arguments::try_parse_from([&["holdpoint", "prune"], words].concat()).unwrap();
        let Verb::Prune(arguments) = parsed.verb else { panic!("another verb") };
        let config = crate::config::Config::parse(file, Path::new("holdpoint.toml")).unwrap();
        let settings = Settings {
            common: parsed.common,
            variables: Variables::default(),
            config,
            tokens: std::sync::Arc::default(),
        };
        settings.retention(&arguments.retention)
    }

    #[test]
    fn rules_come_from_one_place_and_floors_from_both() {
        let file =
            "[retention]\nkeep_daily = 7\nkeep_within = \"3d\"\nminimum_count = 5\ntime_zone = \"Europe/Vienna\"\n";
        let of_file = policy(file, &[]);
        assert_eq!((of_file.daily, of_file.within, of_file.minimum_count), (7, Some(TimeDelta::days(3)), 5));
        assert_eq!((of_file.minimum_age, of_file.zone), (TimeDelta::days(1), chrono_tz::Tz::Europe__Vienna));
        let flagged = policy(file, &["--keep-last", "2", "--minimum-age", "2h"]);
        assert_eq!((flagged.last, flagged.daily, flagged.within, flagged.minimum_count), (2, 0, None, 5));
        assert_eq!(flagged.minimum_age, TimeDelta::hours(2));
        assert!(policy("", &[]).check().is_err());
    }
}
