//! The connection service file, `pg_service.conf`.
//!
//! PostgreSQL manual, "The Connection Service File": INI sections, one a service; the user's file comes before the
//! system's; `service` inside a service is an error.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::Pairs;
use crate::Error;

/// Reads a service from the first of the files that defines it; a file that is not there is passed over.
pub(super) fn look_up(service: &str, files: &[PathBuf]) -> Result<Pairs, Error> {
    for file in files {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::BadFile { path: file.clone(), reason: error.to_string() }),
        };
        if let Some(pairs) = section(&text, service, file)? {
            return Ok(pairs);
        }
    }
    Err(Error::NoSuchService { name: service.to_owned(), files: files.to_vec() })
}

fn section(text: &str, service: &str, file: &Path) -> Result<Option<Pairs>, Error> {
    let bad = |number: usize, reason: &str| Error::BadFile {
        path: file.to_owned(),
        reason: format!("line {}: {reason}", number + 1),
    };
    let mut found: Option<Pairs> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            if found.is_some() {
                break;
            }
            if line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) == Some(service) {
                found = Some(Pairs::new());
            }
        } else if let Some(pairs) = &mut found {
            if line.starts_with("ldap") {
                return Err(bad(number, "LDAP look-up is not supported"));
            }
            // The line may hold a password, so it is not repeated.
            let (name, value) = line.split_once('=').ok_or_else(|| bad(number, "not name=value"))?;
            if matches!(name, "service" | "servicefile") {
                return Err(bad(number, "a service may not name another service"));
            }
            pairs.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_named_section_only() {
        let text = "# x\n[one]\nhost=a\n\n[two]\nhost=b\npassword=p=q\n[three]\nhost=c\n";
        let pairs = section(text, "two", Path::new("f")).unwrap().unwrap();
        assert_eq!(pairs, [("host".into(), "b".into()), ("password".to_owned(), "p=q".to_owned())]);
        assert!(section(text, "four", Path::new("f")).unwrap().is_none());
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_repeated() {
        let error = section("[a]\nhunter2\n", "a", Path::new("f")).unwrap_err().to_string();
        assert_eq!(error, "f: line 2: not name=value");
        assert!(section("[a]\nservice=b\n", "a", Path::new("f")).is_err());
    }
}
