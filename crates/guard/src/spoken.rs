//! Whether a word stands in what a command runs: in its line, in pending migrations, and in the scripts that these name.
//!
//! Nothing is parsed. A word that stands in a comment counts as well: what depends on it is only left out where it is said.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A script is not longer, or is not followed; one text is held in memory at a time.
const MOST_BYTES: u64 = 4 << 20;
/// So many bytes of scripts are read, and so many paths looked for: whoever names more may say anything.
const MOST_READ: usize = 64 << 20;
const MOST_PATHS: usize = 50_000;
/// What ends a word that may name a file.
const BETWEEN: [char; 12] = ['\'', '"', '`', ';', '=', '(', ')', '<', '>', '&', '|', ','];
/// After these, and after a shell, a word names a script, whatever its ending.
const LEADING: [&str; 9] = ["source", ".", "exec", "-f", "--file", "\\i", "\\ir", "\\include", "\\include_relative"];

/// Whether one of the words, given in upper case, stands in one of the texts, each with the folder of its file, or in a script that
/// one of them names: from the folder in which holdpoint runs, or from its own. In the first text, the command's, a script is named by
/// any word, in a shell's script also by a path; elsewhere by a word with the ending of a script, or after one that reads a file.
/// Where there is more to be looked at than is bearable the word counts as said.
pub(crate) fn is_said<'a>(words: &[&str], texts: impl IntoIterator<Item = (Cow<'a, str>, PathBuf)>) -> bool {
    let says = |text: &str| {
        let text = text.to_ascii_uppercase();
        words.iter().any(|word| text.contains(word))
    };
    let mut named = Named::default();
    let mut by = By::Command;
    for (text, folder) in texts {
        if says(&text) {
            return true;
        }
        named.look(&text, &folder, by);
        by = By::Text;
    }
    let mut read = 0;
    while let Some((path, is_read)) = named.open.pop_front() {
        let Some(text) = script(&path, is_read) else { continue };
        read += text.len();
        if says(&text) || read > MOST_READ {
            return true;
        }
        let by = if is_shells(&path, &text) { By::Shell } else { By::Text };
        named.look(&text, path.parent().unwrap_or(Path::new("")), by);
    }
    named.seen.len() >= MOST_PATHS
}

/// What names a script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Command,
    Shell,
    Text,
}

/// Scripts that are named, each once.
#[derive(Default)]
struct Named {
    seen: BTreeSet<PathBuf>,
    /// With whether something reads it, whatever it is called.
    open: VecDeque<(PathBuf, bool)>,
}

impl Named {
    fn look(&mut self, text: &str, folder: &Path, by: By) {
        let mut leads = false;
        let words = text.split(|sign: char| sign.is_whitespace() || BETWEEN.contains(&sign));
        for name in words.filter(|name| !name.is_empty()) {
            // psql takes the name right behind its option, too, and its option behind others.
            let flags = name.strip_prefix('-').filter(|flags| !flags.starts_with('-'));
            let attached = flags.and_then(|flags| flags.split_once('f')).map(|(_, name)| name);
            let is_name = match by {
                By::Command => true,
                By::Shell => leads || name.contains('/') || ending(Path::new(name)).is_some(),
                By::Text => leads || ending(Path::new(name)).is_some(),
            };
            let is_read = leads || attached.is_some_and(|name| !name.is_empty());
            leads = LEADING.contains(&name) || is_shell(name) || attached == Some("");
            let names = [Some(name).filter(|_| is_name), attached.filter(|name| !name.is_empty())];
            for path in names.into_iter().flatten().flat_map(|name| [PathBuf::from(name), folder.join(name)]) {
                if self.seen.len() < MOST_PATHS && self.seen.insert(path.clone()) && path.is_file() {
                    self.open.push_back((path, is_read));
                }
            }
        }
    }
}

/// The ending of a script's name.
fn ending(path: &Path) -> Option<&str> {
    let ending = path.extension()?.to_str()?;
    matches!(ending, "sql" | "psql" | "sh" | "bash").then_some(ending)
}

/// The text of a script of SQL or of a shell, or of what something is told to read; a tool's own programs are none.
fn script(path: &Path, is_read: bool) -> Option<String> {
    let is_tools = path.components().any(|one| one.as_os_str() == "node_modules");
    // Opening a pipe would wait for who writes into it.
    if is_tools || !path.metadata().ok().is_some_and(|found| found.is_file() && found.len() <= MOST_BYTES) {
        return None;
    }
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    (is_read || ending(path).is_some() || is_shells(path, &text)).then_some(text)
}

/// Whether a program is a shell by its name: sh, bash, dash, mksh, ksh93, fish, tcsh.
fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    name.trim_end_matches(|sign: char| sign.is_ascii_digit() || sign == '.').ends_with("sh")
}

/// Whether a shell runs it, by its ending or its first line.
fn is_shells(path: &Path, text: &str) -> bool {
    let line = text.lines().next().and_then(|first| first.strip_prefix("#!")).unwrap_or_default();
    // Options may follow, and `env` may come before.
    matches!(ending(path), Some("sh" | "bash")) || line.split_whitespace().any(is_shell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_in_what_is_run_and_in_the_scripts_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for (name, text) in [
            ("deploy", "#!/bin/sh\nset -e\nexec psql -X --file='HERE/step.sql'\n"),
            ("step.sql", "SELECT 1;\n\\ir deeper/index.sql\n"),
            ("deeper/index.sql", "create index concurrently i on t (n);\n\\ir ../step.sql\n"),
            ("node_modules/tool/run.sh", "concurrently\n"),
            ("plain.sql", "CREATE INDEX i ON t (n);\n"),
            ("mk", "#!/bin/mksh\npsql -qXfbin/steps\n"),
            ("rest", "#!/usr/bin/env ksh93\npsql -qXf bin/steps\n"),
            ("up", "create index concurrently i on t (n);\n"),
            ("words.txt", "concurrently\n"),
            ("migrate.sh", "exec bin/migrate --all\n"),
            ("outer.sh", "cd HERE\n./bin/migrate\n"),
            ("deploy-e", "#!/usr/bin/env -S bash -eu\npsql -c 'create index concurrently i on t (n)'\n"),
            ("bin/migrate", "#!/bin/sh\npsql -c 'create index concurrently i on t (n)'\n"),
            ("included.sql", "\\i bin/steps\n"),
            ("bin/steps", "#!/bin/sh\n# concurrently\n"),
            ("links.sql", "INSERT INTO t VALUES ('bin/migrate');\n"),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("HERE", &folder.path().display().to_string())).unwrap();
        }
        let said = |text: &str| is_said(&["CONCURRENTLY"], [(text.into(), folder.path().to_owned())]);
        for text in [
            "create index Concurrently",
            "sh deploy",
            &at("deploy"),
            "\\i deeper/index.sql",
            "psql -f step.sql",
            "sh migrate.sh",
            "./outer.sh",
            "sh deploy-e",
            "./deploy-e",
            "psql -X -fstep.sql",
            "psql -qfdeeper/index.sql",
            "./mk",
            "psql -f up",
            "psql -qXfup",
            "\\i up",
            "./rest",
            "psql -f included.sql",
        ] {
            assert!(said(text), "{text}");
        }
        let tool = at("node_modules/tool/run.sh");
        for text in [
            "",
            "nothing.sql",
            "psql -f plain.sql",
            &tool,
            "cat words.txt",
            "psql -f links.sql",
            "/dev/zero",
            &at("deeper"),
        ] {
            assert!(!said(text), "{text}");
        }
    }

    #[test]
    fn what_is_more_than_can_be_looked_at_counts_as_said() {
        let folder = tempfile::tempdir().unwrap();
        let names = |count: usize| (0..count).map(|n| format!("{n}.sql ")).collect::<String>();
        let said = |text: String| is_said(&["CONCURRENTLY"], [(text.into(), folder.path().to_owned())]);
        assert!(!said(names(MOST_PATHS / 2 - 1)));
        assert!(said(names(MOST_PATHS / 2)));
        let text = " ".repeat(usize::try_from(MOST_BYTES).unwrap());
        for n in 0..=MOST_READ / text.len() {
            std::fs::write(folder.path().join(format!("{n}.sql")), &text).unwrap();
        }
        assert!(said(names(MOST_READ / text.len() + 1)));
    }
}
