//! What a program says when it is asked for its version.

use std::fmt;

/// A version as a program prints it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProgramVersion {
    /// The major version, such as 17.
    pub major: u32,
    /// The minor version; a development or beta version has none.
    pub minor: Option<u32>,
    /// The whole of it, such as `17.5 (Debian 17.5-1.pgdg120+1)`.
    pub text: String,
}

impl ProgramVersion {
    /// Reads `pg_dump (PostgreSQL) 17.5 (Debian …)`; `None` for anything of another form.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (_, text) = line.lines().next()?.trim().split_once(") ")?;
        let number = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (major, rest) = text.split_at(number(text));
        let minor = rest.strip_prefix('.').and_then(|rest| rest[..number(rest)].parse().ok());
        Some(Self { major: major.parse().ok()?, minor, text: text.to_owned() })
    }
}

impl fmt::Display for ProgramVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_programs_print() {
        for (line, major, minor) in [
            ("pg_dump (PostgreSQL) 18.6\n", 18, Some(6)),
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15, Some(18)),
            ("psql (PostgreSQL) 19devel", 19, None),
            ("postgres (PostgreSQL) 18beta1", 18, None),
            ("initdb (PostgreSQL) 17", 17, None),
        ] {
            let version = ProgramVersion::parse(line).unwrap();
            assert_eq!((version.major, version.minor), (major, minor), "{line}");
        }
        for line in ["", "pg_dump 18", "pg_dump (PostgreSQL) ", "pg_dump (PostgreSQL) new", "x (y) 99999999999"] {
            assert_eq!(ProgramVersion::parse(line), None, "{line}");
        }
    }
}
