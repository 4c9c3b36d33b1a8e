//! Causes, read from what PostgreSQL's programs print in English (`LC_ALL=C`).

use std::fmt;

/// Why a client program failed, where its messages tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The role may not do something with an object.
    PermissionDenied {
        /// The object as the server names it, such as `table orders`.
        object: String,
    },
    /// Row security would hide rows.
    RowSecurity {
        /// The table.
        table: String,
    },
    /// A lock was not granted in time.
    LockTimeout,
    /// The program is older than the server.
    ServerVersionMismatch,
    /// The server refused the login.
    LoginRefused,
    /// The connection could not be made or was lost.
    ConnectionLost,
    /// A disk is full, here or at the server.
    OutOfDisk,
    /// A database, schema, table or other object is not there (any more).
    ObjectMissing {
        /// The object as the server names it, such as `relation "orders"`.
        object: String,
    },
    /// A shared library is not there or cannot be loaded.
    LibraryMissing {
        /// The library.
        library: String,
    },
    /// The archive is of a newer format, of another codec than the program was built with, or broken.
    UnsupportedArchive,
    /// An extension is not installed at the server.
    ExtensionMissing {
        /// The extension.
        name: String,
    },
    /// A role is not there.
    RoleMissing {
        /// The role.
        name: String,
    },
    /// The server's machine does not have a locale.
    LocaleMissing {
        /// The locale, where the message names it.
        locale: String,
    },
    /// Anything else.
    Other,
}

impl Cause {
    /// Finds the cause in a stderr tail: the first line that tells one, since later ones mostly follow from it.
    #[must_use]
    pub fn of(stderr_tail: &str) -> Self {
        // pg_dump's own wait for locks is a statement_timeout, and it repeats the statement.
        let waited = stderr_tail.contains("due to statement timeout") && stderr_tail.contains("LOCK TABLE ");
        stderr_tail.lines().find_map(of_line).unwrap_or(if waited { Self::LockTimeout } else { Self::Other })
    }

    /// Tells whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::LockTimeout | Self::ConnectionLost)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PermissionDenied { object } => write!(formatter, "permission denied for {object}"),
            Self::RowSecurity { table } => write!(formatter, "row security hides rows of table {table}"),
            Self::LockTimeout => formatter.write_str("a lock was not granted in time"),
            Self::ServerVersionMismatch => formatter.write_str("the program is older than the server"),
            Self::LoginRefused => formatter.write_str("the server refused the login"),
            Self::ConnectionLost => formatter.write_str("the connection failed"),
            Self::OutOfDisk => formatter.write_str("no space left on the disk"),
            Self::ObjectMissing { object } => write!(formatter, "{object} does not exist"),
            Self::LibraryMissing { library } => write!(formatter, "library {library} cannot be loaded"),
            Self::UnsupportedArchive => formatter.write_str("the archive cannot be read by this program"),
            Self::ExtensionMissing { name } => write!(formatter, "extension {name} is not available"),
            Self::RoleMissing { name } => write!(formatter, "role {name} does not exist"),
            Self::LocaleMissing { locale } if locale.is_empty() => formatter.write_str("a locale is missing"),
            Self::LocaleMissing { locale } => write!(formatter, "locale {locale} is missing"),
            Self::Other => formatter.write_str("an unknown cause"),
        }
    }
}

const OUT_OF_DISK: [&str; 3] = ["No space left on device", "Disk quota exceeded", "disk full"];
const LOGIN_REFUSED: [&str; 4] =
    ["password authentication failed", "no pg_hba.conf entry", "no password supplied", "is not permitted to log in"];
const CONNECTION_LOST: [&str; 11] = [
    "server closed the connection unexpectedly",
    "terminating connection due to",
    "could not receive data from server",
    "could not send data to server",
    "no connection to the server",
    "could not translate host name",
    "connection to server ",
    "connection to database ",
    "SSL SYSCALL error",
    "SSL connection has been closed",
    "the database system is ",
];
const UNSUPPORTED_ARCHIVE: [&str; 8] = [
    "in file header",
    "does not appear to be a valid archive",
    "input file is too short",
    "unexpected end of file",
    "could not read from input file: end of file",
    "this build does not support compression with",
    "compression is not supported by this installation",
    "cannot restore from compressed archive",
];
const LOCALE_MISSING: [&str; 6] = [
    "invalid locale name",
    "invalid LC_COLLATE locale name",
    "invalid LC_CTYPE locale name",
    "could not create locale",
    "could not open collator for locale",
    "ICU is not supported in this build",
];

fn of_line(line: &str) -> Option<Cause> {
    let has = |texts: &[&str]| texts.iter().any(|text| line.contains(text));
    if has(&OUT_OF_DISK) {
        return Some(Cause::OutOfDisk);
    }
    if let Some(object) = after(line, "permission denied for ") {
        return Some(Cause::PermissionDenied { object: object.to_owned() });
    }
    if let Some(table) = after(line, "affected by row-level security policy for table ") {
        return Some(Cause::RowSecurity { table: unquoted(table) });
    }
    if has(&["due to lock timeout", "could not obtain lock on "]) {
        return Some(Cause::LockTimeout);
    }
    if has(&["server version mismatch"]) {
        return Some(Cause::ServerVersionMismatch);
    }
    if has(&LOGIN_REFUSED) {
        return Some(Cause::LoginRefused);
    }
    missing(line).or_else(|| {
        if has(&CONNECTION_LOST) {
            Some(Cause::ConnectionLost)
        } else if has(&UNSUPPORTED_ARCHIVE) {
            Some(Cause::UnsupportedArchive)
        } else {
            None
        }
    })
}

/// Reads the messages about something that is not there.
fn missing(line: &str) -> Option<Cause> {
    if let Some(rest) = after(line, "extension \"")
        && ["is not available", "is not installed", "has no installation script"].iter().any(|text| rest.contains(text))
    {
        return Some(Cause::ExtensionMissing { name: up_to(rest, "\"").to_owned() });
    }
    if let Some(path) = after(line, "could not open extension control file \"") {
        let file = up_to(path, "\"").rsplit('/').next().unwrap_or_default();
        return Some(Cause::ExtensionMissing { name: file.trim_end_matches(".control").to_owned() });
    }
    if let Some(library) = after(line, "could not access file \"").or_else(|| after(line, "could not load library \""))
    {
        return Some(Cause::LibraryMissing { library: up_to(library, "\"").to_owned() });
    }
    if let Some(library) = after(line, "error while loading shared libraries: ") {
        return Some(Cause::LibraryMissing { library: up_to(library, ":").to_owned() });
    }
    if LOCALE_MISSING.iter().any(|text| line.contains(text)) {
        let locale = line.split('"').nth(1).unwrap_or_default();
        return Some(Cause::LocaleMissing { locale: locale.to_owned() });
    }
    if line.contains("collation \"") && line.contains("does not exist") {
        let locale = after(line, "collation \"").map(|rest| up_to(rest, "\""));
        return Some(Cause::LocaleMissing { locale: locale.unwrap_or_default().to_owned() });
    }
    if let Some(role) = after(line, "role \"").filter(|rest| rest.contains("\" does not exist")) {
        return Some(Cause::RoleMissing { name: up_to(role, "\" does not exist").to_owned() });
    }
    if let Some(object) = line.strip_suffix(" does not exist") {
        let object = object.rsplit_once("ERROR:  ").or_else(|| object.rsplit_once("FATAL:  ")).map(|(_, rest)| rest)?;
        return Some(Cause::ObjectMissing { object: object.to_owned() });
    }
    for text in ["no matching tables were found", "no matching schemas were found", "could not open relation with OID"]
    {
        if line.contains(text) {
            let pattern = after(line, "for pattern ").map_or_else(|| "a relation".to_owned(), unquoted);
            return Some(Cause::ObjectMissing { object: pattern });
        }
    }
    None
}

fn after<'a>(line: &'a str, text: &str) -> Option<&'a str> {
    line.split_once(text).map(|(_, rest)| rest.trim_end())
}

fn up_to<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or(text, |(before, _)| before)
}

fn unquoted(text: &str) -> String {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_messages_of_the_programs() {
        let denied = |object: &str| Cause::PermissionDenied { object: object.into() };
        let extension = |name: &str| Cause::ExtensionMissing { name: name.into() };
        let library = |library: &str| Cause::LibraryMissing { library: library.into() };
        let locale = |locale: &str| Cause::LocaleMissing { locale: locale.into() };
        for (line, cause) in [
            ("pg_dump: error: query failed: ERROR:  permission denied for table secret", denied("table secret")),
            (
                "pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table \"t\"",
                Cause::RowSecurity { table: "t".into() },
            ),
            ("pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout", Cause::LockTimeout),
            ("pg_dump: error: aborting because of server version mismatch", Cause::ServerVersionMismatch),
            (
                "pg_dump: error: connection to server at \"127.0.0.1\", port 1 failed: FATAL:  password authentication failed for user \"x\"",
                Cause::LoginRefused,
            ),
            (
                "pg_dump: error: connection to server at \"127.0.0.1\", port 1 failed: Connection refused",
                Cause::ConnectionLost,
            ),
            ("FATAL:  terminating connection due to administrator command", Cause::ConnectionLost),
            (
                "pg_restore: error: COPY failed for table \"t\": ERROR:  could not extend file \"base/1/2\": No space left on device",
                Cause::OutOfDisk,
            ),
            ("pg_restore: error: unsupported version (1.17) in file header", Cause::UnsupportedArchive),
            (
                "pg_restore: error: could not execute query: ERROR:  extension \"postgis\" is not available",
                extension("postgis"),
            ),
            (
                "ERROR:  could not open extension control file \"/usr/share/postgresql/15/extension/vector.control\": No such file or directory",
                extension("vector"),
            ),
            (
                "ERROR:  could not access file \"$libdir/postgis-3\": No such file or directory",
                library("$libdir/postgis-3"),
            ),
            (
                "pg_dump: error while loading shared libraries: libpq.so.5: cannot open shared object file",
                library("libpq.so.5"),
            ),
            (
                "pg_restore: error: could not execute query: ERROR:  role \"app\" does not exist",
                Cause::RoleMissing { name: "app".into() },
            ),
            ("ERROR:  invalid LC_COLLATE locale name: \"xx_YY\"", locale("xx_YY")),
            ("ERROR:  ICU is not supported in this build", locale("")),
            (
                "pg_dump: error: query failed: ERROR:  relation \"public.t\" does not exist",
                Cause::ObjectMissing { object: "relation \"public.t\"".into() },
            ),
            (
                "pg_dump: error: connection to server on socket \"/s\" failed: FATAL:  database \"x\" does not exist",
                Cause::ObjectMissing { object: "database \"x\"".into() },
            ),
            ("pg_dump: error: something new", Cause::Other),
        ] {
            assert_eq!(Cause::of(line), cause, "{line}");
        }
    }

    #[test]
    fn the_first_cause_counts() {
        let tail =
            "pg_restore: warning: x\nERROR:  role \"a\" does not exist\nserver closed the connection unexpectedly";
        assert_eq!(Cause::of(tail), Cause::RoleMissing { name: "a".into() });
        let waited = "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\n\
                      pg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE";
        assert_eq!(Cause::of(waited), Cause::LockTimeout);
        assert!(Cause::LockTimeout.is_transient() && !Cause::OutOfDisk.is_transient());
    }
}
