//! What runs unattended: flags, then the file, then the defaults.

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use holdpoint_archive::Codec;
use holdpoint_core::Secret;
use holdpoint_core::retention::RetentionPolicy;
use holdpoint_core::verification::Level;
use holdpoint_operations::check::CheckOptions;
use holdpoint_operations::webhook;

use super::Settings;
use crate::arguments::{CronArguments, Proof, RetentionArguments};
use crate::config::Value;
use crate::failure::Failure;

/// As the default of `prune --sweep-min-age` and `check --min-age`.
const THREE_DAYS: TimeDelta = TimeDelta::days(3);

/// How unattended runs work, whatever the database.
#[derive(Clone, Debug)]
pub(crate) struct CronSettings {
    /// How restore points are compressed.
    pub(crate) codec: Codec,
    /// How far each new restore point is proven.
    pub(crate) level: Option<Level>,
    /// None is proven while the newest proof is younger.
    pub(crate) verify_every: TimeDelta,
    /// What is kept; `None` where no rule is given.
    pub(crate) retention: Option<RetentionPolicy>,
    /// What belongs to no restore point stays when it is younger.
    pub(crate) sweep_min_age: TimeDelta,
    /// How the repository is checked.
    pub(crate) check: CheckOptions,
    /// No check while the last one is younger.
    pub(crate) check_every: TimeDelta,
    /// How long everything may take.
    pub(crate) max_runtime: Option<Duration>,
    /// It begins after a random part of this time.
    pub(crate) splay: Duration,
    /// So many databases at a time.
    pub(crate) parallel: usize,
    /// Where metrics are written.
    pub(crate) metrics_file: Option<PathBuf>,
    /// A webhook that is told of failure, recovery and the first proof.
    pub(crate) webhook: Option<Secret>,
    /// What its messages are signed with.
    pub(crate) webhook_secret: Option<Secret>,
    /// An address that is asked at start, success and failure.
    pub(crate) ping: Option<Secret>,
}

/// What is told where: beats the file.
const WEBHOOK: &str = "HOLDPOINT_WEBHOOK";
const WEBHOOK_SECRET: &str = "HOLDPOINT_WEBHOOK_SECRET";
const PING: &str = "HOLDPOINT_PING";

impl Settings {
    /// Puts together how unattended runs work.
    ///
    /// # Errors
    /// A variable that is named and not set, and an address that is none. A variable that is set and empty, as CI services
    /// set a secret that is not there, asks for no webhook and no ping.
    pub(crate) fn cron(&self, flags: &CronArguments) -> Result<CronSettings, Failure> {
        let file = &self.config.cron;
        let span = |span: Option<Duration>| TimeDelta::from_std(span.unwrap_or_default()).unwrap_or(TimeDelta::MAX);
        let policy = self.retention(&RetentionArguments::default());
        let (webhook, webhook_secret) = self.webhook()?;
        let proof = flags.verify.or(file.verify).unwrap_or(Proof::At(Level::Full));
        Ok(CronSettings {
            codec: flags.compress.or(file.compress).unwrap_or(Codec::Gzip { level: Codec::GZIP_LEVEL }),
            level: proof.level(),
            verify_every: span(file.verify_every),
            retention: policy.check().is_ok().then_some(policy),
            sweep_min_age: THREE_DAYS,
            check: CheckOptions {
                read_data: file.read_data,
                jobs: self.jobs(None),
                max_proof_age: file.max_proof_age.map(|age| span(Some(age))),
                snapshots_count: self.risk_policy().asks_for_snapshots(),
                min_age: THREE_DAYS,
                repair: false,
            },
            check_every: span(file.check_every),
            // Zero takes away what the file sets.
            max_runtime: flags.max_runtime.or(file.max_runtime).filter(|time| !time.is_zero()),
            splay: flags.splay.or(file.splay).unwrap_or_default(),
            parallel: flags.parallel.or(file.parallel).unwrap_or(1),
            metrics_file: flags.metrics_file.clone().or_else(|| file.metrics_file.clone()),
            webhook,
            webhook_secret,
            ping: self.ping()?,
        })
    }

    /// The webhook, and what its messages are signed with.
    ///
    /// # Errors
    /// As for [`Self::cron`].
    pub(crate) fn webhook(&self) -> Result<(Option<Secret>, Option<Secret>), Failure> {
        let file = &self.config.cron;
        let Some(webhook) = self.address_of("cron.webhook", WEBHOOK, file.webhook.as_ref())? else {
            return Ok((None, None));
        };
        match self.variables.get(WEBHOOK_SECRET) {
            Some(secret) => Ok((Some(webhook), Some(Secret::new(secret.to_owned())))),
            // What is to be signed is not sent unsigned.
            None if file.unreadable_secret => Ok((None, None)),
            None => Ok((Some(webhook), self.secret_of("cron.webhook_secret", file.webhook_secret.as_ref())?)),
        }
    }

    /// The address that is asked at start, success and failure.
    ///
    /// # Errors
    /// As for [`Self::cron`].
    pub(crate) fn ping(&self) -> Result<Option<Secret>, Failure> {
        self.address_of("cron.ping", PING, self.config.cron.ping.as_ref())
    }

    fn secret_of(&self, key: &str, value: Option<&Value>) -> Result<Option<Secret>, Failure> {
        let Some(value) = value else { return Ok(None) };
        Ok(Some(Secret::new(value.get(key, &self.variables)?)))
    }

    fn address_of(&self, key: &str, variable: &str, value: Option<&Value>) -> Result<Option<Secret>, Failure> {
        let empty = |value: &Value| value.variable().is_some_and(|name| self.variables.is_empty(name));
        let (key, address) = match self.variables.get(variable) {
            Some(url) => (variable, Some(Secret::new(url.to_owned()))),
            None => (key, self.secret_of(key, value.filter(|value| !empty(value)))?),
        };
        if let Some(url) = &address {
            let wrong = |why| Failure::usage(format!("{key} cannot be used: {why}"), "see docs/cron.md");
            webhook::check(url).map_err(wrong)?;
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Verb};
    use crate::config::Config;
    use crate::variables::Variables;

    fn cron(file: &str, variables: &[(&str, &str)], words: &[&str]) -> Result<CronSettings, Failure> {
        let parsed = Arguments::try_parse_from([&["holdpoint", "cron"], words].concat()).unwrap();
        let Verb::Cron(flags) = parsed.verb else { panic!("another verb") };
        let config = Config::parse(file, Path::new("holdpoint.toml")).unwrap();
        Settings {
            common: parsed.common,
            variables: Variables::new(variables.iter().copied()),
            config,
            tokens: std::sync::Arc::default(),
        }
        .cron(&flags)
    }

    #[test]
    fn flags_beat_the_file_and_defaults_prove_everything_and_drop_nothing() {
        let bare = cron("", &[], &[]).unwrap();
        assert_eq!((bare.level, bare.retention, bare.parallel), (Some(Level::Full), None, 1));
        assert!(bare.max_runtime.is_none() && bare.webhook.is_none() && bare.verify_every.is_zero());
        let file = "[retention]\nkeep_last = 2\n[cron]\nverify = \"stored\"\nverify_every = \"1d\"\nmax_runtime = \"2h\"\n\
                    parallel = 3\nwebhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\nread_data = 5";
        let variables = [("HOOK", "https://chat.example/s3cret"), ("KEY", "k3y")];
        let set = cron(file, &variables, &["--max-runtime", "0", "--parallel", "8"]).unwrap();
        assert_eq!((set.level, set.max_runtime, set.parallel), (Some(Level::Stored), None, 8));
        assert_eq!((set.verify_every, set.check.read_data), (TimeDelta::days(1), Some(5)));
        assert!(set.retention.is_some() && set.webhook_secret.is_some());
        assert!(!format!("{set:?}").contains("s3cret") && !format!("{set:?}").contains("k3y"));
        assert_eq!(cron("", &[], &["--verify", "none"]).unwrap().level, None);
    }

    #[test]
    fn a_secret_that_ci_left_empty_asks_for_nothing_and_one_that_is_not_set_is_a_mistake() {
        let file = "[cron]\nwebhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\nping = \"env:PING\"";
        let none = cron(file, &[("HOOK", ""), ("KEY", ""), ("PING", "")], &[]).unwrap();
        assert!(none.webhook.is_none() && none.webhook_secret.is_none() && none.ping.is_none());
        assert!(cron(file, &[("KEY", "k3y"), ("PING", "")], &[]).is_err(), "HOOK may be misspelt");
        let unsigned = cron(file, &[("HOOK", "https://chat.example/s3cret"), ("KEY", ""), ("PING", "")], &[]);
        assert!(unsigned.is_err(), "what is to be signed is not sent unsigned");
    }

    #[test]
    fn addresses_and_numbers_that_are_wrong_are_refused() {
        let refused = cron("[cron]\nwebhook = \"ftp://h/s3cret\"", &[], &[]).unwrap_err().to_string();
        assert!(refused.contains("cron.webhook") && !refused.contains("s3cret"), "{refused}");
        assert!(cron("[cron]\nping = \"env:NOT_SET\"", &[], &[]).is_err());
    }

    #[test]
    fn variables_say_who_is_told_before_the_file_does_and_without_one() {
        let variables = [
            ("HOLDPOINT_WEBHOOK", "https://chat.example/env"),
            ("HOLDPOINT_WEBHOOK_SECRET", "k3y"),
            ("HOLDPOINT_PING", "https://hc.example/env"),
        ];
        let file = "[cron]\nwebhook = \"https://chat.example/file\"\nwebhook_secret = \"env:KEY\"\n\
                    ping = \"https://hc.example/file\"";
        let shown = |secret: &Option<Secret>| secret.as_ref().map(|one| one.expose().to_owned());
        for file in ["", file] {
            let set = cron(file, &variables, &[]).unwrap();
            let told = [&set.webhook, &set.webhook_secret, &set.ping].map(shown);
            assert_eq!(told, variables.map(|(_, value)| Some(value.to_owned())), "{file}");
        }
        // Set to nothing is not set.
        let nothing = variables.map(|(name, _)| (name, ""));
        let set = cron(file, &[&nothing[..], &[("KEY", "of-the-file")]].concat(), &[]).unwrap();
        let told = [&set.webhook, &set.webhook_secret, &set.ping].map(shown);
        assert_eq!(
            told,
            ["https://chat.example/file", "of-the-file", "https://hc.example/file"].map(|one| Some(one.to_owned()))
        );
        let none = cron("", &nothing, &[]).unwrap();
        assert!(none.webhook.is_none() && none.webhook_secret.is_none() && none.ping.is_none());
        let refused = cron("", &[("HOLDPOINT_WEBHOOK", "ftp://h/s3cret")], &[]).unwrap_err().to_string();
        assert!(refused.contains("HOLDPOINT_WEBHOOK") && !refused.contains("s3cret"), "{refused}");
        // Where a file says with what messages are signed, and that cannot be read, the variable's address gets none.
        let words = Arguments::try_parse_from(["holdpoint", "cron"]).unwrap();
        let mut settings = Settings {
            common: words.common,
            variables: Variables::new([variables[0]]),
            config: Config::default(),
            tokens: std::sync::Arc::default(),
        };
        settings.config.cron.unreadable_secret = true;
        assert!(matches!(settings.webhook(), Ok((None, None))));
        settings.variables = Variables::new(variables);
        assert!(matches!(settings.webhook(), Ok((Some(_), Some(_)))));
    }

    #[test]
    fn what_cannot_be_a_setting_is_refused() {
        for wrong in ["read_data = 0", "read_data = 101", "parallel = 0", "webhook_secret = \"x\"", "verify = \"some\""]
        {
            let text = format!("[cron]\n{wrong}");
            assert!(Config::parse(&text, Path::new("holdpoint.toml")).is_err(), "{wrong}");
        }
    }
}
