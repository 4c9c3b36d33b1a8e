//! `package.json`: dependencies, scripts with their flags, and sections that tools read.

use std::path::Path;

use serde_json::Value;

use super::Error;
use super::files::bounded;

const LIMIT: u64 = 4 << 20;

/// A project's `package.json`; an absent one is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Package {
    json: Value,
}

impl Package {
    /// Reads it.
    ///
    /// # Errors
    /// When it is there and is no JSON object.
    pub(super) fn read(project: &Path) -> Result<Self, Error> {
        let path = project.join("package.json");
        if !path.is_file() {
            return Ok(Self::default());
        }
        let bytes = bounded(&path, LIMIT)?;
        let bad = |reason: String| Error::BadConfig { path: path.clone(), reason };
        let json: Value = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        if !json.is_object() {
            return Err(bad("it is no JSON object".to_owned()));
        }
        Ok(Self { json })
    }

    /// Tells whether a package is a dependency.
    pub(super) fn depends_on(&self, package: &str) -> bool {
        self.version(package).is_some()
    }

    /// The version that is asked for.
    pub(super) fn version(&self, package: &str) -> Option<&str> {
        ["dependencies", "devDependencies", "optionalDependencies"]
            .iter()
            .find_map(|kind| self.json.get(kind)?.get(package)?.as_str())
    }

    /// A text in a section of a tool's own.
    pub(super) fn text(&self, section: &str, key: &str) -> Option<&str> {
        self.json.get(section)?.get(key)?.as_str()
    }

    /// The text of a script.
    pub(super) fn script(&self, name: &str) -> Option<&str> {
        self.json.get("scripts")?.get(name)?.as_str()
    }

    /// The words of the first script that calls a program, after the program's name, and those before it.
    pub(super) fn call(&self, program: &str, wants: &[&str]) -> Option<Call> {
        let scripts = self.json.get("scripts")?.as_object()?;
        let calls = scripts.values().filter_map(Value::as_str).flat_map(|script| calls(script, program));
        let mut calls: Vec<Call> = calls.collect();
        let best = calls.iter().position(|call| wants.iter().all(|want| call.words.iter().any(|word| word == want)));
        match (best, calls.is_empty()) {
            (_, true) => None,
            (best, _) => Some(calls.swap_remove(best.unwrap_or(0))),
        }
    }
}

/// How a script calls a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// `NAME=value` before the program: only the names.
    pub(super) assigned: Vec<String>,
    /// What follows the program's name.
    pub(super) words: Vec<String>,
}

impl Call {
    /// The value of a flag, however it is written: `--name value`, `--name=value`, `-n value`.
    pub(super) fn flag(&self, names: &[&str]) -> Option<&str> {
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            for name in names {
                if word == name {
                    return words.next().map(String::as_str);
                }
                if let Some(value) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                    return Some(value);
                }
            }
        }
        None
    }

    /// A flag that is on or off: `--name`, `--no-name`, `--name=false`.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.words.iter().rev().find_map(|word| {
            let word = word.strip_prefix("--")?;
            match word.strip_prefix("no-") {
                Some(rest) if rest == name => Some(false),
                _ if word == name => Some(true),
                _ => word.strip_prefix(name)?.strip_prefix('=').map(|value| value != "false"),
            }
        })
    }
}

fn calls(script: &str, program: &str) -> Vec<Call> {
    let script = script.replace("&&", " ; ").replace("||", " ; ").replace('|', " ; ");
    let mut found = Vec::new();
    for command in script.split(';') {
        let words: Vec<String> =
            command.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect();
        let is_program = |word: &String| word == program || word.rsplit('/').next() == Some(program);
        if let Some(at) = words.iter().position(is_program) {
            let name = |word: &String| word.split_once('=').map(|(name, _)| name.to_owned());
            let assigned = words[..at].iter().filter_map(name).collect();
            found.push(Call { assigned, words: words[at + 1..].to_vec() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_read_for_their_flags() {
        let json = serde_json::json!({ "scripts": {
            "dev": "next dev",
            "db:generate": "drizzle-kit generate --config=other.ts",
            "db:migrate": "dotenv -e .env.production -- npx drizzle-kit migrate --config config/drizzle.ts && echo done",
            "migrate": "DATABASE_URL=x ./node_modules/.bin/node-pg-migrate -m 'db/migrations' --no-check-order up",
        }});
        let package = Package { json };
        let call = package.call("drizzle-kit", &["migrate"]).unwrap();
        assert_eq!(call.flag(&["--config"]), Some("config/drizzle.ts"));
        let call = package.call("node-pg-migrate", &[]).unwrap();
        assert_eq!(call.flag(&["-m", "--migrations-dir"]), Some("db/migrations"));
        assert_eq!(call.switch("check-order"), Some(false));
        assert_eq!(call.assigned, ["DATABASE_URL"]);
        assert_eq!(package.call("prisma", &[]), None);
    }
}
