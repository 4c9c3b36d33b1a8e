//! Whether a word stands in what a command runs: in its line, in pending migrations, and in the scripts that these name.
//!
//! Nothing is parsed. A word that stands in a comment counts as well: what depends on it is only left out where it is said.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// So many paths are looked at.
const MOST_ASKED: usize = 1000;
/// A script is not longer, or is not followed; its text is held in memory.
const MOST_BYTES: u64 = 4 << 20;
/// What ends a word that may name a file.
const BETWEEN: [char; 12] = ['\'', '"', '`', ';', '=', '(', ')', '<', '>', '&', '|', ','];

/// Whether a word, given in upper case, stands in one of the texts, each with the folder of its file, or in a script that
/// one of them names: from the folder in which holdpoint runs, or from its own. In the first text, the command's, a script is named by
/// any word, elsewhere by one with the ending of a script.
pub(crate) fn is_said<'a>(word: &str, texts: impl IntoIterator<Item = (Cow<'a, str>, PathBuf)>) -> bool {
    let mut open: VecDeque<(Cow<'_, str>, PathBuf)> = texts.into_iter().collect();
    let mut asked = BTreeSet::new();
    let mut is_command = true;
    while let Some((text, folder)) = open.pop_front() {
        if text.to_ascii_uppercase().contains(word) {
            return true;
        }
        let named = |name: &&str| is_command && !name.is_empty() || ending(Path::new(name)).is_some();
        let names = text.split(|sign: char| sign.is_whitespace() || BETWEEN.contains(&sign)).filter(named);
        for path in names.flat_map(|name| [PathBuf::from(name), folder.join(name)]) {
            if asked.len() == MOST_ASKED {
                break;
            }
            if asked.insert(path.clone())
                && let Some(text) = script(&path)
            {
                open.push_back((text.into(), path.parent().unwrap_or(&folder).to_owned()));
            }
        }
        is_command = false;
    }
    false
}

/// The ending of a script's name.
fn ending(path: &Path) -> Option<&str> {
    let ending = path.extension()?.to_str()?;
    matches!(ending, "sql" | "psql" | "sh" | "bash").then_some(ending)
}

/// The text of a script of SQL or of a shell; a tool's own programs are none.
fn script(path: &Path) -> Option<String> {
    let is_tools = path.components().any(|one| one.as_os_str() == "node_modules");
    // Opening a pipe would wait for who writes into it.
    if is_tools || !path.metadata().ok().is_some_and(|found| found.is_file() && found.len() <= MOST_BYTES) {
        return None;
    }
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    let shell = || text.lines().next().is_some_and(|first| first.starts_with("#!") && first.trim_end().ends_with("sh"));
    (ending(path).is_some() || shell()).then_some(text)
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
            ("words.txt", "concurrently\n"),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("HERE", &folder.path().display().to_string())).unwrap();
        }
        let said = |text: &str| is_said("CONCURRENTLY", [(text.into(), folder.path().to_owned())]);
        for text in
            ["create index Concurrently", "sh deploy", &at("deploy"), "\\i deeper/index.sql", "psql -f step.sql"]
        {
            assert!(said(text), "{text}");
        }
        let tool = at("node_modules/tool/run.sh");
        for text in ["", "nothing.sql", "psql -f plain.sql", &tool, "cat words.txt", "/dev/zero", &at("deeper")] {
            assert!(!said(text), "{text}");
        }
    }
}
