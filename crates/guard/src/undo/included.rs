//! What a script includes, as one digest: a file that it includes is as much a part of it as its own lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdpoint_review::psql_text;

use super::surroundings::{MOST_FILES, bare, included, is_include, read};
use crate::tools::sha256;

/// What stands for a file that is not there, or cannot be read as text.
const NO_TEXT: &str = "no text";

/// SHA-256 over every file that a script includes (`\i`, `\ir`), directly or by others, as psql finds them from `working`, in
/// lower-case hexadecimal; `None` where it includes none. Of a name that psql only makes up while it runs the name counts.
pub(crate) fn included_sha256(script: &Path, working: &Path) -> Option<String> {
    let mut digest = String::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<PathBuf> = vec![working.join(script)];
    while let Some(path) = open.pop() {
        if !seen.insert(path.clone()) || seen.len() > MOST_FILES {
            continue;
        }
        let text = read(&path);
        if seen.len() > 1 {
            digest.push_str(&text.as_deref().map_or_else(|| NO_TEXT.to_owned(), |text| sha256(text.as_bytes())));
            digest.push('\n');
        }
        let commands = psql_text(&text.unwrap_or_default()).meta_commands;
        for command in commands.iter().filter(|one| is_include(one)) {
            digest.push_str(&format!("{} {}\n", bare(command), command.arguments));
            let beside = matches!(bare(command), "ir" | "include_relative");
            let from = if beside { path.parent().unwrap_or(working) } else { working };
            open.extend(included(command).map(|name| from.join(name)));
        }
    }
    (!digest.is_empty()).then(|| sha256(digest.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_included_counts_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        let now = |script: &str| included_sha256(Path::new(script), folder.path());
        write("sql/plain.sql", "DROP TABLE a;\n");
        assert_eq!(now("sql/plain.sql"), None);
        write("sql/down.sql", "\\ir inc/one.sql\n\\i sql/two.sql\n");
        write("sql/inc/one.sql", "\\ir deep.sql\n");
        write("sql/inc/deep.sql", "DROP TABLE a;\n");
        write("sql/two.sql", "DROP TABLE b;\n");
        let before = now("sql/down.sql");
        assert_eq!((now("sql/down.sql"), before.is_some()), (before.clone(), true));
        for name in ["sql/inc/one.sql", "sql/inc/deep.sql", "sql/two.sql"] {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            write(name, &format!("{text}DROP TABLE c;\n"));
            assert_ne!(now("sql/down.sql"), before, "{name}");
            std::fs::remove_file(folder.path().join(name)).unwrap();
            assert_ne!(now("sql/down.sql"), before, "{name} is gone");
            write(name, &text);
            assert_eq!(now("sql/down.sql"), before, "{name}");
        }
        write("sql/other.sql", "");
        assert_eq!(now("sql/down.sql"), before);
        write("sql/itself.sql", "\\ir itself.sql\n\\i :name\n");
        assert!(now("sql/itself.sql").is_some(), "it comes to an end");
    }
}
