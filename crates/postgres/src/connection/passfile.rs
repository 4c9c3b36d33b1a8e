//! The password file, `~/.pgpass`.
//!
//! PostgreSQL manual, "The Password File": lines of `host:port:database:user:password`, `*` matches all, `:` and `\`
//! are escaped with `\`, the first matching line wins, and a file that others may read is ignored.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Secret;

/// What a password file says about one server.
pub(super) enum Answer {
    /// The password.
    Found(Secret),
    /// Nothing: no file, or no line.
    Nothing,
    /// The file is there and is not used, because of this.
    Ignored(String),
}

/// Looks up a password; `host` is `localhost` for the default socket directory, as in libpq.
pub(super) fn look_up(file: &Path, host: &str, port: u16, database: &str, user: &str) -> Answer {
    let Ok(about) = fs::metadata(file) else { return Answer::Nothing };
    if !about.is_file() {
        return Answer::Ignored(format!("password file {} is not a plain file", file.display()));
    }
    if about.permissions().mode() & 0o077 != 0 {
        return Answer::Ignored(format!(
            "password file {} may be read by others and is ignored: chmod 0600 it",
            file.display()
        ));
    }
    let text = match fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return Answer::Ignored(format!("password file {}: {error}", file.display())),
    };
    let wanted = [host, &port.to_string(), database, user];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| matching(line.trim_end_matches('\r'), wanted))
        .map_or(Answer::Nothing, Answer::Found)
}

fn matching(line: &str, wanted: [&str; 4]) -> Option<Secret> {
    let mut rest = line;
    for want in wanted {
        let (field, after) = field(rest)?;
        // Only a bare star is the wildcard; an escaped one is a name.
        if rest.starts_with("*:") || field == want {
            rest = after;
        } else {
            return None;
        }
    }
    let mut password = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => break,
            '\\' => password.extend(chars.next()),
            c => password.push(c),
        }
    }
    (!password.is_empty()).then(|| Secret::new(password))
}

/// Reads one field up to its unescaped colon.
fn field(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(line: &str) -> Option<String> {
        matching(line, ["db.example.com", "5432", "a:b", "ann"]).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn matches_fields_wildcards_and_escapes() {
        assert_eq!(password(r"db.example.com:5432:a\:b:ann:s\:e\\c").as_deref(), Some(r"s:e\c"));
        assert_eq!(password("*:*:*:ann:x").as_deref(), Some("x"));
        assert_eq!(password("*:*:*:*:x").as_deref(), Some("x"));
        assert_eq!(password(r"\*:*:*:*:x"), None);
        assert_eq!(password("*:5433:*:*:x"), None);
        assert_eq!(password("*:*:*:*:"), None);
        assert_eq!(password("rubbish"), None);
    }

    #[test]
    fn the_first_matching_line_wins_and_a_readable_file_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        fs::write(&file, "# comment\nother:*:*:*:no\nlocalhost:*:*:ann:one\nlocalhost:*:*:ann:two\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let Answer::Found(secret) = look_up(&file, "localhost", 5432, "shop", "ann") else { panic!("not found") };
        assert_eq!(secret.expose(), "one");
        assert!(matches!(look_up(&file, "localhost", 5432, "shop", "bob"), Answer::Nothing));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let Answer::Ignored(why) = look_up(&file, "localhost", 5432, "shop", "ann") else { panic!("used") };
        assert!(why.contains("may be read by others"), "{why}");
        assert!(matches!(look_up(&folder.path().join("none"), "h", 1, "d", "u"), Answer::Nothing));
    }
}
