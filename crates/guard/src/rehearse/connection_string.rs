//! Texts that connect to a PostgreSQL server, in the forms that tools take, and the same text for another server.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Door;

/// What may stand unencoded in a part of a URL.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Schemes, before which there may be `jdbc:` and after which a driver, such as `postgresql+asyncpg`.
const SCHEMES: [&str; 4] = ["postgresql", "postgres", "postgis", "cockroachdb"];
/// The port where none is said.
const PORT: u16 = 5432;

/// A connection as a text says it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConnectionString {
    form: Form,
    /// Hosts with their ports; a folder is a unix socket's.
    pub(super) hosts: Vec<(String, u16)>,
    pub(crate) password: Option<String>,
    /// What else it says, in order.
    others: Vec<(String, String)>,
}

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// What stands before `://`.
    Url(String),
    Keywords,
}

/// Words that say where and who; none of them survives.
fn is_place(name: &str) -> bool {
    const PLACES: [&str; 16] = [
        "host",
        "hostaddr",
        "port",
        "user",
        "username",
        "password",
        "passfile",
        "dbname",
        "database",
        "service",
        "servicefile",
        "channel_binding",
        "gssencmode",
        "target_session_attrs",
        "require_auth",
        "pgbouncer",
    ];
    let name = name.to_ascii_lowercase();
    PLACES.contains(&name.as_str()) || name.starts_with("ssl") || name == "requiressl"
}

impl ConnectionString {
    /// Reads a text; `None` for everything that is no connection to PostgreSQL.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::url(text).or_else(|| Self::keywords(text))
    }

    fn url(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once("://")?;
        let scheme = prefix.strip_prefix("jdbc:").unwrap_or(prefix);
        let scheme = scheme.split('+').next().unwrap_or(scheme).to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            return None;
        }
        let rest = rest.split('#').next().unwrap_or(rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Of an unencoded `@` or `/` in a password the last one counts, as far as it is before the path.
        let at = rest.rfind('@');
        let (login, place) = at.map_or(("", rest), |at| (&rest[..at], &rest[at + 1..]));
        let hosts = place.split('/').next().unwrap_or_default();
        let mut all = Self {
            form: Form::Url(prefix.to_owned()),
            hosts: Vec::new(),
            password: login.split_once(':').map(|(_, password)| decoded(password)),
            others: Vec::new(),
        };
        let mut port_said = None;
        let mut hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = decoded(value);
            match name {
                "host" | "hostaddr" => hosts = value.split(',').map(str::to_owned).collect(),
                "port" => port_said = value.parse().ok(),
                "password" => all.password = Some(value),
                _ => all.others.push((name.to_owned(), value)),
            }
        }
        all.hosts = hosts.iter().map(|host| host_and_port(host, port_said)).collect();
        Some(all)
    }

    /// `host=… port=… dbname=…`, with quotes as libpq reads them.
    fn keywords(text: &str) -> Option<Self> {
        let mut pairs = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=')?;
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                return None;
            }
            let (value, after) = value(after.trim_start())?;
            pairs.push((name.to_owned(), value));
            rest = after.trim_start();
        }
        let says = |name: &str| pairs.iter().rev().find(|(one, _)| one == name).map(|(_, value)| value.clone());
        if !["host", "hostaddr", "dbname", "service"].iter().any(|name| says(name).is_some()) {
            return None;
        }
        let port = says("port").and_then(|port| port.parse().ok());
        let hosts = [says("host"), says("hostaddr")].into_iter().flatten();
        let hosts = hosts.flat_map(|hosts| hosts.split(',').map(str::to_owned).collect::<Vec<_>>());
        Some(Self {
            form: Form::Keywords,
            hosts: hosts.map(|host| (host, port.unwrap_or(PORT))).collect(),
            password: says("password"),
            others: pairs.into_iter().filter(|(name, _)| !is_place(name)).collect(),
        })
    }

    /// The same text for the copy: what says where and who is replaced, the rest stays.
    pub(super) fn leading_to(&self, door: &Door) -> String {
        let password = door.password.expose();
        let part = |text: &str| utf8_percent_encode(text, PART).to_string();
        match &self.form {
            Form::Keywords => {
                let quoted = |text: &str| format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"));
                let mut text = format!(
                    "host=127.0.0.1 port={} user={} password={} dbname={} sslmode=disable",
                    door.port,
                    quoted(&door.user),
                    quoted(password),
                    quoted(&door.database)
                );
                for (name, value) in &self.others {
                    text.push_str(&format!(" {name}={}", quoted(value)));
                }
                text
            }
            Form::Url(prefix) => {
                let jdbc = prefix.starts_with("jdbc:");
                let mut query: Vec<(String, String)> = Vec::new();
                if jdbc {
                    query.push(("user".to_owned(), door.user.clone()));
                    query.push(("password".to_owned(), password.to_owned()));
                }
                // Drivers of other languages have words of their own, and without any they ask the server.
                if !prefix.contains('+') {
                    query.push(("sslmode".to_owned(), "disable".to_owned()));
                }
                // Options that route, such as a provider's endpoint, lead nowhere here.
                let stays =
                    |(name, value): &&(String, String)| !is_place(name) && (name != "options" || value.contains("-c"));
                query.extend(self.others.iter().filter(stays).cloned());
                let login = if jdbc { String::new() } else { format!("{}:{}@", part(&door.user), part(password)) };
                let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", part(value))).collect();
                let mark = if query.is_empty() { "" } else { "?" };
                let database = part(&door.database);
                format!("{prefix}://{login}127.0.0.1:{}/{database}{mark}{}", door.port, query.join("&"))
            }
        }
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn host_and_port(text: &str, said: Option<u16>) -> (String, u16) {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let port = port.and_then(|port| port.parse().ok()).or(said);
    (decoded(host), port.unwrap_or(PORT))
}

/// A value, quoted or not, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('\'');
    let mut value = String::new();
    let inner = quoted.unwrap_or(text);
    let mut signs = inner.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => value.push(signs.next()?.1),
            '\'' if quoted.is_some() => return Some((value, &inner[at + 1..])),
            sign if quoted.is_none() && sign.is_whitespace() => return Some((value, &inner[at..])),
            sign => value.push(sign),
        }
    }
    quoted.is_none().then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use holdpoint_core::Secret;

    use super::*;

    fn door() -> Door {
        Door { port: 7777, user: "app".into(), password: Secret::new("p@ss"), database: "shop".into() }
    }

    fn rewritten(text: &str) -> String {
        ConnectionString::read(text).unwrap().leading_to(&door())
    }

    #[test]
    fn every_form_leads_to_the_copy_and_keeps_what_is_not_about_the_place() {
        for (text, want) in [
            (
                "postgres://ann:hunter2@db.example.com:6543/shop?schema=app&sslmode=require&pgbouncer=true",
                "postgres://app:p%40ss@127.0.0.1:7777/shop?sslmode=disable&schema=app",
            ),
            (
                "postgresql:///shop?host=%2Fvar%2Frun%2Fpostgresql&options=-c%20search_path%3Dx",
                "postgresql://app:p%40ss@127.0.0.1:7777/shop?sslmode=disable&options=-c%20search_path%3Dx",
            ),
            (
                "postgres://u@ep-x.neon.tech/d?options=endpoint%3Dep-x",
                "postgres://app:p%40ss@127.0.0.1:7777/shop?sslmode=disable",
            ),
            (
                "jdbc:postgresql://h1:5433,h2/shop?user=a&password=b&currentSchema=s",
                "jdbc:postgresql://127.0.0.1:7777/shop?user=app&password=p%40ss&sslmode=disable&currentSchema=s",
            ),
            ("postgresql+asyncpg://u:p@h/d", "postgresql+asyncpg://app:p%40ss@127.0.0.1:7777/shop"),
            (
                "host=h user='a b' password='it\\'s' dbname=shop connect_timeout=3",
                "host=127.0.0.1 port=7777 user='app' password='p@ss' dbname='shop' sslmode=disable connect_timeout='3'",
            ),
        ] {
            assert_eq!(rewritten(text), want, "{text}");
        }
    }

    #[test]
    fn hosts_ports_and_passwords_are_read() {
        let read = |text: &str| {
            let one = ConnectionString::read(text).unwrap();
            (one.hosts, one.password)
        };
        let host = |host: &str, port| vec![(host.to_owned(), port)];
        assert_eq!(read("postgres://u:a%2Fb@[::1]:6000/d"), (host("::1", 6000), Some("a/b".into())));
        assert_eq!(read("postgres://u:a/b@c@h/d"), (host("h", 5432), Some("a/b@c".into())));
        assert_eq!(read("postgresql://%2Ftmp:6000/d"), (host("/tmp", 6000), None));
        assert_eq!(read("postgresql:///d?host=/tmp&port=6000"), (host("/tmp", 6000), None));
        assert_eq!(read("dbname=d host=/tmp port=6000 password=x"), (host("/tmp", 6000), Some("x".into())));
        for other in ["mysql://u:p@h/d", "https://h/?a=b", "a=b", "just words", "", "HOST=x", "host='x", "postgres:x"] {
            assert!(ConnectionString::read(other).is_none(), "{other}");
        }
    }
}
