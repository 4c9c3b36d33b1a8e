//! Takes a connection URL or a `key=value` string apart, as libpq does.
//!
//! Grammar: PostgreSQL manual, "Connection Strings". No error repeats any part of the text but a parameter's name:
//! people forget to encode a password, and then its pieces turn up as host, port or path.

use crate::Error;

/// The parameters in the order written; a later one of the same name wins.
pub(super) type Pairs = Vec<(String, String)>;

const ENCODE: &str = "a user name, password or database name with one of : / ? # [ ] @ % must have it percent-encoded \
                      (@ is %40, / is %2F, : is %3A, ? is %3F, % is %25)";

fn bad(reason: impl Into<String>) -> Error {
    Error::BadConnectionString(reason.into())
}

/// Parses a URL (`postgresql://`, `postgres://`) or a `key=value` string; an empty text gives nothing.
pub(super) fn parse(source: &str) -> Result<Pairs, Error> {
    let source = source.trim();
    if let Some(rest) = source.strip_prefix("postgresql://").or_else(|| source.strip_prefix("postgres://")) {
        return url(rest);
    }
    if let Some((scheme, _)) = source.split_once("://")
        && !scheme.contains(['=', ' ', '\''])
    {
        return Err(foreign_scheme(scheme));
    }
    key_values(source)
}

fn foreign_scheme(scheme: &str) -> Error {
    let plain = scheme.len() <= 24 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.:_".contains(&b));
    if !plain {
        return bad("does not begin with postgresql://");
    }
    match scheme.to_ascii_lowercase().as_str() {
        "prisma" | "prisma+postgres" => bad(format!(
            "{scheme}:// is Prisma's own service; give the direct URL of the database (Prisma's directUrl)"
        )),
        lower if lower.contains("postgres") => bad(format!("write postgresql:// instead of {scheme}://")),
        _ => bad(format!("{scheme}:// is not a PostgreSQL URL; one begins with postgresql://")),
    }
}

fn url(rest: &str) -> Result<Pairs, Error> {
    let mut pairs = Pairs::new();
    let (rest, query) = match rest.find('?') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let at_signs = authority.matches('@').count();
    let stray = path.is_some_and(|path| path.contains('@'))
        || (path.is_none() && at_signs == 0 && authority.contains(':') && query.is_some_and(|q| q.contains('@')));
    if at_signs > 1 || stray {
        return Err(bad(format!("there is an @ too many: {ENCODE}")));
    }
    let hosts = match authority.split_once('@') {
        None => authority,
        Some((who, hosts)) => {
            let (user, password) = match who.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (who, None),
            };
            push(&mut pairs, "user", &decoded(user)?);
            push(&mut pairs, "password", &decoded(password.unwrap_or_default())?);
            hosts
        }
    };
    host_list(hosts, &mut pairs)?;
    push(&mut pairs, "dbname", &decoded(path.unwrap_or_default())?);
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return Err(bad(format!("after the ? there is a part without =: {ENCODE}")));
        };
        pairs.push((decoded(name)?, decoded(value)?));
    }
    Ok(pairs)
}

fn push(pairs: &mut Pairs, name: &str, value: &str) {
    if !value.is_empty() {
        pairs.push((name.to_owned(), value.to_owned()));
    }
}

fn host_list(list: &str, pairs: &mut Pairs) -> Result<(), Error> {
    if list.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for entry in list.split(',') {
        let (host, port) = if let Some(rest) = entry.strip_prefix('[') {
            let Some((address, after)) = rest.split_once(']') else {
                return Err(bad("an IPv6 address lacks its closing ]"));
            };
            let port = match after.strip_prefix(':') {
                Some(port) => port,
                None if after.is_empty() => "",
                None => return Err(bad("after the ] of an IPv6 address only :PORT may follow")),
            };
            (address.to_owned(), port)
        } else {
            let (host, port) = entry.split_once(':').unwrap_or((entry, ""));
            if port.contains(':') {
                return Err(bad(format!("there is a : too many: an IPv6 address is written in [ ]; {ENCODE}")));
            }
            (decoded(host)?, port)
        };
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad(format!("the port is not a number; if that was part of a password: {ENCODE}")));
        }
        hosts.push(host);
        ports.push(port.to_owned());
    }
    push(pairs, "host", &hosts.join(","));
    if ports.iter().any(|port| !port.is_empty()) {
        push(pairs, "port", &ports.join(","));
    }
    Ok(())
}

fn decoded(text: &str) -> Result<String, Error> {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('%') {
        if !bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)) {
            return Err(bad(format!("a % is not followed by two hexadecimal digits: {ENCODE}")));
        }
    }
    let text = percent_encoding::percent_decode(bytes)
        .decode_utf8()
        .map_err(|_| bad("what is percent-encoded is not UTF-8"))?
        .into_owned();
    if text.contains('\0') { Err(bad("%00 may not occur")) } else { Ok(text) }
}

fn key_values(source: &str) -> Result<Pairs, Error> {
    let mut pairs = Pairs::new();
    let mut chars = source.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            name.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') || name.is_empty() {
            return Err(bad("neither a URL (postgresql://user@host/database) nor key=value pairs"));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                None if quoted => return Err(bad("a quoted value lacks its closing quote")),
                None => break,
                Some('\\') => value.extend(chars.next()),
                Some('\'') if quoted => break,
                Some(c) if !quoted && c.is_whitespace() => break,
                Some(c) => value.push(c),
            }
        }
        pairs.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(source: &str) -> Vec<(String, String)> {
        parse(source).unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn reads_every_part_of_a_url() {
        assert_eq!(
            pairs("postgresql://an%40a:p%2Fw%3A@one:5433,[::1],%2Ftmp%2Fs:7/my%20db?sslmode=require&options=-c%20a=b"),
            owned(&[
                ("user", "an@a"),
                ("password", "p/w:"),
                ("host", "one,::1,/tmp/s"),
                ("port", "5433,,7"),
                ("dbname", "my db"),
                ("sslmode", "require"),
                ("options", "-c a=b"),
            ])
        );
        assert_eq!(pairs("postgres://"), owned(&[]));
        assert_eq!(pairs("postgres:///shop?host=/run"), owned(&[("dbname", "shop"), ("host", "/run")]));
        assert_eq!(pairs("postgres://u:p#q@h/d\n")[1].1, "p#q");
        assert_eq!(pairs("postgres://u:a:b@h/d")[1].1, "a:b");
    }

    #[test]
    fn reads_key_values_with_quotes_and_escapes() {
        assert_eq!(
            pairs(r"host = /tmp  dbname='it\'s' password=a\ b options=''"),
            owned(&[("host", "/tmp"), ("dbname", "it's"), ("password", "a b"), ("options", "")])
        );
    }

    #[test]
    fn a_wrong_url_is_refused_without_repeating_a_piece_of_the_password() {
        for source in [
            "postgres://u:hunter2@hunter3@host/db",
            "postgres://u:hunter2/hunter3@host/db",
            "postgres://u:hunter2?hunter3@host/db",
            "postgres://u:1?hunter2=hunter3@host/db",
            "postgres://u:hunter2%zz@host/db",
            "postgres://u:hunter2",
            "postgres://[::1/hunter2",
            "postgres://h/d?hunter2",
            "mysql://u:hunter2@host/db",
            "hunter2://x",
            "hunter2",
            "host=x password='hunter2",
            "hunter2 ://u",
        ] {
            let error = parse(source).expect_err(source).to_string();
            let echoed = error.contains("hunter2") && source != "hunter2://x" || error.contains("hunter3");
            assert!(!echoed, "{source}: {error}");
        }
    }

    #[test]
    fn other_schemes_are_told_the_right_one() {
        assert!(parse("jdbc:postgresql://h/d").unwrap_err().to_string().contains("write postgresql://"));
        assert!(parse("postgresql+asyncpg://h/d").unwrap_err().to_string().contains("write postgresql://"));
        assert!(parse("prisma+postgres://x/?api_key=1").unwrap_err().to_string().contains("directUrl"));
    }
}
