//! Whether a command is the migration tool's own, and nothing else: only then does the pending list say what it does.
//!
//! What cannot be told is not: a shell's line, an unknown flag, a script that does two things. The gate then counts
//! everything as at risk, so a mistake here costs a restore point and never lets a command pass without one.

use std::ffi::OsString;
use std::path::Path;

use super::package::Package;
use super::{Found, Tool, flyway_command, node_pg_migrate_config};

/// Variables that a script may set for the tool without leading it to another database.
const HARMLESS: [&str; 4] = ["NODE_ENV", "NODE_NO_WARNINGS", "FORCE_COLOR", "NO_COLOR"];
/// Whatever a script holds of these, it may do more than one thing.
const SHELL: [char; 18] = ['&', '|', ';', '<', '>', '$', '`', '(', ')', '{', '}', '*', '?', '[', '\\', '#', '~', '\n'];
/// Scripts that call scripts.
const DEEPEST: usize = 4;

/// Makes sure that a command runs the tool's pending migrations and does nothing else.
///
/// `folder` is where the command runs, `environment` all of its variables.
///
/// # Errors
/// The reason why that cannot be told, in words.
pub fn runs_the_tool(
    command: &[String],
    found: &Found,
    folder: &Path,
    environment: &[(OsString, OsString)],
) -> Result<(), String> {
    let same = |one: &Path, other: &Path| one.canonicalize().ok().zip(other.canonicalize().ok());
    if same(folder, &found.project).is_none_or(|(one, other)| one != other) {
        return Err(format!("it runs in {}, and the project is in {}", folder.display(), found.project.display()));
    }
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    if let Tool::Flyway(_) = found.tool {
        return flyway_command::migrates(&words, found, environment);
    }
    let package = Package::read(&found.project).map_err(|error| error.to_string())?;
    if let Tool::NodePgMigrate(_) = found.tool {
        node_pg_migrate_config::as_read(found, &package, environment)?;
    }
    Looking { found, package: &package }.command(&words, 0)
}

struct Looking<'a> {
    found: &'a Found,
    package: &'a Package,
}

impl Looking<'_> {
    fn command(&self, words: &[&str], depth: usize) -> Result<(), String> {
        let [program, rest @ ..] = words else { return Err("there is no command".to_owned()) };
        if depth > DEEPEST {
            return Err("its scripts call each other".to_owned());
        }
        match self.name(program) {
            "npx" | "bunx" | "pnpx" => self.command(without_switches(rest), depth + 1),
            manager @ ("npm" | "pnpm" | "yarn" | "bun") => self.manager(manager, rest, depth),
            program => self.tool(program, rest),
        }
    }

    fn manager(&self, manager: &str, rest: &[&str], depth: usize) -> Result<(), String> {
        match without_switches(rest) {
            ["exec" | "x" | "dlx", rest @ ..] => {
                let rest = without_switches(rest);
                self.command(rest.strip_prefix(&["--"]).unwrap_or(rest), depth + 1)
            }
            ["run" | "run-script", rest @ ..] => match without_switches(rest) {
                [script, more @ ..] => self.script(script, more, depth),
                [] => Err(format!("{manager} is told to run nothing")),
            },
            // npm has no scripts of its own that could be migrations.
            [script, more @ ..] if manager != "npm" => match self.package.script(script) {
                Some(_) => self.script(script, more, depth),
                None => self.command(&[&[*script], more].concat(), depth + 1),
            },
            _ => Err(format!("what {manager} is told to do is not known")),
        }
    }

    fn script(&self, script: &str, more: &[&str], depth: usize) -> Result<(), String> {
        let Some(text) = self.package.script(script) else {
            return Err(format!("package.json has no script {script}"));
        };
        for around in [format!("pre{script}"), format!("post{script}")] {
            if self.package.script(&around).is_some() {
                return Err(format!("the script {around} runs with it"));
            }
        }
        if text.contains(SHELL) {
            return Err(format!("the script {script} may do more than one thing"));
        }
        let mut words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        while let Some((name, _)) = words.first().and_then(|word| word.split_once('=')) {
            if !HARMLESS.contains(&name) {
                return Err(format!("the script {script} sets {name}"));
            }
            words.remove(0);
        }
        // Whoever passes more on to a script writes `--` first, which npm takes away.
        words.extend(more.strip_prefix(&["--"]).unwrap_or(more));
        self.command(&words, depth + 1)
    }

    /// A program's name: by itself, or by its path among the project's own packages; any other path is another program.
    fn name<'b>(&self, program: &'b str) -> &'b str {
        let own = self.found.project.join("node_modules/.bin");
        let own = own.to_string_lossy();
        let folders = ["node_modules/.bin", "./node_modules/.bin", own.as_ref()];
        match program.rsplit_once('/') {
            Some((folder, name)) if folders.contains(&folder) => name,
            _ => program,
        }
    }

    /// The tool by its own name.
    fn tool(&self, program: &str, words: &[&str]) -> Result<(), String> {
        let (own, verbs, flags): (_, &[&str], &Flags) = match &self.found.tool {
            Tool::Drizzle(_) => ("drizzle-kit", &["migrate"], &DRIZZLE),
            Tool::Prisma(_) => ("prisma", &["migrate", "deploy"], &PRISMA),
            Tool::NodePgMigrate(_) => ("node-pg-migrate", &["up"], &NODE_PG_MIGRATE),
            Tool::Flyway(_) | Tool::PlainSql | Tool::Command => {
                return Err(format!("what {program} runs is not known"));
            }
        };
        if program != own {
            return Err(format!("what {program} runs is not known, only what {own} {} does", verbs.join(" ")));
        }
        // The adapter read the project as the first script with these words calls the tool: other flags, another project.
        let as_read = self.package.call(own, verbs).unwrap_or_default();
        let as_read: Vec<&str> = as_read.words.iter().map(String::as_str).collect();
        let bare = words == verbs && !has_flags(&as_read);
        if bare || words == as_read && flags.positionals(words).is_some_and(|found| found == verbs) {
            return Ok(());
        }
        Err(format!("what {own} {} does is not known, only {own} {}", words.join(" "), verbs.join(" ")))
    }
}

fn has_flags(words: &[&str]) -> bool {
    words.iter().any(|word| word.starts_with('-'))
}

/// The flags of a tool that change nothing but what an adapter reads, too.
struct Flags {
    /// Those that have a value.
    valued: &'static [&'static str],
    /// Those that have none.
    switches: &'static [&'static str],
}

const DRIZZLE: Flags = Flags { valued: &["--config"], switches: &[] };
const PRISMA: Flags = Flags { valued: &["--schema", "--config"], switches: &[] };
const NODE_PG_MIGRATE: Flags = Flags {
    valued: &["-m", "--migrations-dir", "-s", "--schema", "--migrations-schema", "-t", "--migrations-table"],
    switches: &["--check-order", "--no-check-order", "--single-transaction", "--no-single-transaction", "--verbose"],
};

impl Flags {
    /// The words that are no flags and no values of flags; `None` where a flag is not known.
    fn positionals<'a>(&self, words: &[&'a str]) -> Option<Vec<&'a str>> {
        let mut found = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let name = word.split_once('=').map_or(*word, |(name, _)| name);
            if !word.starts_with('-') {
                found.push(*word);
            } else if self.valued.contains(&name) {
                if name == *word {
                    words.next()?;
                }
            } else if !self.switches.contains(word) {
                return None;
            }
        }
        Some(found)
    }
}

/// Leaves out switches that change nothing but what is printed or asked.
fn without_switches<'a, 'b>(words: &'a [&'b str]) -> &'a [&'b str] {
    let known = ["-y", "--yes", "-s", "--silent", "--no-install", "--offline", "-q", "--quiet"];
    let count = words.iter().take_while(|word| known.contains(*word)).count();
    &words[count..]
}

#[cfg(test)]
mod tests {
    use super::super::{Connection, DrizzleOptions, NodePgMigrateOptions, PrismaOptions, ToolName};
    use super::*;

    fn project(package: &serde_json::Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), package.to_string()).unwrap();
        folder
    }

    fn found(tool: Tool, project: &Path) -> Found {
        Found {
            tool,
            project: project.to_owned(),
            migrations: project.join("migrations"),
            named_by: "a test".to_owned(),
            table: None,
            connection: Connection::default(),
        }
    }

    fn drizzle(scripts: &serde_json::Value, line: &str) -> Result<(), String> {
        let folder = project(&serde_json::json!({ "scripts": scripts }));
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        runs_the_tool(&words, &found(Tool::Drizzle(DrizzleOptions::default()), folder.path()), folder.path(), &[])
    }

    #[test]
    fn the_tool_and_scripts_that_only_call_it_are_known() {
        let scripts = serde_json::json!({
            "db:migrate": "drizzle-kit migrate",
            "deploy": "NODE_ENV=production npm run db:migrate",
        });
        for line in [
            "drizzle-kit migrate",
            "npx drizzle-kit migrate",
            "npx --yes drizzle-kit migrate",
            "./node_modules/.bin/drizzle-kit migrate",
            "pnpm exec drizzle-kit migrate",
            "npm exec -- drizzle-kit migrate",
            "pnpm drizzle-kit migrate",
            "pnpm db:migrate",
            "npm run db:migrate",
            "yarn db:migrate",
            "bun run db:migrate",
            "npm run --silent deploy",
        ] {
            assert_eq!(drizzle(&scripts, line), Ok(()), "{line}");
        }
    }

    #[test]
    fn whatever_may_do_something_else_is_not() {
        let scripts = serde_json::json!({
            "two": "drizzle-kit migrate && psql -f seed.sql",
            "other": "DATABASE_URL=postgres://other drizzle-kit migrate",
            "dotenv": "dotenv -e .env.production -- drizzle-kit migrate",
            "around": "drizzle-kit migrate",
            "prearound": "psql -c 'DROP TABLE a'",
            "loop": "npm run loop",
            "push": "drizzle-kit push --force",
            "node": "NODE_OPTIONS=--import=./seed.mjs drizzle-kit migrate",
        });
        for (line, word) in [
            ("pnpm two", "more than one thing"),
            ("pnpm other", "sets DATABASE_URL"),
            ("pnpm dotenv", "dotenv"),
            ("pnpm node", "sets NODE_OPTIONS"),
            ("./scripts/drizzle-kit migrate", "scripts/drizzle-kit"),
            ("/opt/node_modules/.bin/drizzle-kit migrate", "/opt"),
            ("./npx drizzle-kit migrate", "./npx"),
            ("npm run around", "prearound"),
            ("npm run loop", "call each other"),
            ("npm run push", "push --force"),
            ("npm run absent", "no script absent"),
            ("npm run", "nothing"),
            ("npm db:migrate", "npm"),
            ("pnpm --dir other exec drizzle-kit migrate", "--dir"),
            ("drizzle-kit push", "push"),
            ("drizzle-kit migrate --config other.ts", "--config"),
            ("psql -c DROP", "psql"),
            ("sh -c drizzle-kit", "sh"),
            ("prisma migrate deploy", "prisma"),
        ] {
            let told = drizzle(&scripts, line).unwrap_err();
            assert!(told.contains(word), "{line}: {told}");
        }
    }

    #[test]
    fn a_verb_that_is_a_flags_value_or_one_of_several_is_none() {
        for (script, known) in [
            ("node-pg-migrate up -m up", true),
            ("node-pg-migrate --migrations-dir=db up", true),
            ("node-pg-migrate down -m up", false),
            ("node-pg-migrate -m up", false),
            ("node-pg-migrate up redo", false),
            ("node-pg-migrate up -d OTHER_URL", false),
        ] {
            let folder = project(&serde_json::json!({ "scripts": { "run": script } }));
            let options = NodePgMigrateOptions {
                check_order: true,
                single_transaction: true,
                schemas: vec!["public".to_owned()],
            };
            let words = ["npm", "run", "run"].map(str::to_owned);
            let told = runs_the_tool(&words, &found(Tool::NodePgMigrate(options), folder.path()), folder.path(), &[]);
            assert_eq!(told.is_ok(), known, "{script}: {told:?}");
        }
    }

    #[test]
    fn flags_count_only_as_the_project_was_read_with_them() {
        let scripts = serde_json::json!({ "scripts": { "migrate": "node-pg-migrate -m db up" } });
        let folder = project(&scripts);
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let options = NodePgMigrateOptions {
                check_order: true,
                single_transaction: true,
                schemas: vec!["public".to_owned()],
            };
            runs_the_tool(&words, &found(Tool::NodePgMigrate(options), folder.path()), folder.path(), &[])
        };
        assert_eq!(of("npm run migrate"), Ok(()));
        assert_eq!(of("npx node-pg-migrate -m db up"), Ok(()));
        for line in [
            "npx node-pg-migrate up",
            "npx node-pg-migrate -m other up",
            "npm run migrate -- 1",
            "npm run migrate down",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
        let empty = project(&serde_json::json!({}));
        let prisma = found(Tool::Prisma(PrismaOptions::default()), empty.path());
        let of = |line: &str| {
            runs_the_tool(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), &prisma, empty.path(), &[])
        };
        assert_eq!(of("npx prisma migrate deploy"), Ok(()));
        for line in ["npx prisma migrate reset", "npx prisma db push", "npx prisma migrate deploy --schema other"] {
            assert!(of(line).is_err(), "{line}");
        }
        let plain = found(Tool::PlainSql, empty.path());
        assert_eq!(plain.tool.name(), ToolName::PlainSql);
        assert!(runs_the_tool(&["psql".to_owned()], &plain, empty.path(), &[]).is_err());
        // Elsewhere another project's migrations would run.
        let elsewhere = tempfile::tempdir().unwrap();
        let words = ["npx", "prisma", "migrate", "deploy"].map(str::to_owned);
        assert!(runs_the_tool(&words, &prisma, elsewhere.path(), &[]).unwrap_err().contains("it runs in"));
    }
}
