//! Where a tool takes its connection from: what a rehearsal has to rewrite. Names and places only, never values.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::files::bounded;

const LIMIT: u64 = 1 << 20;

/// Where a tool takes its connection from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The environment variables, the one that counts first.
    pub variables: Vec<String>,
    /// Whether `PG*` variables count too.
    pub pg_variables: bool,
    /// Files of variables in the project that set one of them.
    pub dotenv: Vec<DotenvFile>,
    /// Places where the connection is written down literally.
    pub literals: Vec<ConfigPlace>,
    /// Places where it is computed, so that only running the code tells.
    pub computed: Vec<ConfigPlace>,
    /// Configuration that lets a file of variables win over the environment (`override: true`).
    pub overriding: Vec<String>,
}

/// A file of variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DotenvFile {
    /// Its path in the project.
    pub path: String,
    /// Which of the connection's variables it sets.
    pub variables: Vec<String>,
}

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPlace {
    /// The file's path in the project.
    pub path: String,
    /// The value's name there.
    pub key: String,
}

impl Connection {
    /// Adds a variable unless it is there.
    pub(super) fn variable(&mut self, name: impl Into<String>) {
        let name = name.into();
        if !self.variables.contains(&name) {
            self.variables.push(name);
        }
    }

    /// Adds a place where the connection is written down.
    pub(super) fn literal(&mut self, path: &str, key: &str) {
        self.literals.push(ConfigPlace { path: path.to_owned(), key: key.to_owned() });
    }

    /// Adds a place where it is computed.
    pub(super) fn computed(&mut self, path: &str, key: &str) {
        self.computed.push(ConfigPlace { path: path.to_owned(), key: key.to_owned() });
    }

    /// Notes what a configuration's text says about files of variables.
    pub(super) fn look_for_override(&mut self, path: &str, text: &str) {
        let bare: String = text.chars().filter(|sign| !sign.is_whitespace()).collect();
        if bare.contains("override:true") || bare.contains("DOTENV_CONFIG_OVERRIDE=true") {
            self.overriding.push(path.to_owned());
        }
    }

    /// Looks into the project's files of variables for the connection's; one that cannot be read counts as setting all.
    ///
    /// # Errors
    /// When the project's folder cannot be listed.
    pub(super) fn look_for_dotenv(&mut self, project: &Path, below: &[&str]) -> Result<(), Error> {
        for folder in std::iter::once("").chain(below.iter().copied()) {
            let place = project.join(folder);
            if !place.is_dir() {
                continue;
            }
            let unreadable = |source| Error::Unreadable { path: place.clone(), source };
            let mut names: Vec<String> = Vec::new();
            for entry in std::fs::read_dir(&place).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name();
                names.extend(name.into_string().ok().filter(|name| name == ".env" || name.starts_with(".env.")));
            }
            names.sort();
            for name in names {
                let set = match bounded(&place.join(&name), LIMIT) {
                    Ok(content) => self.set_in(&String::from_utf8_lossy(&content)),
                    Err(_) => self.variables.clone(),
                };
                if !set.is_empty() {
                    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                    self.dotenv.push(DotenvFile { path, variables: set });
                }
            }
        }
        Ok(())
    }

    fn set_in(&self, text: &str) -> Vec<String> {
        let names = text.lines().filter_map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("export ").unwrap_or(line);
            line.split_once(['=', ':']).map(|(name, _)| name.trim())
        });
        let counts = |name: &&str| {
            let pg = ["PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSERVICE"];
            self.variables.iter().any(|one| one == name) || self.pg_variables && pg.contains(name)
        };
        let mut set: Vec<String> = names.filter(counts).map(str::to_owned).collect();
        set.dedup();
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_variables_are_named_without_their_values() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join(".env"), "# x\nexport DATABASE_URL='postgres://u:secret@h/d'\nOTHER=1\n")
            .unwrap();
        std::fs::write(project.path().join(".env.example"), "OTHER=\n").unwrap();
        std::fs::write(project.path().join(".env.production"), "PGHOST=db\nDATABASE_URL: x\n").unwrap();
        let mut connection = Connection { pg_variables: true, ..Connection::default() };
        connection.variable("DATABASE_URL");
        connection.look_for_dotenv(project.path(), &["absent"]).unwrap();
        let found: Vec<(&str, Vec<&str>)> = connection
            .dotenv
            .iter()
            .map(|file| (file.path.as_str(), file.variables.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(found, [(".env", vec!["DATABASE_URL"]), (".env.production", vec!["PGHOST", "DATABASE_URL"])]);
        assert!(!serde_json::to_string(&connection).unwrap().contains("secret"));
        connection.look_for_override("drizzle.config.ts", "config({ path: '.env',\n override: true })");
        assert_eq!(connection.overriding, ["drizzle.config.ts"]);
    }
}
