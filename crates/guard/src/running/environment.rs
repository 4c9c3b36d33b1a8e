//! The command's environment: the run's token and time-outs, put in the way that its tool takes them.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use holdpoint_core::RunId;
use holdpoint_core::ledger::InForce;
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::{ConnectionSettings, pooler};

use super::RunOptions;
use super::session_options::{Wanted, set_a_time_out};
use super::session_parameters::{options_of, with_parameters};
use crate::sessions::token;
use crate::tools::{Found, Tool};

/// What an `application_name` ends with that came by the same connection string as the time-outs.
const BY_URL: &str = ":url";
/// What is told where nothing is set.
const CONCURRENTLY: &str = "no time-outs: something runs CONCURRENTLY, whose waits for older transactions count as waits \
                            for locks, and would be left half done; --cancel-blocked-after ends only what others wait for";
/// Why a command has none that names its own.
const REPLACED: &str = "the connection string among the command's words has options, which replace PGOPTIONS: add \
                        -c lock_timeout=5s to them, or hand it on by DATABASE_URL";

/// An environment with time-outs, and what can be told of them.
#[derive(Debug, Default)]
pub(crate) struct TimeOuts {
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// Why the command cannot have got them; `None` where it can.
    pub(crate) impossible: Option<String>,
    /// Whether who reads `PGAPPNAME` reads `PGOPTIONS`, too; `None` where nobody knows what the command's driver reads.
    reads_pgoptions: Option<bool>,
    /// What is worth knowing.
    pub(crate) warnings: Vec<String>,
}

/// Adds the run's token and the time-outs to the environment that was given.
///
/// `command` is the command's words, `found` the tool that it runs, where that is known; `concurrently` says that it, or
/// a pending migration, has such a statement, which no time-out may end.
pub(crate) fn with_time_outs(
    given: &[(OsString, OsString)],
    options: &RunOptions,
    run: &RunId,
    command: &[String],
    found: Option<&Found>,
    concurrently: bool,
) -> TimeOuts {
    let mut all = TimeOuts { variables: given.to_vec(), ..TimeOuts::default() };
    let statement = options.statement_timeout.filter(|time| !time.is_zero());
    let wanted = if concurrently { Wanted::None } else { Wanted::Of { lock: options.lock_timeout, statement } };
    if concurrently {
        all.warnings.push(CONCURRENTLY.to_owned());
    }
    let texts = Environment::new(given.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?))));
    let pooled = |url: &str| {
        let settings = ConnectionSettings::resolve(url.strip_prefix("jdbc:").unwrap_or(url), &texts).ok()?;
        pooler::by_address(&settings).map(|pooler| pooler.kind)
    };
    let names = found.map_or_else(|| vec!["DATABASE_URL".to_owned()], |found| found.connection.variables.clone());
    for name in &names {
        let Some(url) = variable(given, name).and_then(OsStr::to_str) else { continue };
        // Who reads a URL with options takes them from there, and not from PGOPTIONS.
        let has_options = options_of(url).is_some();
        if let Some(pooler) = pooled(url) {
            all.impossible = Some(format!("{name} leads through {pooler}, which does not pass them on"));
        } else if (has_options || found.is_some_and(|found| takes_url_parameters(&found.tool)))
            && let Some(new) = with_parameters(url, &format!("{}{BY_URL}", token(run)), |own| wanted.added_to(own))
        {
            if !set_a_time_out(&options_of(&new).unwrap_or_default()) {
                all.impossible = Some(none_is_set(concurrently, &format!("{name} has")));
            }
            all.variables.push((name.into(), new.into()));
        }
    }
    all.variables.push(("PGAPPNAME".into(), token(run).into()));
    let psql = command.first().and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == "psql");
    all.reads_pgoptions = if psql { Some(true) } else { found.and_then(reads_pgoptions) };
    if all.impossible.is_none() {
        let own = variable(given, "PGOPTIONS").unwrap_or_default().to_string_lossy().into_owned();
        let value = wanted.added_to(&own);
        if !set_a_time_out(&value) {
            all.impossible = Some(none_is_set(concurrently, "PGOPTIONS has"));
        }
        if value != own {
            all.variables.push(("PGOPTIONS".into(), value.into()));
        }
    }
    let said = command.iter().skip(1).find_map(|word| options_of(word));
    if let Some(said) = said {
        // The words of a command are not rewritten.
        if set_a_time_out(&said) {
            all.reads_pgoptions = None;
        } else {
            all.reads_pgoptions = all.reads_pgoptions.map(|_| false);
            if psql {
                all.impossible.get_or_insert_with(|| REPLACED.to_owned());
            }
        }
    } else if variable(given, "PGSERVICE").is_some() || command.iter().any(|word| word.contains("service=")) {
        // A service may have options of its own, too.
        all.reads_pgoptions = all.reads_pgoptions.filter(|reads| !reads);
    }
    all
}

/// Why no time-out is set, although the command could have got one.
fn none_is_set(concurrently: bool, whose: &str) -> String {
    if concurrently {
        return "something runs CONCURRENTLY".to_owned();
    }
    format!("none was asked for, or {whose} lock_timeout=0")
}

impl TimeOuts {
    /// What the names of the command's sessions show.
    pub(crate) fn in_force(&self, names: &[String]) -> InForce {
        match (&self.impossible, names) {
            (Some(_), _) => InForce::No,
            (None, []) => InForce::NotShown,
            (None, names) if names.iter().all(|name| name.contains(BY_URL)) => InForce::Yes,
            // The name came by a variable: that the time-outs did, too, only who reads both shows.
            (None, _) => match self.reads_pgoptions {
                Some(true) => InForce::Yes,
                Some(false) => InForce::No,
                None => InForce::NotShown,
            },
        }
    }

    /// Why they are not in force, where that is known; to follow the answer.
    pub(crate) fn why(&self) -> String {
        self.impossible.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
    }
}

/// Tools whose drivers take `options` and an application name from their URL: node-postgres, postgres.js, Prisma's
/// engine, pgjdbc.
fn takes_url_parameters(tool: &Tool) -> bool {
    matches!(tool, Tool::Drizzle(_) | Tool::NodePgMigrate(_) | Tool::Prisma(_) | Tool::Flyway(_))
}

/// Whether a tool reads `PGOPTIONS`; some that do not read `PGAPPNAME` all the same. `None`: what runs is any program.
fn reads_pgoptions(found: &Found) -> Option<bool> {
    match &found.tool {
        // A driver adapter is node-postgres mostly, and may be another.
        Tool::Prisma(options) if options.driver_adapter => has_package(&found.project, "pg").then_some(true),
        Tool::Prisma(_) | Tool::Flyway(_) => Some(false),
        // drizzle-kit takes node-postgres where it is there, else postgres.js.
        Tool::Drizzle(_) if has_package(&found.project, "pg") => Some(true),
        Tool::Drizzle(_) => has_package(&found.project, "postgres").then_some(false),
        Tool::NodePgMigrate(_) => Some(true),
        Tool::PlainSql | Tool::Command => None,
    }
}

fn has_package(project: &Path, name: &str) -> bool {
    project.ancestors().any(|folder| folder.join("node_modules").join(name).join("package.json").is_file())
}

/// The last value of a variable.
pub(crate) fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tools::{Connection, NodePgMigrateOptions};

    fn run_id() -> RunId {
        "20261121T024300Z-k3f9".parse().unwrap()
    }

    fn given(environment: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn of(environment: &[(&str, &str)], options: &RunOptions, found: Option<&Found>) -> TimeOuts {
        with_time_outs(&given(environment), options, &run_id(), &words("npm"), found, false)
    }

    fn words(command: &str) -> Vec<String> {
        command.split(' ').map(str::to_owned).collect()
    }

    fn text(time_outs: &TimeOuts, name: &str) -> Option<String> {
        variable(&time_outs.variables, name).map(|value| value.to_string_lossy().into_owned())
    }

    fn node_pg_migrate() -> Found {
        let mut connection = Connection::default();
        connection.variables.push("DATABASE_URL".to_owned());
        Found {
            tool: Tool::NodePgMigrate(NodePgMigrateOptions {
                check_order: true,
                single_transaction: true,
                schemas: vec!["public".to_owned()],
            }),
            project: "/".into(),
            migrations: "/migrations".into(),
            named_by: String::new(),
            table: None,
            connection,
        }
    }

    #[test]
    fn a_lock_timeout_is_added_and_never_replaced_unless_another_is_asked_for() {
        let options_of = |own: &[(&str, &str)], options: &RunOptions| text(&of(own, options, None), "PGOPTIONS");
        let default = RunOptions::default();
        assert_eq!(options_of(&[], &default).as_deref(), Some("-c lock_timeout=5s"));
        assert_eq!(options_of(&[("PGOPTIONS", "-c a=b")], &default).as_deref(), Some("-c a=b -c lock_timeout=5s"));
        let own = "-c lock_timeout=1min";
        assert_eq!(options_of(&[("PGOPTIONS", own)], &default).as_deref(), Some(own));
        let asked = RunOptions { lock_timeout: Some(Duration::from_secs(2)), ..RunOptions::default() };
        let replaced = options_of(&[("PGOPTIONS", own)], &asked);
        assert_eq!(replaced.as_deref(), Some("-c lock_timeout=1min -c lock_timeout=2000ms"), "the last one counts");
        let none = RunOptions { lock_timeout: Some(Duration::ZERO), ..RunOptions::default() };
        assert_eq!(options_of(&[], &none), None);
    }

    #[test]
    fn no_time_out_ends_what_runs_concurrently() {
        let options = RunOptions { statement_timeout: Some(Duration::from_secs(60)), ..RunOptions::default() };
        let set = of(&[], &options, None);
        assert_eq!(text(&set, "PGOPTIONS").unwrap(), "-c lock_timeout=5s -c statement_timeout=60000ms");
        let url = "postgres://u@h/d";
        let given = given(&[("DATABASE_URL", url)]);
        let unset = with_time_outs(&given, &options, &run_id(), &words("npm"), Some(&node_pg_migrate()), true);
        assert_eq!(text(&unset, "PGOPTIONS"), None);
        assert!(!text(&unset, "DATABASE_URL").unwrap().contains("timeout"), "{unset:?}");
        assert_eq!((unset.warnings.len(), unset.in_force(&["holdpoint:x:url".to_owned()])), (1, InForce::No));
        assert_eq!(unset.why(), ": something runs CONCURRENTLY");
    }

    #[test]
    fn they_are_in_force_only_where_one_is_set() {
        let psql = |environment: &[(&str, &str)], words: &str| {
            let options = RunOptions::default();
            let set = with_time_outs(&given(environment), &options, &run_id(), &self::words(words), None, false);
            (text(&set, "PGOPTIONS"), set.in_force(&["holdpoint:x".to_owned()]))
        };
        let deadlock = psql(&[("PGOPTIONS", "-c deadlock_timeout=2s")], "psql");
        assert_eq!(deadlock, (Some("-c deadlock_timeout=2s -c lock_timeout=5s".to_owned()), InForce::Yes));
        assert_eq!(psql(&[("PGOPTIONS", "-c lock_timeout=0")], "psql").1, InForce::No);
        let url = "postgres://u@h/d?options=-c%20search_path%3Dx";
        assert_eq!(psql(&[], &format!("psql {url}")).1, InForce::No, "they replace PGOPTIONS");
        assert_eq!(psql(&[], &format!("psql {url}%20-c%20lock_timeout%3D1s")).1, InForce::NotShown);
        assert_eq!(psql(&[("PGSERVICE", "shop")], "psql").1, InForce::NotShown);
        let none = RunOptions { lock_timeout: Some(Duration::ZERO), ..RunOptions::default() };
        assert_eq!(of(&[], &none, None).in_force(&["holdpoint:x".to_owned()]), InForce::No);
    }

    #[test]
    fn a_url_that_has_options_gets_them_there_whatever_reads_it() {
        let url = "postgres://u@h/d?options=-c%20search_path%3Dx";
        let set = of(&[("DATABASE_URL", url)], &RunOptions::default(), None);
        let new = text(&set, "DATABASE_URL").unwrap();
        assert_eq!(options_of(&new).unwrap(), "-c search_path=x -c lock_timeout=5s");
        assert!(new.contains("application_name=holdpoint"), "{new}");
        // That is seen by the name that came with them.
        assert_eq!(set.in_force(&["holdpoint:x:url".to_owned()]), InForce::Yes);
        let zero = of(&[("DATABASE_URL", &format!("{url}%20-c%20lock_timeout%3D0"))], &RunOptions::default(), None);
        assert_eq!(zero.in_force(&["holdpoint:x:url".to_owned()]), InForce::No);
    }

    #[test]
    fn a_known_tool_gets_them_by_its_url() {
        let found = node_pg_migrate();
        let url = "postgres://u@h/d?application_name=mine";
        let set = of(&[("DATABASE_URL", url), ("OTHER_URL", url)], &RunOptions::default(), Some(&found));
        let new = text(&set, "DATABASE_URL").unwrap();
        assert!(new.contains("options=%2Dc%20lock%5Ftimeout%3D5s"), "{new}");
        assert!(new.contains("k3f9%3Aurl") && !new.contains("mine"), "{new}");
        assert_eq!(text(&set, "OTHER_URL").unwrap(), url, "another database's");
        let unknown = of(&[("DATABASE_URL", url)], &RunOptions::default(), None);
        assert_eq!(text(&unknown, "DATABASE_URL").unwrap(), url, "some drivers refuse what they do not know");
    }

    #[test]
    fn what_a_pooler_does_not_pass_on_is_not_claimed() {
        let url = "postgres://u@ep-x-pooler.eu.neon.tech/d";
        let set = of(&[("DATABASE_URL", url)], &RunOptions::default(), Some(&node_pg_migrate()));
        assert_eq!(text(&set, "PGOPTIONS"), None);
        assert!(set.impossible.as_ref().unwrap().contains("Neon"));
        assert_eq!(set.in_force(&["holdpoint:x".to_owned()]), InForce::No);
    }

    #[test]
    fn the_token_is_evidence_only_where_it_came_with_the_time_outs() {
        let (plain, url) = ("holdpoint:x".to_owned(), "holdpoint:x:url".to_owned());
        let both = [plain.clone(), url.clone()];
        for (reads_pgoptions, mixed) in
            [(Some(true), InForce::Yes), (Some(false), InForce::No), (None, InForce::NotShown)]
        {
            let set = TimeOuts { reads_pgoptions, ..TimeOuts::default() };
            assert_eq!(set.in_force(&[]), InForce::NotShown);
            assert_eq!(set.in_force(std::slice::from_ref(&url)), InForce::Yes);
            assert_eq!((set.in_force(&both), set.in_force(std::slice::from_ref(&plain))), (mixed, mixed));
        }
    }

    #[test]
    fn of_a_client_that_nobody_knows_the_name_alone_shows_nothing() {
        let plain = ["holdpoint:x".to_owned()];
        let shown = |program: &str, found: Option<&Found>| {
            with_time_outs(&[], &RunOptions::default(), &run_id(), &words(program), found, false).in_force(&plain)
        };
        // Such as postgres.js, which takes the name from PGAPPNAME and nothing from PGOPTIONS.
        assert_eq!(shown("node", None), InForce::NotShown);
        assert_eq!(shown("./apply.sh", Some(&Found { tool: Tool::PlainSql, ..node_pg_migrate() })), InForce::NotShown);
        for (program, found) in [("psql", None), ("/usr/bin/psql", None), ("npx", Some(node_pg_migrate()))] {
            assert_eq!(shown(program, found.as_ref()), InForce::Yes, "{program}");
        }
    }

    #[test]
    fn the_token_wins_over_a_given_name() {
        let set = of(&[("PGAPPNAME", "mine")], &RunOptions::default(), None);
        assert_eq!(text(&set, "PGAPPNAME").unwrap(), "holdpoint:20261121T024300Z-k3f9");
        assert!(token(&run_id()).len() + BY_URL.len() < 64, "longer names are cut by the server");
    }
}
