//! Whether a command is Flyway's own `migrate`, with the very settings that were read here.
//!
//! Flyway takes settings from flags, variables, files of the project, of the user and of its installation, and runs
//! scripts and Java beside SQL. What is not read here makes the command an unknown one. Sources: Flyway's documentation,
//! "Configuration" (order: flags, variables, `flyway.user.toml` and `flyway.toml` or `flyway.conf` of the working folder,
//! of the home folder, of the installation's `conf`), "Script Config Files", "Script migrations".

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::flyway_config::FlywayConfig;
use super::{Found, ProjectFiles};

/// Flags that change nothing but what is printed, or how often something is tried.
const SWITCHES: [&str; 4] = ["-X", "-q", "-n", "-community"];
const VALUED: [&str; 5] = ["-color", "-outputType", "-connectRetries", "-connectRetriesInterval", "-lockRetryCount"];
/// Variables that say how to connect, or change nothing.
const VARIABLES: [&str; 9] = [
    "FLYWAY_URL",
    "FLYWAY_USER",
    "FLYWAY_PASSWORD",
    "FLYWAY_CONNECT_RETRIES",
    "FLYWAY_CONNECT_RETRIES_INTERVAL",
    "FLYWAY_LOCK_RETRY_COUNT",
    "FLYWAY_EDITION",
    "FLYWAY_EMAIL",
    "FLYWAY_TOKEN",
];
/// Variables by which Java runs other code than it would.
const JAVA: [&str; 6] =
    ["JAVA_ARGS", "JAVA_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"];
/// Programs that run Flyway by settings of their own.
const BUILDERS: [(&str, &str); 5] = [
    ("mvn", "pom.xml"),
    ("mvnw", "pom.xml"),
    ("gradle", "build.gradle"),
    ("gradlew", "build.gradle"),
    ("node-flywaydb", "its own configuration"),
];

/// Makes sure that it is.
///
/// # Errors
/// The reason why that cannot be told, in words.
pub(super) fn migrates(words: &[&str], found: &Found, environment: &[(OsString, OsString)]) -> Result<(), String> {
    let [program, words @ ..] = words else { return Err("there is no command".to_owned()) };
    let name = program.rsplit('/').next().unwrap_or(program);
    if let Some((builder, place)) = BUILDERS.iter().find(|(builder, _)| *builder == name) {
        return Err(format!("{builder} takes Flyway's settings from {place}, which is not read"));
    }
    if name != "flyway" || program.contains("node_modules") {
        return Err(format!("what {program} runs is not known, only what flyway migrate does"));
    }
    let mut verbs = Vec::new();
    for word in words {
        let flag = word.split_once('=').map_or(*word, |(flag, _)| flag);
        match word.starts_with('-') {
            false => verbs.push(*word),
            true if SWITCHES.contains(word) || (flag != *word && VALUED.contains(&flag)) => {}
            true => return Err(format!("what flyway does with {flag} is not known")),
        }
    }
    if verbs != ["migrate"] {
        return Err(format!("what flyway {} does is not known, only flyway migrate", verbs.join(" ")));
    }
    variables(environment)?;
    settings(found)?;
    beside(found)?;
    of_others(program, found, environment)
}

fn variables(environment: &[(OsString, OsString)]) -> Result<(), String> {
    for (name, value) in environment {
        let name = name.to_string_lossy();
        if name.starts_with("FLYWAY_") && !VARIABLES.contains(&&*name) {
            return Err(format!("{name} is set, and what flyway does with it is not known"));
        }
        let value = value.to_string_lossy();
        let other_code = ["flyway", "agent", "-cp", "classpath"].iter().any(|word| value.contains(word));
        if JAVA.contains(&&*name) && (other_code || (name == "CLASSPATH" && !value.is_empty())) {
            return Err(format!("{name} changes what flyway runs"));
        }
    }
    Ok(())
}

/// The project's own settings must be those by which its files and its table were found.
fn settings(found: &Found) -> Result<(), String> {
    let config = FlywayConfig::read(&found.project).map_err(|error| error.to_string())?;
    if let Some(key) = config.unread() {
        return Err(format!("what flyway does with {key} is not known"));
    }
    let Some(folder) = config.disk_location(&found.project) else {
        return Err("where flyway looks for migrations is not written down as one filesystem: location".to_owned());
    };
    if folder != found.migrations || found.table.as_ref() != Some(&config.table()) {
        return Err("the migrations or the table were named otherwise than flyway's configuration does".to_owned());
    }
    Ok(())
}

/// Beside SQL, Flyway runs scripts and Java, and heeds a file of settings beside each script.
fn beside(found: &Found) -> Result<(), String> {
    let files = ProjectFiles::read(found).map_err(|error| error.to_string())?;
    let other = files.migrations.iter().find(|file| {
        let kind = file.path.rsplit_once('.').map(|(_, kind)| kind.to_ascii_lowercase());
        kind.is_some_and(|kind| !matches!(kind.as_str(), "sql" | "md" | "txt" | "gitkeep"))
    });
    other.map_or(Ok(()), |file| Err(format!("{} lies among the migrations, and is not read", file.path)))
}

/// Settings of the user and of the installation.
fn of_others(program: &str, found: &Found, environment: &[(OsString, OsString)]) -> Result<(), String> {
    let variable = |name: &str| environment.iter().rev().find(|(one, _)| one == name).map(|(_, value)| value);
    let mut places = vec![found.project.join("flyway.user.toml")];
    if let Some(home) = variable("HOME") {
        let home = Path::new(home);
        places.extend(["flyway.conf", "flyway.toml", "flyway.user.toml"].map(|name| home.join(name)));
    }
    if let Some(real) = installed(program, variable("PATH")).and_then(|path| path.canonicalize().ok())
        && let Some(folder) = real.parent()
    {
        places.extend(["flyway.conf", "flyway.toml"].map(|name| folder.join("conf").join(name)));
    }
    let own = |place: &PathBuf| place.parent() == Some(found.project.as_path()) && !place.ends_with("flyway.user.toml");
    match places.iter().filter(|place| !own(place)).find(|place| says_something(place)) {
        Some(place) => Err(format!("{} configures it, too, and is not read", place.display())),
        None => Ok(()),
    }
}

fn installed(program: &str, path: Option<&OsString>) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let path: &OsStr = path?;
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|one| one.is_file())
}

/// Whether a file of settings holds anything but comments; one that cannot be read may.
fn says_something(place: &Path) -> bool {
    match std::fs::read_to_string(place) {
        Ok(text) => text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with(['#', '!'])),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Choice, ToolName, find};
    use super::*;

    const CONF: &str = "flyway.locations=filesystem:db\nflyway.url=jdbc:postgresql://h/d\nflyway.user=ann\n";

    struct Scene {
        project: tempfile::TempDir,
        environment: Vec<(OsString, OsString)>,
    }

    fn scene(conf: &str) -> Scene {
        let project = tempfile::tempdir().unwrap();
        std::fs::create_dir(project.path().join("db")).unwrap();
        std::fs::write(project.path().join("db/V1__one.sql"), "SELECT 1;").unwrap();
        std::fs::write(project.path().join("flyway.conf"), conf).unwrap();
        Scene { project, environment: Vec::new() }
    }

    impl Scene {
        fn set(mut self, name: &str, value: impl Into<OsString>) -> Self {
            self.environment.push((name.into(), value.into()));
            self
        }

        fn file(self, path: &str, text: &str) -> Self {
            let path = self.project.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            self
        }

        fn told(&self, line: &str) -> Result<(), String> {
            let choice = Choice { tool: Some(ToolName::Flyway), ..Choice::default() };
            let found = find(self.project.path(), &choice).unwrap().one().unwrap();
            migrates(&line.split(' ').collect::<Vec<_>>(), &found, &self.environment)
        }
    }

    #[test]
    fn its_own_migrate_with_the_settings_that_were_read_is_known() {
        let plain = scene(CONF).set("FLYWAY_PASSWORD", "x").set("JAVA_ARGS", "-Xmx1g").set("PATH", "/usr/bin:/bin");
        for line in ["flyway migrate", "flyway -q -outputType=json migrate", "/opt/flyway/flyway migrate -X"] {
            assert_eq!(plain.told(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn whatever_leads_it_elsewhere_makes_it_unknown() {
        let plain = scene(CONF);
        for (line, word) in [
            ("flyway clean migrate", "clean migrate"),
            ("flyway repair", "repair"),
            ("flyway", "flyway  does"),
            ("flyway -url=jdbc:postgresql://other/d migrate", "-url"),
            ("flyway -locations=filesystem:other migrate", "-locations"),
            ("flyway -target=3 migrate", "-target"),
            ("flyway -color migrate", "-color"),
            ("mvn flyway:migrate", "pom.xml"),
            ("./gradlew flywayMigrate", "build.gradle"),
            ("node-flywaydb migrate", "its own configuration"),
            ("./node_modules/.bin/flyway migrate", "node_modules"),
            ("psql -f x.sql", "psql"),
        ] {
            let told = plain.told(line).unwrap_err();
            assert!(told.contains(word) && !told.contains("other"), "{line}: {told}");
        }
        for (scene, word) in [
            (scene(CONF).set("FLYWAY_TARGET", "3"), "FLYWAY_TARGET"),
            (scene(CONF).set("FLYWAY_CONFIG_FILES", "x"), "FLYWAY_CONFIG_FILES"),
            (scene(CONF).set("JAVA_TOOL_OPTIONS", "-javaagent:x.jar"), "JAVA_TOOL_OPTIONS"),
            (scene(&format!("{CONF}flyway.initSql=DROP TABLE a\n")), "initSql"),
            (scene(&format!("{CONF}flyway.callbacks=com.example.X\n")), "callbacks"),
            (scene("flyway.locations=classpath:db\nflyway.url=jdbc:postgresql://h/d\n"), "filesystem:"),
            (scene(CONF).file("db/V2__two.sh", "psql -c 'DROP TABLE a'"), "V2__two.sh"),
            (scene(CONF).file("db/V1__one.sql.conf", "shouldExecute=false"), "V1__one.sql.conf"),
            (scene(CONF).file("flyway.user.toml", "[flyway]\ntarget = \"1\"\n"), "flyway.user.toml"),
        ] {
            let told = scene.told("flyway migrate").unwrap_err();
            assert!(told.contains(word), "{word}: {told}");
        }
        let toml = scene("").file(
            "flyway.toml",
            "[flyway]\nlocations = [\"filesystem:db\"]\n[environments.default]\nurl = \"x\"\ninitSql = \"DROP TABLE a\"\n",
        );
        assert!(toml.told("flyway migrate").unwrap_err().contains("environments.default.initSql"));
    }

    #[test]
    fn settings_of_the_user_and_the_installation_count() {
        let home = tempfile::tempdir().unwrap();
        let plain = scene(CONF).set("HOME", home.path());
        assert_eq!(plain.told("flyway migrate"), Ok(()));
        std::fs::write(home.path().join("flyway.conf"), "# nothing\n").unwrap();
        assert_eq!(plain.told("flyway migrate"), Ok(()));
        std::fs::write(home.path().join("flyway.conf"), "flyway.target=1\n").unwrap();
        assert!(plain.told("flyway migrate").unwrap_err().contains("flyway.conf configures it, too"));

        let installed = tempfile::tempdir().unwrap();
        std::fs::create_dir(installed.path().join("conf")).unwrap();
        std::fs::write(installed.path().join("flyway"), "").unwrap();
        std::fs::write(installed.path().join("conf/flyway.toml"), "[flyway]\nmixed = true\n").unwrap();
        let by_path = scene(CONF).set("PATH", installed.path());
        assert!(by_path.told("flyway migrate").unwrap_err().contains("conf/flyway.toml"));
    }
}
